//! The messages of SASL exchanges, one after the other, for each mechanism. Nobody is let in, nothing panics.
#![no_main]

use sluice_auth::{Auth, Command, Config, SaslExchange, SaslMechanism, SaslStep, UserSpec};
use sluice_model::ManualClock;
use std::sync::{Arc, LazyLock};

static AUTH: LazyLock<Auth> = LazyLock::new(|| {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let auth = Auth::acl(Config::default(), clock).expect("a configuration");
    let user = UserSpec { secret: Some("cannot be guessed".into()), ..UserSpec::named("alice") };
    auth.apply(&auth.plan(Command::PutUser(user)).expect("a user"));
    auth
});

libfuzzer_sys::fuzz_target!(|input: (u32, u8, &[u8])| {
    let (number, mechanism, bytes) = input;
    // Each from an address of its own: whoever fails often is not listened to.
    let peer = (std::net::Ipv4Addr::from_bits(number), 1).into();
    let mechanism = SaslMechanism::ALL[usize::from(mechanism) % SaslMechanism::ALL.len()];
    // PLAIN hashes what is not the secret, which is slow and no decoder; its own tests read its tokens.
    if mechanism == SaslMechanism::Plain && bytes.iter().filter(|byte| **byte == 0).count() == 2 {
        return;
    }
    let mut exchange = SaslExchange::new(mechanism);
    // A line that begins with the nonce's letter goes on where the challenge stopped, so that a proof is looked at too.
    let mut nonce = String::new();
    for message in bytes.split(|byte| *byte == b'\n') {
        let message = match message.strip_prefix(b"@") {
            Some(rest) => [b"c=biws,", nonce.as_bytes(), b",p=", rest].concat(),
            None => message.to_vec(),
        };
        match AUTH.sasl_step(exchange, &message, peer) {
            Ok(SaslStep::Challenge(text, next)) => {
                let text = String::from_utf8(text).expect("challenges are text");
                nonce = text.split(',').next().unwrap_or_default().to_owned();
                exchange = next;
            }
            Ok(SaslStep::Done { session, .. }) => panic!("{session:?} was let in"),
            Err(_) => return,
        }
    }
});
