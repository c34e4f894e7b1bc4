//! What a connection has proven is remembered, and never for longer than it is true.

use super::*;
use sha1::Sha1;

fn sign(secret: &str, content: &[u8]) -> Vec<u8> {
    let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.chain_update(content).finalize().into_bytes().to_vec()
}

/// Asks once more over the same connection.
fn ask(auth: &Auth, proven: &mut Proven, access_key: &str, secret: &str) -> Result<Session> {
    let signature = sign(secret, b"alice-topic");
    let credentials = Credentials::Hmac {
        access_key,
        algorithm: HmacAlgorithm::Sha1,
        content: &[b"alice-", b"topic"],
        signature: &signature,
    };
    auth.login_again(proven, credentials, peer())
}

#[test]
fn every_request_is_proven_by_its_own_signature() {
    let (auth, _) = acl();
    put(&auth, alice());
    let mut proven = Proven::default();
    for _ in 0..3 {
        assert_eq!(ask(&auth, &mut proven, "alice", "rabbit-hole").unwrap().principal(), "alice");
        assert_eq!(kind(ask(&auth, &mut proven, "alice", "wrong")), Some(ErrorKind::Unauthenticated));
        assert_eq!(kind(ask(&auth, &mut proven, "nobody", "rabbit-hole")), Some(ErrorKind::Unauthenticated));
        // Another key of the same user has another secret.
        assert_eq!(kind(ask(&auth, &mut proven, "AK1", "rabbit-hole")), Some(ErrorKind::Unauthenticated));
        assert_eq!(ask(&auth, &mut proven, "AK1", "tea-party").unwrap().principal(), "alice");
        auth.apply(&auth.plan(Command::PutUser(alice())).unwrap()); // forgives the failures
    }
}

#[test]
fn a_change_of_users_is_seen_by_the_next_request() {
    let (auth, _) = acl();
    put(&auth, alice());
    let mut proven = Proven::default();
    let session = ask(&auth, &mut proven, "alice", "rabbit-hole").unwrap();
    run(&auth, Command::RotateSecret { user: "alice".into(), secret: "new".into() }).unwrap();
    assert!(ask(&auth, &mut proven, "alice", "rabbit-hole").unwrap().is_same_proof(&session));
    assert!(!ask(&auth, &mut proven, "alice", "new").unwrap().is_same_proof(&session));
    let remove = Command::RemoveSecret { user: "alice".into(), which: WhichSecret::Previous };
    run(&auth, remove).unwrap();
    assert!(ask(&auth, &mut proven, "alice", "rabbit-hole").is_err());
    ask(&auth, &mut proven, "alice", "new").unwrap();
    put(&auth, UserSpec { enabled: Some(false), ..UserSpec::named("alice") });
    assert!(ask(&auth, &mut proven, "alice", "new").is_err());
    put(&auth, UserSpec { enabled: Some(true), ..UserSpec::named("alice") });
    let before = ask(&auth, &mut proven, "alice", "new").unwrap();
    put(&auth, UserSpec { superuser: Some(true), ..UserSpec::named("root") });
    run(&auth, Command::DeleteUser("alice".into())).unwrap();
    assert!(ask(&auth, &mut proven, "alice", "new").is_err());
    put(&auth, UserSpec { secret: Some("new".into()), ..UserSpec::named("alice") });
    let another = ask(&auth, &mut proven, "alice", "new").unwrap();
    assert!(!another.is_same_proof(&before), "a later user of the same name");
}

#[test]
fn another_connection_starts_from_the_beginning() {
    let (auth, _) = acl();
    put(&auth, alice());
    let mut proven = Proven::default();
    ask(&auth, &mut proven, "alice", "rabbit-hole").unwrap();
    let signature = sign("rabbit-hole", b"x");
    let credentials = Credentials::Hmac {
        access_key: "alice",
        algorithm: HmacAlgorithm::Sha1,
        content: &[b"x"],
        signature: &signature,
    };
    let other: SocketAddr = "10.0.0.2:1".parse().unwrap();
    assert_eq!(auth.login_again(&mut proven, credentials, other).unwrap().peer(), other);
    let open = Auth::open();
    assert!(open.login_again(&mut Proven::default(), credentials, other).unwrap().is_anonymous());
}
