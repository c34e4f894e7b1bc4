//! The error names of this protocol, and which of ours is called what.
//!
//! SDKs and the programs around them compare names, and some the status. The one idea to know: one document is for a
//! request that failed as a whole, another for the handles that could not be settled.

use super::xml::write::{Document, answer};
use crate::errors::{self, Problem};
use axum::response::Response;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use sluice_auth::Reason;
use sluice_model::{Error, ErrorKind};

macro_rules! codes {
    ($($name:ident = $status:ident,)*) => {
        /// What went wrong, as SDKs know it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code { $($name,)* }

        impl Code {
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    AccessDenied = FORBIDDEN,
    InvalidAccessKeyId = FORBIDDEN,
    SignatureDoesNotMatch = FORBIDDEN,
    MissingAuthorizationHeader = BAD_REQUEST,
    InvalidAuthorizationHeader = BAD_REQUEST,
    MissingDateHeader = BAD_REQUEST,
    InvalidDateHeader = BAD_REQUEST,
    TimeExpired = REQUEST_TIMEOUT,
    InvalidDigest = BAD_REQUEST,
    InvalidRequestURL = BAD_REQUEST,
    InvalidQueryString = BAD_REQUEST,
    InvalidArgument = BAD_REQUEST,
    MalformedXML = BAD_REQUEST,
    MissingReceiptHandle = BAD_REQUEST,
    ReceiptHandleError = NOT_FOUND,
    MessageNotExist = NOT_FOUND,
    TopicNotExist = NOT_FOUND,
    SubscriptionNotExist = NOT_FOUND,
    StateConflict = CONFLICT,
    // Not 429: the status that programs know of it.
    QpsLimitExceeded = BAD_REQUEST,
    RequestTimeout = REQUEST_TIMEOUT,
    InternalError = INTERNAL_SERVER_ERROR,
}

/// One failed request.
#[derive(Debug)]
pub(super) struct Fault {
    pub code: Code,
    message: String,
    status: StatusCode,
    headers: Vec<(HeaderName, &'static str)>,
}

impl Fault {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), status: code.status(), headers: Vec::new() }
    }

    /// A value that cannot be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// Nothing is there to be consumed: the one error that every program expects.
    pub fn nothing() -> Self {
        Self::new(Code::MessageNotExist, "Message not exist.")
    }

    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Closes the connection after the answer: what follows on it cannot be trusted to be a request.
    fn closing(self) -> Self {
        self.header(header::CONNECTION, "close")
    }

    /// The answer.
    pub fn respond(self, request_id: &str, host_id: &str) -> Response {
        let mut document = Document::new("Error");
        document.element("Code", self.code.name());
        document.element("Message", &self.message);
        document.element("RequestId", request_id);
        document.element("HostId", host_id);
        let mut response = answer(self.status, document);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// A handle that settled nothing.
pub(super) struct Unsettled {
    pub handle: String,
    pub message: String,
}

/// The answer to handles of which some were not good. Clients compare the names of the children.
pub(super) fn unsettled(handles: &[Unsettled]) -> Response {
    let code = Code::ReceiptHandleError;
    let mut document = Document::new("Errors");
    for unsettled in handles {
        document.open("Error");
        document.element("ErrorCode", code.name());
        document.element("ErrorMessage", &unsettled.message);
        document.element("ReceiptHandle", &unsettled.handle);
        document.close("Error");
    }
    answer(code.status(), document)
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidArgument
            | ErrorKind::TooLarge
            | ErrorKind::OffsetOutOfRange
            | ErrorKind::Unsupported => Code::InvalidArgument,
            ErrorKind::Unauthenticated => refused(&error),
            ErrorKind::PermissionDenied => Code::AccessDenied,
            ErrorKind::TopicNotFound => Code::TopicNotExist,
            ErrorKind::GroupNotFound => Code::SubscriptionNotExist,
            ErrorKind::MessageNotFound => Code::MessageNotExist,
            ErrorKind::AlreadyExists | ErrorKind::Conflict => Code::StateConflict,
            ErrorKind::ReceiptExpired => Code::ReceiptHandleError,
            ErrorKind::Throttled => Code::QpsLimitExceeded,
            ErrorKind::Unavailable | ErrorKind::StorageFull => {
                // SDKs that try again do so at this status.
                let fault = Self::new(Code::InternalError, error.message());
                return fault.with_status(StatusCode::SERVICE_UNAVAILABLE);
            }
            ErrorKind::Corrupt | ErrorKind::Internal => {
                tracing::error!(?error, "request failed");
                Code::InternalError
            }
        };
        Self::new(code, error.message())
    }
}

/// Why somebody was not let in, in the names that SDKs know. Which access keys there are is told by them, as the cloud does.
fn refused(error: &Error) -> Code {
    match Reason::of(error) {
        Reason::UnknownUser | Reason::Disabled | Reason::Expired => Code::InvalidAccessKeyId,
        Reason::Skewed => Code::TimeExpired,
        Reason::Throttled => Code::QpsLimitExceeded,
        Reason::NoCredentials
        | Reason::WrongSecret
        | Reason::InvalidToken
        | Reason::Malformed
        | Reason::InvalidCertificate => Code::SignatureDoesNotMatch,
    }
}

/// What the parts shared with the rest of the crate say: sizes, bodies, places to wait.
impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        use errors::Code as Theirs;
        let detail = problem.detail();
        match problem.code() {
            Theirs::UriTooLong => Self::new(Code::InvalidRequestURL, detail).closing(),
            Theirs::HeadersTooLarge | Theirs::BodyTooLarge | Theirs::BadRequest => {
                Self::invalid(detail).closing()
            }
            Theirs::RequestTimeout => Self::new(Code::RequestTimeout, detail).closing(),
            Theirs::RateLimited | Theirs::QuotaExceeded => Self::new(Code::QpsLimitExceeded, detail),
            Theirs::Unauthenticated => Self::new(Code::InvalidAccessKeyId, detail),
            Theirs::Overloaded | Theirs::Draining | Theirs::Unavailable => {
                Self::new(Code::InternalError, detail).with_status(StatusCode::SERVICE_UNAVAILABLE).closing()
            }
            _ => Self::new(Code::InternalError, detail),
        }
    }
}
