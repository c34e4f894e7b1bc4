use super::*;
use crate::{AccessKey, AclFile, HmacAlgorithm, NewToken, RoleSpec, UserSpec, WhichSecret};
use hmac::{Hmac, KeyInit, Mac};
use sluice_model::{GroupName, ManualClock, Millis, TopicName};

const NOW: Millis = 1_700_000_000_000;

fn peer() -> SocketAddr {
    "10.0.0.1:40000".parse().unwrap()
}

fn acl() -> (Auth, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    (Auth::acl(Config::default(), clock.clone()).unwrap(), clock)
}

fn run(auth: &Auth, command: Command) -> Result<()> {
    auth.plan(command).map(|change| auth.apply(&change))
}

fn put(auth: &Auth, spec: UserSpec) {
    run(auth, Command::PutUser(spec)).unwrap();
}

fn alice() -> UserSpec {
    UserSpec {
        password: Some("wonderland".into()),
        secret: Some("rabbit-hole".into()),
        access_keys: Some(vec![AccessKey { key: "AK1".into(), secret: "tea-party".into() }]),
        ..UserSpec::named("alice")
    }
}

fn password<'a>(user: &'a str, password: &'a str) -> Credentials<'a> {
    Credentials::Password { user, password }
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn open_mode_lets_everyone_do_everything() {
    let auth = Auth::open();
    assert_eq!(auth.mode(), Mode::Open);
    let session = auth.login(password("anyone", "anything"), peer()).unwrap();
    assert!(session.is_anonymous());
    assert!(!auth.is_costly(&password("anyone", "anything")));
    auth.permit(&session, Action::Delete, Resource::Cluster).unwrap();
    assert_eq!(kind(auth.plan(Command::DeleteUser("x".into()))), Some(ErrorKind::Unsupported));
}

#[test]
fn a_password_or_a_secret_opens_the_door() {
    let (auth, clock) = acl();
    put(&auth, alice());
    assert!(auth.is_costly(&password("alice", "wonderland")));
    assert_eq!(auth.login(password("alice", "wonderland"), peer()).unwrap().principal(), "alice");
    assert!(!auth.is_costly(&password("alice", "wonderland")));
    clock.advance(60_000);
    assert!(auth.is_costly(&password("alice", "wonderland")));

    assert!(!auth.is_costly(&password("alice", "rabbit-hole")));
    assert_eq!(auth.login(password("alice", "rabbit-hole"), peer()).unwrap().principal(), "alice");
    assert_eq!(auth.login(password("AK1", "tea-party"), peer()).unwrap().principal(), "alice");
}

#[test]
fn every_wrong_login_gets_the_same_words_and_pays_the_same() {
    let (auth, _) = acl();
    put(&auth, alice());
    put(&auth, UserSpec { enabled: Some(false), secret: Some("s".into()), ..UserSpec::named("gone") });
    let expected = auth.login(password("nobody", "x"), peer()).unwrap_err().to_string();
    for (user, pass) in [
        ("alice", "wrong"),
        ("alice", "tea-party"),
        ("AK1", "wonderland"),
        ("AK1", "rabbit-hole"),
        ("gone", "s"),
        ("", ""),
    ] {
        let error = auth.login(password(user, pass), peer()).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::Unauthenticated, expected.clone()),
            "{user} {pass}"
        );
    }
    assert!(auth.is_costly(&password("nobody", "x")) && auth.is_costly(&password("alice", "wrong")));
    assert_eq!(kind(auth.login(Credentials::Anonymous, peer())), Some(ErrorKind::Unauthenticated));
    assert_eq!(
        kind(auth.login(password("alice", &"x".repeat(5000)), peer())),
        Some(ErrorKind::Unauthenticated)
    );
}

#[test]
fn a_new_password_ends_the_old_one_at_once() {
    let (auth, _) = acl();
    put(&auth, UserSpec { password: Some("old".into()), ..UserSpec::named("bob") });
    auth.login(password("bob", "old"), peer()).unwrap();
    put(&auth, UserSpec { password: Some("new".into()), ..UserSpec::named("bob") });
    assert_eq!(kind(auth.login(password("bob", "old"), peer())), Some(ErrorKind::Unauthenticated));
    auth.login(password("bob", "new"), peer()).unwrap();
}

fn sign(secret: &str, content: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(content);
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn signatures_are_made_with_the_secret_of_their_key() {
    let (auth, _) = acl();
    put(&auth, alice());
    let login = |access_key, secret| {
        let signature = sign(secret, b"onetwo");
        let content: [&[u8]; 2] = [b"one", b"two"];
        let algorithm = HmacAlgorithm::Sha1;
        auth.login(
            Credentials::Hmac { access_key, algorithm, content: &content, signature: &signature },
            peer(),
        )
    };
    assert_eq!(login("alice", "rabbit-hole").unwrap().principal(), "alice");
    assert_eq!(login("AK1", "tea-party").unwrap().principal(), "alice");
    for (key, secret) in [("AK1", "rabbit-hole"), ("alice", "wonderland"), ("unknown", ""), ("alice", "")] {
        assert_eq!(kind(login(key, secret)), Some(ErrorKind::Unauthenticated), "{key} {secret}");
    }
    put(&auth, UserSpec { enabled: Some(false), ..UserSpec::named("alice") });
    assert_eq!(kind(login("AK1", "tea-party")), Some(ErrorKind::Unauthenticated));
}

#[test]
fn a_certificate_speaks_for_the_user_of_its_common_name() {
    let (auth, _) = acl();
    put(&auth, alice());
    let certificate = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.self_signed(&key).unwrap().der().to_vec()
    };
    let session = auth.login(Credentials::Certificate { der: &certificate("alice") }, peer()).unwrap();
    assert_eq!(session.principal(), "alice");
    for der in [certificate("mallory"), b"junk".to_vec()] {
        let refused = auth.login(Credentials::Certificate { der: &der }, peer());
        assert_eq!(kind(refused), Some(ErrorKind::Unauthenticated));
    }
}

#[test]
fn a_refusal_names_who_what_and_why() {
    let (auth, _) = acl();
    put(&auth, alice());
    let session = auth.login(password("alice", "rabbit-hole"), peer()).unwrap();
    let topic = TopicName::new("T").unwrap();
    let error = auth.permit(&session, Action::Pub, Resource::Topic(&topic)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(
        error.message(),
        "User:alice has no permission to Pub Topic:T from 10.0.0.1, no matched policies"
    );
    run(&auth, Command::PutPolicy(Policy::deny("alice", "Topic:*", &[Action::Pub]).unwrap())).unwrap();
    run(&auth, Command::PutPolicy(Policy::allow("alice", "Topic:T", &[Action::Pub]).unwrap())).unwrap();
    let error = auth.permit(&session, Action::Pub, Resource::Topic(&topic)).unwrap_err();
    assert!(error.message().ends_with("the decision is deny"), "{error}");
}

#[test]
fn the_topics_of_a_group_are_judged_as_the_group() {
    let (auth, _) = acl();
    put(&auth, alice());
    run(&auth, Command::PutPolicy(Policy::allow("alice", "Group:g", &[Action::Sub]).unwrap())).unwrap();
    let session = auth.login(password("alice", "rabbit-hole"), peer()).unwrap();
    let group = GroupName::new("g").unwrap();
    for topic in [group.retry_topic(), group.dead_letter_topic()] {
        let permit = auth.permit(&session, Action::Sub, Resource::Topic(&topic)).unwrap();
        assert_eq!(permit.resource(), Resource::Topic(&topic));
        assert!(auth.permit(&session, Action::Pub, Resource::Topic(&topic)).is_err());
    }
    auth.permit(&session, Action::Sub, Resource::Group(&group)).unwrap();
    let plain = TopicName::new("g").unwrap();
    assert!(auth.permit(&session, Action::Sub, Resource::Topic(&plain)).is_err());
}

#[test]
fn disabling_deleting_and_recreating_end_open_sessions() {
    let (auth, _) = acl();
    put(&auth, UserSpec { superuser: Some(true), secret: Some("s".into()), ..UserSpec::named("root") });
    put(&auth, UserSpec { superuser: Some(true), secret: Some("s".into()), ..UserSpec::named("eve") });
    let session = auth.login(password("eve", "s"), peer()).unwrap();
    let permitted = || auth.permit(&session, Action::Update, Resource::Cluster).is_ok();
    assert!(permitted());
    put(&auth, UserSpec { enabled: Some(false), ..UserSpec::named("eve") });
    assert!(!permitted());
    put(&auth, UserSpec { enabled: Some(true), ..UserSpec::named("eve") });
    assert!(permitted());
    run(&auth, Command::DeleteUser("eve".into())).unwrap();
    assert!(!permitted());
    put(&auth, UserSpec { superuser: Some(true), secret: Some("s".into()), ..UserSpec::named("eve") });
    assert!(!permitted(), "a later user of the same name is someone else");
}

#[test]
fn commands_that_contradict_are_refused() {
    let (auth, _) = acl();
    run(&auth, Command::Bootstrap { password: "first".into() }).unwrap();
    auth.login(password("admin", "first"), peer()).unwrap();
    assert_eq!(kind(run(&auth, Command::Bootstrap { password: "again".into() })), Some(ErrorKind::Conflict));
    assert_eq!(kind(run(&auth, Command::DeleteUser("admin".into()))), Some(ErrorKind::Conflict));
    let disabled = UserSpec { enabled: Some(false), ..UserSpec::named("admin") };
    assert_eq!(kind(run(&auth, Command::PutUser(disabled))), Some(ErrorKind::Conflict));

    put(&auth, alice());
    let thief = |key: &str| UserSpec {
        access_keys: Some(vec![AccessKey { key: key.into(), secret: "x".into() }]),
        ..UserSpec::named("thief")
    };
    for key in ["AK1", "alice", "admin"] {
        assert_eq!(kind(run(&auth, Command::PutUser(thief(key)))), Some(ErrorKind::AlreadyExists), "{key}");
    }
    for name in ["", "a b", "a:b", "a\n", &"x".repeat(129)] {
        assert_eq!(
            kind(run(&auth, Command::PutUser(UserSpec::named(name)))),
            Some(ErrorKind::InvalidArgument)
        );
    }
    let unknown = Policy::allow("nobody", "Topic:T", &[Action::Pub]).unwrap();
    assert_eq!(kind(run(&auth, Command::PutPolicy(unknown))), Some(ErrorKind::InvalidArgument));
    let empty = Policy::allow("alice", "Topic:T", &[]).unwrap();
    assert_eq!(kind(run(&auth, Command::PutPolicy(empty))), Some(ErrorKind::InvalidArgument));
}

const FILE: &str = r#"
[[users]]
name = "filed"
password = "from-the-file"
[[policies]]
subject = "filed"
resource = "Topic:a*"
actions = ["Pub"]
[[policies]]
subject = "alice"
resource = "Topic:b"
actions = ["All"]
decision = "deny"
source_ips = ["10.0.0.0/8"]
"#;

#[test]
fn the_file_owns_what_it_names_and_nothing_else() {
    let (auth, _) = acl();
    put(&auth, alice());
    run(&auth, Command::PutPolicy(Policy::allow("alice", "Topic:own", &[Action::Pub]).unwrap())).unwrap();
    let file = AclFile::parse(FILE).unwrap();
    let change = auth.plan(Command::ReplaceFile(file.clone())).unwrap();
    auth.apply(&change);
    assert_eq!(auth.plan(Command::ReplaceFile(file)).unwrap(), change, "the same file is the same change");
    assert_eq!(
        auth.users().iter().map(|u| (u.name.as_str(), u.from_file)).collect::<Vec<_>>(),
        [("alice", false), ("filed", true)]
    );
    assert_eq!(auth.policies().len(), 3);
    assert_eq!(kind(run(&auth, Command::DeleteUser("filed".into()))), Some(ErrorKind::Conflict));
    assert_eq!(kind(run(&auth, Command::PutUser(UserSpec::named("filed")))), Some(ErrorKind::Conflict));

    run(&auth, Command::DeletePolicy { subject: "alice".into(), resource: None }).unwrap();
    assert_eq!(auth.policies().len(), 2, "those of the file stay");

    assert_eq!(auth.acl.as_ref().unwrap().directory.read().policies(), 2);

    run(&auth, Command::ReplaceFile(AclFile::default())).unwrap();
    assert_eq!(auth.acl.as_ref().unwrap().directory.read().policies(), 0);
    assert_eq!(auth.users().iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["alice"]);
    assert!(auth.policies().is_empty());
}

#[test]
fn a_snapshot_rebuilds_everything_through_postcard() {
    let (auth, _) = acl();
    put(&auth, alice());
    run(&auth, Command::PutPolicy(Policy::allow("alice", "Group:*", &Action::ALL).unwrap())).unwrap();
    run(
        &auth,
        Command::ReplaceFile(AclFile::parse(&format!("{FILE}{}", ROLES.replace("filed", "roled"))).unwrap()),
    )
    .unwrap();

    let (copy, _) = acl();
    for change in auth.snapshot() {
        let bytes = postcard::to_stdvec(&change).unwrap();
        copy.apply(&postcard::from_bytes(&bytes).unwrap());
    }
    assert_eq!(copy.snapshot(), auth.snapshot());
    assert_eq!(copy.users(), auth.users());
    assert_eq!((copy.policies(), copy.roles()), (auth.policies(), auth.roles()));
    assert!(may(&copy, &copy.login(password("roled", "s"), peer()).unwrap(), "ab"));
    copy.login(password("alice", "wonderland"), peer()).unwrap();
    copy.login(password("filed", "from-the-file"), peer()).unwrap();
    copy.login(password("AK1", "tea-party"), peer()).unwrap();
}

#[test]
fn secrets_do_not_show() {
    let (auth, _) = acl();
    put(&auth, alice());
    let change = auth.plan(Command::PutUser(alice())).unwrap();
    let shown = format!("{:?} {change:?} {change} {:?} {:?}", alice(), auth.users(), auth.snapshot());
    for secret in ["wonderland", "rabbit-hole", "tea-party"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

const ROLES: &str = r#"
[[roles]]
name = "writers"
[[roles]]
name = "guests"
[[users]]
name = "filed"
secret = "s"
roles = ["writers"]
[[policies]]
subject = "Role:writers"
resource = "Topic:a*"
actions = ["Pub"]
[[policies]]
subject = "Role:guests"
resource = "Topic:ab"
actions = ["All"]
decision = "deny"
"#;

fn may(auth: &Auth, session: &Session, topic: &str) -> bool {
    auth.permit(session, Action::Pub, Resource::Topic(&TopicName::new(topic).unwrap())).is_ok()
}

#[test]
fn a_user_has_the_rules_of_its_roles_and_a_deny_of_any_wins() {
    let (auth, _) = acl();
    run(&auth, Command::ReplaceFile(AclFile::parse(ROLES).unwrap())).unwrap();
    let session = auth.login(password("filed", "s"), peer()).unwrap();
    assert!(may(&auth, &session, "ab") && !may(&auth, &session, "b"));

    run(&auth, Command::PutRole(RoleSpec::named("extra"))).unwrap();
    run(&auth, Command::PutPolicy(Policy::allow("Role:extra", "Topic:b", &[Action::Pub]).unwrap())).unwrap();
    let roles = |roles: &[&str]| UserSpec {
        roles: Some(roles.iter().map(|&role| role.to_owned()).collect()),
        secret: Some("s".into()),
        ..UserSpec::named("bob")
    };
    put(&auth, roles(&["writers", "extra"]));
    let bob = auth.login(password("bob", "s"), peer()).unwrap();
    assert!(may(&auth, &bob, "ab") && may(&auth, &bob, "b") && !may(&auth, &bob, "c"));
    put(&auth, roles(&["writers", "guests"]));
    assert!(!may(&auth, &bob, "ab") && may(&auth, &bob, "ac") && !may(&auth, &bob, "b"));
    let topic = TopicName::new("ab").unwrap();
    let answer = auth.explain("bob", Action::Pub, Resource::Topic(&topic), peer().ip());
    assert_eq!(answer.rules[0].rule.subject, "Role:guests");
    assert!(answer.reason.contains("for Role:guests"), "{answer}");

    assert_eq!(auth.policies().len(), 3);
    run(&auth, Command::DeletePolicy { subject: "Role:extra".into(), resource: None }).unwrap();
    assert_eq!(auth.policies().len(), 2);
}

#[test]
fn roles_that_contradict_are_refused() {
    let (auth, _) = acl();
    run(&auth, Command::ReplaceFile(AclFile::parse(ROLES).unwrap())).unwrap();
    let with_role =
        |role: &str| Command::PutUser(UserSpec { roles: Some(vec![role.into()]), ..UserSpec::named("bob") });
    assert_eq!(kind(run(&auth, with_role("typo"))), Some(ErrorKind::InvalidArgument));
    assert_eq!(kind(run(&auth, Command::PutRole(RoleSpec::named("writers")))), Some(ErrorKind::Conflict));
    assert_eq!(kind(run(&auth, Command::DeleteRole("guests".into()))), Some(ErrorKind::Conflict));
    for name in ["", "a:b", "a b"] {
        let refused = run(&auth, Command::PutRole(RoleSpec::named(name)));
        assert_eq!(kind(refused), Some(ErrorKind::InvalidArgument));
    }
    let unknown = Policy::allow("Role:nobody", "Topic:T", &[Action::Pub]).unwrap();
    let error = auth.plan(Command::PutPolicy(unknown)).unwrap_err();
    assert_eq!(error.message(), "the subject does not exist: Role:nobody");
    run(&auth, Command::PutRole(RoleSpec::named("own"))).unwrap();
    run(&auth, with_role("own")).unwrap();
    assert_eq!(kind(run(&auth, Command::DeleteRole("own".into()))), Some(ErrorKind::Conflict));
    run(&auth, Command::DeleteUser("bob".into())).unwrap();
    run(&auth, Command::DeleteRole("own".into())).unwrap();
    assert_eq!(auth.roles().iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["guests", "writers"]);
    run(&auth, Command::ReplaceFile(AclFile::default())).unwrap();
    assert!(auth.roles().is_empty() && auth.policies().is_empty());
}

fn login_with(auth: &Auth, key: &str, secret: &str) -> Result<Session> {
    let signature = sign(secret, b"content");
    let (algorithm, content): (_, [&[u8]; 1]) = (HmacAlgorithm::Sha1, [b"content"]);
    let hmac = Credentials::Hmac { access_key: key, algorithm, content: &content, signature: &signature };
    auth.login(hmac, peer())
}

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

/// By ratio, because machines differ: the quickest of several runs of each.
#[test]
fn an_unknown_user_costs_what_a_wrong_secret_costs() {
    let (auth, _) = acl();
    put(&auth, alice());
    let from = |n: u32| SocketAddr::new(std::net::Ipv4Addr::from_bits(n).into(), 1);
    let best = |runs: u32, attempt: &dyn Fn(SocketAddr)| {
        let time = |n| {
            let start = std::time::Instant::now();
            attempt(from(n));
            start.elapsed()
        };
        (0..runs).map(time).min().unwrap().as_secs_f64()
    };
    let wrong_password = |user| best(7, &|peer| assert!(auth.login(password(user, "wrong"), peer).is_err()));
    let content = vec![7; 256 * 1024];
    let wrong_signature = |access_key: &str| {
        let content: [&[u8]; 1] = [&content];
        let algorithm = HmacAlgorithm::Sha1;
        let hmac = Credentials::Hmac { access_key, algorithm, content: &content, signature: &[0; 20] };
        best(15, &|peer| assert!(auth.login(hmac, peer).is_err()))
    };
    for (unknown, known) in [
        (wrong_password("nobody"), wrong_password("alice")),
        (wrong_signature("nobody"), wrong_signature("AK1")),
    ] {
        let ratio = unknown / known;
        assert!((0.5..2.0).contains(&ratio), "{ratio}");
    }
}

#[test]
fn a_session_is_over_when_what_it_was_opened_with_is() {
    let (auth, clock) = acl();
    let app = || UserSpec { secret: Some("one".into()), ..UserSpec::named("app") };
    put(&auth, UserSpec { password: Some("pass".into()), superuser: Some(true), ..app() });
    put(&auth, UserSpec { superuser: Some(true), ..UserSpec::named("root") });
    run(&auth, Command::RotateSecret { user: "app".into(), secret: "two".into() }).unwrap();
    let (text, token) = NewToken::generate("app", "t", NOW, Some(NOW + 500));
    let id = token.id();
    run(&auth, Command::PutToken(token)).unwrap();
    let by_password = auth.login(password("app", "pass"), peer()).unwrap();
    let by_old = login_with(&auth, "app", "one").unwrap();
    let by_new = auth.login(password("app", "two"), peer()).unwrap();
    let by_token = auth.login(Credentials::Bearer { token: &text }, peer()).unwrap();
    let all = [&by_password, &by_old, &by_new, &by_token];
    let over = || {
        let over = all.map(|session| auth.revoked(session));
        let may = all.map(|session| auth.may(session, Action::Get, Resource::Cluster));
        assert_eq!(over, may.map(|may| !may));
        over
    };
    assert_eq!(over(), [false; 4]);
    let mut changes = auth.changes();
    put(&auth, app());
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    put(&auth, UserSpec { secret: Some("two".into()), ..app() });
    assert_eq!(over(), [false; 4], "the same secrets as before, whichever is current");
    run(&auth, Command::RemoveSecret { user: "app".into(), which: WhichSecret::Previous }).unwrap();
    assert_eq!(over(), [false, true, false, false]);
    let error = auth.permit(&by_old, Action::Get, Resource::Cluster).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    put(&auth, UserSpec { password: Some("new".into()), ..UserSpec::named("app") });
    assert_eq!(over(), [true, true, false, false]);
    run(&auth, Command::DeleteToken { user: "app".into(), id }).unwrap();
    assert_eq!(over(), [true, true, false, true]);
    put(&auth, UserSpec { enabled: Some(false), ..UserSpec::named("app") });
    assert_eq!(over(), [true; 4]);
    assert!(changes.has_changed().unwrap());

    put(&auth, UserSpec { enabled: Some(true), ..UserSpec::named("app") });
    let (text, token) = NewToken::generate("app", "t", NOW, Some(NOW + 500));
    run(&auth, Command::PutToken(token)).unwrap();
    let session = auth.login(Credentials::Bearer { token: &text }, peer()).unwrap();
    assert_eq!(session.expires(), Some(NOW + 500));
    assert!(!auth.revoked(&session));
    clock.advance(500);
    assert!(auth.revoked(&session));
    let open = Auth::open();
    assert!(!open.revoked(&open.login(Credentials::Anonymous, peer()).unwrap()));
    assert!(!open.changes().has_changed().unwrap());
}

#[test]
fn quotas_of_a_user_and_of_its_roles_must_agree() {
    use crate::{Cost, OverQuota, Quota};
    let (auth, clock) = acl();
    let text = r#"
[[roles]]
name = "team"
quota = { messages_per_second = 10 }
[[users]]
name = "a"
secret = "s"
roles = ["team"]
quota = { bytes_per_second = "1KiB" }
[[users]]
name = "b"
secret = "s"
roles = ["team"]
[[users]]
name = "free"
secret = "s"
"#;
    let login = |name| auth.login(password(name, "s"), peer()).unwrap();
    let cost = |messages, bytes| Cost { messages, bytes };
    run(&auth, Command::ReplaceFile(AclFile::parse(text).unwrap())).unwrap();
    let (a, b, free) = (login("a"), login("b"), login("free"));
    auth.charge(&a, cost(1, 2048)).expect("more than a second's worth passes once");
    let error = auth.charge(&a, cost(1, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(error.message(), "User:a is over its quota of 1KiB a second; try again in 1001 ms");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref::<OverQuota>(), Some(&OverQuota { retry_after: 1001 }));

    auth.charge(&b, cost(8, 1 << 20)).expect("its own bytes are not limited");
    clock.advance(1);
    auth.debit(&b, cost(5, 0));
    let error = auth.charge(&b, cost(1, 0)).unwrap_err();
    assert!(error.message().starts_with("Role:team is over its quota of 10 messages a second"), "{error}");
    run(&auth, Command::ReplaceFile(AclFile::parse(text).unwrap())).unwrap();
    assert!(auth.charge(&b, cost(1, 0)).is_err(), "the same quota keeps what was used");
    auth.charge(&free, cost(1000, 1 << 30)).unwrap();
    auth.charge(&free, cost(1000, 1 << 30)).unwrap();
    clock.advance(1000);
    auth.charge(&b, cost(1, 0)).unwrap();

    assert_eq!(auth.users()[0].quota.messages_per_second, None);
    assert_eq!(auth.roles()[0].quota, Quota { messages_per_second: Some(10), ..Quota::default() });
    let (copy, _) = acl();
    auth.snapshot().iter().for_each(|change| copy.apply(change));
    assert_eq!((copy.users(), copy.roles()), (auth.users(), auth.roles()));
    let without = text.replace("quota", "#");
    run(&auth, Command::ReplaceFile(AclFile::parse(&without).unwrap())).unwrap();
    assert!(!auth.acl.as_ref().unwrap().directory.read().has_meters());
    auth.charge(&a, cost(100, 1 << 20)).unwrap();
    auth.charge(&a, cost(100, 1 << 20)).unwrap();
    let nothing = Quota { messages_per_second: Some(0), ..Quota::default() };
    let stopped = UserSpec { quota: Some(nothing), ..UserSpec::named("x") };
    assert_eq!(kind(run(&auth, Command::PutUser(stopped))), Some(ErrorKind::InvalidArgument));
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

#[test]
fn a_file_that_is_in_force_need_not_be_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let auth = acl().0.with_data_key(DataKey::open_or_create(&folder.path().join("k")).unwrap());
    put(&auth, alice());
    let text = format!("{FILE}{}", ROLES.replace("\"filed\"", "\"roled\""));
    let plan = |text: &str| auth.plan(Command::ReplaceFile(AclFile::parse(text).unwrap())).unwrap();
    let change = plan(&text);
    assert!(!auth.is_in_force(&change));
    auth.apply(&change);
    assert!(auth.is_in_force(&plan(&text)));
    for (old, new) in [
        ("\"Topic:b\"", "\"Topic:c\""),
        ("\"deny\"", "\"allow\""),
        ("from-the-file", "another"),
        ("secret = \"s\"", "secret = \"t\""),
        ("roles = [\"writers\"]", ""),
        ("name = \"guests\"", "name = \"guests\"\nquota = { messages_per_second = 1 }"),
    ] {
        assert!(text.contains(old) && !auth.is_in_force(&plan(&text.replacen(old, new, 1))), "{old}");
    }
    assert!(!auth.is_in_force(&plan("")));
    assert!(!auth.is_in_force(&auth.plan(Command::PutUser(alice())).unwrap()));
}
