//! A proven identity, and that identity on one connection.

use crate::memo::Memo;
use bytestring::ByteString;
use sluice_model::Millis;
use std::net::SocketAddr;
use std::sync::Arc;

/// A proven identity.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    pub(crate) name: ByteString,
    /// Tells a user from a later one of the same name; [`EXTERNAL`] when a token names someone we keep no record of.
    pub(crate) id: u64,
}

/// No user has this id.
pub(crate) const EXTERNAL: u64 = 0;

/// A principal on one connection. Only [`crate::Auth::login`] makes one; cloning is cheap.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) principal: Arc<Principal>,
    pub(crate) peer: SocketAddr,
    /// When the proof ends: a token's own end.
    pub(crate) expires: Option<Millis>,
    /// Which of the user's credentials was shown, see [`crate::directory::Prints`]; none for those we do not keep.
    pub(crate) print: Option<u64>,
    /// Roles that the token claims, whether there are such or not.
    pub(crate) roles: Arc<[String]>,
    /// Shared by all clones.
    pub(crate) memo: Arc<Memo>,
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

    /// Whether the other is the same user with the same proof, and so ends when this one does.
    pub fn is_same_proof(&self, other: &Self) -> bool {
        self.principal.id == other.principal.id
            && self.principal.name == other.principal.name
            && (self.print, self.expires, &self.roles) == (other.print, other.expires, &other.roles)
    }

    /// When the session ends by itself, as a token does.
    pub fn expires(&self) -> Option<Millis> {
        self.expires
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}
