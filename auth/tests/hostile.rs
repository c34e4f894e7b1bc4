//! What somebody sends who wants to get in, or to write into our logs, for each kind of proof.

#![allow(clippy::unwrap_used, reason = "a test")]

use sluice_auth::{
    AccessKey, Auth, Command, Config, Credentials, HmacAlgorithm, JwtAlgorithm, JwtIssuer, NewToken,
    SaslExchange, SaslMechanism, SaslStep, SigningKey, UserSpec,
};
use sluice_model::units::Span;
use sluice_model::{ErrorKind, ManualClock};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const NOW: u64 = 1_700_000_000_000;
const SECRET: &str = "rabbit-hole-secret";

/// What is sent, message by message, each made of the challenge before it.
type Messages<'a> = &'a [&'a dyn Fn(&str) -> Vec<u8>];

struct Door {
    auth: Auth,
    clock: Arc<ManualClock>,
    tried: AtomicU32,
}

impl Door {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let config = Config { jwt: vec![issuer()], ..Config::default() };
        let auth = Auth::acl(config, clock.clone()).unwrap();
        let door = Self { auth, clock, tried: AtomicU32::new(0) };
        for name in ["alice", "bob", "grün"] {
            let user = UserSpec {
                secret: Some(SECRET.into()),
                access_keys: Some(vec![AccessKey { key: format!("AK-{name}"), secret: "key-secret".into() }]),
                ..UserSpec::named(name)
            };
            door.auth.apply(&door.auth.plan(Command::PutUser(user)).unwrap());
        }
        door
    }

    /// Who gets in with these messages, each made of the nonce in the challenge before.
    fn exchange(&self, mechanism: SaslMechanism, messages: Messages<'_>) -> Option<String> {
        let number = self.tried.fetch_add(1, Ordering::Relaxed);
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)), 1);
        let (mut exchange, mut challenge) = (SaslExchange::new(mechanism), String::new());
        for message in messages {
            match self.auth.sasl_step(exchange, &message(&challenge), from) {
                Ok(SaslStep::Done { session, .. }) => return Some(session.principal().to_string()),
                Ok(SaslStep::Challenge(text, next)) => {
                    (exchange, challenge) = (next, String::from_utf8(text).unwrap());
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
                    return None;
                }
            }
        }
        None
    }

    /// Who gets in with this; each attempt comes from an address of its own, so that none is slowed down.
    fn opens(&self, credentials: Credentials<'_>) -> Option<String> {
        let number = self.tried.fetch_add(1, Ordering::Relaxed);
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)), 1);
        match self.auth.login(credentials, from) {
            Ok(session) => Some(session.principal().to_string()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
                None
            }
        }
    }
}

const JWT_SECRET: &str = "a secret of the issuer, of more than 32 bytes";
const LEEWAY: u64 = 60;

fn issuer() -> JwtIssuer {
    JwtIssuer {
        issuer: "id.example".into(),
        audience: "sluice".into(),
        algorithms: vec![JwtAlgorithm::HS256],
        secret: Some(JWT_SECRET.into()),
        secret_file: None,
        public_key: None,
        public_key_file: None,
        jwks_file: None,
        jwks_url: None,
        jwks_ca_file: None,
        leeway: Span::secs(LEEWAY),
        user_claim: "sub".into(),
        roles_claim: Some("roles".into()),
        roles: Default::default(),
    }
}

/// The text without one end, for every length, and with something more at either end.
fn damaged(text: &str) -> Vec<String> {
    let cuts = text.char_indices().map(|(at, _)| text[..at].to_owned());
    let more = ["\0", " ", "\n", "\r\n", "=", "\u{200b}", "A"];
    let longer = more.iter().flat_map(|end| [format!("{text}{end}"), format!("{end}{text}")]);
    cuts.chain(longer).collect()
}

/// Names that people, or careless comparisons, take for another one.
fn lookalikes() -> Vec<&'static str> {
    vec![
        "Alice",
        "ALICE",
        "аlice",
        "alıce",
        "ａｌｉｃｅ",
        "alice\u{200b}",
        "\u{202e}alice",
        "alice\u{0301}",
        "alice ",
        " alice",
        "alice\0",
        "alice\n",
        "alice\r\nX-Admin: 1",
        "alice:bob",
        "User:alice",
        "Role:alice",
        "*",
        "",
        "gru\u{308}n",
        "GRÜN",
        "gr\u{fc}n\0",
    ]
}

#[test]
fn passwords() {
    let door = Door::new();
    let opens = |user: &str, password: &str| door.opens(Credentials::Password { user, password });
    assert_eq!(opens("alice", SECRET).as_deref(), Some("alice"));
    damaged(SECRET).iter().for_each(|secret| assert_eq!(opens("alice", secret), None, "{secret:?}"));
    lookalikes().iter().for_each(|name| assert_eq!(opens(name, SECRET), None, "{name:?}"));
    let long = "x".repeat(1 << 20);
    assert_eq!((opens("alice", &long), opens(&long, SECRET)), (None, None));
    assert_eq!(opens("AK-alice", SECRET), None, "a key has its own secret");
}

#[test]
fn signatures() {
    use hmac::{Hmac, KeyInit, Mac};
    let door = Door::new();
    let algorithm = HmacAlgorithm::Sha1;
    let sign = |secret: &str, content: &str| {
        let mac = <Hmac<sha1::Sha1> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
        mac.chain_update(content).finalize().into_bytes().to_vec()
    };
    let opens = |access_key: &str, content: &str, signature: &[u8]| {
        let content: [&[u8]; 1] = [content.as_bytes()];
        door.opens(Credentials::Hmac { access_key, algorithm, content: &content, signature })
    };
    let right = sign(SECRET, "content");
    assert_eq!(opens("alice", "content", &right).as_deref(), Some("alice"));
    // Without a time in it, a signature of one request is one of the same request for ever; that is that scheme.
    assert_eq!(opens("alice", "content", &right).as_deref(), Some("alice"));
    (0..right.len()).for_each(|length| assert_eq!(opens("alice", "content", &right[..length]), None));
    for bit in 0..right.len() * 8 {
        let mut flipped = right.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opens("alice", "content", &flipped), None, "bit {bit}");
    }
    assert_eq!(opens("alice", "content", &[&right[..], &right[..]].concat()), None);
    damaged("content").iter().for_each(|content| assert_eq!(opens("alice", content, &right), None));
    lookalikes().iter().for_each(|name| assert_eq!(opens(name, "content", &right), None, "{name:?}"));
    assert_eq!(opens("AK-alice", "content", &right), None);
    assert_eq!(
        opens("nobody", "content", &sign("", "content")),
        None,
        "the secret that unknown keys are tried with"
    );
}

#[test]
fn signed_requests() {
    use hmac::{Hmac, KeyInit, Mac};
    let door = Door::new();
    let scope = ["20231114", "local", "mq", "aws4_request"];
    let mac = |key: &[u8], text: &str| {
        let mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(key).unwrap();
        mac.chain_update(text).finalize().into_bytes().to_vec()
    };
    let key = scope.iter().fold(format!("AWS4{SECRET}").into_bytes(), |key, part| mac(&key, part));
    let right = mac(&key, "request");
    let opens = |scope: &[&str], prefix: &str, text: &str, signed_at: u64| {
        let (texts, key) = ([text.to_owned()], SigningKey::Scoped { prefix, scope });
        door.opens(Credentials::Request {
            access_key: "alice",
            key,
            texts: &texts,
            signature: &right,
            signed_at,
        })
    };
    assert_eq!(opens(&scope, "AWS4", "request", NOW).as_deref(), Some("alice"));
    for at in [NOW - 900_001, NOW + 900_001, 0, u64::MAX] {
        assert_eq!(opens(&scope, "AWS4", "request", at), None, "{at}");
    }
    door.clock.advance(900_001);
    assert_eq!(opens(&scope, "AWS4", "request", NOW), None, "replayed later");
    door.clock.set(NOW);
    assert_eq!(opens(&scope, "AWS5", "request", NOW), None);
    assert_eq!(opens(&scope[..3], "AWS4", "request", NOW), None);
    assert_eq!(opens(&["20231114", "local", "mq4", "aws4_request"], "AWS4", "request", NOW), None);
    assert_eq!(opens(&["20231114", "loca", "lmq", "aws4_request"], "AWS4", "request", NOW), None);
    damaged("request").iter().for_each(|text| assert_eq!(opens(&scope, "AWS4", text, NOW), None, "{text:?}"));
    let (texts, key) = ([], SigningKey::Scoped { prefix: "AWS4", scope: &scope });
    let none =
        Credentials::Request { access_key: "alice", key, texts: &texts, signature: &right, signed_at: NOW };
    assert_eq!(door.opens(none), None);
}

/// What a client that knows the secret answers to a challenge.
fn scram_answer(first: &str, challenge: &str, secret: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Digest;
    let mac = |key: &[u8], text: &[u8]| {
        let mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(key).unwrap();
        mac.chain_update(text).finalize().into_bytes().to_vec()
    };
    let xor = |a: &[u8], b: &[u8]| -> Vec<u8> { a.iter().zip(b).map(|(a, b)| a ^ b).collect() };
    let parts: Vec<&str> = challenge.splitn(3, ',').map(|part| &part[2..]).collect();
    let salt = STANDARD.decode(parts[1]).unwrap();
    let mut last = mac(secret.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
    let mut salted = last.clone();
    for _ in 1..parts[2].parse::<u32>().unwrap() {
        last = mac(secret.as_bytes(), &last);
        salted = xor(&salted, &last);
    }
    let said = format!("c=biws,r={}", parts[0]);
    let key = mac(&salted, b"Client Key");
    let signed = mac(&sha2::Sha256::digest(&key), format!("{first},{challenge},{said}").as_bytes());
    format!("{said},p={}", STANDARD.encode(xor(&key, &signed)))
}

#[test]
fn scram() {
    let door = Door::new();
    let first = "n=alice,r=nonce";
    let opening = |_: &str| format!("n,,{first}").into_bytes();
    let answer = |challenge: &str| scram_answer(first, challenge, SECRET).into_bytes();
    let opens = |messages: Messages<'_>| door.exchange(SaslMechanism::ScramSha256, messages);
    assert_eq!(opens(&[&opening, &answer]).as_deref(), Some("alice"));
    // An answer that was overheard belongs to another challenge.
    let heard = std::cell::RefCell::new(Vec::new());
    let overheard = |challenge: &str| {
        heard.replace(answer(challenge));
        heard.borrow().clone()
    };
    assert!(opens(&[&opening, &overheard]).is_some());
    assert_eq!(opens(&[&opening, &|_| heard.borrow().clone()]), None, "replayed");
    // Each of these costs a hash, so a few of each kind.
    for step in [1, 9, 40] {
        assert_eq!(opens(&[&opening, &|challenge| answer(challenge)[step..].to_vec()]), None);
        let cut = |challenge: &str| {
            let answer = answer(challenge);
            answer[..answer.len() - step].to_vec()
        };
        assert_eq!(opens(&[&opening, &cut]), None, "without the last {step}");
    }
    for end in ["\0", " ", "\n", "=", "A", ",x=1"] {
        let longer = |challenge: &str| [&answer(challenge)[..], end.as_bytes()].concat();
        assert_eq!(opens(&[&opening, &longer]), None, "{end:?}");
    }
    for name in lookalikes() {
        let name = name.replace('=', "=3D").replace(',', "=2C");
        let asked = |_: &str| format!("n,,n={name},r=nonce").into_bytes();
        assert_eq!(opens(&[&asked, &answer]), None, "{name:?}");
        let acting = |_: &str| format!("n,a={name},n=alice,r=nonce").into_bytes();
        assert_eq!(opens(&[&acting, &answer]), None, "acting as {name:?}");
    }
    assert_eq!(opens(&[&|_| vec![b'n'; 1 << 20]]), None);
    assert_eq!(opens(&[&opening, &|_| vec![b'c'; 1 << 20]]), None);
    assert_eq!(opens(&[&opening, &|_| Vec::new()]), None);
    assert_eq!(door.exchange(SaslMechanism::ScramSha512, &[&opening, &answer]), None, "another hash");
}

#[test]
fn sasl_tokens() {
    let door = Door::new();
    let plain = |token: &[u8]| door.exchange(SaslMechanism::Plain, &[&|_| token.to_vec()]);
    let right = format!("\0alice\0{SECRET}");
    assert_eq!(plain(right.as_bytes()).as_deref(), Some("alice"));
    for wrong in [
        &right[1..],
        "\0\0",
        "\0alice\0",
        &right.replace("\0alice", "root\0alice"),
        &right.replace("\0alice", "\0alice\0alice"),
        &format!("{right}\0"),
        &format!("{right}\n"),
        &"\0".repeat(1 << 10),
        "",
    ] {
        assert_eq!(plain(wrong.as_bytes()), None, "{wrong:?}");
    }
    let (token, new) = NewToken::generate("alice", "ci", NOW, None);
    door.auth.apply(&door.auth.plan(Command::PutToken(new)).unwrap());
    let bearer = |message: &str| {
        door.exchange(SaslMechanism::OAuthBearer, &[&|_| message.as_bytes().to_vec(), &|_| vec![1]])
    };
    assert_eq!(bearer(&format!("n,,\x01auth=Bearer {token}\x01\x01")).as_deref(), Some("alice"));
    for wrong in [
        format!("n,a=bob,\x01auth=Bearer {token}\x01\x01"),
        format!("n,,\x01auth=Bearer {token}\x01"),
        format!("n,,\x01auth=Bearer {token}\n\x01\x01"),
        format!("n,,\x01auth=Bearer {token}\x01auth=Bearer {token}\x01\x01"),
        format!("n,,\x01auth=Bearer{token}\x01\x01"),
        format!("n,,\x01auth=Bearer {}\x01\x01", "x".repeat(1 << 20)),
        token,
    ] {
        assert_eq!(bearer(&wrong), None, "{wrong:?}");
    }
}

#[test]
fn api_tokens() {
    let door = Door::new();
    let (token, new) = NewToken::generate("alice", "ci", NOW, None);
    door.auth.apply(&door.auth.plan(Command::PutToken(new)).unwrap());
    let bearer = |token: &str| door.opens(Credentials::Bearer { token });
    assert_eq!(bearer(&token).as_deref(), Some("alice"));
    damaged(&token).iter().for_each(|token| assert_eq!(bearer(token), None, "{token:?}"));
    assert_eq!(bearer(&token.to_uppercase()), None);
    assert_eq!(bearer(&format!("slc_{}", "x".repeat(1 << 20))), None);
    assert_eq!(bearer(&NewToken::id_of(&token)), None, "what is listed opens nothing");
    for user in lookalikes() {
        assert_eq!(door.opens(Credentials::Password { user, password: &token }), None, "{user:?}");
    }
}

/// A token that says this, signed by the issuer.
fn jwt(claims: &serde_json::Value) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use hmac::{Hmac, KeyInit, Mac};
    let said = format!("{}.{}", BASE64.encode(r#"{"alg":"HS256"}"#), BASE64.encode(claims.to_string()));
    let mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(JWT_SECRET.as_bytes()).unwrap();
    format!("{said}.{}", BASE64.encode(mac.chain_update(&said).finalize().into_bytes()))
}

#[test]
fn json_web_tokens() {
    let door = Door::new();
    let second = NOW / 1000;
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = serde_json::json!({
            "iss": "id.example", "aud": "sluice", "sub": "alice", "nbf": second, "exp": second + 100,
        });
        claims[name] = value;
        jwt(&claims)
    };
    let bearer = |token: &str| door.opens(Credentials::Bearer { token });
    let right = with("sub", "alice".into());
    assert_eq!(bearer(&right).as_deref(), Some("alice"));
    damaged(&right).iter().for_each(|token| assert_eq!(bearer(token), None, "{token:?}"));
    for at in 0..right.len() {
        let other = if &right[at..=at] == "B" { "C" } else { "B" };
        let changed = format!("{}{other}{}", &right[..at], &right[at + 1..]);
        assert_eq!(bearer(&changed), None, "another letter at {at}");
    }
    for (name, value) in [
        ("exp", (second - LEEWAY - 1).into()),
        ("exp", "never".into()),
        ("exp", serde_json::Value::Null),
        ("nbf", (second + LEEWAY + 1).into()),
        ("iss", "id.example.evil".into()),
        ("iss", serde_json::Value::Null),
        ("aud", "another".into()),
        ("sub", "x".repeat(1 << 20).into()),
        ("sub", serde_json::json!(["alice"])),
    ] {
        assert_eq!(bearer(&with(name, value)), None, "{name}");
    }
    for user in lookalikes() {
        assert_eq!(bearer(&with("sub", user.into())), None, "{user:?}");
        assert_eq!(door.opens(Credentials::Password { user, password: &right }), None, "{user:?}");
    }
    assert_eq!(bearer(&"a.".repeat(1 << 19)), None);
    door.clock.advance((100 + LEEWAY) * 1000);
    assert_eq!(bearer(&right), None, "replayed when its time is over");
}

/// What is said here no authority has to have signed: that is what TLS looks at, before anybody is asked who it is.
fn certificate(name: &str) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_after = rcgen::date_time_ymd(2024, 1, 1);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn certificates() {
    let door = Door::new();
    let opens = |der: &[u8]| door.opens(Credentials::Certificate { der });
    let right = certificate("alice");
    assert_eq!(opens(&right).as_deref(), Some("alice"));
    (0..right.len()).for_each(|length| assert_eq!(opens(&right[..length]), None, "{length} bytes"));
    for more in [&b"\0"[..], b"\n", &right] {
        assert_eq!(opens(&[&right[..], more].concat()), None, "something behind it");
        assert_eq!(opens(&[more, &right[1..]].concat()), None, "something in front of it");
    }
    assert_eq!(
        opens(&[&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF][..], &right].concat()),
        None,
        "four GiB, it says"
    );
    assert_eq!(opens(&vec![0x30; 1 << 20]), None);
    assert_eq!(opens(&certificate(&"a".repeat(1 << 16))), None);
    lookalikes().iter().for_each(|name| assert_eq!(opens(&certificate(name)), None, "{name:?}"));
    // 2024-01-01T00:00:00Z
    for (now, who) in [(1_704_067_199_999, Some("alice")), (1_704_067_200_000, None), (u64::MAX / 2, None)] {
        door.clock.set(now);
        assert_eq!(opens(&right).as_deref(), who, "at {now}");
    }
}

/// A name is data wherever it is written: it makes no line of its own, and no more than so many bytes.
#[test]
fn names_in_the_trail() {
    let door = Door::new();
    let evil = "eve\r\n2026-01-01 LOGIN root\u{1b}[2J";
    door.opens(Credentials::Password { user: evil, password: "x" });
    door.opens(Credentials::Password { user: &"e".repeat(1 << 20), password: "x" });
    let events = door.auth.audit(0, 10);
    let json = serde_json::to_string(&events).unwrap();
    assert!(!json.contains('\n') && !json.contains('\u{1b}') && json.len() < 2000, "{json}");
    assert_eq!(events.len(), 2);
}
