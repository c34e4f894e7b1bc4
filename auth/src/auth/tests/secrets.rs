//! Two live secrets, API tokens, and how secrets rest.

use super::*;

#[test]
fn two_secrets_are_accepted_and_each_is_removed_by_itself() {
    let (auth, _) = acl();
    put(&auth, UserSpec { secret: Some("one".into()), ..UserSpec::named("app") });
    let rotate = |secret: &str| Command::RotateSecret { user: "app".into(), secret: secret.into() };
    let remove = |which| Command::RemoveSecret { user: "app".into(), which };
    let works = |secret: &str| {
        let signed = login_with(&auth, "app", secret).is_ok();
        assert_eq!(signed, auth.login(password("app", secret), peer()).is_ok(), "as a password too");
        signed
    };
    run(&auth, rotate("two")).unwrap();
    assert!(works("one") && works("two") && !works("three"));
    assert!(auth.users()[0].has_previous_secret);
    assert_eq!(auth.users()[0].access_keys, ["app"]);
    assert_eq!(kind(run(&auth, rotate("three"))), Some(ErrorKind::Conflict));

    run(&auth, remove(WhichSecret::Previous)).unwrap();
    assert!(!works("one") && works("two"));
    assert_eq!(kind(run(&auth, remove(WhichSecret::Previous))), Some(ErrorKind::InvalidArgument));
    run(&auth, rotate("three")).unwrap();
    run(&auth, remove(WhichSecret::Current)).unwrap();
    assert!(works("two") && !works("three"), "the older one takes its place");
    run(&auth, remove(WhichSecret::Current)).unwrap();
    assert!(!works("two") && auth.users()[0].access_keys.is_empty());
    assert_eq!(kind(run(&auth, rotate(""))), Some(ErrorKind::InvalidArgument));
}

#[test]
fn a_file_may_have_two_secrets_too() {
    let (auth, _) = acl();
    let text = "[[users]]\nname = \"app\"\nsecret = \"two\"\nprevious_secret = \"one\"\n";
    run(&auth, Command::ReplaceFile(AclFile::parse(text).unwrap())).unwrap();
    assert!(login_with(&auth, "app", "one").is_ok() && login_with(&auth, "app", "two").is_ok());
}

#[test]
fn an_api_token_logs_in_until_it_ends_or_is_deleted() {
    let (auth, clock) = acl();
    put(&auth, UserSpec::named("app"));
    put(&auth, UserSpec { secret: Some("s".into()), ..UserSpec::named("other") });
    let (text, token) = NewToken::generate("app", "ci", clock.now(), Some(NOW + 1000));
    assert!(text.starts_with("slc_") && text.len() == 44);
    let id = token.id();
    let shown = format!("{token:?}");
    run(&auth, Command::PutToken(token)).unwrap();
    assert!(!shown.contains(&text) && !format!("{:?}", auth.snapshot()).contains(&text));

    let bearer = |text: &str| auth.login(Credentials::Bearer { token: text }, peer());
    let session = bearer(&text).unwrap();
    assert_eq!(session.principal(), "app");
    assert_eq!(auth.login(password("app", &text), peer()).unwrap().principal(), "app");
    assert!(!auth.is_costly(&password("app", &text)) && !auth.is_costly(&password("nobody", &text)));
    for (user, pass) in [("other", text.as_str()), ("app", "slc_"), ("nobody", text.as_str())] {
        assert_eq!(
            kind(auth.login(password(user, pass), peer())),
            Some(ErrorKind::Unauthenticated),
            "{user}"
        );
    }
    assert_eq!(kind(bearer(&format!("{text}x"))), Some(ErrorKind::Unauthenticated));
    put(&auth, UserSpec { enabled: Some(false), ..UserSpec::named("app") });
    assert!(bearer(&text).is_err());
    put(&auth, UserSpec { enabled: Some(true), ..UserSpec::named("app") });
    assert_eq!(auth.users()[0].tokens[0].id, id, "an update keeps tokens");

    clock.advance(1000);
    assert!(bearer(&text).unwrap_err().message().contains("expired"));
    assert_eq!(kind(auth.permit(&session, Action::Get, Resource::Cluster)), Some(ErrorKind::Unauthenticated));

    let (text, token) = NewToken::generate("app", "for ever", clock.now(), None);
    let second = token.id();
    run(&auth, Command::PutToken(token)).unwrap();
    bearer(&text).unwrap();
    run(&auth, Command::DeleteToken { user: "app".into(), id }).unwrap();
    bearer(&text).unwrap();
    run(&auth, Command::DeleteToken { user: "app".into(), id: second.clone() }).unwrap();
    assert!(bearer(&text).is_err());
    let again = Command::DeleteToken { user: "app".into(), id: second };
    assert_eq!(kind(run(&auth, again)), Some(ErrorKind::InvalidArgument));
    let (_, nobodys) = NewToken::generate("nobody", "x", NOW, None);
    assert_eq!(kind(run(&auth, Command::PutToken(nobodys))), Some(ErrorKind::InvalidArgument));
    let (_, unnamed) = NewToken::generate("app", "", NOW, None);
    assert_eq!(kind(run(&auth, Command::PutToken(unnamed))), Some(ErrorKind::InvalidArgument));
}

/// What is written down is sealed, what is read is opened, and a lost key is said, not guessed around.
#[test]
fn secrets_rest_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| DataKey::open_or_create(&folder.path().join(name)).unwrap();
    let sealing = || acl().0.with_data_key(key("k"));
    let auth = sealing();
    let change = auth.plan(Command::PutUser(alice())).unwrap();
    let mut bytes = postcard::to_stdvec(&change).unwrap();
    auth.apply(&change);
    let text = "[[users]]\nname = \"app\"\nsecret = \"from-the-file\"\n";
    let file = auth.plan(Command::ReplaceFile(AclFile::parse(text).unwrap())).unwrap();
    auth.apply(&file);
    bytes.extend(postcard::to_stdvec(&file).unwrap());
    bytes.extend(postcard::to_stdvec(&auth.snapshot()).unwrap());
    let written = String::from_utf8_lossy(&bytes);
    for secret in ["rabbit-hole", "tea-party", "from-the-file"] {
        assert!(!written.contains(secret), "{written}");
    }
    login_with(&auth, "AK1", "tea-party").unwrap();
    login_with(&auth, "app", "from-the-file").unwrap();

    let copy = sealing();
    auth.snapshot().iter().for_each(|change| copy.apply(change));
    copy.check_secrets().unwrap();
    assert_eq!(copy.snapshot(), auth.snapshot());
    login_with(&copy, "alice", "rabbit-hole").unwrap();

    for (without, expected) in
        [(acl().0.with_data_key(key("new")), "put that file back"), (acl().0, "no data key")]
    {
        auth.snapshot().iter().for_each(|change| without.apply(change));
        let error = without.check_secrets().unwrap_err();
        assert!(error.message().contains("alice") && error.message().contains(expected), "{error}");
        assert!(error.message().contains("auth.accept_lost_secrets"), "{error}");
        assert!(
            login_with(&without, "alice", "rabbit-hole").is_err()
                && login_with(&without, "alice", "").is_err()
        );
        let saved = without.snapshot();
        let restored = sealing();
        saved.iter().for_each(|change| restored.apply(change));
        login_with(&restored, "alice", "rabbit-hole").expect("nothing was lost meanwhile");
    }
}

#[test]
fn a_lost_key_can_be_lived_with_when_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| DataKey::open_or_create(&folder.path().join(name)).unwrap();
    let auth = acl().0.with_data_key(key("old"));
    put(&auth, alice());
    let config = Config { accept_lost_secrets: true, ..Config::default() };
    let after = Auth::acl(config, Arc::new(ManualClock::new(NOW))).unwrap().with_data_key(key("new"));
    auth.snapshot().iter().for_each(|change| after.apply(change));
    after.check_secrets().unwrap();
    assert!(login_with(&after, "alice", "rabbit-hole").is_err());
    after.login(password("alice", "wonderland"), peer()).expect("passwords do not need the key");
    put(&after, UserSpec { secret: Some("new-secret".into()), ..UserSpec::named("alice") });
    login_with(&after, "alice", "new-secret").unwrap();
}
