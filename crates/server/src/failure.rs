//! Why the process ends, as its exit code says it to scripts.

use std::process::ExitCode;

use sluice_model::ErrorKind;
use sluice_store::OpenError;
use thiserror::Error;

use crate::config::ConfigError;

/// What keeps the server from starting, or from going on.
#[derive(Debug, Error)]
pub enum Failure {
    /// Nothing foreseen.
    #[error("{0}")]
    Unexpected(String),
    /// The configuration is wrong.
    #[error("configuration: {0}")]
    Config(String),
    /// An address or the data folder is in use, or not for us.
    #[error("{0}")]
    NotAvailable(String),
    /// Stored data is damaged or of a newer format; nothing was changed on disk.
    #[error("{0}")]
    Damaged(String),
    /// The disk failed while the server ran.
    #[error("storage failed, so nothing more can be promised: {0}")]
    Storage(String),
}

impl Failure {
    /// The code of the contract with scripts.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Unexpected(_) => 1,
            Self::Config(_) => 2,
            Self::NotAvailable(_) => 3,
            Self::Damaged(_) => 4,
            Self::Storage(_) => 5,
        })
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<sluice_net::Error> for Failure {
    fn from(error: sluice_net::Error) -> Self {
        use sluice_net::Error::{Accept, Bind, Reactor, Resolve, TlsFile, TlsSettings};
        let message = error.to_string();
        match error {
            Bind { .. } | Accept { .. } => Self::NotAvailable(message),
            Resolve { .. } | TlsFile { .. } | TlsSettings(_) => Self::Config(message),
            Reactor(_) => Self::Unexpected(message),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let message = error.to_string();
        match error {
            OpenError::InUse { .. } | OpenError::NotPermitted { .. } => Self::NotAvailable(message),
            OpenError::Damaged(_) | OpenError::OtherFormat { .. } => Self::Damaged(message),
            OpenError::Config(_) => Self::Config(message),
            OpenError::Io { .. } => Self::Storage(message),
        }
    }
}

impl From<sluice_model::Error> for Failure {
    fn from(error: sluice_model::Error) -> Self {
        let message = format!("{error:?}");
        match error.kind() {
            ErrorKind::Corrupt => Self::Damaged(message),
            ErrorKind::InvalidArgument => Self::Config(message),
            ErrorKind::Unavailable | ErrorKind::StorageFull => Self::Storage(message),
            _ => Self::Unexpected(message),
        }
    }
}
