//! Why a login failed, for the audit trail and the metrics. The client is told less: a refusal must not say which users
//! there are, so the reason travels as the error's source. Only a wire whose clients know names for the reasons tells them.

use sluice_model::Error;
use std::error::Error as _;
use std::fmt;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was shown.
    NoCredentials,
    /// No user has that name or key.
    UnknownUser,
    /// A wrong password, secret or signature.
    WrongSecret,
    /// The user may not log in.
    Disabled,
    /// The token or certificate has expired.
    Expired,
    /// Signed too long ago, or in the future.
    Skewed,
    /// A token that cannot be believed.
    InvalidToken,
    /// A message that cannot be read.
    Malformed,
    /// A certificate that names no user.
    InvalidCertificate,
    /// Refused unseen: too many failures, or too many at once.
    Throttled,
}

impl Reason {
    /// The reason of this error; those of tokens carry their own cause instead.
    pub fn of(error: &Error) -> Self {
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
            Self::Malformed => "malformed",
            Self::InvalidCertificate => "invalid_certificate",
            Self::Throttled => "throttled",
        }
    }
}

/// The source of a `PermissionDenied` that another address of the same user would not have met: a policy that allows it
/// speaks of other addresses, or one that denies it of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressDenied;

impl fmt::Display for AddressDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("policies speak of other addresses")
    }
}

impl std::error::Error for AddressDenied {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl std::error::Error for Reason {}
