//! The two forms of a stream: server-sent events, and one JSON object per line.

use crate::call::{Call, EVENT_STREAM, NDJSON};
use crate::counts::OpenStream;
use crate::errors::Problem;
use crate::params;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::Stream;
use http::{HeaderName, StatusCode, header};
use serde_json::Value;
use std::convert::Infallible;

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Sse,
    Ndjson,
}

impl Form {
    /// The form that a call asks for, by parameter or by `Accept`.
    pub fn of(call: &Call) -> Result<Self, Problem> {
        match call.query.get("format")? {
            Some("sse") => Ok(Self::Sse),
            Some("ndjson") => Ok(Self::Ndjson),
            Some(other) => Err(params::invalid("format", &format!("{other:?} is neither sse nor ndjson"))),
            None => {
                Ok(if call.accept(&[EVENT_STREAM, NDJSON])? == NDJSON { Self::Ndjson } else { Self::Sse })
            }
        }
    }

    /// Counts a stream of this form for as long as it is open.
    pub fn open(self) -> OpenStream {
        OpenStream::of(match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
        })
    }

    /// What a stream begins with: how soon a browser should come back after a cut.
    pub fn opening(self) -> Option<Bytes> {
        (self == Self::Sse).then(|| Bytes::from_static(b"retry: 3000\n\n"))
    }

    /// Adds one message. JSON is on one line, so no line end ever breaks the framing.
    pub fn message(self, out: &mut String, json: &str, id: Option<&str>) {
        match self {
            Self::Sse => {
                if let Some(id) = id {
                    out.extend(["id: ", id, "\n"]);
                }
                out.extend(["event: message\ndata: ", json, "\n\n"]);
            }
            Self::Ndjson => out.extend([json, "\n"]),
        }
    }

    /// A sign of life.
    pub fn heartbeat(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Sse => b": keep-alive\n\n",
            Self::Ndjson => b"\n",
        })
    }

    /// Where the reader's group is.
    pub fn status(self, json: &str) -> Bytes {
        match self {
            Self::Sse => format!("event: status\ndata: {json}\n\n").into(),
            Self::Ndjson => format!("{{\"status\":{json}}}\n").into(),
        }
    }

    /// The last word of a stream that failed.
    pub fn error(self, problem: &Problem) -> Bytes {
        let document = Value::Object(problem.document(None, None));
        match self {
            Self::Sse => format!("event: error\ndata: {document}\n\n").into(),
            Self::Ndjson => format!("{}\n", serde_json::json!({ "error": document })).into(),
        }
    }

    /// The last word of a stream that ends because the server stops.
    pub fn bye(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Sse => b"event: bye\nretry: 1000\ndata: {\"reason\":\"draining\"}\n\n",
            Self::Ndjson => b"\n",
        })
    }

    /// The answer around a stream.
    pub fn respond(self, stream: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
        let media = match self {
            Self::Sse => EVENT_STREAM,
            Self::Ndjson => NDJSON,
        };
        let headers = [
            (header::CONTENT_TYPE, media),
            (header::CACHE_CONTROL, "no-cache, no-transform"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // The address may have a token in it.
            (header::REFERRER_POLICY, "no-referrer"),
            // nginx would hold events back.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (StatusCode::OK, headers, Body::from_stream(stream)).into_response()
    }
}
