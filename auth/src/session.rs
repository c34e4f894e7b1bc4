//! A proven identity, and that identity on one connection.

use bytestring::ByteString;
use std::net::SocketAddr;
use std::sync::Arc;

/// A proven identity.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    pub(crate) name: ByteString,
    pub(crate) superuser: bool,
}

/// A principal on one connection. Only [`crate::Auth::login`] makes one; cloning is cheap.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) principal: Arc<Principal>,
    pub(crate) peer: SocketAddr,
}

impl Session {
    /// The principal's name; empty when anonymous.
    pub fn principal(&self) -> &ByteString {
        &self.principal.name
    }

    /// True when nothing was proven, and nothing had to be.
    pub fn is_anonymous(&self) -> bool {
        self.principal.name.is_empty()
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}
