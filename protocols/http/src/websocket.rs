//! WebSocket: a request that turns its connection over to another wire.
//!
//! Browsers reach a wire of frames only this way. The one idea to know: this front-end answers the handshake and then
//! has nothing more to do with the connection; whose wire it carries, and who logs in over it, is the business of the
//! [`Protocol`] that the server mounts here. The credentials of the request count for nothing, except a token in its
//! query: a browser has no other place for one, so it is checked here and handed on with the connection.
//!
//! A browser lets every page open a WebSocket to everywhere, and says only from where; so the pages of other origins
//! are refused unless the settings name them. Frames and messages are `sluice-net`'s.

use crate::app::App;
use crate::auth;
use crate::call::Caller;
use crate::connection::Io;
use crate::errors::{Code, Problem};
use crate::router::is_same_origin;
use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sluice_net::{Drain, Protocol, websocket_accept};
use std::sync::Arc;
use std::time::Duration;

type Request = http::Request<Body>;

const WEBSOCKET: &str = "websocket";
const VERSION: &str = "13";
/// What the random bytes of a key are before they are written in Base64.
const KEY_LENGTH: usize = 16;

/// A wire, and where it is spoken.
pub(crate) struct Mounted {
    pub paths: &'static [&'static str],
    pub wire: Arc<dyn Protocol>,
}

/// Where a request leaves what its connection becomes.
#[derive(Clone, Default)]
pub(crate) struct Handover(Arc<Mutex<Option<Next>>>);

/// What a connection becomes.
pub(crate) struct Next {
    upgrade: OnUpgrade,
    wire: Arc<dyn Protocol>,
    ping_every: Duration,
    token: Option<String>,
}

impl Handover {
    pub fn take(&self) -> Option<Next> {
        self.0.lock().take()
    }
}

impl Next {
    /// Serves the connection to its end, once HTTP is done with it.
    pub async fn serve(self, drain: Drain) {
        let parts = match self.upgrade.await.map(|upgraded| upgraded.downcast::<Io>()) {
            Ok(Ok(parts)) => parts,
            Ok(Err(_)) => return tracing::error!("a connection was upgraded that is not one of ours"),
            Err(error) => return tracing::debug!(%error, "the connection ended in the handshake"),
        };
        let (conn, first) = parts.io.into_inner().into_inner();
        let read =
            if first.is_empty() { parts.read_buf } else { [&parts.read_buf[..], &first].concat().into() };
        conn.now_speaks(self.wire.name());
        let conn = conn.into_websocket(read, self.ping_every).with_token(self.token);
        self.wire.serve(conn, drain).await;
    }
}

/// Answers a handshake.
pub(crate) fn handshake(
    app: &App,
    wire: &Arc<dyn Protocol>,
    mut request: Request,
    caller: &Caller,
) -> Result<Response, Problem> {
    check_request(&request)?;
    check_origin(app, &request)?;
    let token = auth::token_in_query(request.uri())?;
    if let Some(token) = &token {
        auth::by_query(app, token, caller.peer)?;
    }
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map(|key| key.len()) != Ok(KEY_LENGTH) {
        let detail = "Sec-WebSocket-Key must be 16 bytes in Base64";
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, WEBSOCKET)
        .header(header::SEC_WEBSOCKET_ACCEPT, websocket_accept(key));
    if let Some(agreed) = agree(wire.websocket_protocols(), request.headers()) {
        response = response.header(header::SEC_WEBSOCKET_PROTOCOL, agreed);
    }
    let response = response.body(Body::empty());
    let response = response.map_err(|error| Problem::from(sluice_model::Error::internal(error)))?;
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(Problem::new(Code::Unsupported, "this connection cannot become a WebSocket"));
    };
    let ping_every = app.config.websocket_ping.0;
    *caller.handover.0.lock() = Some(Next { upgrade, wire: Arc::clone(wire), ping_every, token });
    Ok(response)
}

fn check_request(request: &Request) -> Result<(), Problem> {
    if *request.method() != Method::GET {
        let detail = "a WebSocket begins with GET";
        return Err(Problem::new(Code::MethodNotAllowed, detail).header(header::ALLOW, "GET"));
    }
    if request.version() != Version::HTTP_11 {
        let detail = "a WebSocket begins with a request of HTTP/1.1";
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let headers = request.headers();
    if !has_token(headers, header::UPGRADE, WEBSOCKET) || !has_token(headers, header::CONNECTION, "upgrade") {
        let detail = "this path takes WebSocket connections only";
        return Err(Problem::new(Code::UpgradeRequired, detail)
            .header(header::UPGRADE, WEBSOCKET)
            .header(header::CONNECTION, "upgrade"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        let detail = "Sec-WebSocket-Version must be 13";
        return Err(Problem::new(Code::UpgradeRequired, detail)
            .header(header::UPGRADE, WEBSOCKET)
            .header(header::SEC_WEBSOCKET_VERSION, VERSION));
    }
    Ok(())
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// A program sends no origin; a page of ours is ours; any other page must be named in the settings.
fn check_origin(app: &App, request: &Request) -> Result<(), Problem> {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let named = |origin: &str| app.config.websocket_origins.iter().any(|allowed| allowed.allows(origin));
    match origin.to_str() {
        Ok(origin) if named(origin) || is_same_origin(origin, request.uri(), request.headers()) => Ok(()),
        _ => {
            let detail = "pages of this origin may not open a WebSocket here; see http.websocket_origins";
            Err(Problem::new(Code::Forbidden, detail))
        }
    }
}

/// The best sub-protocol that both know. With none in common the client decides: a browser then gives up by itself.
fn agree(ours: &[&'static str], headers: &HeaderMap) -> Option<&'static str> {
    let offered: Vec<&str> = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).collect();
    ours.iter().copied().find(|ours| offered.contains(ours))
}

/// An origin whose pages may do something, as browsers write it: `https://shop.example.com`; `*` is every one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AllowedOrigin(String);

impl AllowedOrigin {
    pub(crate) fn is_any(&self) -> bool {
        self.0 == "*"
    }

    pub(crate) fn allows(&self, origin: &str) -> bool {
        self.0 == "*" || self.0.eq_ignore_ascii_case(origin)
    }
}

impl TryFrom<String> for AllowedOrigin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let authority =
            text.split_once("://").map(|(scheme, authority)| (!scheme.is_empty()).then_some(authority));
        let is_origin =
            authority.flatten().is_some_and(|a| !a.is_empty() && !a.contains(['/', '?', '#', '@', '*']));
        if text == "*" || is_origin {
            return Ok(Self(text));
        }
        Err(format!(
            "{text:?} is no origin: write https://shop.example.com, without a path, or * for every one"
        ))
    }
}

impl From<AllowedOrigin> for String {
    fn from(origin: AllowedOrigin) -> Self {
        origin.0
    }
}

#[cfg(test)]
mod tests {
    use super::{AllowedOrigin, agree};
    use http::HeaderMap;
    use http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};

    #[test]
    fn the_best_of_ours_is_agreed_in_whatever_order_it_is_offered() {
        const OURS: &[&str] = &["v12.stomp", "v11.stomp"];
        let offer = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
            }
            agree(OURS, &headers)
        };
        assert_eq!(offer(&["v11.stomp, v12.stomp"]), Some("v12.stomp"));
        assert_eq!(offer(&["v10.stomp", "v11.stomp"]), Some("v11.stomp"));
        assert_eq!(offer(&["mqtt"]), None);
        assert_eq!(offer(&[]), None);
    }

    #[test]
    fn origins_are_compared_whole() {
        let origin = |text: &str| AllowedOrigin::try_from(text.to_owned());
        assert!(origin("https://shop.example.com").unwrap().allows("https://Shop.example.com"));
        assert!(!origin("https://shop.example.com").unwrap().allows("https://shop.example.com.evil.org"));
        assert!(!origin("https://shop.example.com").unwrap().allows("http://shop.example.com"));
        assert!(origin("*").unwrap().allows("null"));
        for wrong in
            ["shop.example.com", "https://", "https://a/", "://a", "https://*.example.com", "null", ""]
        {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
