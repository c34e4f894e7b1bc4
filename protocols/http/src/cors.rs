//! Pages of other origins: refused, unless the settings name where they come from.
//!
//! A browser lets any web site post to a broker on the same machine or network, so nothing is allowed that nobody asked
//! for. The one idea to know: allowing an origin never allows what a browser adds by itself (`Access-Control-Allow-
//! Credentials` is not sent): a page has to know a user's secret or token, and to say it.

use crate::app::App;
use crate::errors::{Code, Problem};
use crate::router::is_same_origin;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

const METHODS: &str = "DELETE, GET, HEAD, PATCH, POST, PUT";
/// What a page may read of an answer's head.
const EXPOSED: &str = "content-encoding, etag, idempotency-replayed, link, location, ratelimit, ratelimit-policy, retry-after, \
     x-mq-body, x-mq-born-at, x-mq-correlation-id, x-mq-deliver-at, x-mq-deliveries, x-mq-handle, x-mq-key, \
     x-mq-lease-until, x-mq-message-id, x-mq-offset, x-mq-omitted, x-mq-protocol, x-mq-queue, x-mq-reply-to, \
     x-mq-sharding-key, x-mq-stored-at, x-mq-tag, x-mq-topic, x-request-id";
/// How long a browser remembers an answer, in seconds; Chromium does not go beyond two hours.
const MAX_AGE: &str = "600";
/// Headers of a request beyond those that browsers always allow, and every `x-mq-` one.
const HEADERS: [&str; 9] = [
    "authorization",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "accept",
    "x-request-id",
];
const MAX_HEADERS: usize = 64;

/// What the origin of a request may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// There is none, or it is our own.
    Own,
    /// The settings allow it; this is what the answer says.
    Allowed(HeaderValue),
}

impl Origin {
    pub fn of(app: &App, request: &Request) -> Result<Self, Problem> {
        let headers = request.headers();
        let Some(value) = headers.get(header::ORIGIN) else { return Ok(Self::Own) };
        let origin = value.to_str().unwrap_or_default();
        if is_same_origin(origin, request.uri(), headers) {
            return Ok(Self::Own);
        }
        let allowed = &app.config.cors_origins;
        if allowed.iter().any(|allowed| allowed.is_any()) {
            return Ok(Self::Allowed(HeaderValue::from_static("*")));
        }
        match allowed.iter().any(|allowed| allowed.allows(origin)) {
            true => Ok(Self::Allowed(value.clone())),
            false => {
                Err(Problem::new(Code::Forbidden, "requests from pages of other origins are not allowed"))
            }
        }
    }

    /// Tells the browser that the page may see the answer.
    pub fn mark(&self, app: &App, response: &mut Response) {
        let headers = response.headers_mut();
        if !app.config.cors_origins.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Self::Allowed(origin) = self else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    /// Answers a browser that asks before it sends: before any login, since it asks without one.
    pub fn preflight(&self, request: &Request) -> Option<Result<Response, Problem>> {
        let asks = *request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        (asks && *self != Self::Own).then(|| preflight(request.headers()))
    }
}

fn preflight(headers: &HeaderMap) -> Result<Response, Problem> {
    let asked = asked_headers(headers)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    if let Some(asked) = asked {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    answer.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
    Ok(response)
}

/// The headers that are asked for, once each of them may be sent: families of names cannot be allowed by a pattern.
fn asked_headers(headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
    let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) else { return Ok(None) };
    let refused = || Problem::new(Code::Forbidden, "a page may not send these headers");
    let text = asked.to_str().map_err(|_| refused())?;
    let names: Vec<String> =
        text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|n| !n.is_empty()).collect();
    let known = |name: &String| {
        HeaderName::from_bytes(name.as_bytes()).is_ok()
            && (name.starts_with("x-mq-") || HEADERS.contains(&name.as_str()))
    };
    if names.len() > MAX_HEADERS || !names.iter().all(known) {
        return Err(refused());
    }
    HeaderValue::from_str(&names.join(", ")).map(Some).map_err(|_| refused())
}
