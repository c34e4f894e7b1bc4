//! Problem documents (RFC 9457): the one shape of every error this front-end answers.
//!
//! A [`Code`] is the stable machine word and fixes the status; [`Problem`] adds what is known of this occurrence. The
//! match from [`ErrorKind`] is exhaustive: a new kind must find its code here.

use crate::counts;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use sluice_auth::{AddressDenied, Limit, OverQuota};
use sluice_model::{Error, ErrorKind, Millis};
use std::error::Error as _;

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What a caller should wait before trying again when we cannot say better, in seconds.
const RETRY_AFTER: &str = "1";

macro_rules! codes {
    ($($name:ident = $status:literal, $text:literal, $title:literal;)*) => {
        /// What went wrong, as a stable word with a fixed status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $(#[doc = $title] $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The machine word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The constant human title.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The status of an answer with this code.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $(Self::$name => $status,)* };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    };
}

codes! {
    BadRequest = 400, "bad-request", "Bad request";
    InvalidJson = 400, "invalid-json", "Invalid JSON";
    InvalidParameter = 400, "invalid-parameter", "Invalid parameter";
    UnknownParameter = 400, "unknown-parameter", "Unknown parameter";
    MissingParameter = 400, "missing-parameter", "Missing parameter";
    InvalidName = 400, "invalid-name", "Invalid name";
    IdempotencyKeyRequired = 400, "idempotency-key-required", "An idempotency key is required";
    Unauthenticated = 401, "unauthenticated", "Authentication required";
    BadSignature = 401, "bad-signature", "The signature does not fit the request";
    ClockSkew = 401, "clock-skew", "Signed too long ago, or in the future";
    TokenExpired = 401, "token-expired", "The credentials have expired";
    Forbidden = 403, "forbidden", "Not permitted";
    IpDenied = 403, "ip-denied", "Not permitted from this address";
    SystemTopic = 403, "system-topic", "System topic";
    NotFound = 404, "not-found", "No such resource";
    TopicNotFound = 404, "topic-not-found", "Topic not found";
    GroupNotFound = 404, "group-not-found", "Group not found";
    MessageNotFound = 404, "message-not-found", "Message not found";
    UserNotFound = 404, "user-not-found", "User not found";
    RoleNotFound = 404, "role-not-found", "Role not found";
    TokenNotFound = 404, "token-not-found", "Token not found";
    QuotaNotFound = 404, "quota-not-found", "Quota not found";
    ConnectionNotFound = 404, "connection-not-found", "Connection not found";
    NamespaceNotFound = 404, "namespace-not-found", "Namespace not found";
    PolicyNotFound = 404, "policy-not-found", "Policy not found";
    TransactionNotFound = 404, "transaction-not-found", "Transaction not found";
    ReplyNotAwaited = 404, "reply-not-awaited", "Nobody waits for this reply";
    UnknownHandle = 404, "unknown-handle", "Unknown handle";
    MethodNotAllowed = 405, "method-not-allowed", "Method not allowed";
    NotAcceptable = 406, "not-acceptable", "Not acceptable";
    RequestTimeout = 408, "request-timeout", "Request timeout";
    Conflict = 409, "conflict", "Conflict";
    IdempotencyInProgress = 409, "idempotency-in-progress", "The first request is not answered yet";
    GroupActive = 409, "group-active", "Group has members";
    TransactionDecided = 409, "transaction-decided", "Transaction has ended the other way";
    PreconditionFailed = 412, "precondition-failed", "Precondition failed";
    LeaseExpired = 410, "lease-expired", "Lease expired";
    MessageTooLarge = 413, "message-too-large", "Message too large";
    BatchTooLarge = 413, "batch-too-large", "Batch too large";
    BodyTooLarge = 413, "body-too-large", "Request body too large";
    UriTooLong = 414, "uri-too-long", "Request target too long";
    UnsupportedMediaType = 415, "unsupported-media-type", "Unsupported media type";
    OffsetOutOfRange = 416, "offset-out-of-range", "Offset out of range";
    SemanticError = 422, "semantic-error", "Request cannot be carried out";
    DelayTooLong = 422, "delay-too-long", "Delay too long";
    TypeMismatch = 422, "type-mismatch", "Topic does not take this type of message";
    IdempotencyMismatch = 422, "idempotency-mismatch", "Idempotency key was used for something else";
    InvalidKey = 422, "invalid-key", "Invalid key";
    UpgradeRequired = 426, "upgrade-required", "Upgrade required";
    RateLimited = 429, "rate-limited", "Too many requests";
    QuotaExceeded = 429, "quota-exceeded", "A quota is used up";
    HeadersTooLarge = 431, "headers-too-large", "Request headers too large";
    Internal = 500, "internal", "Internal error";
    Corrupt = 500, "corrupt", "Stored data is damaged";
    Unsupported = 501, "unsupported", "Not offered";
    Unavailable = 503, "unavailable", "Not available now";
    Overloaded = 503, "overloaded", "Overloaded";
    NoConsumer = 503, "no-consumer", "Nobody consumes the topic";
    Draining = 503, "draining", "Shutting down";
    StorageFull = 503, "storage-full", "Storage is full";
    ReplyTimeout = 504, "reply-timeout", "No reply in time";
}

impl Code {
    /// True when the same request may succeed later.
    pub fn retryable(self) -> bool {
        self == Self::IdempotencyInProgress || matches!(self.status().as_u16(), 408 | 429 | 503)
    }
}

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument => Self::InvalidParameter,
            ErrorKind::Unauthenticated => Self::Unauthenticated,
            ErrorKind::PermissionDenied => Self::Forbidden,
            ErrorKind::TopicNotFound => Self::TopicNotFound,
            ErrorKind::GroupNotFound => Self::GroupNotFound,
            ErrorKind::MessageNotFound => Self::MessageNotFound,
            ErrorKind::AlreadyExists => Self::Conflict,
            ErrorKind::TooLarge => Self::MessageTooLarge,
            ErrorKind::ReceiptExpired => Self::LeaseExpired,
            ErrorKind::OffsetOutOfRange => Self::OffsetOutOfRange,
            ErrorKind::Throttled => Self::RateLimited,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::StorageFull => Self::StorageFull,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Corrupt => Self::Corrupt,
            ErrorKind::Internal => Self::Internal,
        }
    }
}

/// One failed request.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    /// Apart, so that a result with a problem stays small.
    more: Box<More>,
}

#[derive(Debug, Default)]
struct More {
    /// JSON pointers, each with what is wrong there.
    errors: Vec<(String, String)>,
    members: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    /// A problem with a sentence about this occurrence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut problem = Self { code, detail: detail.into(), more: Box::default() };
        if code.status() == StatusCode::UNAUTHORIZED {
            problem = problem.challenge(false);
        } else if matches!(code.status().as_u16(), 429 | 503) {
            problem = problem.header(header::RETRY_AFTER, RETRY_AFTER);
        }
        problem
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Says which part of the JSON body is meant, as a JSON pointer.
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        let detail = self.detail.clone();
        self.more.errors.push((pointer.into(), detail));
        self
    }

    /// Puts a prefix before the pointers, as those of one entry within a list.
    pub fn within(mut self, prefix: &str) -> Self {
        if self.more.errors.is_empty() {
            return self.at(prefix);
        }
        for (pointer, _) in &mut self.more.errors {
            pointer.insert_str(0, prefix);
        }
        self
    }

    /// The same problem at the same place, in other words.
    pub fn reworded(mut self, detail: String) -> Self {
        self.more.errors.iter_mut().for_each(|(_, old)| old.clone_from(&detail));
        self.detail = detail;
        self
    }

    /// Adds a member to the document.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.more.headers.append(name, value);
        }
        self
    }

    /// Says when to try again, in milliseconds from now; HTTP has whole seconds.
    pub fn retry_after(mut self, millis: Millis) -> Self {
        self.more.headers.insert(header::RETRY_AFTER, seconds(millis).into());
        self
    }

    /// Says which limit is used up, as the drafts of `RateLimit` headers write it, and when to try again.
    fn over(self, over: &OverQuota) -> Self {
        let (name, policy) = match over.limit {
            Limit::Bytes(rate) => ("bytes", format!("q={rate};w=1;qu=\"content-bytes\"")),
            Limit::Messages(rate) => ("messages", format!("q={rate};w=1;qu=\"messages\"")),
            Limit::Connections(most) => ("connections", format!("q={most};qu=\"connections\"")),
            Limit::InFlight(most) => ("in-flight", format!("q={most};qu=\"concurrent-requests\"")),
        };
        let seconds = seconds(over.retry_after);
        self.header(RATE_LIMIT_POLICY, &format!("\"{name}\";{policy}"))
            .header(RATE_LIMIT, &format!("\"{name}\";r=0;t={seconds}"))
            .retry_after(over.retry_after)
    }

    /// Says how to authenticate; `invalid_token` when a token was shown and refused.
    pub fn challenge(mut self, invalid_token: bool) -> Self {
        self.more.headers.remove(header::WWW_AUTHENTICATE);
        let bearer = if invalid_token {
            r#"Bearer realm="sluice", error="invalid_token""#
        } else {
            r#"Bearer realm="sluice""#
        };
        self.header(header::WWW_AUTHENTICATE, r#"Basic realm="sluice", charset="UTF-8""#)
            .header(header::WWW_AUTHENTICATE, bearer)
    }

    /// Closes the connection after the answer: what follows on it cannot be trusted to be a request.
    pub fn closing(self) -> Self {
        self.header(header::CONNECTION, "close")
    }

    /// Says that the request may have been carried out all the same.
    pub fn outcome_unknown(self) -> Self {
        if self.code.status().is_server_error() { self.with("outcome", "unknown") } else { self }
    }

    /// The document; `instance` and `requestId` are known at the edge alone.
    pub fn document(&self, instance: Option<&str>, request_id: Option<&str>) -> Map<String, Value> {
        let status = self.code.status().as_u16();
        let mut doc = Map::new();
        doc.insert("type".into(), format!("/problems/{}", self.code.as_str()).into());
        doc.insert("title".into(), self.code.title().into());
        doc.insert("status".into(), status.into());
        doc.insert("detail".into(), self.detail.clone().into());
        doc.extend(instance.map(|i| ("instance".to_owned(), i.into())));
        doc.insert("code".into(), self.code.as_str().into());
        doc.extend(request_id.map(|id| ("requestId".to_owned(), id.into())));
        doc.insert("retryable".into(), self.code.retryable().into());
        if !self.more.errors.is_empty() {
            let errors: Vec<Value> = self
                .more
                .errors
                .iter()
                .map(|(pointer, detail)| json!({"pointer": pointer, "detail": detail}))
                .collect();
            doc.insert("errors".into(), errors.into());
        }
        doc.extend(self.more.members.clone());
        doc
    }

    /// The answer as bytes that close a connection on which no request was read.
    pub fn on_the_wire(&self) -> Vec<u8> {
        let body = Value::Object(self.document(None, None));
        let body = format!("{body}\n");
        let (status, length) = (self.code.status(), body.len());
        let head = format!("content-type: {PROBLEM_JSON}\r\ncontent-length: {length}\r\nconnection: close");
        format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}").into_bytes()
    }

    /// The answer.
    pub fn respond(self, instance: Option<&str>, request_id: Option<&str>) -> Response {
        counts::problem(self.code.as_str());
        let mut body = Value::Object(self.document(instance, request_id)).to_string();
        body.push('\n');
        let mut response = (self.code.status(), body).into_response();
        response.headers_mut().extend(self.more.headers);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response
    }
}

/// At least one, so that nobody tries again at once.
fn seconds(millis: Millis) -> u64 {
    millis.div_ceil(1000).max(1)
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Corrupt) {
            tracing::error!(?error, "request failed");
        }
        let over = error.source().and_then(|source| source.downcast_ref::<OverQuota>());
        let of_address = error.source().is_some_and(|source| source.is::<AddressDenied>());
        match over {
            None if of_address => Self::new(Code::IpDenied, error.message()),
            Some(over) => Self::new(Code::QuotaExceeded, error.message()).over(over),
            None => Self::new(error.kind().into(), error.message()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_words() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(code.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            assert!(Code::ALL.iter().skip(at + 1).all(|other| other.as_str() != code.as_str()));
        }
    }

    #[test]
    fn a_document_mirrors_the_status_and_points_at_the_fault() {
        let problem = Problem::new(Code::DelayTooLong, "at most 40d").at("/delay").within("/messages/3");
        let doc = Value::Object(problem.document(Some("/v1/x"), Some("id")));
        assert_eq!(doc["status"], 422);
        assert_eq!(doc["type"], "/problems/delay-too-long");
        assert_eq!(doc["errors"][0]["pointer"], "/messages/3/delay");
        assert_eq!(doc["retryable"], false);
    }
}
