//! SaslHandshake and SaslAuthenticate: who is there.
//!
//! ```text
//! handshake v1: the tokens that follow are SaslAuthenticate requests
//! handshake v0: the tokens that follow are frames of their own, without any header, and so are the answers
//! ```
//! The one idea to know: the exchange is `auth`'s; here is only where its tokens travel. A refusal is told late, so that
//! guessing is slow, and says nothing but that it was one.

use crate::api::{Answer, Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use sluice_auth::{SaslExchange, SaslMechanism, SaslStep, Session};
use sluice_model::Error;
use std::sync::Arc;
use std::time::Duration;

/// How long a refusal takes.
const LATE: Duration = Duration::from_millis(100);
const REFUSED: &str = "authentication failed";

/// Where the login of one connection stands.
#[derive(Debug, Default)]
pub(crate) struct Sasl {
    exchange: Option<SaslExchange>,
    /// The tokens come without headers.
    pub raw: bool,
}

pub(crate) async fn handshake(
    client: Arc<Client>,
    head: Head,
    request: SaslHandshakeRequest,
) -> Result<SaslHandshakeResponse, Fatal> {
    let mechanisms = SaslMechanism::ALL.iter().map(|mechanism| mechanism.name().into()).collect();
    let response = SaslHandshakeResponse::default().with_mechanisms(mechanisms);
    let Ok(mechanism) = request.mechanism.parse::<SaslMechanism>() else {
        return Ok(response.with_error_code(Code::UnsupportedSaslMechanism.number()));
    };
    let mut sasl = client.sasl.lock();
    sasl.exchange = Some(SaslExchange::new(mechanism));
    sasl.raw = head.version == 0;
    Ok(response)
}

pub(crate) async fn authenticate_frame(
    client: Arc<Client>,
    head: Head,
    request: SaslAuthenticateRequest,
) -> Result<SaslAuthenticateResponse, Fatal> {
    let response = SaslAuthenticateResponse::default().with_error_message(None);
    match authenticate(&client, request.auth_bytes).await {
        Ok((bytes, session)) => {
            let mut response = response.with_auth_bytes(bytes);
            if let Some(session) = session.filter(|_| head.version >= 1) {
                response.session_lifetime_ms = lifetime(&client, &session);
            }
            Ok(response)
        }
        Err((code, why)) => {
            client.end_after_answer();
            Ok(response.with_error_code(code.number()).with_error_message(Some(why.into())))
        }
    }
}

/// How long a proof is good for, in milliseconds; 0 says for ever.
fn lifetime(client: &Client, session: &Session) -> i64 {
    let left = session.expires().map(|end| end.saturating_sub(client.broker().now()).max(1));
    left.map_or(0, |left| i64::try_from(left).unwrap_or(i64::MAX))
}

/// A token that came without a header, and the answer to it.
pub(crate) async fn raw_token(client: Arc<Client>, token: Bytes) -> Answer {
    match authenticate(&client, token).await {
        Ok((bytes, _)) => {
            let mut out = BytesMut::with_capacity(4 + bytes.len());
            out.put_i32(bytes.len() as i32);
            out.put_slice(&bytes);
            Answer::Respond(out.into())
        }
        Err(_) => Answer::Close(None, "a login was refused"),
    }
}

/// Takes a token. What is to be sent, and who it is, once that is proven.
async fn authenticate(client: &Client, token: Bytes) -> Result<(Bytes, Option<Session>), (Code, String)> {
    let refused = |code| (code, REFUSED.to_owned());
    let exchange = client.sasl.lock().exchange.take();
    let exchange = exchange.ok_or_else(|| refused(Code::IllegalSaslState))?;
    match step(client, exchange, token).await {
        Ok(SaslStep::Challenge(bytes, exchange)) => {
            client.sasl.lock().exchange = Some(exchange);
            Ok((bytes.into(), None))
        }
        Ok(SaslStep::Done { session, last }) => {
            // Who proves itself again on a connection must be who it was.
            let same = client.session().map_or(true, |before| before.principal() == session.principal());
            if !same {
                return Err(refused(Code::SaslAuthenticationFailed));
            }
            // Whose quota of connections is used up is told to nobody but who has proven to be it.
            client
                .follow(&session)
                .map_err(|over| (Code::SaslAuthenticationFailed, over.message().to_owned()))?;
            tracing::debug!(peer = %client.peer, user = %session.principal(), "kafka client logged in");
            client.sasl.lock().raw = false;
            client.set_session(session.clone());
            Ok((last.into(), Some(session)))
        }
        Err(error) => {
            tracing::debug!(peer = %client.peer, %error, "kafka login refused");
            tokio::time::sleep(LATE).await;
            Err(refused(Code::SaslAuthenticationFailed))
        }
    }
}

async fn step(client: &Client, exchange: SaslExchange, token: Bytes) -> Result<SaslStep, Error> {
    let (broker, peer) = (client.broker().clone(), client.peer);
    if !exchange.is_costly() {
        return broker.auth().sasl_step(exchange, &token, peer);
    }
    let hashed = tokio::task::spawn_blocking(move || broker.auth().sasl_step(exchange, &token, peer));
    hashed.await.map_err(Error::internal)?
}
