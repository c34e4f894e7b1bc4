//! One connection, from its first request to its end.
//!
//! ```text
//! Stranger --SASL, a certificate, or nothing where nobody has to be known--> Known --end of stream--> (the loop closes)
//! ```
//! The one idea to know: requests are carried out as they come and answered in their order, whatever is ready first. What
//! Kafka has no error for (an unknown API, a body that is none) closes the connection, as it does there.

use crate::api::{self, Answer};
use crate::client::{Client, Wire};
use crate::codec::{Call, Step, take_frame};
use crate::handlers;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use sluice_auth::Credentials;
use sluice_net::{Closing, Connection, Decoded, Flow, FramedHandler, Outbox, Outcome, Output, Reply};
use std::sync::Arc;
use tokio::time::Instant;

/// What may be asked before login.
const BEFORE_LOGIN: [i16; 3] =
    [ApiKey::ApiVersions as i16, ApiKey::SaslHandshake as i16, ApiKey::SaslAuthenticate as i16];

/// What proves an identity.
const LOGIN: [i16; 2] = [ApiKey::SaslHandshake as i16, ApiKey::SaslAuthenticate as i16];

/// What quotas are about. Who is over one is told so in the response (`throttle_time_ms`) and should wait by itself.
const PACED: [i16; 2] = [ApiKey::Produce as i16, ApiKey::Fetch as i16];

/// What comes off the wire.
pub(crate) enum Incoming {
    Call(Call),
    /// Part of a login in the old form.
    Token(Bytes),
}

/// The handler of one connection.
pub(crate) struct KafkaSession {
    client: Arc<Client>,
    /// The client's own, verified in the TLS handshake: DER.
    certificate: Option<Bytes>,
    /// The login has to be done by then.
    until: Instant,
}

impl KafkaSession {
    pub fn new(wire: Arc<Wire>, conn: &Connection) -> Self {
        let until = Instant::now() + wire.config.login_timeout.0;
        Self {
            client: Arc::new(Client::of(wire, conn)),
            certificate: conn.client_cert().map(|der| Bytes::copy_from_slice(der)),
            until,
        }
    }

    /// Whoever asks for something without a login is its certificate, or nobody, if that may be.
    fn come_in(&self) -> bool {
        let credentials = match &self.certificate {
            Some(der) => Credentials::Certificate { der },
            None => Credentials::Anonymous,
        };
        let broker = self.client.broker();
        match broker.login_now(credentials, self.client.peer) {
            Ok(session) => {
                if self.client.follow(&session).is_err() {
                    return false;
                }
                self.client.set_session(session);
                true
            }
            Err(error) => {
                tracing::debug!(peer = %self.client.peer, %error, "kafka client refused");
                false
            }
        }
    }

    fn carry_out(&self, call: Call) -> Outcome {
        let Some(api) = api::find(call.key) else {
            return refuse(&call, "an api that is not offered");
        };
        if call.key == ApiKey::ApiVersions as i16 && call.version > api.max {
            return finish(&call, handlers::too_new(&call, api.max));
        }
        if !(api.min..=api.max).contains(&call.version) {
            return refuse(&call, "a version that is not offered");
        }
        if !BEFORE_LOGIN.contains(&call.key) && !self.client.has_session() && !self.come_in() {
            return refuse(&call, "not logged in");
        }
        self.client.wire.counts.request(call.key);
        let (client, named) = (Arc::clone(&self.client), call.clone());
        let is_login = LOGIN.contains(&call.key);
        let is_early = PACED.contains(&call.key) && client.throttle_ms() > 0;
        let work = (api.run)(Arc::clone(&client), call, &api.shape);
        let answered = async move {
            if is_early {
                client.within_quota().await;
            }
            let reply = reply(&named, work.await);
            if client.ends_after_answer() { reply.then_close() } else { reply }
        };
        // What follows a login is for who is there then; what follows a request that is held comes behind it.
        if is_login || is_early { Outcome::barrier(answered) } else { Outcome::pending(answered) }
    }

    fn token(&self, token: Bytes) -> Outcome {
        let client = Arc::clone(&self.client);
        let named = Call {
            key: ApiKey::SaslAuthenticate as i16,
            version: -1,
            correlation: 0,
            client_id: None,
            rest: Bytes::new(),
        };
        Outcome::barrier(async move { reply(&named, handlers::raw_token(client, token).await) })
    }
}

/// What the answer does to the connection.
fn reply(call: &Call, answer: Answer) -> Reply {
    match answer {
        Answer::Respond(output) => Reply::new(output),
        Answer::Silence => Reply::nothing(),
        Answer::Close(output, why) => {
            note(call, why);
            Reply::new(output.unwrap_or_else(Output::empty)).then_close()
        }
    }
}

fn finish(call: &Call, answer: Answer) -> Outcome {
    Outcome::Reply(reply(call, answer))
}

fn refuse(call: &Call, why: &'static str) -> Outcome {
    note(call, why);
    Outcome::Reply(Reply::nothing().then_close())
}

fn note(call: &Call, why: &'static str) {
    metrics::counter!("sluice_kafka_closes_total", "reason" => why).increment(1);
    tracing::debug!(
        client = call.client_name(),
        api = call.key,
        version = call.version,
        why,
        "kafka connection closes"
    );
}

impl FramedHandler for KafkaSession {
    type Frame = Incoming;

    fn decode(&mut self, buf: &mut BytesMut) -> Decoded<Incoming> {
        let config = self.client.config();
        let max = match self.client.has_session()
            || self.client.broker().auth().mode() == sluice_auth::Mode::Open
        {
            true => config.max_request.bytes(),
            false => config.max_request_before_login.bytes(),
        };
        match take_frame(buf, max) {
            Step::Incomplete => Decoded::Incomplete,
            Step::Malformed => Decoded::Malformed(None),
            Step::Frame(frame) if self.client.sasl.lock().raw => Decoded::Frame(Incoming::Token(frame)),
            Step::Frame(frame) => match Call::parse(frame) {
                Some(call) => Decoded::Frame(Incoming::Call(call)),
                None => Decoded::Malformed(None),
            },
        }
    }

    fn opened(&mut self, out: &Outbox) {
        self.client.opened(out);
    }

    fn handle(&mut self, frame: Incoming, _: &Outbox) -> Outcome {
        match frame {
            Incoming::Call(call) => self.carry_out(call),
            Incoming::Token(token) => self.token(token),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        (!self.client.has_session()).then_some(self.until)
    }

    fn on_deadline(&mut self, _: Instant, _: &Outbox) -> Flow {
        Flow::Close(None)
    }

    fn closing(&mut self, _: &Closing) {
        self.client.close();
    }
}
