//! What somebody sends to the listeners of Kafka and of remoting who wants to get in without being anybody.
//!
//! The proofs themselves are tried in `auth`; here is what surrounds them: Kafka's frames, their lengths and their order,
//! and the fields of remoting. After each attempt nothing may be asked for, and others are served as before. HTTP and STOMP
//! have such a suite of their own, in their crates.

use crate::kafka::{Kafka, frame, metadata};
use crate::line::Line;
use crate::words::{remoting, remoting_by, signed};
use crate::{PATIENCE, USERS, change};
use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use serde_json::{Map, Value, json};
use sluice_auth::Mode;
use sluice_tests::TestServer;
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;

const SECRET: &str = "apps-secret";

/// Names that people, or careless comparisons, take for `app`.
const LOOKALIKES: [&str; 12] = [
    "App",
    "APP",
    "аpp",
    "ａｐｐ",
    "app\u{200b}",
    "app ",
    " app",
    "app\n",
    "app\r\nroot",
    "*",
    "User:app",
    "",
];

fn guarded() -> TestServer {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, &format!("{USERS}\n[[users]]\nname = \"other\"\nsecret = \"{SECRET}\"\n"));
    server
}

fn handshake(mechanism: &str) -> Vec<u8> {
    let mechanism = StrBytes::from_string(mechanism.to_owned());
    frame(1, 1, &SaslHandshakeRequest::default().with_mechanism(mechanism))
}

fn token(bytes: impl Into<Bytes>) -> Vec<u8> {
    frame(2, 2, &SaslAuthenticateRequest::default().with_auth_bytes(bytes.into()))
}

fn plain(user: &str, secret: &str) -> Vec<u8> {
    token(format!("\0{user}\0{secret}").into_bytes())
}

/// What somebody hears to the end who says all this and then asks for something: the connection must end by itself.
fn heard(server: &TestServer, said: &[Vec<u8>]) -> Vec<u8> {
    let mut line = Line::open(server, "kafka");
    line.0.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    for said in said {
        // Whoever is refused is not read any more.
        if line.0.write_all(said).is_err() {
            break;
        }
    }
    let _ = line.0.write_all(&frame(9, 99, &metadata("t")));
    let mut heard = Vec::new();
    match line.0.read_to_end(&mut heard) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection does not end: {error}"),
    }
    heard
}

/// Whether one of the responses is that to the question behind the login.
fn was_served(heard: &[u8]) -> bool {
    let mut rest = heard;
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if more.first_chunk() == Some(&99_i32.to_be_bytes()) {
            return true;
        }
        rest = more.get(length..).unwrap_or_default();
    }
    false
}

#[test]
fn nobody_gets_in_over_kafka_by_odd_frames() {
    let server = guarded();
    let right = plain("app", SECRET);
    let attempts: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("no login", vec![]),
        ("no mechanism", vec![right.clone()]),
        ("an unknown mechanism", vec![handshake("GSSAPI"), right.clone()]),
        ("a mechanism in small letters", vec![handshake("plain"), right.clone()]),
        ("a mechanism with a line break", vec![handshake("PLAIN\r\nPLAIN"), right.clone()]),
        ("another mechanism's token", vec![handshake("SCRAM-SHA-256"), right.clone()]),
        ("an empty token", vec![handshake("PLAIN"), token(Bytes::new())]),
        (
            "something else behind a right login",
            vec![handshake("PLAIN"), [right.clone(), b"more".to_vec()].concat()],
        ),
        ("half a token", vec![handshake("PLAIN"), right[..right.len() - 4].to_vec()]),
        ("a token without end", vec![handshake("PLAIN"), token(vec![b'x'; 1 << 20])]),
        ("a frame that says it has two GiB", vec![i32::MAX.to_be_bytes().to_vec()]),
        ("a frame of less than nothing", vec![(-1_i32).to_be_bytes().to_vec()]),
        ("no text", vec![handshake("PLAIN"), token(vec![0, 0xff, 0xfe, 0, 0x80])]),
    ];
    for (what, said) in attempts {
        assert!(!was_served(&heard(&server, &said)), "{what}");
    }
    Kafka::known(&server);
}

#[test]
fn nobody_gets_in_over_kafka_by_a_name_that_looks_right() {
    let server = guarded();
    for user in LOOKALIKES {
        assert!(!was_served(&heard(&server, &[handshake("PLAIN"), plain(user, SECRET)])), "{user:?}");
    }
    Kafka::known(&server);
}

/// An answer to one challenge is none to another, and what one connection has proven another one has not.
#[test]
fn what_was_overheard_opens_nothing_over_kafka() {
    let server = guarded();
    let opening = token(&b"n,,n=app,r=nonce"[..]);
    let proof = token(&b"c=biws,r=nonceAAAA,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="[..]);
    for said in [
        vec![handshake("SCRAM-SHA-256"), opening.clone(), proof.clone()],
        vec![handshake("SCRAM-SHA-256"), proof],
    ] {
        assert!(!was_served(&heard(&server, &said)));
    }
    let _known = Kafka::known(&server);
    assert!(!was_served(&heard(&server, &[])), "another connection's login");
    let again = [handshake("PLAIN"), plain("app", SECRET), handshake("PLAIN"), plain("other", SECRET)];
    assert!(!was_served(&heard(&server, &again)), "who it is cannot be changed to somebody else");
}

/// What a request for all topics is answered with; each comes from an address of its own, so that none is slowed down.
fn asked(server: &TestServer, number: usize, request: &[u8]) -> String {
    let [high, low] = (number as u16).to_be_bytes();
    let mut line = Line::open_from(server, "remoting", Ipv4Addr::new(127, 44, high, low));
    line.ask(request, "\"code\":")
}

#[test]
fn nobody_gets_in_over_remoting_by_odd_fields() {
    const ALL_TOPICS: i32 = 21;
    let server = guarded();
    let right = signed(Map::new(), "");
    let signature = right["Signature"].as_str().expect("a text").to_owned();
    let with = |name: &str, value: &str| -> Value {
        let mut fields = right.clone();
        fields[name] = json!(value);
        fields
    };
    assert!(asked(&server, 0, &remoting(ALL_TOPICS, right.clone(), "")).contains("\"code\":0"));
    let mut attempts: Vec<(String, Vec<u8>)> = LOOKALIKES
        .iter()
        .map(|user| (format!("the name {user:?}"), remoting_by(user, SECRET)))
        .chain([
            ("another user's name".to_owned(), remoting(ALL_TOPICS, with("AccessKey", "other"), "")),
            ("nothing but a name".to_owned(), remoting(ALL_TOPICS, json!({"AccessKey": "app"}), "")),
            ("nothing but a signature".to_owned(), remoting(ALL_TOPICS, json!({"Signature": signature}), "")),
            ("another body".to_owned(), remoting(ALL_TOPICS, right.clone(), "x")),
            ("one more field".to_owned(), remoting(ALL_TOPICS, with("topic", "t"), "")),
            ("a name without end".to_owned(), remoting_by(&"a".repeat(1 << 16), SECRET)),
        ])
        .collect();
    let cut = (0..signature.len()).map(|length| signature[..length].to_owned());
    let longer = ["=", "A", " ", "\n", "\0", &signature].map(|end| format!("{signature}{end}"));
    let others = [format!(" {signature}"), signature.to_lowercase(), "é".repeat(28), "A".repeat(1 << 16)];
    for signature in cut.chain(longer).chain(others) {
        let request = remoting(ALL_TOPICS, with("Signature", &signature), "");
        attempts.push((format!("the signature {signature:?}"), request));
    }
    for (number, (what, request)) in attempts.iter().enumerate() {
        let told = asked(&server, number + 1, request);
        assert!(told.contains("\"code\":16"), "{what}: {told}");
        assert!(!told.contains("root") && !told.contains(SECRET), "{what}: {told}");
    }
    assert!(asked(&server, attempts.len() + 1, &remoting(ALL_TOPICS, right, "")).contains("\"code\":0"));
}
