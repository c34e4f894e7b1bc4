//! What somebody sends who wants to get in, or to write into our logs, for each kind of proof.

#![allow(clippy::unwrap_used, reason = "a test")]

use sluice_auth::{
    AccessKey, Auth, Command, Config, Credentials, HmacAlgorithm, NewToken, SigningKey, UserSpec,
};
use sluice_model::{ErrorKind, ManualClock};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const NOW: u64 = 1_700_000_000_000;
const SECRET: &str = "rabbit-hole-secret";

struct Door {
    auth: Auth,
    clock: Arc<ManualClock>,
    tried: AtomicU32,
}

impl Door {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let auth = Auth::acl(Config::default(), clock.clone()).unwrap();
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
