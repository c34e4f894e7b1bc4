use super::*;
use crate::{Auth, Command, Credentials, Secret, UserSpec};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use sluice_model::ManualClock;
use sluice_model::units::Span;
use std::sync::Arc;

const NOW: Millis = 1_700_000_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Made for these tests alone.
const RSA_PRIVATE: &str = include_str!("test-rsa-private.pem");
const RSA_PUBLIC: &str = include_str!("test-rsa-public.pem");

fn issuer(algorithm: JwtAlgorithm) -> JwtIssuer {
    JwtIssuer {
        issuer: "id.example".into(),
        audience: "sluice".into(),
        algorithms: vec![algorithm],
        secret: None,
        secret_file: None,
        public_key: None,
        public_key_file: None,
        jwks_file: None,
        jwks_url: None,
        jwks_ca_file: None,
        leeway: Span::secs(60),
        user_claim: "sub".into(),
        roles_claim: Some("roles".into()),
        roles: [("writers".to_owned(), "writer".to_owned())].into(),
    }
}

fn hs256() -> JwtIssuer {
    JwtIssuer { secret: Some(Secret::new(SECRET)), ..issuer(JwtAlgorithm::HS256) }
}

fn rs256() -> JwtIssuer {
    JwtIssuer { public_key: Some(RSA_PUBLIC.into()), ..issuer(JwtAlgorithm::RS256) }
}

fn issuers(issuer: JwtIssuer) -> Issuers {
    Issuers::new(&Config { jwt: vec![issuer], ..Config::default() }).unwrap()
}

fn claims() -> Value {
    json!({ "iss": "id.example", "aud": "sluice", "sub": "alice", "exp": NOW / 1000 + 10 })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn token(algorithm: Algorithm, claims: &Value, key: &EncodingKey) -> String {
    encode(&Header::new(algorithm), claims, key).unwrap()
}

fn hs(claims: &Value) -> String {
    token(Algorithm::HS256, claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

fn why(issuers: &Issuers, token: &str) -> String {
    issuers.verify(token, NOW).unwrap_err().to_string()
}

#[test]
fn a_token_of_each_algorithm_is_accepted() {
    let proven = issuers(hs256()).verify(&hs(&claims()), NOW).unwrap();
    assert_eq!(proven, Proven { users: vec!["alice".into()], roles: vec![], expires: NOW + 70_000 });

    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    issuers(rs256()).verify(&token(Algorithm::RS256, &claims(), &rsa), NOW).unwrap();

    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let ec = JwtIssuer { public_key: Some(pair.public_key_pem()), ..issuer(JwtAlgorithm::ES256) };
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    issuers(ec).verify(&token(Algorithm::ES256, &claims(), &key), NOW).unwrap();

    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ed = JwtIssuer { public_key: Some(pair.public_key_pem()), ..issuer(JwtAlgorithm::EdDSA) };
    let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    issuers(ed).verify(&token(Algorithm::EdDSA, &claims(), &key), NOW).unwrap();
}

#[test]
fn algorithms_of_one_family_share_a_key() {
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    let allowed = vec![JwtAlgorithm::RS256, JwtAlgorithm::PS384, JwtAlgorithm::RS512];
    let several = issuers(JwtIssuer { algorithms: allowed, ..rs256() });
    for algorithm in [Algorithm::RS256, Algorithm::PS384, Algorithm::RS512] {
        several.verify(&token(algorithm, &claims(), &rsa), NOW).unwrap();
    }
    for algorithm in [Algorithm::RS384, Algorithm::PS256, Algorithm::PS512] {
        assert!(why(&several, &token(algorithm, &claims(), &rsa)).contains("algorithm"), "{algorithm:?}");
    }
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let both = vec![JwtAlgorithm::HS384, JwtAlgorithm::HS512];
    let shared = issuers(JwtIssuer { algorithms: both, ..hs256() });
    shared.verify(&token(Algorithm::HS384, &claims(), &secret), NOW).unwrap();
    assert!(why(&shared, &hs(&claims())).contains("algorithm"));
}

#[test]
fn an_extension_that_is_not_known_is_refused() {
    let header = Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::HS256) };
    let token = encode(&header, &claims(), &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    assert!(why(&issuers(hs256()), &token).contains("crit"));
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |at| ALPHABET[(bits >> (18 - 6 * at)) as usize & 63] as char)
    });
    digits.collect()
}

#[test]
fn none_and_key_confusion_are_refused() {
    let unsigned = |header: Value| {
        format!("{}.{}.", base64(header.to_string().as_bytes()), base64(claims().to_string().as_bytes()))
    };
    for alg in ["none", "None", "NONE", ""] {
        assert!(
            why(&issuers(hs256()), &unsigned(json!({ "alg": alg, "typ": "JWT" }))).contains("malformed"),
            "{alg}"
        );
    }
    assert!(why(&issuers(hs256()), &unsigned(json!({ "alg": "HS256" }))).contains("signature"));
    // The public key, which everyone has, used as the secret of an HMAC.
    let forged = token(Algorithm::HS256, &claims(), &EncodingKey::from_secret(RSA_PUBLIC.as_bytes()));
    assert!(why(&issuers(rs256()), &forged).contains("algorithm"));
    // The right family, another algorithm.
    let other = token(Algorithm::HS512, &claims(), &EncodingKey::from_secret(SECRET.as_bytes()));
    assert!(why(&issuers(hs256()), &other).contains("algorithm"));
}

#[test]
fn a_wrong_token_is_refused_with_its_reason() {
    let issuers = issuers(hs256());
    let second = NOW / 1000;
    for (claims, reason) in [
        (with("exp", json!(second - 60)), "expired"),
        (with("exp", json!((second - 60) as f64 - 0.5)), "expired"),
        (with("exp", json!("soon")), "lacks a claim"),
        (with("exp", Value::Null), "lacks a claim"),
        (with("nbf", json!(second + 61)), "not valid yet"),
        (with("aud", json!("another")), "someone else"),
        (with("aud", json!(["another", "third"])), "someone else"),
        (with("aud", Value::Null), "lacks a claim"),
        (with("iss", json!("evil.example")), "issuer is not known"),
        (with("iss", Value::Null), "no JWT with an issuer"),
    ] {
        assert!(why(&issuers, &hs(&claims)).contains(reason), "{claims}: {}", why(&issuers, &hs(&claims)));
    }
    issuers.verify(&hs(&with("exp", json!(second - 59))), NOW).unwrap();
    issuers.verify(&hs(&with("nbf", json!(second + 60))), NOW).unwrap();
    issuers.verify(&hs(&with("aud", json!(["other", "sluice"]))), NOW).unwrap();

    let stranger = token(Algorithm::HS256, &claims(), &EncodingKey::from_secret(b"another secret"));
    assert!(why(&issuers, &stranger).contains("signature"));
    for junk in ["", ".", "..", "a.b.c", &"x".repeat(MAX_TOKEN + 1)] {
        assert_eq!(issuers.verify(junk, NOW).unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
}

#[test]
fn configuration_that_cannot_work_is_refused() {
    let refused = |issuer: JwtIssuer| match Issuers::new(&Config { jwt: vec![issuer], ..Config::default() }) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    let mixed = vec![JwtAlgorithm::RS256, JwtAlgorithm::HS256];
    assert!(refused(JwtIssuer { algorithms: mixed, ..rs256() }).contains("families"));
    assert!(refused(JwtIssuer { algorithms: vec![], ..rs256() }).contains("empty"));
    assert!(refused(JwtIssuer { secret: Some("short".into()), ..hs256() }).contains("32 bytes"));
    assert!(refused(JwtIssuer { secret: None, ..hs256() }).contains("takes secret"));
    assert!(refused(JwtIssuer { public_key: Some(RSA_PUBLIC.into()), ..hs256() }).contains("no public key"));
    assert!(refused(JwtIssuer { secret: Some(SECRET.into()), ..rs256() }).contains("no secret"));
    assert!(refused(JwtIssuer { public_key: Some("junk".into()), ..rs256() }).contains("does not fit"));
    assert!(refused(JwtIssuer { secret_file: Some("/nowhere".into()), ..hs256() }).contains("not both"));
    let url = JwtIssuer { jwks_url: Some("x".into()), ..issuer(JwtAlgorithm::RS256) };
    assert!(refused(url).contains("only https"));
    let both = JwtIssuer { jwks_url: Some("http://127.0.0.1/".into()), ..issuer(JwtAlgorithm::RS256) };
    assert!(refused(JwtIssuer { jwks_file: Some("/nowhere".into()), ..both.clone() }).contains("not both"));
    assert!(refused(JwtIssuer { public_key: Some(RSA_PUBLIC.into()), ..both.clone() }).contains("not both"));
    assert!(refused(JwtIssuer { algorithms: vec![JwtAlgorithm::HS512], ..both }).contains("public"));
    assert!(refused(JwtIssuer { jwks_ca_file: Some("ca.pem".into()), ..rs256() }).contains("jwks_url"));
    assert!(refused(JwtIssuer { jwks_file: Some("/nowhere".into()), ..rs256() }).contains("not both"));
    let nowhere = JwtIssuer { jwks_file: Some("/nowhere".into()), ..issuer(JwtAlgorithm::RS256) };
    assert!(refused(nowhere).contains("/nowhere"));
    let shared = JwtIssuer { jwks_file: Some("/nowhere".into()), ..issuer(JwtAlgorithm::HS256) };
    assert!(refused(shared).contains("public"));
    let twice = Config { jwt: vec![hs256(), hs256()], ..Config::default() };
    assert!(Issuers::new(&twice).is_err());
}

#[test]
fn the_token_names_a_user_or_a_role_does_and_the_session_ends_with_it() {
    let clock = Arc::new(ManualClock::new(NOW));
    let auth = Auth::acl(Config { jwt: vec![hs256()], ..Config::default() }, clock.clone()).unwrap();
    for name in ["alice", "writer"] {
        let superuser = UserSpec { superuser: Some(true), ..UserSpec::named(name) };
        auth.apply(&auth.plan(Command::PutUser(superuser)).unwrap());
    }
    let login = |claims: &Value| {
        auth.login(Credentials::Bearer { token: &hs(claims) }, "127.0.0.1:1".parse().unwrap())
    };
    let mut stranger = with("sub", json!("stranger"));
    assert_eq!(login(&stranger).unwrap_err().kind(), ErrorKind::Unauthenticated);
    for roles in [json!(["readers", "writers"]), json!("readers writers")] {
        stranger["roles"] = roles;
        assert_eq!(login(&stranger).unwrap().principal(), "writer");
    }
    stranger["roles"] = json!({ "writers": true });
    assert!(login(&stranger).is_err());

    let session = login(&claims()).unwrap();
    assert_eq!(session.principal(), "alice");
    auth.permit(&session, crate::Action::Get, crate::Resource::Cluster).unwrap();
    clock.advance(70_000);
    let late = auth.permit(&session, crate::Action::Get, crate::Resource::Cluster).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unauthenticated);
}

/// STOMP and Basic have a name and a password: the name must be the one that the token proves.
#[test]
fn a_token_may_stand_where_a_password_does() {
    let clock = Arc::new(ManualClock::new(NOW));
    let auth = Auth::acl(Config { jwt: vec![hs256()], ..Config::default() }, clock.clone()).unwrap();
    for name in ["alice", "bob"] {
        let user = UserSpec { password: Some("eyJ.is.aPassword".into()), ..UserSpec::named(name) };
        auth.apply(&auth.plan(Command::PutUser(user)).unwrap());
    }
    let token = hs(&claims());
    let login = |user, password| {
        let credentials = Credentials::Password { user, password };
        assert!(!auth.is_costly(&credentials), "a signature costs no hash");
        auth.login(credentials, "127.0.0.1:1".parse().unwrap())
    };
    let session = login("alice", &token).unwrap();
    assert!(session.principal() == "alice" && session.expires() == Some(NOW + 70_000));
    for user in ["bob", "", "Alice", "alice ", "nobody"] {
        assert_eq!(login(user, &token).unwrap_err().kind(), ErrorKind::Unauthenticated, "{user}");
    }
    let longer = format!("{token}x");
    assert!(login("alice", &longer).is_err());
    assert!(login("alice", "eyJ.is.aPassword").is_err(), "what looks like a token is judged as one");
    clock.advance(70_000);
    assert!(login("alice", &token).is_err());
    let none = Auth::acl(Config::default(), clock).unwrap();
    let looks = Credentials::Password { user: "alice", password: "eyJ.is.aPassword" };
    assert!(none.is_costly(&looks), "without issuers it is a password like any other");
}

#[test]
fn roles_of_a_token_count_and_may_stand_for_a_user_that_nobody_made() {
    use crate::{Action, Policy, Resource, RoleSpec};
    let clock = Arc::new(ManualClock::new(NOW));
    let auth = Auth::acl(Config { jwt: vec![hs256()], ..Config::default() }, clock).unwrap();
    let run = |command| auth.apply(&auth.plan(command).unwrap());
    run(Command::PutRole(RoleSpec::named("readers")));
    run(Command::PutPolicy(Policy::allow("Role:readers", "Cluster", &[Action::Get]).unwrap()));
    run(Command::PutUser(UserSpec::named("alice")));
    let login = |name: &str, roles: Value| {
        let mut claims = with("sub", json!(name));
        claims["roles"] = roles;
        auth.login(Credentials::Bearer { token: &hs(&claims) }, "127.0.0.1:1".parse().unwrap())
    };
    let may = |session: &crate::Session| auth.permit(session, Action::Get, Resource::Cluster).is_ok();
    assert!(may(&login("alice", json!(["readers", "unknown"])).unwrap()));
    assert!(!may(&login("alice", json!([])).unwrap()));

    let stranger = login("stranger", json!("readers")).unwrap();
    assert_eq!(stranger.principal(), "stranger");
    assert!(may(&stranger));
    assert!(login("stranger", json!(["unknown"])).is_err(), "no record and no role");
    assert!(login("a:b", json!("readers")).is_err(), "no name that a user could have");

    run(Command::PutUser(UserSpec { enabled: Some(false), ..UserSpec::named("stranger") }));
    assert!(!may(&stranger), "the name belongs to someone now");
    assert!(login("stranger", json!("readers")).is_err(), "and that one is disabled");
}

fn ed25519(kid: Option<&str>) -> (EncodingKey, Value) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let x = base64(pair.public_key_raw());
    let mut jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA" });
    if let Some(kid) = kid {
        jwk["kid"] = json!(kid);
    }
    (EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap(), jwk)
}

fn signed_by(key: &EncodingKey, kid: Option<&str>) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::EdDSA) };
    encode(&header, &claims(), key).unwrap()
}

#[test]
fn keys_of_a_document_are_chosen_by_kid_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let write = |keys: &[&Value]| std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    let ((one, jwk1), (two, jwk2)) = (ed25519(Some("one")), ed25519(Some("two")));
    let foreign = json!({ "kty": "oct", "k": base64(SECRET.as_bytes()), "kid": "secret" });
    write(&[&foreign, &jwk1]);
    let issuers = issuers(JwtIssuer { jwks_file: Some(path.clone()), ..issuer(JwtAlgorithm::EdDSA) });
    let at = |token: &str, now| issuers.verify(token, now).map(drop).map_err(|error| error.to_string());

    at(&signed_by(&one, Some("one")), NOW).unwrap();
    at(&signed_by(&one, None), NOW).unwrap();
    for kid in ["secret", "../../etc/passwd", "", "ONE"] {
        assert!(at(&signed_by(&one, Some(kid)), NOW).unwrap_err().contains("kid) is not known"), "{kid}");
    }
    assert!(at(&signed_by(&two, Some("one")), NOW).unwrap_err().contains("signature"));

    write(&[&jwk1, &jwk2]);
    let new = signed_by(&two, Some("two"));
    assert!(at(&new, NOW + 9_999).is_err(), "not read again so soon");
    at(&new, NOW + 10_000).unwrap();
    assert!(at(&signed_by(&one, None), NOW + 10_000).unwrap_err().contains("which key"), "there are two now");

    std::fs::write(&path, "junk").unwrap();
    assert!(at(&signed_by(&one, Some("three")), NOW + 20_000).is_err());
    let late = {
        let mut claims = claims();
        claims["exp"] = json!(NOW / 1000 + 1000);
        let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &claims, &one).unwrap()
    };
    at(&late, NOW + 30_000).expect("a document that cannot be read changes nothing");
    write(&[&jwk2]);
    at(&late, NOW + 319_999).unwrap();
    assert!(at(&late, NOW + 320_000).is_err(), "a key that was taken out is not trusted for ever");
}

/// One document, keys of two families: each is believed with its own algorithm alone, whatever the token says.
#[test]
fn a_document_may_have_keys_of_several_families() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (ed, jwk) = ed25519(Some("ed"));
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let point = pair.public_key_raw();
    let (x, y) = (base64(&point[1..33]), base64(&point[33..65]));
    let ec_jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "ec" });
    let odd = json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "odd" });
    std::fs::write(&path, json!({ "keys": [odd, jwk, ec_jwk] }).to_string()).unwrap();
    let both = vec![JwtAlgorithm::EdDSA, JwtAlgorithm::ES256];
    let issuers =
        issuers(JwtIssuer { jwks_file: Some(path), algorithms: both, ..issuer(JwtAlgorithm::EdDSA) });
    let ec = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let signed = |algorithm, key: &EncodingKey, kid: &str| {
        let header = Header { kid: Some(kid.into()), ..Header::new(algorithm) };
        issuers.verify(&encode(&header, &claims(), key).unwrap(), NOW).map(drop)
    };
    signed(Algorithm::EdDSA, &ed, "ed").unwrap();
    signed(Algorithm::ES256, &ec, "ec").unwrap();
    assert!(signed(Algorithm::EdDSA, &ed, "ec").is_err());
    assert!(signed(Algorithm::ES256, &ec, "ed").is_err());
    let confused = EncodingKey::from_secret(pair.public_key_pem().as_bytes());
    assert!(signed(Algorithm::HS256, &confused, "ec").is_err());
}

#[test]
fn a_document_without_a_fitting_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let open = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let issuer = JwtIssuer { jwks_file: Some(path.clone()), ..issuer(JwtAlgorithm::EdDSA) };
        Issuers::new(&Config { jwt: vec![issuer], ..Config::default() }).err().map(|error| error.to_string())
    };
    let (_, mut jwk) = ed25519(None);
    assert_eq!(open(&json!({ "keys": [jwk] }).to_string()), None);
    for (name, value) in [("use", "enc"), ("alg", "ES256")] {
        let before = jwk[name].clone();
        jwk[name] = json!(value);
        assert!(open(&json!({ "keys": [jwk] }).to_string()).unwrap().contains("no key for EdDSA"), "{name}");
        jwk[name] = before;
    }
    assert!(open("{}").unwrap().contains("no JWKS"));
    assert!(open(&" ".repeat((1 << 20) + 1)).unwrap().contains("larger than 1 MiB"));
}
