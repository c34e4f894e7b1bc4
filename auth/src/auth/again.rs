//! A connection that proves the same thing with every request: what is the same each time is remembered.
//!
//! The one idea to know: the signature itself is checked every time, and everything else only when users, roles or
//! policies have changed since. So a remembered proof is never wider than a new one would be.

use super::{Acl, Auth};
use crate::signature::Keyed;
use crate::{Credentials, HmacAlgorithm, Session};
use sluice_model::Result;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

/// What a connection has proven last; nothing at first.
#[derive(Default)]
pub struct Proven(Option<Signer>);

struct Signer {
    access_key: String,
    keyed: Keyed,
    session: Session,
    /// Of the users and policies, when this was looked up.
    version: u64,
}

impl Auth {
    /// Like [`Auth::login`], for one connection that shows its credentials again and again.
    ///
    /// # Errors
    /// As for [`Auth::login`].
    pub fn login_again(
        &self,
        proven: &mut Proven,
        credentials: Credentials<'_>,
        peer: SocketAddr,
    ) -> Result<Session> {
        let Credentials::Hmac { access_key, algorithm: HmacAlgorithm::Sha1, content, signature } =
            credentials
        else {
            return self.login(credentials, peer);
        };
        let Some(acl) = &self.acl else { return self.login(credentials, peer) };
        if let Some(signer) = &proven.0
            && signer.version == acl.version.load(Ordering::Acquire)
            && signer.access_key == access_key
            && signer.session.0.peer == peer
            && signer.keyed.verifies(content, signature)
        {
            return Ok(signer.session.clone());
        }
        let session = self.login(credentials, peer)?;
        proven.0 = acl.signer(access_key, &session);
        Ok(session)
    }
}

impl Acl {
    /// What a session was proven with, unless it is gone already.
    fn signer(&self, access_key: &str, session: &Session) -> Option<Signer> {
        let directory = self.directory.read();
        let version = self.version.load(Ordering::Acquire); // it changes only while this lock is held for writing
        let entry = directory.owner_of_key(access_key)?;
        if !entry.user.enabled || entry.principal.id != session.0.principal.id {
            return None;
        }
        let mut secrets = entry.user.secrets_of(access_key);
        let secret = secrets.find(|secret| Some(directory.prints.secret(secret)) == session.0.print)?;
        let (access_key, keyed) = (access_key.to_owned(), Keyed::sha1(secret)?);
        Some(Signer { access_key, keyed, session: session.clone(), version })
    }
}
