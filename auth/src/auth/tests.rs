mod again;
mod sasl;
mod secrets;
mod trail;

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
    assert!(session.is_anonymous() && session.principal().is_empty());
    assert_eq!(session.shown_name(), "anyone (unproven)");
    assert_eq!(auth.login(Credentials::Anonymous, peer()).unwrap().shown_name(), "");
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
    run(&auth, Command::PutPolicy(Policy::deny("alice", "Topic:T*", &[Action::Pub]).unwrap())).unwrap();
    run(&auth, Command::PutPolicy(Policy::allow("alice", "Topic:*", &[Action::Pub]).unwrap())).unwrap();
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
    assert_eq!(auth.roles_of(&bob), ["extra", "writers"]);
    assert!(may(&auth, &bob, "ab") && may(&auth, &bob, "b") && !may(&auth, &bob, "c"));
    put(&auth, roles(&["writers", "guests"]));
    assert_eq!(auth.roles_of(&bob), ["guests", "writers"]);
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
    use crate::{Cost, Limit, OverQuota, Quota};
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
    assert_eq!(
        source.downcast_ref::<OverQuota>(),
        Some(&OverQuota { limit: Limit::Bytes(1024), retry_after: 1001 })
    );

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
