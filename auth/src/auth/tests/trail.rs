//! What is noted, and what failing costs.

use super::*;

/// The trail without times and numbers.
fn trail(auth: &Auth) -> Vec<(AuditKind, String, String, u64)> {
    auth.audit(0, 1000).into_iter().map(|event| (event.kind, event.user, event.detail, event.count)).collect()
}

#[test]
fn the_trail_has_logins_failures_denials_and_changes_and_no_secret() {
    let (auth, clock) = acl();
    let root = UserSpec { superuser: Some(true), secret: Some("sesame".into()), ..UserSpec::named("root") };
    put(&auth, root);
    let change = auth.plan(Command::PutUser(alice())).unwrap();
    let root = auth.login(password("root", "sesame"), peer()).unwrap();
    auth.apply(&change);
    auth.note_change(Some(&root), &change);
    auth.note_change(None, &change);
    for _ in 0..3 {
        auth.login(password("alice", "rabbit-hole"), peer()).unwrap();
    }
    for (user, secret) in [("alice", "wrong-secret"), ("alice", "wrong-secret"), ("nobody", "wrong-secret")] {
        auth.login(password(user, secret), peer()).unwrap_err();
    }
    auth.login(Credentials::Anonymous, peer()).unwrap_err();
    auth.login(Credentials::Bearer { token: "wrong-secret" }, peer()).unwrap_err();
    put(&auth, UserSpec { enabled: Some(false), ..alice() });
    auth.login(password("alice", "rabbit-hole"), peer()).unwrap_err();
    put(&auth, UserSpec { enabled: Some(true), ..alice() });
    let session = auth.login(password("alice", "rabbit-hole"), peer()).unwrap();
    auth.permit_any(&session, &[Action::Pub, Action::Sub], Resource::Cluster).unwrap_err();
    assert!(!auth.may(&session, Action::Get, Resource::Cluster), "not noted");

    let denied = "User:alice has no permission to Pub Cluster from 10.0.0.1, no matched policies";
    let expected = [
        (AuditKind::Login, "root", "", 1),
        (AuditKind::Changed, "root", "put User:alice", 1),
        (AuditKind::Changed, "", "put User:alice", 1),
        (AuditKind::Login, "alice", "", 1),
        (AuditKind::LoginFailed, "alice", "password: wrong_secret", 2),
        (AuditKind::LoginFailed, "nobody", "password: unknown_user", 1),
        (AuditKind::LoginFailed, "", "none: no_credentials", 1),
        (AuditKind::LoginFailed, "", "bearer: invalid_token", 1),
        (AuditKind::LoginFailed, "alice", "password: disabled", 1),
        (AuditKind::Denied, "alice", denied, 1),
    ];
    let expected =
        expected.map(|(kind, user, detail, count)| (kind, user.to_owned(), detail.to_owned(), count));
    assert_eq!(trail(&auth), expected);
    let text = serde_json::to_string(&auth.audit(0, 1000)).unwrap();
    for secret in ["sesame", "rabbit-hole", "wrong-secret", "wonderland", "tea-party"] {
        assert!(!text.contains(secret), "{text}");
    }
    clock.advance(60_000);
    let seen = auth.audit(0, 1000).last().unwrap().number;
    auth.login(password("alice", "rabbit-hole"), peer()).unwrap();
    assert_eq!(auth.audit(seen, 10).len(), 1, "a minute later it is news again");
}

#[test]
fn repeated_failures_slow_their_source_down_and_nobody_else() {
    let (auth, clock) = acl();
    put(&auth, alice());
    let elsewhere: SocketAddr = "10.0.0.2:1".parse().unwrap();
    for _ in 0..6 {
        assert_eq!(kind(login_with(&auth, "AK1", "wrong")), Some(ErrorKind::Unauthenticated));
    }
    assert_eq!(kind(login_with(&auth, "AK1", "tea-party")), Some(ErrorKind::Throttled), "unseen");
    auth.login(password("AK1", "tea-party"), elsewhere).unwrap();
    login_with(&auth, "alice", "rabbit-hole").expect("another name from the same source");
    clock.advance(250);
    login_with(&auth, "AK1", "tea-party").unwrap();
    for _ in 0..3 {
        let _ = login_with(&auth, "AK1", "wrong");
    }
    assert_eq!(kind(login_with(&auth, "AK1", "tea-party")), Some(ErrorKind::Throttled));
    put(&auth, alice());
    login_with(&auth, "AK1", "tea-party").expect("a change of users forgives");
}

#[test]
fn a_token_that_is_wrong_slows_down_itself_and_no_other() {
    let (auth, _) = acl();
    let shown = |token: &str| kind(auth.login(Credentials::Bearer { token }, peer()));
    (0..20).for_each(|n| assert_eq!(shown(&format!("wrong {n}")), Some(ErrorKind::Unauthenticated)));
    (0..6).for_each(|_| assert_eq!(shown("again"), Some(ErrorKind::Unauthenticated)));
    assert_eq!(shown("again"), Some(ErrorKind::Throttled));
    assert_eq!(shown("another"), Some(ErrorKind::Unauthenticated));
}
