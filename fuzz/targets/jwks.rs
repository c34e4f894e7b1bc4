//! A JWKS document, and a token that is checked with what came of it.
#![no_main]

use sluice_auth::{Auth, Config, Credentials, JwtAlgorithm, JwtIssuer};
use sluice_model::ManualClock;
use sluice_model::units::Span;
use std::sync::Arc;

const TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.",
    "eyJpc3MiOiJpZC5leGFtcGxlIiwiYXVkIjoic2x1aWNlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
);

libfuzzer_sys::fuzz_target!(|document: &[u8]| {
    let path = std::env::temp_dir().join(format!("sluice-fuzz-jwks-{}", std::process::id()));
    std::fs::write(&path, document).expect("a file");
    let issuer = JwtIssuer {
        issuer: "id.example".into(),
        audience: "sluice".into(),
        algorithms: vec![JwtAlgorithm::RS256, JwtAlgorithm::ES256, JwtAlgorithm::ES384, JwtAlgorithm::EdDSA],
        secret: None,
        secret_file: None,
        public_key: None,
        public_key_file: None,
        jwks_file: Some(path),
        jwks_url: None,
        jwks_ca_file: None,
        leeway: Span::secs(60),
        user_claim: "sub".into(),
        roles_claim: None,
        roles: Default::default(),
    };
    let config = Config { jwt: vec![issuer], ..Config::default() };
    if let Ok(auth) = Auth::acl(config, Arc::new(ManualClock::new(1_700_000_000_000))) {
        let token = Credentials::Bearer { token: TOKEN };
        assert!(auth.login(token, ([127, 0, 0, 1], 1).into()).is_err());
    }
});
