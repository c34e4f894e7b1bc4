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

/// A principal on one connection. Only [`crate::Auth::login`] makes one; a clone is the same session, and costs a count.
#[derive(Debug, Clone)]
pub struct Session(pub(crate) Arc<Facts>);

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) principal: Arc<Principal>,
    /// The name that was given where none is proven, with a word that says so; empty when there is none.
    pub(crate) claimed: ByteString,
    pub(crate) peer: SocketAddr,
    /// When the proof ends: a token's own end.
    pub(crate) expires: Option<Millis>,
    /// Which of the user's credentials was shown, see [`crate::directory::Prints`]; none for those we do not keep.
    pub(crate) print: Option<u64>,
    /// Roles that the token claims, whether there are such or not.
    pub(crate) roles: Arc<[String]>,
    pub(crate) memo: Memo,
}

impl Session {
    /// The principal's name; empty when anonymous.
    pub fn principal(&self) -> &ByteString {
        &self.0.principal.name
    }

    /// Who this is for people who read traces: the proven name, or the one that an open broker was given, as
    /// `name (unproven)`; empty when there was none. Nothing may be decided by it.
    pub fn shown_name(&self) -> &ByteString {
        if self.is_anonymous() { &self.0.claimed } else { self.principal() }
    }

    /// True when nothing was proven, and nothing had to be.
    pub fn is_anonymous(&self) -> bool {
        self.0.principal.name.is_empty()
    }

    /// Whether the other is the same user with the same proof, and so ends when this one does.
    pub fn is_same_proof(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        Arc::ptr_eq(one, other)
            || one.principal.id == other.principal.id
                && one.principal.name == other.principal.name
                && (one.print, one.expires, &one.roles) == (other.print, other.expires, &other.roles)
    }

    /// When the session ends by itself, as a token does.
    pub fn expires(&self) -> Option<Millis> {
        self.0.expires
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }
}
