//! Why a login failed, for the audit trail and the metrics. The client is told less: a refusal must not say which users
//! there are, so the reason travels as the error's source.

use sluice_model::Error;
use std::error::Error as _;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    NoCredentials,
    UnknownUser,
    WrongSecret,
    Disabled,
    Expired,
    /// Signed too long ago, or in the future.
    Skewed,
    InvalidToken,
    InvalidCertificate,
    /// Refused unseen: too many failures, or too many at once.
    Throttled,
}

impl Reason {
    /// The reason of this error; those of tokens carry their own cause instead.
    pub(crate) fn of(error: &Error) -> Self {
        let said = error.source().and_then(|source| source.downcast_ref::<Self>()).copied();
        let throttled = error.kind() == sluice_model::ErrorKind::Throttled;
        said.unwrap_or(if throttled { Self::Throttled } else { Self::InvalidToken })
    }

    /// Its name in metrics and in the trail.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::UnknownUser => "unknown_user",
            Self::WrongSecret => "wrong_secret",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Skewed => "clock_skew",
            Self::InvalidToken => "invalid_token",
            Self::InvalidCertificate => "invalid_certificate",
            Self::Throttled => "throttled",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl std::error::Error for Reason {}
