//! One connection, from CONNECT to goodbye.
//!
//! ```text
//! Unknown --CONNECT--> LoggingIn --proven--> Ready --DISCONNECT, ERROR, end of stream--> (the loop closes)
//! ```
//!
//! The one idea to know: a frame that ends the connection is answered behind those before it, and nothing after it is
//! carried out, even if it has arrived already.

use crate::client::Client;
use crate::codec::{DecodeLimits, Decoder, Step};
use crate::errors::{Failure, error_frame};
use crate::frame::{Command, Frame, Version};
use crate::handlers::{self, Hello, Proof};
use crate::heartbeat::{Due, Heartbeat};
use crate::websocket;
use crate::wire::Wire;
use bytes::BytesMut;
use bytestring::ByteString;
use parking_lot::Mutex;
use sluice_auth::Session;
use sluice_broker::SessionWatch;
use sluice_net::{Closing, Connection, Decoded, Flow, FramedHandler, Outbox, Outcome, Output, Reply};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;

/// The handler of one connection.
pub(crate) struct StompSession {
    wire: Arc<Wire>,
    peer: SocketAddr,
    /// What proves the client when CONNECT shows nothing: a token of the WebSocket's address, or its certificate.
    at_hand: Proof,
    decoder: Decoder,
    out: Option<Outbox>,
    state: State,
    /// The connection ends with the session it was opened with.
    watch: Arc<Mutex<SessionWatch>>,
    /// The last frame that counts was handled.
    over: bool,
    /// What closes a WebSocket, as far as it is for the wire to say.
    close_code: u16,
}

enum State {
    /// CONNECT has to come by then.
    Unknown {
        until: Instant,
    },
    /// The login is under way, or done and not yet noticed.
    LoggingIn {
        version: Version,
        heartbeat: Heartbeat,
        client_id: Option<ByteString>,
        proven: Arc<OnceLock<(Session, Box<str>)>>,
    },
    Ready {
        client: Box<Client>,
        heartbeat: Heartbeat,
    },
}

impl StompSession {
    pub fn new(wire: Arc<Wire>, conn: &Connection) -> Self {
        let before_login = wire.config.max_frame_before_login.bytes();
        let limits = limits(&wire);
        let limits = DecodeLimits {
            line: limits.line.min(before_login),
            head: limits.head.min(before_login),
            body: limits.body.min(before_login),
            ..limits
        };
        let until = Instant::now() + wire.config.login_timeout.0;
        Self {
            decoder: Decoder::new(limits),
            wire,
            peer: conn.peer,
            at_hand: Proof::at_hand(conn),
            out: None,
            state: State::Unknown { until },
            watch: Arc::new(Mutex::new(SessionWatch::of(conn.number()))),
            over: false,
            close_code: websocket::REFUSED,
        }
    }

    fn version(&self) -> Option<Version> {
        match &self.state {
            State::Unknown { .. } => None,
            State::LoggingIn { version, .. } => Some(*version),
            State::Ready { client, .. } => Some(client.version),
        }
    }

    fn connect(&mut self, frame: &Frame, out: &Outbox) -> Outcome {
        let Hello { version, heartbeat, proof, client_id, request_id, place } =
            match handlers::connect(&self.wire, frame, &self.at_hand) {
                Ok(hello) => hello,
                Err(error) => return self.end(Outcome::close(error)),
            };
        self.decoder.agree(version, limits(&self.wire));
        let proven = Arc::new(OnceLock::new());
        let (wire, peer, promise, beats) = (self.wire.clone(), self.peer, proven.clone(), heartbeat.header());
        self.state = State::LoggingIn { version, heartbeat, client_id, proven };
        let (watch, out) = (self.watch.clone(), out.clone());
        Outcome::barrier(async move {
            match proof.login(&wire, peer).await {
                Ok(session) => {
                    // From now on: a client that only listens sends no further frame.
                    let followed = {
                        let mut watch = watch.lock();
                        match watch.is_news(&session) {
                            true => watch.follow(&wire.broker, &session, move || out.revoke()),
                            false => Ok(()),
                        }
                    };
                    if let Err(error) = followed {
                        return Reply::new(Failure::from(error).to_frame(None, None)).then_close();
                    }
                    tracing::debug!(%peer, user = %session.shown_name(), %version, "stomp client connected");
                    let connected =
                        handlers::connected(&wire, version, &beats, &session, request_id.as_ref());
                    let namespace = match place.namespace(&wire, &session) {
                        Ok(namespace) => namespace,
                        Err(refused) => return Reply::new(refused.to_frame(None, None)).then_close(),
                    };
                    let _ = promise.set((session, namespace));
                    Reply::new(connected)
                }
                Err(error) => Reply::new(Failure::from(error).to_frame(None, None)).then_close(),
            }
        })
    }

    /// The client, once its login has succeeded.
    fn client(&mut self, out: &Outbox) -> Option<&mut Client> {
        if let State::LoggingIn { version, heartbeat, client_id, proven } = &mut self.state {
            let (session, namespace) = proven.get()?.clone();
            let (wire, id) = (self.wire.clone(), client_id.take());
            let client = Client::new(wire, session, *version, id, namespace, out.clone());
            let nobody = Heartbeat::agree(Default::default(), self.wire.config.heartbeat_floor, 0);
            let heartbeat = std::mem::replace(heartbeat, nobody);
            self.state = State::Ready { client: Box::new(client), heartbeat };
        }
        match &mut self.state {
            State::Ready { client, .. } => Some(client),
            State::Unknown { .. } | State::LoggingIn { .. } => None,
        }
    }

    fn end(&mut self, outcome: Outcome) -> Outcome {
        self.over = true;
        outcome
    }

    fn refuse(&mut self, failure: &Failure, frame_receipt: Option<&ByteString>) -> Outcome {
        let error = failure.to_frame(self.version(), frame_receipt);
        self.end(Outcome::close(error))
    }
}

impl FramedHandler for StompSession {
    type Frame = Frame;

    fn opened(&mut self, out: &Outbox) {
        self.out = Some(out.clone());
    }

    fn decode(&mut self, buf: &mut BytesMut) -> Decoded<Frame> {
        if self.over {
            buf.clear(); // nothing counts any more
            return Decoded::Incomplete;
        }
        match self.decoder.decode(buf) {
            Ok(Step::Frame(frame)) => Decoded::Frame(frame),
            Ok(Step::Incomplete) => Decoded::Incomplete,
            Err(refused) => {
                self.close_code = websocket::malformed(&refused.error);
                let detail = refused.error.to_string();
                let version = self.version();
                Decoded::Malformed(Some(error_frame(
                    version,
                    "Malformed frame",
                    &detail,
                    refused.receipt.as_ref(),
                    &[],
                )))
            }
        }
    }

    fn handle(&mut self, frame: Frame, out: &Outbox) -> Outcome {
        if self.over {
            return Outcome::Nothing;
        }
        if matches!(self.state, State::Unknown { .. }) {
            if frame.command.opens() {
                return self.connect(&frame, out);
            }
            return self.refuse(
                &Failure::protocol("Not connected", "the first frame must be CONNECT or STOMP"),
                None,
            );
        }
        let Some(client) = self.client(out).filter(|client| !client.has_failed()) else {
            return self.end(Outcome::Nothing);
        };
        let last = frame.command == Command::Disconnect;
        let receipt = frame.get("receipt").cloned();
        match handlers::handle(client, frame) {
            Ok(outcome) if last => {
                self.close_code = websocket::DONE;
                self.end(outcome)
            }
            Ok(outcome) => outcome,
            Err(failure) => self.refuse(&failure, receipt.as_ref()),
        }
    }

    /// Quiet clients are known by their heart-beats, or by TCP keep-alive; strangers by the login timeout.
    fn expects_pushes(&self) -> bool {
        true
    }

    fn next_deadline(&self) -> Option<Instant> {
        let out = self.out.as_ref()?;
        let heartbeat = match &self.state {
            State::Unknown { until } => return Some(*until).filter(|_| !self.over),
            State::LoggingIn { proven, .. } if proven.get().is_none() => return None,
            State::LoggingIn { heartbeat, .. } | State::Ready { heartbeat, .. } => heartbeat,
        };
        heartbeat.next(out.last_read(), out.last_write())
    }

    fn on_deadline(&mut self, now: Instant, out: &Outbox) -> Flow {
        let (heartbeat, busy) = match &mut self.state {
            State::Unknown { .. } => {
                let detail = "the first frame did not come in time";
                return Flow::Close(Some(error_frame(None, "Login timeout", detail, None, &[])));
            }
            State::LoggingIn { heartbeat, .. } => (heartbeat, false),
            State::Ready { client, heartbeat } => (heartbeat, client.is_busy()),
        };
        match heartbeat.due(now, out.last_read(), out.last_write(), busy) {
            Due::Nothing => Flow::Continue,
            Due::Beat => {
                let _ = out.try_send(&b"\n"[..]); // when there is no room, bytes are on their way anyhow
                Flow::Continue
            }
            Due::Dead => {
                metrics::counter!("sluice_stomp_heartbeat_closes_total").increment(1);
                Flow::Close(None)
            }
        }
    }

    /// Unacknowledged messages go back now; nobody waits for the client's own end.
    fn closing(&mut self, _why: &Closing) {
        if let State::Ready { client, .. } = &mut self.state {
            client.transactions.clear();
            drop(client.subscriptions.end_all());
        }
    }

    fn last_words(&mut self, why: &Closing) -> Option<Output> {
        let (title, detail) = match why {
            Closing::Revoked => ("Access refused", "the credentials of this connection are no longer good"),
            Closing::Draining => ("Server shutting down", "the server is shutting down; connect again"),
            Closing::TooLarge => ("Frame too large", "the frame is larger than this server takes"),
            Closing::SlowSender => ("Frame too slow", "the frame took too long to arrive"),
            _ => return None,
        };
        Some(error_frame(self.version(), title, detail, None, &[]))
    }

    fn message(&self, frame: Output) -> Output {
        websocket::message(frame)
    }

    fn close_code(&self, why: &Closing) -> u16 {
        websocket::close_code(why, self.close_code)
    }

    fn closed(&mut self, _why: &Closing) {
        if self.decoder.junk() > 0 {
            metrics::counter!("sluice_stomp_junk_total").increment(self.decoder.junk());
        }
    }
}

/// What is refused after login.
fn limits(wire: &Wire) -> DecodeLimits {
    let config = &wire.config;
    DecodeLimits {
        line: config.max_header_line.bytes(),
        headers: config.max_headers,
        head: config.max_head.bytes(),
        body: wire.broker.config().max_message_size.bytes(),
    }
}
