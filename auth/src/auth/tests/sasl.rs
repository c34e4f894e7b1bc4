//! Exchanges as clients make them; the client's side of SCRAM is written down once more here.

use super::*;
use crate::{NewScram, SaslExchange, SaslMechanism, SaslStep, ScramMechanism};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha512};

fn done(step: SaslStep) -> (Session, Vec<u8>) {
    match step {
        SaslStep::Done { session, last } => (session, last),
        SaslStep::Challenge(text, _) => panic!("asked {}", String::from_utf8_lossy(&text)),
    }
}

fn challenge(step: SaslStep) -> (String, SaslExchange) {
    match step {
        SaslStep::Challenge(text, exchange) => (String::from_utf8(text).unwrap(), exchange),
        SaslStep::Done { session, .. } => panic!("let {session:?} in"),
    }
}

fn one(auth: &Auth, mechanism: SaslMechanism, token: &[u8]) -> Result<SaslStep> {
    auth.sasl_step(SaslExchange::new(mechanism), token, peer())
}

/// SaltedPassword, and with it the proof and the signature that are due.
struct Client {
    mechanism: ScramMechanism,
    password: String,
}

impl Client {
    fn hmac(&self, key: &[u8], text: &[u8]) -> Vec<u8> {
        match self.mechanism {
            ScramMechanism::Sha256 => {
                let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
                mac.chain_update(text).finalize().into_bytes().to_vec()
            }
            ScramMechanism::Sha512 => {
                let mac = <Hmac<Sha512> as KeyInit>::new_from_slice(key).unwrap();
                mac.chain_update(text).finalize().into_bytes().to_vec()
            }
        }
    }

    fn salted(&self, salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut last = self.hmac(self.password.as_bytes(), &[salt, &[0, 0, 0, 1]].concat());
        let mut sum = last.clone();
        for _ in 1..iterations {
            last = self.hmac(self.password.as_bytes(), &last);
            sum.iter_mut().zip(&last).for_each(|(sum, last)| *sum ^= last);
        }
        sum
    }

    fn answer(&self, first: &str, challenge: &str) -> (String, String) {
        let parts: Vec<&str> = challenge.splitn(3, ',').map(|part| &part[2..]).collect();
        let salted = self.salted(&STANDARD.decode(parts[1]).unwrap(), parts[2].parse().unwrap());
        let said = format!("c=biws,r={}", parts[0]);
        let all = format!("{first},{challenge},{said}");
        let key = self.hmac(&salted, b"Client Key");
        let stored = match self.mechanism {
            ScramMechanism::Sha256 => Sha256::digest(&key).to_vec(),
            ScramMechanism::Sha512 => Sha512::digest(&key).to_vec(),
        };
        let signed = self.hmac(&stored, all.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signed).map(|(key, signed)| key ^ signed).collect();
        let signature = self.hmac(&self.hmac(&salted, b"Server Key"), all.as_bytes());
        (format!("{said},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(signature)))
    }
}

fn sasl(mechanism: ScramMechanism) -> SaslMechanism {
    mechanism.name().parse().unwrap()
}

/// A whole exchange; the client, too, is content.
fn scram(auth: &Auth, mechanism: ScramMechanism, user: &str, password: &str) -> Result<Session> {
    let first = format!("n={user},r=client-nonce");
    let step = one(auth, sasl(mechanism), format!("n,,{first}").as_bytes())?;
    let (text, exchange) = challenge(step);
    assert!(text.starts_with("r=client-nonce") && exchange.is_costly());
    let client = Client { mechanism, password: password.to_owned() };
    let (answer, signature) = client.answer(&first, &text);
    let (session, last) = done(auth.sasl_step(exchange, answer.as_bytes(), peer())?);
    assert_eq!(String::from_utf8(last).unwrap(), signature);
    Ok(session)
}

#[test]
fn a_password_a_secret_and_a_key_prove_themselves_by_scram() {
    let (auth, _) = acl();
    put(&auth, alice());
    for mechanism in ScramMechanism::ALL {
        for (user, password) in [("alice", "wonderland"), ("alice", "rabbit-hole"), ("AK1", "tea-party")] {
            assert_eq!(scram(&auth, mechanism, user, password).unwrap().principal(), "alice");
        }
        for (user, password) in
            [("alice", "wrong"), ("alice", "tea-party"), ("AK1", "wonderland"), ("bob", "")]
        {
            assert_eq!(kind(scram(&auth, mechanism, user, password)), Some(ErrorKind::Unauthenticated));
        }
    }
    run(&auth, Command::RotateSecret { user: "alice".into(), secret: "new-secret".into() }).unwrap();
    for password in ["rabbit-hole", "new-secret"] {
        scram(&auth, ScramMechanism::Sha256, "alice", password).unwrap();
    }
}

#[test]
fn a_session_ends_with_what_it_was_proven_with() {
    let (auth, _) = acl();
    put(&auth, alice());
    let by_password = scram(&auth, ScramMechanism::Sha256, "alice", "wonderland").unwrap();
    let by_secret = scram(&auth, ScramMechanism::Sha512, "alice", "rabbit-hole").unwrap();
    put(&auth, UserSpec { password: Some("another".into()), ..UserSpec::named("alice") });
    assert!(auth.revoked(&by_password) && !auth.revoked(&by_secret));
    assert!(scram(&auth, ScramMechanism::Sha256, "alice", "wonderland").is_err());
    scram(&auth, ScramMechanism::Sha256, "alice", "another").unwrap();
    put(&auth, UserSpec { enabled: Some(false), ..UserSpec::named("alice") });
    assert!(auth.revoked(&by_secret));
    let error = scram(&auth, ScramMechanism::Sha512, "alice", "rabbit-hole").unwrap_err();
    assert_eq!(Reason::of(&error), Reason::Disabled);
}

/// The same password again keeps what was made of it; a hash alone makes nothing.
#[test]
fn what_is_kept_follows_the_password() {
    let (auth, _) = acl();
    let file = |text: &str| run(&auth, Command::ReplaceFile(AclFile::parse(text).unwrap())).unwrap();
    let kept = || auth.users()[0].scram.len();
    file("[[users]]\nname = \"a\"\npassword = \"p\"");
    assert_eq!(kept(), 2);
    let change =
        auth.plan(Command::ReplaceFile(AclFile::parse("[[users]]\nname = \"a\"\npassword = \"p\"").unwrap()));
    assert!(auth.is_in_force(&change.unwrap()));
    file("[[users]]\nname = \"a\"\nsecret = \"s\"");
    assert_eq!(kept(), 0);
    let hash = crate::password::hash("p").unwrap();
    file(&format!("[[users]]\nname = \"a\"\npassword_hash = \"{hash}\""));
    assert_eq!(kept(), 0);
    assert!(scram(&auth, ScramMechanism::Sha256, "a", "p").is_err());
}

#[test]
fn credentials_that_a_tool_has_hashed() {
    let (auth, _) = acl();
    let client = Client { mechanism: ScramMechanism::Sha256, password: "from-the-tool".into() };
    let new = NewScram {
        user: "stream-app".into(),
        mechanism: ScramMechanism::Sha256,
        iterations: 4096,
        salt: b"salt".to_vec(),
        salted_password: client.salted(b"salt", 4096),
    };
    run(&auth, Command::PutScram(new.clone())).unwrap();
    let session = scram(&auth, ScramMechanism::Sha256, "stream-app", "from-the-tool").unwrap();
    assert_eq!(session.principal(), "stream-app");
    assert!(scram(&auth, ScramMechanism::Sha512, "stream-app", "from-the-tool").is_err());
    assert_eq!(
        kind(auth.plan(Command::PutScram(NewScram { iterations: 1, ..new }))),
        Some(ErrorKind::InvalidArgument)
    );

    // What is kept outlives a restart.
    let (copy, _) = acl();
    auth.snapshot().iter().for_each(|change| copy.apply(change));
    scram(&copy, ScramMechanism::Sha256, "stream-app", "from-the-tool").unwrap();

    let delete = || Command::DeleteScram { user: "stream-app".into(), mechanism: ScramMechanism::Sha256 };
    run(&auth, delete()).unwrap();
    assert!(auth.revoked(&session));
    assert_eq!(kind(run(&auth, delete())), Some(ErrorKind::InvalidArgument));
    assert!(scram(&auth, ScramMechanism::Sha256, "stream-app", "from-the-tool").is_err());
}

/// A challenge looks the same for everybody, and is the same for one name.
#[test]
fn a_challenge_does_not_tell_who_exists() {
    let folder = tempfile::tempdir().unwrap();
    let door = || {
        let (auth, _) = acl();
        let auth = auth.with_data_key(DataKey::open_or_create(&folder.path().join("k")).unwrap());
        put(&auth, UserSpec { secret: Some("s".into()), ..UserSpec::named("alice") });
        auth
    };
    let asked = |auth: &Auth, user: &str| {
        let step = one(auth, SaslMechanism::ScramSha256, format!("n,,n={user},r=x").as_bytes()).unwrap();
        challenge(step).0.split_once(',').unwrap().1.to_owned()
    };
    let (first, second) = (door(), door());
    for user in ["alice", "nobody"] {
        assert_eq!(asked(&first, user), asked(&second, user), "after a restart");
        assert_eq!(asked(&first, user).len(), asked(&first, "else").len());
    }
    assert_ne!(asked(&first, "alice"), asked(&first, "nobody"));
}

#[test]
fn plain_and_tokens_end_in_the_same_login() {
    let (auth, _) = acl();
    put(&auth, alice());
    let plain = |token: &[u8]| one(&auth, SaslMechanism::Plain, token).map(|step| done(step).0);
    assert_eq!(plain(b"\0alice\0wonderland").unwrap().principal(), "alice");
    assert_eq!(plain(b"alice\0AK1\0tea-party").err().map(|e| Reason::of(&e)), Some(Reason::Malformed));
    assert_eq!(kind(plain(b"\0alice\0wrong")), Some(ErrorKind::Unauthenticated));

    let (token, new) = NewToken::generate("alice", "label", NOW, None);
    run(&auth, Command::PutToken(new)).unwrap();
    assert_eq!(plain(format!("\0alice\0{token}").as_bytes()).unwrap().principal(), "alice");
    let bearer = |asked_as: &str, token: &str| {
        one(
            &auth,
            SaslMechanism::OAuthBearer,
            format!("n,{asked_as},\x01auth=Bearer {token}\x01\x01").as_bytes(),
        )
    };
    for asked_as in ["", "a=alice"] {
        assert_eq!(done(bearer(asked_as, &token).unwrap()).0.principal(), "alice");
    }
    for (asked_as, token) in [("", "slc_nothing"), ("", "a.b.c"), ("a=bob", &token)] {
        let (told, exchange) = challenge(bearer(asked_as, token).unwrap());
        assert_eq!(told, r#"{"status":"invalid_token"}"#);
        assert_eq!(kind(auth.sasl_step(exchange, b"\x01", peer())), Some(ErrorKind::Unauthenticated));
    }
}

#[test]
fn failures_are_noted_and_slow_down() {
    let (auth, _) = acl();
    put(&auth, alice());
    for _ in 0..6 {
        assert_eq!(
            kind(scram(&auth, ScramMechanism::Sha256, "alice", "wrong")),
            Some(ErrorKind::Unauthenticated)
        );
    }
    assert_eq!(kind(scram(&auth, ScramMechanism::Sha256, "alice", "wonderland")), Some(ErrorKind::Throttled));
    let said: Vec<String> = auth.audit(0, 100).into_iter().map(|event| event.detail).collect();
    assert!(said.contains(&"scram: wrong_secret".to_owned()), "{said:?}");
    assert!(one(&auth, SaslMechanism::ScramSha256, b"nonsense").is_err());
    let said = auth.audit(0, 100).pop().unwrap().detail;
    assert_eq!(said, "scram: malformed");
}

#[test]
fn an_open_broker_lets_in_whom_it_can() {
    let auth = Auth::open();
    assert!(done(one(&auth, SaslMechanism::Plain, b"\0anyone\0anything").unwrap()).0.is_anonymous());
    let bearer = one(&auth, SaslMechanism::OAuthBearer, b"n,,\x01auth=Bearer t\x01\x01").unwrap();
    assert!(done(bearer).0.is_anonymous());
    // It could not show that it knows the secret.
    let error = one(&auth, SaslMechanism::ScramSha512, b"n,,n=a,r=x").unwrap_err();
    assert!(error.message().contains("auth.mode=open"), "{error}");
}
