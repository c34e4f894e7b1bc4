//! Passwords: argon2id hashes, a short memory of verified ones, and a bound on how many are hashed at once.
//!
//! Hashing is slow and takes 19 MiB on purpose. So a password that was right is remembered for a minute (as a keyed
//! hash, in memory only), and only a few are hashed at a time while a few more wait: a flood of logins slows itself
//! down instead of the broker.

use crate::user::MAX_PASSWORD;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Argon2, Params};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::{Condvar, Mutex};
use sha2::Sha256;
use sluice_model::{Error, ErrorKind, Millis, Result};
use std::collections::HashMap;

/// A client that asks again within this time does not pay again; a changed password misses at once, see [`Digest`].
const REMEMBERED: Millis = 60_000;
/// More clients than this with different passwords in one minute are not expected; it bounds the memory.
const MAX_REMEMBERED: usize = 1024;
/// One per core of a small machine: two use 38 MiB.
const MAX_HASHING: usize = 2;
/// About three seconds of work in front of the last one; a client would give up soon after.
const MAX_WAITING: usize = 64;
/// What one hash of an operator's file may ask for; higher costs would let a login starve the machine.
const MAX_HASH_KIB: u32 = 256 * 1024;
const MAX_HASH_PASSES: u32 = 16;

/// Verified for unknown users, so that they take as long as known ones. Nobody knows a password for it.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ib2R5$gLAkuvHE4cCsr3ZrUo5VhGV5VJ6pqYb2tVEoSvqBZQs";

/// The keyed hash of user, stored hash and password: a new password makes the old entry unfindable.
type Digest = [u8; 32];

pub(crate) struct Passwords {
    key: [u8; 32],
    verified: Mutex<HashMap<Digest, Millis>>,
    hashing: Gate,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { key: rand::random(), verified: Mutex::default(), hashing: Gate::default() }
    }

    /// True when the password is known to be right without hashing it.
    pub(crate) fn remembers(&self, user: &str, hash: &str, password: &str, now: Millis) -> bool {
        let Some(digest) = self.digest(user, hash, password) else { return false };
        self.verified.lock().get(&digest).is_some_and(|until| now < *until)
    }

    /// Compares with the stored hash; without one it takes as long and answers no.
    pub(crate) fn verify(&self, user: &str, hash: Option<&str>, password: &str, now: Millis) -> Result<bool> {
        if password.len() > MAX_PASSWORD {
            return Ok(false);
        }
        if hash.is_some_and(|hash| self.remembers(user, hash, password, now)) {
            return Ok(true);
        }
        let right = {
            let _turn = self.hashing.enter()?;
            matches(hash.unwrap_or(NOBODY), password)
        };
        match hash {
            Some(hash) if right => {
                self.remember(user, hash, password, now);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// A turn among those that hash, for what costs as much as a password.
    pub(crate) fn turn(&self) -> Result<Turn<'_>> {
        self.hashing.enter()
    }

    fn remember(&self, user: &str, hash: &str, password: &str, now: Millis) {
        let Some(digest) = self.digest(user, hash, password) else { return };
        let mut verified = self.verified.lock();
        if verified.len() >= MAX_REMEMBERED {
            verified.retain(|_, until| now < *until);
        }
        if verified.len() >= MAX_REMEMBERED
            && let Some(oldest) = verified.iter().min_by_key(|(_, until)| **until).map(|(digest, _)| *digest)
        {
            verified.remove(&oldest);
        }
        verified.insert(digest, now.saturating_add(REMEMBERED));
    }

    fn digest(&self, user: &str, hash: &str, password: &str) -> Option<Digest> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        for part in [user, hash, password] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac.finalize().into_bytes().into())
    }
}

/// Hashes a new password: argon2id with the crate's defaults (19 MiB, two passes), as OWASP advises.
pub(crate) fn hash(password: &str) -> Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| Error::internal(error.to_string()))
}

/// True when the stored hash is of this password.
pub(crate) fn matches(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Checks a hash that an operator gives.
pub(crate) fn check_hash(hash: &str) -> Result<()> {
    let wrong = |why: &str| {
        Error::invalid(format!("a password_hash is an argon2id hash like `$argon2id$v=19$…`: {why}"))
    };
    let parsed = PasswordHash::new(hash).map_err(|error| wrong(&error.to_string()))?;
    if parsed.algorithm.as_str() != "argon2id" || parsed.salt.is_none() || parsed.hash.is_none() {
        return Err(wrong("another algorithm, or a part is missing"));
    }
    let params = Params::try_from(&parsed).map_err(|error| wrong(&error.to_string()))?;
    if params.m_cost() > MAX_HASH_KIB || params.t_cost() > MAX_HASH_PASSES {
        return Err(wrong(&format!(
            "it may ask for {MAX_HASH_KIB} KiB and {MAX_HASH_PASSES} passes at most"
        )));
    }
    Ok(())
}

/// Lets a few hash at a time, a few more wait, and turns the rest away.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    free: Condvar,
}

#[derive(Default)]
struct GateState {
    running: usize,
    waiting: usize,
}

pub(crate) struct Turn<'a>(&'a Gate);

impl Gate {
    fn enter(&self) -> Result<Turn<'_>> {
        let mut state = self.state.lock();
        if state.running >= MAX_HASHING {
            if state.waiting >= MAX_WAITING {
                return Err(Error::new(ErrorKind::Throttled, "too many logins at once, try again"));
            }
            state.waiting += 1;
            while state.running >= MAX_HASHING {
                self.free.wait(&mut state);
            }
            state.waiting -= 1;
        }
        state.running += 1;
        Ok(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_its_password_only() {
        let hash = hash("right").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(matches(&hash, "right"));
        assert!(!matches(&hash, "wrong"));
        check_hash(&hash).unwrap();
    }

    /// If it did not parse, an unknown user would be told at once.
    #[test]
    fn the_hash_of_nobody_costs_as_much_as_any() {
        check_hash(NOBODY).unwrap();
        let parsed = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&parsed).unwrap();
        assert_eq!((params.m_cost(), params.t_cost()), (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST));
    }

    #[test]
    fn verified_passwords_are_remembered_for_a_minute() {
        let passwords = Passwords::new();
        let hash = hash("right").unwrap();
        assert!(!passwords.remembers("alice", &hash, "right", 0));
        assert!(passwords.verify("alice", Some(&hash), "right", 0).unwrap());
        assert!(passwords.remembers("alice", &hash, "right", 59_999));
        assert!(!passwords.remembers("alice", &hash, "right", 60_000));
        assert!(!passwords.remembers("alice", &hash, "wrong", 0));
        assert!(!passwords.remembers("bob", &hash, "right", 0));
        assert!(!passwords.remembers("alice", "another hash", "right", 0));
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_goes_first() {
        let passwords = Passwords::new();
        for n in 0..=MAX_REMEMBERED as u64 {
            passwords.remember(&format!("user{n}"), "hash", "password", n);
        }
        assert_eq!(passwords.verified.lock().len(), MAX_REMEMBERED);
        assert!(!passwords.remembers("user0", "hash", "password", 1));
        assert!(passwords.remembers("user1", "hash", "password", 1));
    }

    #[test]
    fn a_flood_is_turned_away() {
        let gate = Gate::default();
        let turns: Vec<_> = (0..MAX_HASHING).map(|_| gate.enter().unwrap()).collect();
        gate.state.lock().waiting = MAX_WAITING;
        assert_eq!(gate.enter().err().map(|e| e.kind()), Some(ErrorKind::Throttled));
        gate.state.lock().waiting = 0;
        drop(turns);
        drop(gate.enter().unwrap());
        assert_eq!(gate.state.lock().running, 0);
    }

    #[test]
    fn expensive_and_foreign_hashes_are_refused() {
        for bad in [
            "",
            "plain",
            "$argon2i$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ib2R5$gLAkuvHE4cCsr3ZrUo5VhGV5VJ6pqYb2tVEoSvqBZQs",
            "$argon2id$v=19$m=4000000,t=2,p=1$bm9ib2R5bm9ib2R5bm9ib2R5$gLAkuvHE4cCsr3ZrUo5VhGV5VJ6pqYb2tVEoSvqBZQs",
            "$argon2id$v=19$m=19456,t=200,p=1$bm9ib2R5bm9ib2R5bm9ib2R5$gLAkuvHE4cCsr3ZrUo5VhGV5VJ6pqYb2tVEoSvqBZQs",
            "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ib2R5",
        ] {
            assert!(check_hash(bad).is_err(), "{bad}");
        }
    }
}
