//! How long a refusal takes must not say which users there are: an unknown name and a wrong secret cost the same.
//!
//! Both are tried in turn, many times, and the medians are compared by ratio, so that what else runs on the machine
//! falls on both alike. Without the work that is done for unknown users the ratio would be above a hundred for
//! passwords and SCRAM, and about three for signatures. A machine that does much else can shift one of the medians once;
//! a leak is there in every series.

#![allow(clippy::unwrap_used, reason = "a test")]

use sluice_auth::{
    Auth, Command, Config, Credentials, HmacAlgorithm, SaslExchange, SaslMechanism, SaslStep, SigningKey,
    UserSpec,
};
use sluice_model::{ErrorKind, ManualClock};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What chance alone does not reach over so many rounds.
const LIMIT: f64 = 1.8;
/// So many series may be disturbed but one.
const SERIES: u32 = 4;

fn auth() -> Auth {
    let auth = Auth::acl(Config::default(), Arc::new(ManualClock::new(0))).unwrap();
    let user = UserSpec {
        password: Some("a-password".into()),
        secret: Some("a-secret".into()),
        ..UserSpec::named("alice")
    };
    auth.apply(&auth.plan(Command::PutUser(user)).unwrap());
    auth
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// Compares `attempt` as the user that exists with one that does not, `rounds` times, in one series or a few.
fn compare(rounds: u32, attempt: impl Fn(&str, SocketAddr)) {
    let mut said = Vec::new();
    let alike = (0..SERIES).any(|series| {
        let (known, unknown) = medians(series, rounds, &attempt);
        said.push(format!("a known user takes {known:.7} s, an unknown one {unknown:.7} s"));
        (known / unknown).max(unknown / known) < LIMIT
    });
    assert!(alike, "{said:?}");
}

fn medians(series: u32, rounds: u32, attempt: &impl Fn(&str, SocketAddr)) -> (f64, f64) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Each from an address of its own: whoever fails often is slowed down.
        for (user, times) in [("alice", &mut known), ("mallo", &mut unknown)] {
            let from =
                SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + series * rounds + round)), 1);
            let start = Instant::now();
            attempt(user, from);
            times.push(start.elapsed());
        }
    }
    (median(known), median(unknown))
}

fn refused(auth: &Auth, credentials: Credentials<'_>, from: SocketAddr) {
    let error = auth.login(credentials, from).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
}

#[test]
fn a_wrong_password_takes_as_long_as_an_unknown_user() {
    let auth = auth();
    compare(15, |user, from| {
        refused(&auth, Credentials::Password { user, password: "wrong-password" }, from);
    });
}

#[test]
fn a_wrong_signature_takes_as_long_as_an_unknown_key() {
    let auth = auth();
    let (content, wrong) = ("x".repeat(1000), [7; 20]);
    compare(2001, |access_key, from| {
        let content: [&[u8]; 1] = [content.as_bytes()];
        let algorithm = HmacAlgorithm::Sha1;
        refused(
            &auth,
            Credentials::Hmac { access_key, algorithm, content: &content, signature: &wrong },
            from,
        );
    });
}

#[test]
fn a_wrong_signed_request_takes_as_long_as_an_unknown_key() {
    let auth = auth();
    let texts = ["one form of it".to_owned(), "another form".to_owned(), "a third".to_owned()];
    let key = SigningKey::Scoped { prefix: "AWS4", scope: &["20260106", "local", "mq", "aws4_request"] };
    compare(2001, |access_key, from| {
        let signature = &[7; 32];
        refused(
            &auth,
            Credentials::Request { access_key, key, texts: &texts, signature, signed_at: 0 },
            from,
        );
    });
}

/// A user of whom something is kept, one with nothing but a secret, and one that is not there.
#[test]
fn a_wrong_scram_proof_takes_as_long_as_an_unknown_user() {
    let auth = auth();
    let secret = UserSpec { secret: Some("a-secret".into()), ..UserSpec::named("carol") };
    auth.apply(&auth.plan(Command::PutUser(secret)).unwrap());
    for known in ["alice", "carol"] {
        compare(15, |user, from| {
            let user = if user == "alice" { known } else { user };
            let exchange = SaslExchange::new(SaslMechanism::ScramSha256);
            let first = auth.sasl_step(exchange, format!("n,,n={user},r=nonce").as_bytes(), from).unwrap();
            let SaslStep::Challenge(text, exchange) = first else { panic!("no challenge") };
            let nonce = String::from_utf8(text).unwrap().split(',').next().unwrap().to_owned();
            let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
            let last = format!("c=biws,{nonce},p={proof}");
            assert!(auth.sasl_step(exchange, last.as_bytes(), from).is_err());
        });
    }
}
