//! The one error that crosses a crate: what the caller should do, what may be shown, what the log keeps.

use std::fmt;

/// A shorthand for results whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, told by what the caller can do about it.
///
/// The list is exhaustive on purpose: a new kind breaks the build in every front-end's `errors.rs`, which is the
/// checklist of where it must be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong and will be wrong again.
    InvalidArgument,
    /// The credentials are missing or not right.
    Unauthenticated,
    /// The identity is known and may not do this.
    PermissionDenied,
    /// The topic does not exist and may not be made.
    TopicNotFound,
    /// The group does not exist.
    GroupNotFound,
    /// The message does not exist, or no longer.
    MessageNotFound,
    /// It exists already, with other settings.
    AlreadyExists,
    /// A body, a batch or a property list is over its limit.
    TooLarge,
    /// The receipt handle's lease has ended, or was never given.
    ReceiptExpired,
    /// The offset lies outside the queue.
    OffsetOutOfRange,
    /// Too fast or too much in flight: again later.
    Throttled,
    /// Not now: draining, starting, or the log has stopped. Again later, or elsewhere.
    Unavailable,
    /// The disk is full: consume, delete, or wait.
    StorageFull,
    /// It contradicts what is already decided.
    Conflict,
    /// Understood, and not offered.
    Unsupported,
    /// Stored bytes fail their checksum.
    Corrupt,
    /// A defect of ours.
    Internal,
}

/// A failed request: a kind, a message safe to show to the client, and a source for the log.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind` whose `message` may be shown to the client.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the cause, which only the log sees.
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// [`ErrorKind::InvalidArgument`] with this message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// [`ErrorKind::Internal`]; the cause goes to the log, not to the client.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::new(ErrorKind::Internal, "internal error").with_source(source)
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What may be shown.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as _)
    }
}
