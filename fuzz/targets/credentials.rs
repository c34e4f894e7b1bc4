//! Proofs of identity as a front-end hands them on: tokens, certificates, passwords. Nobody is let in, nothing panics.
#![no_main]

use sluice_auth::{Auth, Command, Config, Credentials, JwtAlgorithm, JwtIssuer, UserSpec};
use sluice_model::ManualClock;
use sluice_model::units::Span;
use std::sync::{Arc, LazyLock};

static AUTH: LazyLock<Auth> = LazyLock::new(|| {
    let issuer = JwtIssuer {
        issuer: "id.example".into(),
        audience: "sluice".into(),
        algorithms: vec![JwtAlgorithm::HS256],
        secret: Some("a secret that no input can know, surely".into()),
        secret_file: None,
        public_key: None,
        public_key_file: None,
        jwks_file: None,
        jwks_url: None,
        jwks_ca_file: None,
        leeway: Span::secs(60),
        user_claim: "sub".into(),
        roles_claim: Some("roles".into()),
        roles: Default::default(),
    };
    let config = Config { jwt: vec![issuer], ..Config::default() };
    let auth = Auth::acl(config, Arc::new(ManualClock::new(1_700_000_000_000))).expect("a configuration");
    let user = UserSpec { secret: Some("cannot be guessed".into()), ..UserSpec::named("alice") };
    auth.apply(&auth.plan(Command::PutUser(user)).expect("a user"));
    auth
});

libfuzzer_sys::fuzz_target!(|input: (u32, &[u8])| {
    let (number, bytes) = input;
    // Each from an address of its own: whoever fails often is not listened to.
    let peer = (std::net::Ipv4Addr::from_bits(number), 1).into();
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let der = Credentials::Certificate { der: bytes };
    if let Ok(session) = AUTH.login(der, peer) {
        // No authority has vouched for it here: that is the business of TLS.
        assert_eq!(session.principal(), "alice");
    }
    assert!(AUTH.login(Credentials::Bearer { token: text }, peer).is_err());
    let password = Credentials::Password { user: "alice", password: text };
    if !AUTH.is_costly(&password) {
        assert!(AUTH.login(password, peer).is_err() || text == "cannot be guessed");
    }
});
