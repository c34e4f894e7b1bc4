//! CONNECT and STOMP: version, heart-beats, identity.

use crate::codec::FrameWriter;
use crate::destination::is_namespace;
use crate::errors::{Failure, error_frame};
use crate::frame::{Frame, Version};
use crate::heartbeat::{Heartbeat, Wish};
use crate::wire::Wire;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use sluice_auth::{Credentials, HmacAlgorithm, Session};
use sluice_model::{ErrorKind, Result};
use sluice_net::{Connection, Output};
use std::net::SocketAddr;

const SERVER: &str = concat!("sluice/", env!("CARGO_PKG_VERSION"));
const VERSIONS: &str = "1.0,1.1,1.2";
/// The header that names a namespace, as the cloud's clients have it.
const INSTANCE: &str = "instance-id";
/// The virtual host that RabbitMQ has from the start, as good as none.
const EVERYTHING: &str = "/";
/// Bytes of a signature.
const SHA1: usize = 20;
const SHA256: usize = 32;

/// A greeting that can be answered once the client's identity is proven.
pub(crate) struct Hello {
    pub version: Version,
    pub heartbeat: Heartbeat,
    pub proof: Proof,
    /// What the client calls itself; durable subscriptions have it in their names.
    pub client_id: Option<ByteString>,
    /// A name for the answer, as ActiveMQ has it.
    pub request_id: Option<ByteString>,
    pub place: Place,
}

/// What the client says its names are within.
pub(crate) enum Place {
    Nowhere,
    /// The namespace of this name, if there is one: the host is called so.
    Host(ByteString),
    /// The namespace of this name, which there must be: it stands in front of the login.
    VirtualHost(ByteString),
    /// This namespace: what the cloud calls an instance.
    Instance(ByteString),
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
        /// Of the cloud's clients, whose passcode is this signed with their secret.
        signed: Option<ByteString>,
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
    let (vhost, login) = login(frame);
    let proof = match proof(frame, login) {
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
    let place = place(frame, vhost)?;
    Ok(Hello { version, heartbeat, proof, client_id, request_id, place })
}

/// The user, and the virtual host in front of it that some clients have no other place for. No user's name has a colon.
fn login(frame: &Frame) -> (Option<ByteString>, ByteString) {
    let login = frame.get("login").cloned().unwrap_or_default();
    match login.split_once(':') {
        Some((vhost, user)) => (Some(login.slice_ref(vhost)), login.slice_ref(user)),
        None => (None, login),
    }
}

fn place(frame: &Frame, vhost: Option<ByteString>) -> std::result::Result<Place, Output> {
    let named = |name| frame.get(name).filter(|text| !text.is_empty());
    match (named(INSTANCE), vhost, named("host")) {
        (Some(instance), ..) if is_namespace(instance) => Ok(Place::Instance(instance.clone())),
        (Some(_), ..) => {
            let detail = "an instance-id has 1 to 64 letters, digits, _ and -";
            Err(Failure::protocol("Bad CONNECT", detail).to_frame(None, None))
        }
        (None, Some(vhost), _) => Ok(Place::VirtualHost(vhost)),
        (None, None, Some(host)) if is_namespace(host) => Ok(Place::Host(host.clone())),
        (None, None, _) => Ok(Place::Nowhere),
    }
}

impl Place {
    /// The namespace; a host that names none is anybody's.
    ///
    /// # Errors
    /// The words of a failed login for a virtual host that is not there: whoever names one means it. While access is open
    /// any login is taken, whatever it says.
    pub fn namespace(self, wire: &Wire, session: &Session) -> Result<Box<str>, Failure> {
        match self {
            Self::Host(name) | Self::VirtualHost(name)
                if is_namespace(&name) && exists(wire, session, &name) =>
            {
                Ok(name[..].into())
            }
            Self::VirtualHost(name) if &name[..] != EVERYTHING && !session.is_anonymous() => {
                Err(Failure::from(sluice_model::Error::new(
                    ErrorKind::Unauthenticated,
                    "there is no virtual host of this name",
                )))
            }
            Self::Nowhere | Self::Host(_) | Self::VirtualHost(_) => Ok(Box::default()),
            Self::Instance(name) => Ok(name[..].into()),
        }
    }
}

/// Whether there is a topic or a group within, as far as this client may see.
fn exists(wire: &Wire, session: &Session, namespace: &str) -> bool {
    let begin = format!("{namespace}%");
    let topics = wire.broker.topics(session, Some(&begin), 1).unwrap_or_default();
    let groups = || wire.broker.groups(session, Some(&begin), 1).unwrap_or_default();
    topics.iter().any(|topic| topic.name.as_str().starts_with(&begin))
        || groups().iter().any(|group| group.name.as_str().starts_with(&begin))
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

fn proof(frame: &Frame, login: ByteString) -> Proof {
    match frame.get("passcode").cloned().filter(|passcode| !passcode.is_empty()) {
        None if login.is_empty() => Proof::Nothing,
        Some(token) if login.is_empty() || login == "jwt" => Proof::Token(token),
        passcode => {
            let cloud = frame.get(INSTANCE).is_some_and(|instance| !instance.is_empty());
            let signed = frame.get("client-id").filter(|_| cloud).cloned();
            Proof::Password { login, passcode: passcode.unwrap_or_default(), signed }
        }
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

    /// Has the broker judge it.
    pub async fn login(&self, wire: &Wire, peer: SocketAddr) -> Result<Session> {
        let credentials = match self {
            Self::Nothing => Credentials::Anonymous,
            Self::Certificate(der) => Credentials::Certificate { der },
            Self::Token(token) => Credentials::Bearer { token },
            Self::Password { login, passcode, signed } => {
                if let Some(session) =
                    signed.as_ref().and_then(|text| by_signature(wire, peer, login, passcode, text))
                {
                    return Ok(session);
                }
                Credentials::Password { user: login, password: passcode }
            }
        };
        wire.broker.login(credentials, peer).await
    }
}

/// The cloud's way in: the passcode is the client's id, signed with the secret. `None` when it is no such signature; then
/// it may be the secret itself.
fn by_signature(wire: &Wire, peer: SocketAddr, login: &str, passcode: &str, id: &str) -> Option<Session> {
    let signature = STANDARD.decode(passcode).ok()?;
    let algorithm = match signature.len() {
        SHA1 => HmacAlgorithm::Sha1,
        SHA256 => HmacAlgorithm::Sha256,
        _ => return None,
    };
    let content: &[&[u8]] = &[id.as_bytes()];
    let credentials = Credentials::Hmac { access_key: login, algorithm, content, signature: &signature };
    wire.broker.login_now(credentials, peer).ok()
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
