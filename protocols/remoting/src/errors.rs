//! What went wrong, in this wire's numbers.
//!
//! The one idea to know: a code decides what a stock client does next. 2, 14, 16 and 17 make a producer try again, 13
//! and 29 make it give up, 22 makes a consumer start afresh; so the choice below is about reactions, not about names.

use crate::codes::response::*;
use sluice_auth::OverQuota;
use sluice_model::{Error, ErrorKind};
use std::error::Error as _;
use std::time::Duration;

/// How long a refusal for want of room is kept back: as long as stock brokers let a request wait before they refuse it.
const HOLD: Duration = Duration::from_millis(200);
/// The longest that any is. Producers try three times within their 3 s, and must learn why in the end.
const MAX_HOLD: Duration = Duration::from_millis(500);

/// A request that failed: its response code and the words that go with it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) text: String,
    /// How long the answer to a send is kept back. Stock producers try again as soon as they are refused, and a few times
    /// only: so they are told when another try is worth it.
    pub(crate) hold: Duration,
}

impl Failure {
    pub(crate) fn new(code: i32, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hold: Duration::ZERO }
    }

    /// A field is missing, unreadable or out of range.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMETER, text)
    }

    /// The message can never be stored.
    pub(crate) fn illegal(text: impl Into<String>) -> Self {
        Self::new(MESSAGE_ILLEGAL, text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Corrupt) {
            tracing::error!(error = ?error, "a request failed inside");
        }
        let text = match error.kind() {
            // The words by which people know it from stock brokers; clients go by the code.
            ErrorKind::Throttled => {
                format!("[REJECTREQUEST]system busy, start flow control for a while: {}", error.message())
            }
            _ => error.message().to_owned(),
        };
        Self { hold: hold_of(&error), ..Self::new(code_of(error.kind()), text) }
    }
}

fn hold_of(error: &Error) -> Duration {
    if error.kind() != ErrorKind::Throttled {
        return Duration::ZERO;
    }
    let over = error.source().and_then(|source| source.downcast_ref::<OverQuota>());
    over.map_or(HOLD, |over| Duration::from_millis(over.retry_after)).min(MAX_HOLD)
}

pub(crate) fn code_of(kind: ErrorKind) -> i32 {
    match kind {
        ErrorKind::InvalidArgument => INVALID_PARAMETER,
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => NO_PERMISSION,
        ErrorKind::TopicNotFound => TOPIC_NOT_EXIST,
        ErrorKind::GroupNotFound => SUBSCRIPTION_GROUP_NOT_EXIST,
        ErrorKind::TooLarge => MESSAGE_ILLEGAL,
        ErrorKind::OffsetOutOfRange => PULL_OFFSET_MOVED,
        ErrorKind::Throttled => SYSTEM_BUSY,
        ErrorKind::Unavailable | ErrorKind::StorageFull => SERVICE_NOT_AVAILABLE,
        ErrorKind::Unsupported => REQUEST_CODE_NOT_SUPPORTED,
        ErrorKind::MessageNotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::ReceiptExpired
        | ErrorKind::Conflict
        | ErrorKind::Corrupt
        | ErrorKind::Internal => SYSTEM_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_control_is_told_by_the_code_and_the_words_that_clients_try_again_at() {
        let failure = Failure::from(Error::new(ErrorKind::Throttled, "too much waits"));
        assert_eq!(failure.code, SYSTEM_BUSY);
        let words = "[REJECTREQUEST]system busy, start flow control for a while: too much waits";
        assert_eq!(failure.text, words);
        assert_eq!(failure.hold, HOLD);
    }

    #[test]
    fn only_flow_control_is_told_late_and_a_quota_when_it_lets_something_through_again() {
        let held = |retry_after| {
            let over = OverQuota { limit: sluice_auth::Limit::Messages(1), retry_after };
            Failure::from(Error::new(ErrorKind::Throttled, "over quota").with_source(over)).hold
        };
        assert_eq!(held(50), Duration::from_millis(50));
        assert_eq!(held(90_000), MAX_HOLD);
        assert_eq!(Failure::from(Error::new(ErrorKind::StorageFull, "full")).hold, Duration::ZERO);
    }
}
