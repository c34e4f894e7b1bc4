//! Errors as ERROR frames: a short `message` for programs and logs, the rest in the body.
//!
//! The one idea to know: every ERROR ends the connection, as the specification has it. What a client cannot help
//! (the broker being too busy for a moment) is waited out instead, in `handlers/send.rs`.

use crate::codec::FrameWriter;
use crate::frame::Version;
use bytes::Bytes;
use bytestring::ByteString;
use sluice_model::{Error, ErrorKind};
use sluice_net::Output;
use std::borrow::Cow;

/// A frame that was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    title: &'static str,
    detail: Cow<'static, str>,
}

impl Failure {
    /// The frame is wrong by the protocol.
    pub fn protocol(title: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { title, detail: detail.into() }
    }

    /// A required header is missing.
    pub fn missing(header: &'static str) -> Self {
        Self::protocol("Missing header", format!("the header {header:?} is required"))
    }

    /// Understood, and not offered.
    pub fn unsupported(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { title: title(ErrorKind::Unsupported), detail: detail.into() }
    }

    /// The ERROR frame.
    pub fn to_frame(&self, version: Option<Version>, receipt: Option<&ByteString>) -> Output {
        error_frame(version, self.title, &self.detail, receipt, &[])
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Corrupt) {
            tracing::error!(?error, "a request failed");
        }
        Self { title: title(error.kind()), detail: error.message().to_owned().into() }
    }
}

/// Writes an ERROR. Before a version is agreed it is one that every version reads.
pub(crate) fn error_frame(
    version: Option<Version>,
    title: &str,
    detail: &str,
    receipt: Option<&ByteString>,
    more: &[(&str, &str)],
) -> Output {
    metrics::counter!("sluice_stomp_errors_total", "reason" => title.to_owned()).increment(1);
    let body = Bytes::from(format!("{detail}\n"));
    let mut frame = version.map_or_else(|| FrameWriter::raw("ERROR"), |v| FrameWriter::new(v, "ERROR"));
    frame.header("message", title);
    if let Some(receipt) = receipt {
        frame.header("receipt-id", receipt);
    }
    for (name, value) in more {
        frame.header(name, value);
    }
    // Not a bare `text/plain`: stompit 1.0.0 brings its process down on exactly that.
    frame
        .header("content-type", "text/plain;charset=utf-8")
        .header("content-length", &body.len().to_string());
    frame.finish_with(body)
}

/// The `message` of each kind.
fn title(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "Invalid request",
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => "Access refused",
        ErrorKind::TopicNotFound => "Unknown destination",
        ErrorKind::GroupNotFound => "Unknown group",
        ErrorKind::MessageNotFound | ErrorKind::ReceiptExpired => "Message not found",
        ErrorKind::AlreadyExists => "Already exists",
        ErrorKind::TooLarge => "Message too large",
        ErrorKind::OffsetOutOfRange => "Offset out of range",
        ErrorKind::Throttled => "Too busy",
        ErrorKind::Unavailable => "Service unavailable",
        ErrorKind::StorageFull => "Storage full",
        ErrorKind::Conflict => "Conflict",
        ErrorKind::Unsupported => "Not supported",
        ErrorKind::Corrupt => "Stored message damaged",
        ErrorKind::Internal => "Internal error",
    }
}
