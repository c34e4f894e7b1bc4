//! How sessions begin: credentials that a connection shows with every request, and exchanges of several messages.
//!
//! The one idea to know: a directory that is made anew of the changes has met nobody before, so what it says of credentials is what
//! they are worth now. Whatever a connection has proven before comes to the same.

use crate::node::{Check, Node, now, poll};
use crate::people::{SECRETS, USERS};
use crate::tally;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use sluice_auth::{
    Auth, Command, Credentials, HmacAlgorithm, Proven, SaslExchange, SaslMechanism, SaslStep, Secret,
    Session, UserSpec,
};
use sluice_model::{ErrorKind, Result};
use std::net::SocketAddr;
use std::pin::pin;

/// Connections whose requests are signed, at most.
const SIGNERS: usize = 3;
/// The longest exchange has so many messages of the client.
const MESSAGES: usize = 3;

/// A connection whose requests are signed.
pub struct Signer {
    user: String,
    secret: &'static str,
    from: SocketAddr,
    proven: Proven,
}

fn hmac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Check<Vec<u8>> {
    let mac = <M as KeyInit>::new_from_slice(key).map_err(|error| format!("{error:?}"))?;
    Ok(mac.chain_update(text).finalize().into_bytes().to_vec())
}

/// What a user signs, as it is shown.
fn signed<'a>(user: &'a str, content: &'a [&'a [u8]], signature: &'a [u8]) -> Credentials<'a> {
    Credentials::Hmac { access_key: user, algorithm: HmacAlgorithm::Sha1, content, signature }
}

/// Whether it is of this user that this is the secret, and the user may come in.
fn is_secret_of(directory: &Auth, user: &str, secret: &str, from: SocketAddr) -> Check<bool> {
    let signature = hmac::<Hmac<Sha1>>(secret.as_bytes(), b"anything")?;
    Ok(directory.login(signed(user, &[b"anything"], &signature), from).is_ok())
}

impl Node {
    /// Somebody proves who it is.
    pub fn some_proof(&mut self) -> Check {
        match self.dice.below(8) {
            0 => self.prove_a_secret(),
            1 | 2 => self.show_a_token(),
            _ => self.some_requests(),
        }
    }

    /// Signed requests of some connections, between which users may change.
    fn some_requests(&mut self) -> Check {
        for _ in 0..1 + self.dice.below(4) {
            self.sign()?;
            if self.dice.below(4) == 0 {
                self.some_access()?;
            }
            if self.is_down() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whoever fails is slowed down, where it comes from: each of them comes from somewhere else.
    fn somewhere(&mut self) -> SocketAddr {
        self.next_source += 1;
        let [.., high, low] = self.next_source.to_be_bytes();
        ([10, 0, high, low], 7).into()
    }

    fn somebody(&mut self) -> (String, &'static str) {
        let user = format!("u{}", self.dice.below(USERS));
        let secret = SECRETS.get(self.dice.below(SECRETS.len() as u64) as usize).copied();
        (user, secret.unwrap_or_default())
    }

    /// With the secret of somebody, which may just have been made.
    fn some_signer(&mut self) -> Check<Signer> {
        let ((user, secret), from) = (self.somebody(), self.somewhere());
        if self.dice.coin() {
            let (enabled, own) = (Some(true), Some(Secret::new(secret)));
            let spec = UserSpec { name: user.clone(), enabled, secret: own, ..UserSpec::default() };
            self.change_access(Command::PutUser(spec))?;
        }
        Ok(Signer { user, secret, from, proven: Proven::default() })
    }

    /// The next request of a connection that signs each, rightly or not.
    fn sign(&mut self) -> Check {
        let n = self.dice.below(SIGNERS as u64) as usize;
        let mut signer = match n < self.signers.len() {
            true => self.signers.swap_remove(n),
            false => self.some_signer()?,
        };
        let content = format!("request {}", self.dice.below(1000));
        let mut signature = hmac::<Hmac<Sha1>>(signer.secret.as_bytes(), content.as_bytes())?;
        if self.dice.below(6) == 0 {
            signature.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        }
        let directory = self.directory()?;
        let pieces = [content.as_bytes()];
        let shown = signed(&signer.user, &pieces, &signature);
        let wanted = directory.login(shown, signer.from).is_ok();
        let found = self.broker.login_again(&mut signer.proven, shown, signer.from);
        let is_in = self.is_proven(&directory, &signer.user, found, wanted)?;
        if is_in {
            self.signers.push(signer);
        }
        Ok(())
    }

    /// A session is there if one is due, and is the user's own.
    fn is_proven(&mut self, directory: &Auth, user: &str, found: Result<Session>, due: bool) -> Check<bool> {
        self.trace.note(format_args!("{user} proves: {due}"));
        self.checked(tally::PROOFS);
        match found {
            Ok(session) if due && **session.principal() == *user => {
                if poll(pin!(self.broker.session_ended(&session))).is_some() {
                    return Err(format!("a new session of {user} is over"));
                }
                self.may_what_it_may(directory, &session, true).map(|()| true)
            }
            Err(error) if !due && error.kind() == ErrorKind::Unauthenticated => Ok(false),
            found => Err(format!("{user} proves who it is: {due}, and becomes {found:?}")),
        }
    }

    /// An exchange up to its end; the client's next message is made of what it was sent. What it was sent last comes with it.
    fn exchange(
        &self,
        mechanism: SaslMechanism,
        first: Vec<u8>,
        from: SocketAddr,
        answer: impl Fn(&[u8]) -> Check<Vec<u8>>,
    ) -> Check<Result<(Session, Vec<u8>)>> {
        let (mut exchange, mut token) = (SaslExchange::new(mechanism), first);
        for _ in 0..MESSAGES {
            match now(self.broker.sasl_step(exchange, &token, from))? {
                Ok(SaslStep::Done { session, last }) => return Ok(Ok((session, last))),
                Ok(SaslStep::Challenge(text, next)) => (exchange, token) = (next, answer(&text)?),
                Err(error) => return Ok(Err(error)),
            }
        }
        Err(format!("an exchange of {mechanism} never ends"))
    }

    /// Somebody who is in shows its token once more, as its own or as somebody else's.
    fn show_a_token(&mut self) -> Check {
        let n = self.dice.below(self.guests.len() as u64) as usize;
        let Some(guest) = self.guests.get(n) else { return self.some_requests() };
        let (user, token) = (guest.user.clone(), guest.token.clone());
        let (is_own, from) = (self.dice.below(3) > 0, self.somewhere());
        let name = if is_own { user.as_str() } else { "somebody" };
        let (mechanism, first) = match self.dice.coin() {
            true => (SaslMechanism::Plain, format!("\0{name}\0{token}")),
            false => (SaslMechanism::OAuthBearer, format!("n,a={name},\x01auth=Bearer {token}\x01\x01")),
        };
        let directory = self.directory()?;
        let due = is_own && directory.login(Credentials::Bearer { token: &token }, from).is_ok();
        // Whoever is refused has to say that it has understood.
        let found = self.exchange(mechanism, first.into_bytes(), from, |_| Ok(vec![1]))?;
        self.is_proven(&directory, &user, found.map(|(session, _)| session), due).map(drop)
    }

    /// A secret is proven without being shown; the broker proves that it knows it too.
    fn prove_a_secret(&mut self) -> Check {
        let ((user, secret), from) = (self.somebody(), self.somewhere());
        let bare = format!("n={user},r=nonce{}", self.dice.below(1000));
        let directory = self.directory()?;
        let due = is_secret_of(&directory, &user, secret, from)?;
        let first = format!("n,,{bare}").into_bytes();
        let proof = |challenge: &[u8]| scram(secret, &bare, challenge);
        let answer = |challenge: &[u8]| Ok(proof(challenge)?.0);
        let seen = parking_lot::Mutex::new(Vec::new());
        let noting = |challenge: &[u8]| {
            seen.lock().extend_from_slice(challenge);
            answer(challenge)
        };
        let found = self.exchange(SaslMechanism::ScramSha256, first, from, noting)?;
        if let Ok((_, last)) = &found {
            let (_, wanted) = proof(&seen.lock())?;
            if *last != wanted {
                return Err(format!("the broker does not prove that it knows the secret of {user}"));
            }
        }
        self.is_proven(&directory, &user, found.map(|(session, _)| session), due).map(drop)
    }
}

/// SCRAM-SHA-256 as a client does it: the answer to a challenge, and what the broker has to say to that.
fn scram(secret: &str, bare: &str, challenge: &[u8]) -> Check<(Vec<u8>, Vec<u8>)> {
    let text = std::str::from_utf8(challenge).map_err(|error| error.to_string())?;
    let part = |key: &str| {
        let found = text.split(',').find_map(|part| part.strip_prefix(key));
        found.ok_or_else(|| format!("a challenge without {key}: {text}"))
    };
    let iterations: u32 = part("i=")?.parse().map_err(|error| format!("{text}: {error}"))?;
    let mut salt = STANDARD.decode(part("s=")?).map_err(|error| error.to_string())?;
    salt.extend_from_slice(&1_u32.to_be_bytes());
    let mut last = hmac::<Hmac<Sha256>>(secret.as_bytes(), &salt)?;
    let mut salted = last.clone();
    for _ in 1..iterations {
        last = hmac::<Hmac<Sha256>>(secret.as_bytes(), &last)?;
        salted.iter_mut().zip(&last).for_each(|(sum, last)| *sum ^= last);
    }
    let said = format!("c=biws,r={}", part("r=")?);
    let all = format!("{bare},{text},{said}");
    let client = hmac::<Hmac<Sha256>>(&salted, b"Client Key")?;
    let signature = hmac::<Hmac<Sha256>>(&Sha256::digest(&client), all.as_bytes())?;
    let proof: Vec<u8> = client.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
    let server = hmac::<Hmac<Sha256>>(&hmac::<Hmac<Sha256>>(&salted, b"Server Key")?, all.as_bytes())?;
    let answer = format!("{said},p={}", STANDARD.encode(proof));
    Ok((answer.into_bytes(), format!("v={}", STANDARD.encode(server)).into_bytes()))
}
