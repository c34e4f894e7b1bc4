//! The cloud's "MQ HTTP" protocol (API version 2015-06-06): what the stock `mq-http-sdk` family speaks.
//!
//! It exists so that programs written for the cloud's HTTP endpoint run against Sluice with nothing but another
//! address. The one idea to know: it shares the port, the connection and the broker with the rest of this crate, and
//! nothing else. There is one path, `/topics/{topic}/messages`; on it everything is XML, the refusals of the edge too,
//! because the SDKs parse whatever comes.
//!
//! The signature's proof is `crate::auth::mq`. What is where:
//!
//! - `query`, `names`, `handles`, `properties`, `xml` — the texts of this wire, each read and written in one place
//! - `call` — one request that has been let in; `login` — how it is
//! - `publish`, `consume`, `acknowledge`, `transactions` — the operations
//! - `faults` — the error names, and which of ours is called what
//! - `recent` — what is remembered of deliveries: hints, in bounded memory

mod acknowledge;
mod call;
mod config;
mod consume;
mod faults;
mod handles;
mod login;
mod names;
mod properties;
mod publish;
mod query;
mod recent;
mod transactions;
mod xml;

pub use config::MqConfig;

use crate::app::App;
use crate::body::RequestBody;
use crate::call::Caller;
use crate::router::{check_sizes, check_transfer};
use axum::body::Body;
use axum::response::Response;
use call::Call;
use faults::{Code, Fault};
use futures_util::FutureExt;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use query::Query;
use recent::Recent;
use sluice_model::Millis;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The one path, for the counters.
pub(crate) const ROUTE: &str = "/topics/{topic}/messages";
const VERSION: &str = "2015-06-06";
const SIX_BYTES: u64 = (1 << 48) - 1;
const METHODS: &str = "DELETE, GET, POST";
// Some clients look for these names letter for letter.
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-mq-request-id");
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-mq-version");

/// What this protocol keeps beside the broker.
pub struct MqState {
    /// Handles that were acknowledged, until their leases would have ended.
    acknowledged: Recent,
    /// When messages were first delivered to their groups.
    first_delivered: Recent,
    started: Millis,
    requests: AtomicU64,
}

impl MqState {
    pub(crate) fn new(started: Millis) -> Self {
        Self {
            acknowledged: Recent::default(),
            first_delivered: Recent::default(),
            started,
            requests: AtomicU64::new(0),
        }
    }

    /// Twenty-four hexadecimal digits, as everyone expects them: when we started, and which request it is.
    fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{:012X}{:012X}", self.started & SIX_BYTES, number & SIX_BYTES)
    }
}

/// What an answer says of the request, whatever became of it.
struct Edge {
    request_id: String,
    /// Scheme and authority that the client asked.
    host_id: String,
}

/// Answers a request to one of our paths.
pub(crate) async fn answer(app: &Arc<App>, request: Request<Body>, caller: Arc<Caller>) -> Response {
    let edge = Edge { request_id: app.mq.request_id(), host_id: host_id(&request, caller.secure) };
    let answer = AssertUnwindSafe(serve(app, request, caller)).catch_unwind().await;
    let answer = answer.unwrap_or_else(|_| {
        tracing::error!(request_id = edge.request_id, "a handler panicked");
        Err(Fault::new(Code::InternalError, "internal error"))
    });
    let mut response = answer.unwrap_or_else(|fault| fault.respond(&edge.request_id, &edge.host_id));
    if let Ok(id) = HeaderValue::from_str(&edge.request_id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
    response
}

/// Everything under `/topics`, so that a wrong address is refused in this protocol's words.
pub(crate) fn is_ours(path: &str) -> bool {
    path.strip_prefix("/topics").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn host_id(request: &Request<Body>, secure: bool) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    format!("{}://{}", if secure { "https" } else { "http" }, host.unwrap_or_default())
}

async fn serve(app: &Arc<App>, request: Request<Body>, caller: Arc<Caller>) -> Result<Response, Fault> {
    let (head, body) = request.into_parts();
    let mut body = RequestBody::new(body, &head.headers, Arc::clone(app), caller.tracker.clone());
    check_sizes(app, &head.uri, &head.headers)?;
    check_transfer(&head.headers)?;
    check_version(&head.headers)?;
    check_coding(&head.headers)?;
    let topic = topic_of(&head.uri)?;
    if !matches!(head.method, Method::GET | Method::POST | Method::DELETE) {
        let detail = format!("{} is not among {METHODS}", head.method);
        return Err(Fault::new(Code::InvalidRequestURL, detail)
            .with_status(StatusCode::METHOD_NOT_ALLOWED)
            .header(header::ALLOW, METHODS));
    }
    let session = login::login(app, &head, &caller)?;
    caller.identity.acts_as(&app.broker, &session)?;
    let document = login::read_body(app, &head, &mut body).await?;
    let query = Query::parse(head.uri.query().unwrap_or_default())?;
    let topic = names::topic(&query.ns, &topic)?;
    let call = Call { app: Arc::clone(app), session, caller, topic, query, document };
    match head.method {
        Method::POST => publish::publish(&call).await,
        Method::GET => consume::consume(&call).await,
        _ => acknowledge::acknowledge(&call).await,
    }
}

/// The path's topic, decoded.
fn topic_of(uri: &Uri) -> Result<String, Fault> {
    let wrong = || Fault::new(Code::InvalidRequestURL, "the path is not like /topics/{topic}/messages");
    let rest = uri.path().strip_prefix("/topics/").ok_or_else(wrong)?;
    let topic = rest.strip_suffix("/messages").ok_or_else(wrong)?;
    if topic.is_empty() || topic.contains('/') {
        return Err(wrong());
    }
    query::decode(topic).ok_or_else(wrong)
}

fn check_version(headers: &HeaderMap) -> Result<(), Fault> {
    match headers.get(VERSION_HEADER) {
        Some(version) if version != VERSION => {
            Err(Fault::new(Code::InvalidArgument, format!("x-mq-version must be {VERSION}")))
        }
        _ => Ok(()),
    }
}

fn check_coding(headers: &HeaderMap) -> Result<(), Fault> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    match codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        true => Ok(()),
        false => Err(Fault::new(Code::InvalidArgument, "Content-Encoding is not part of this protocol")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_under_topics_is_ours() {
        for ours in ["/topics", "/topics/", "/topics/t/messages", "/topics/t/x"] {
            assert!(is_ours(ours), "{ours}");
        }
        for others in ["/v1/topics/t/messages", "/topicsx", "/", "/v1"] {
            assert!(!is_ours(others), "{others}");
        }
    }

    #[test]
    fn the_topic_is_one_decoded_segment() {
        let topic = |path: &str| topic_of(&path.parse().unwrap()).ok();
        assert_eq!(topic("/topics/a%25b/messages").as_deref(), Some("a%b"));
        assert_eq!(topic("/topics/a+b/messages").as_deref(), Some("a+b"), "a blank is one in queries only");
        for wrong in [
            "/topics",
            "/topics//messages",
            "/topics/a/b/messages",
            "/topics/a/messages/",
            "/topics/a%2/messages",
        ] {
            assert_eq!(topic(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn request_ids_have_24_digits() {
        let state = MqState::new(u64::MAX);
        let (first, second) = (state.request_id(), state.request_id());
        assert!(first.len() == 24 && second.len() == 24 && first != second);
        assert!(first.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
    }
}
