//! Why a group refuses a member, in the wire's own terms.

use sluice_model::{Error, ErrorKind};

/// The reasons; each is one error code of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing here may be done without a group's name.
    InvalidGroupId,
    /// The member is not one of the group, or no longer.
    UnknownMember,
    /// The member speaks of a generation that is not the current one.
    IllegalGeneration,
    /// The members are being gathered anew: join again.
    Rebalancing,
    /// A new member is to join again under this id, so that a join that is repeated does not leave a stranger behind.
    MemberIdRequired(String),
    /// Another process has taken over this instance id.
    Fenced,
    /// No way of sharing out that all members know, or another kind of group.
    InconsistentProtocol,
    /// The session timeout is not within what is allowed.
    InvalidSessionTimeout,
    /// The group has as many members as it may have.
    GroupFull,
    /// A field is missing, or makes no sense; the text says which.
    Invalid(&'static str),
    /// A list or a text is longer than is kept.
    TooLarge,
    /// The member's epoch is not one it can have; it gives everything up and joins anew.
    FencedEpoch,
    /// The commit's epoch is not the member's.
    StaleEpoch,
    /// Another live member has this instance id.
    UnreleasedInstance,
    /// The broker has no such assignor.
    UnknownAssignor,
    /// The subscribed pattern is none.
    InvalidRegex,
    /// There is no such group.
    GroupNotFound,
    /// The group may not be used by whoever asks.
    Unauthorized,
    /// A topic may not be read by whoever asks.
    TopicUnauthorized,
    /// A defect of ours.
    Failed,
    /// There are as many groups as there may be, or the broker cannot answer at this moment: again later.
    Unavailable,
}

impl Refusal {
    /// The wire's number for it.
    pub(crate) fn code(&self) -> i16 {
        match self {
            Self::Failed => -1,
            Self::Unavailable => 15,
            Self::IllegalGeneration => 22,
            Self::InconsistentProtocol => 23,
            Self::InvalidGroupId => 24,
            Self::UnknownMember => 25,
            Self::InvalidSessionTimeout => 26,
            Self::Rebalancing => 27,
            Self::TopicUnauthorized => 29,
            Self::Unauthorized => 30,
            Self::Invalid(_) | Self::TooLarge => 42,
            Self::GroupNotFound => 69,
            Self::MemberIdRequired(_) => 79,
            Self::GroupFull => 81,
            Self::Fenced => 82,
            Self::FencedEpoch => 110,
            Self::UnreleasedInstance => 111,
            Self::UnknownAssignor => 112,
            Self::StaleEpoch => 113,
            Self::InvalidRegex => 128,
        }
    }
}

/// What the broker refuses about a group.
impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => Self::Unauthorized,
            // Members of another protocol are at work in the group.
            ErrorKind::Conflict => Self::InconsistentProtocol,
            ErrorKind::GroupNotFound => Self::GroupNotFound,
            ErrorKind::InvalidArgument | ErrorKind::AlreadyExists => {
                Self::Invalid("the request is not valid")
            }
            ErrorKind::TooLarge => Self::TooLarge,
            // 7, a timeout, would end stock consumers here; this makes them try again.
            ErrorKind::Throttled
            | ErrorKind::Unavailable
            | ErrorKind::StorageFull
            | ErrorKind::TopicNotFound
            | ErrorKind::MessageNotFound
            | ErrorKind::ReceiptExpired
            | ErrorKind::OffsetOutOfRange => Self::Unavailable,
            ErrorKind::Unsupported | ErrorKind::Corrupt | ErrorKind::Internal => {
                tracing::error!(?error, "a request about a group failed");
                Self::Failed
            }
        }
    }
}
