//! The steps of a SASL exchange: who is claimed to speak, what of theirs proves it, and the same cost for every refusal.
//!
//! A user proves itself with what was kept of its password, or with one of its signing secrets, from which the same keys
//! are made at the moment of the proof. A name that nobody has gets a challenge too, with a salt that it always gets.

use super::prove::{Attempt, Claimed, MAX_SECRETS, Proof, accept, refused};
use super::{Acl, Auth};
use crate::reason::Reason;
use crate::sasl::{SaslExchange, SaslMechanism, SaslStep, State, bearer, plain};
use crate::scram::{Challenge, DEFAULT_ITERATIONS, First, Keys, Scram, ScramMechanism};
use crate::{Credentials, Secret, Session};
use sluice_model::{Error, ErrorKind, Result};
use std::net::SocketAddr;

/// RFC 7628: what a client is told before the exchange ends.
const INVALID_TOKEN: &[u8] = br#"{"status":"invalid_token"}"#;
const KIND: &str = "scram";

impl Auth {
    /// Takes a client's token: the next step of the exchange, which is over after an error.
    ///
    /// # Errors
    /// As for [`Auth::login`]; a token that cannot be read is [`ErrorKind::Unauthenticated`] too.
    pub fn sasl_step(&self, exchange: SaslExchange, token: &[u8], peer: SocketAddr) -> Result<SaslStep> {
        match exchange.0 {
            State::First(SaslMechanism::Plain) => self.sasl_plain(token, peer).map(done),
            State::First(SaslMechanism::OAuthBearer) => Ok(match self.sasl_bearer(token, peer) {
                Ok(session) => done(session),
                Err(error) => {
                    SaslStep::Challenge(INVALID_TOKEN.to_vec(), SaslExchange(State::Refused(error)))
                }
            }),
            State::First(SaslMechanism::ScramSha256) => self.scram(ScramMechanism::Sha256, token, peer),
            State::First(SaslMechanism::ScramSha512) => self.scram(ScramMechanism::Sha512, token, peer),
            State::Proof(challenge) => self.scram_proof(&challenge, token, peer),
            State::Refused(error) => Err(error),
        }
    }

    fn sasl_plain(&self, token: &[u8], peer: SocketAddr) -> Result<Session> {
        let Some((user, password)) = plain(token) else { return self.malformed("password", peer) };
        self.login(Credentials::Password { user, password }, peer)
    }

    fn sasl_bearer(&self, message: &[u8], peer: SocketAddr) -> Result<Session> {
        let Some((token, asked_as)) = bearer(message) else { return self.malformed("bearer", peer) };
        let session = self.login(Credentials::Bearer { token }, peer)?;
        match asked_as {
            Some(other) if *session.principal() != other && !session.is_anonymous() => {
                Err(refused(Reason::WrongSecret))
            }
            _ => Ok(session),
        }
    }

    fn scram(&self, mechanism: ScramMechanism, token: &[u8], peer: SocketAddr) -> Result<SaslStep> {
        let Some(acl) = &self.acl else {
            let message = format!("{mechanism} proves a secret, and in auth.mode=open nobody has one");
            return Err(Error::new(ErrorKind::Unauthenticated, message));
        };
        let Some(first) = First::parse(token) else { return self.malformed(KIND, peer) };
        let (salt, iterations) = acl.scram_salt(mechanism, &first.user);
        let challenge = Challenge::new(mechanism, first, salt, iterations);
        let text = challenge.text().as_bytes().to_vec();
        Ok(SaslStep::Challenge(text, SaslExchange(State::Proof(Box::new(challenge)))))
    }

    fn scram_proof(&self, challenge: &Challenge, token: &[u8], peer: SocketAddr) -> Result<SaslStep> {
        let Some(acl) = &self.acl else { return self.malformed(KIND, peer) };
        let mut last = String::new();
        let session = acl.attempt(Attempt::named(&challenge.user, KIND), peer, || {
            let (proof, text) = acl.prove_scram(challenge, token)?;
            last = text;
            Ok(proof)
        })?;
        Ok(SaslStep::Done { session, last: last.into_bytes() })
    }

    /// Refuses what cannot be read, noted like any failed login.
    fn malformed<T>(&self, kind: &'static str, peer: SocketAddr) -> Result<T> {
        let error = || {
            Error::new(ErrorKind::Unauthenticated, "the message of the SASL mechanism cannot be read")
                .with_source(Reason::Malformed)
        };
        match &self.acl {
            Some(acl) => acl.attempt(Attempt::named("", kind), peer, || Err(error())).and(Err(error())),
            None => Err(error()),
        }
    }
}

fn done(session: Session) -> SaslStep {
    SaslStep::Done { session, last: Vec::new() }
}

impl Acl {
    /// The salt of what is kept for this user; for all others one that is always the same for a name.
    fn scram_salt(&self, mechanism: ScramMechanism, name: &str) -> (Vec<u8>, u32) {
        let directory = self.directory.read();
        let kept = directory.entry(name).and_then(|entry| entry.user.scram_of(mechanism));
        kept.map_or_else(
            || (self.salts.of(mechanism, name), DEFAULT_ITERATIONS),
            |kept| (kept.salt.clone(), kept.iterations),
        )
    }

    fn prove_scram(&self, challenge: &Challenge, token: &[u8]) -> Result<(Proof, String)> {
        let (kept, claimed) = self.claimed_scram(challenge);
        let Some(answer) = challenge.answer(token) else {
            return Err(refused(Reason::WrongSecret));
        };
        let mut proven = kept.as_ref().and_then(|kept| Some((answer.verify(&kept.keys()?)?, &kept.keys)));
        if proven.is_none() {
            let secrets: &[Secret] = claimed.as_ref().map_or(&[], |claimed| &claimed.secrets);
            let _turn = self.passwords.turn()?;
            let keys =
                |text: &str| Keys::derive(challenge.mechanism, text, &challenge.salt, challenge.iterations);
            let mut tried = 0;
            proven = secrets.iter().find_map(|secret| {
                let keys = keys(secret.expose()?);
                tried += 1;
                Some((answer.verify(&keys)?, secret))
            });
            if proven.is_none() {
                // Nothing is spared by an unknown name, or one with fewer secrets: every refusal costs the same.
                (tried..MAX_SECRETS).for_each(|_| _ = std::hint::black_box(keys("")));
            }
        }
        let (text, print) = match proven {
            Some((text, secret)) => (text, Some(self.directory.read().prints.secret(secret))),
            None => (String::new(), None),
        };
        let principal = accept(claimed, print.is_some())?;
        Ok((Proof::new(principal, print), text))
    }

    /// What was kept for the user of this challenge, unless it is another one since, and its secrets.
    fn claimed_scram(&self, challenge: &Challenge) -> (Option<Scram>, Option<Claimed>) {
        let claimed = self.claimed(&challenge.user);
        let directory = self.directory.read();
        let entry = directory.entry(&challenge.user);
        let kept = entry.and_then(|entry| entry.user.scram_of(challenge.mechanism));
        let same = |kept: &&Scram| kept.salt == challenge.salt && kept.iterations == challenge.iterations;
        (kept.filter(same).cloned(), claimed)
    }
}
