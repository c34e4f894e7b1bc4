//! CONNECT and STOMP: version, heart-beats, identity.

use crate::codec::FrameWriter;
use crate::errors::{Failure, error_frame};
use crate::frame::{Frame, Version};
use crate::heartbeat::{Heartbeat, Wish};
use crate::wire::Wire;
use bytes::Bytes;
use bytestring::ByteString;
use sluice_auth::{Credentials, Session};
use sluice_model::Result;
use sluice_net::{Connection, Output};
use std::net::SocketAddr;

const SERVER: &str = concat!("sluice/", env!("CARGO_PKG_VERSION"));
const VERSIONS: &str = "1.0,1.1,1.2";

/// A greeting that can be answered once the client's identity is proven.
pub(crate) struct Hello {
    pub version: Version,
    pub heartbeat: Heartbeat,
    pub proof: Proof,
    /// What the client calls itself; durable subscriptions have it in their names.
    pub client_id: Option<ByteString>,
    /// A name for the answer, as ActiveMQ has it.
    pub request_id: Option<ByteString>,
}

/// What the client showed.
#[derive(Clone)]
pub(crate) enum Proof {
    Nothing,
    /// Of the TLS handshake: DER.
    Certificate(Bytes),
    Token(ByteString),
    Password {
        login: ByteString,
        passcode: ByteString,
    },
}

/// Understands a greeting; what it returns as an error is the ERROR frame.
pub(crate) fn connect(wire: &Wire, frame: &Frame, at_hand: &Proof) -> std::result::Result<Hello, Output> {
    let version = version(frame)?;
    if frame.get("receipt").is_some() {
        let failure =
            Failure::protocol("Bad CONNECT", "the answer to CONNECT is CONNECTED; it has no receipt");
        return Err(failure.to_frame(None, None));
    }
    let wish = match frame.get("heart-beat") {
        None => Wish::default(),
        Some(text) => Wish::parse(text).ok_or_else(|| {
            let detail = format!("heart-beat must be two numbers of milliseconds, not {text:?}");
            Failure::protocol("Bad CONNECT", detail).to_frame(None, None)
        })?,
    };
    let config = &wire.config;
    let heartbeat = Heartbeat::agree(wish, config.heartbeat_floor, config.heartbeat_tolerance);
    let proof = match proof(frame) {
        Proof::Nothing => at_hand.clone(),
        proof => proof,
    };
    let [client_id, request_id] =
        ["client-id", "request-id"].map(|name| frame.get(name).filter(|id| !id.is_empty()).cloned());
    let max = config.max_id.bytes();
    if [&client_id, &request_id].into_iter().flatten().any(|id| id.len() > max) {
        let detail = format!("client-id and request-id may have at most {max} bytes");
        return Err(Failure::protocol("Id too long", detail).to_frame(None, None));
    }
    Ok(Hello { version, heartbeat, proof, client_id, request_id })
}

fn version(frame: &Frame) -> std::result::Result<Version, Output> {
    let Some(accepted) = frame.get("accept-version") else { return Ok(Version::V10) };
    let offered = |version: &Version| accepted.split(',').any(|item| item.trim() == version.as_str());
    Version::ALL.into_iter().rev().find(offered).ok_or_else(|| {
        let detail = format!("client accepts only versions: {accepted:?}");
        let title = "Supported protocol versions are 1.0,1.1,1.2";
        error_frame(None, title, &detail, None, &[("version", VERSIONS)])
    })
}

fn proof(frame: &Frame) -> Proof {
    let login = frame.get("login").cloned().unwrap_or_default();
    match frame.get("passcode").cloned().filter(|passcode| !passcode.is_empty()) {
        None if login.is_empty() => Proof::Nothing,
        Some(token) if login.is_empty() || login == "jwt" => Proof::Token(token),
        passcode => Proof::Password { login, passcode: passcode.unwrap_or_default() },
    }
}

impl Proof {
    /// What the client has shown before it said anything, for a CONNECT with neither login nor passcode.
    pub fn at_hand(conn: &Connection) -> Self {
        match (conn.token(), conn.client_cert()) {
            (Some(token), _) => Self::Token(token.into()),
            (None, Some(der)) => Self::Certificate(Bytes::copy_from_slice(der)),
            (None, None) => Self::Nothing,
        }
    }

    /// The name the client gave itself, which nothing proves while access is open.
    pub fn claimed(&self) -> &str {
        match self {
            Self::Password { login, .. } => login,
            Self::Nothing | Self::Certificate(_) | Self::Token(_) => "",
        }
    }

    /// Has the broker judge it.
    pub async fn login(&self, wire: &Wire, peer: SocketAddr) -> Result<Session> {
        let credentials = match self {
            Self::Nothing => Credentials::Anonymous,
            Self::Certificate(der) => Credentials::Certificate { der },
            Self::Token(token) => Credentials::Bearer { token },
            Self::Password { login, passcode } => Credentials::Password { user: login, password: passcode },
        };
        wire.broker.login(credentials, peer).await
    }
}

/// The CONNECTED frame; never escaped, so that every version reads it.
pub(crate) fn connected(
    wire: &Wire,
    version: Version,
    heartbeat: &str,
    session: &Session,
    request_id: Option<&ByteString>,
) -> Output {
    let mut frame = FrameWriter::raw("CONNECTED");
    frame
        .header("version", version.as_str())
        .header("session", &wire.session_name())
        .header("server", SERVER)
        .header("heart-beat", heartbeat);
    if !session.is_anonymous() {
        frame.header("user-name", session.principal());
    }
    if let Some(id) = request_id {
        frame.header("response-id", id);
    }
    frame.finish()
}
