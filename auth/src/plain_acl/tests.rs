use super::*;
use crate::{Auth, Command, Config, Credentials, Resource};
use proptest::prelude::*;
use sluice_model::{GroupName, ManualClock, TopicName};
use std::sync::Arc;

/// As RocketMQ ships it, with what an operator adds.
const SAMPLE: &str = r#"
# licence
globalWhiteRemoteAddresses: [10.10.103.*, 192.168.0.*]

accounts:
  - accessKey: RocketMQ
    secretKey: "12345678"   # quoted
    whiteRemoteAddress:
    admin: false
    defaultTopicPerm: PUB|SUB
    defaultGroupPerm: SUB
    topicPerms:
      - topicA=DENY
      - topicB=PUB|SUB
      - topicC=SUB
    groupPerms:
    # the group should convert to retry topic
    - groupA=DENY
    - groupB=PUB|SUB
  - accessKey: strict#user
    secretKey: '87654321'
    topicPerms: [topicA=PUB, "topicB=SUB"]
    groupPerms: []

  - accessKey: rocketmq2
    secretKey: 12345678
    whiteRemoteAddress: 192.168.1.*
    admin: true
    topicPerms: [t=DENY]
dataVersion:
- counter: 3
  timestamp: 1616055573000
"#;

fn imported() -> (Auth, Vec<String>) {
    let acl = PlainAcl::parse(SAMPLE).unwrap();
    let auth = Auth::acl(Config::default(), Arc::new(ManualClock::new(0))).unwrap();
    auth.apply(&auth.plan(Command::ReplaceFile(acl.file)).unwrap());
    (auth, acl.notes)
}

#[test]
fn permissions_mean_what_they_meant() {
    let (auth, _) = imported();
    let login = |user, password| {
        auth.login(Credentials::Password { user, password }, "127.0.0.1:1".parse().unwrap()).unwrap()
    };
    let sessions =
        [login("RocketMQ", "12345678"), login("strict#user", "87654321"), login("rocketmq2", "12345678")];
    let topic = |name, action| {
        let name = TopicName::new(name).unwrap();
        sessions.each_ref().map(|session| auth.may(session, action, Resource::Topic(&name)))
    };
    let group = |name, action| {
        let name = GroupName::new(name).unwrap();
        sessions.each_ref().map(|session| auth.may(session, action, Resource::Group(&name)))
    };
    use Action::{Pub, Sub};
    assert_eq!((topic("topicA", Pub), topic("topicA", Sub)), ([false, true, true], [false, false, true]));
    assert_eq!((topic("topicB", Pub), topic("topicB", Sub)), ([true, false, true], [true, true, true]));
    assert_eq!((topic("topicC", Pub), topic("topicC", Sub)), ([false, false, true], [true, false, true]));
    assert_eq!((topic("other", Pub), topic("other", Sub)), ([true, false, true], [true, false, true]));
    assert_eq!(topic(TRACE_TOPIC, Pub), [true; 3]);
    assert_eq!((group("groupA", Sub), group("groupB", Sub)), ([false, false, true], [true, false, true]));
    assert_eq!(group("other", Sub), [true, false, true]);
    assert_eq!(topic("other", Action::Create), [false, false, true]);
    assert!(auth.users().iter().any(|user| user.name == "rocketmq2" && user.superuser));
}

#[test]
fn what_has_no_counterpart_is_told() {
    let (_, notes) = imported();
    assert_eq!(notes.len(), 3);
    assert!(notes[0].contains("10.10.103.*, 192.168.0.*"), "{notes:?}");
    assert!(
        notes[1].contains("rocketmq2 (192.168.1.*)") && notes[2].contains("may do everything"),
        "{notes:?}"
    );
}

#[test]
fn the_import_can_be_written_as_a_file_of_ours() {
    let acl = PlainAcl::parse(SAMPLE).unwrap();
    let toml = acl.file.to_toml().unwrap();
    assert_eq!(AclFile::parse(&toml).unwrap(), acl.file);
}

#[test]
fn mistakes_are_named_with_their_line() {
    let account = |rest: &str| format!("accounts:\n- accessKey: some-user\n  secretKey: some-secret\n{rest}");
    for (text, expected) in [
        (account("  topicPerms: [t]"), "line 4: \"t\" is not like"),
        (account("  topicPerms:\n  - t=FLY"), "\"FLY\" is no permission"),
        (account("  topicPerms: [t=PUB"), "line 4: a list in brackets"),
        (account("  topicPerms: [\"t=PUB\" u=SUB]"), "line 4: a comma"),
        (account("  topicPerms: {t: PUB}"), "line 4: a value that begins so"),
        (account("  topicPerms: ['a b=PUB']"), "line 4: resource"),
        (account("  topicPerms: ['a*=PUB']"), "line 4: \"a*\" is no name"),
        (account("  admin: maybe"), "line 4: admin is"),
        (account("  admin: true\n  admin: false"), "line 5: \"admin\" is given twice"),
        (account("  colour: red"), "line 4: unknown key \"colour\""),
        (account("   admin: true"), "line 4: the indentation"),
        (account("\tadmin: true"), "line 4: indentation by tabs"),
        (
            account("- accessKey: some-user\n  secretKey: another"),
            "line 4: account \"some-user\" is given twice",
        ),
        (account("- secretKey: another"), "line 4: an account has no accessKey"),
        (account("- accessKey: another"), "line 4: the account has no secretKey"),
        (account("- accessKey: a b\n  secretKey: x"), "line 4: a user name may not"),
        ("accounts: |\n  text".into(), "line 1: a value that begins so"),
        ("users: []".into(), "line 1: unknown key"),
        ("- a\n- b".into(), "no plain_acl.yml"),
        (
            format!("accounts:\n{}", (1..20).map(|n| format!("{}k:\n", " ".repeat(n))).collect::<String>()),
            "too deep",
        ),
    ] {
        let error = PlainAcl::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} lacks {expected:?} for\n{text}");
        assert!(!error.contains("some-secret"), "{error}");
    }
    assert_eq!(PlainAcl::parse("# nothing\n---\naccounts:\n").unwrap(), PlainAcl::default());
}

proptest! {
    #[test]
    fn no_text_breaks_it(text in "([a-zA-Z:\\-\\[\\]{}'\"#=|, é\t]{0,12}\n){0,12}") {
        let _ = PlainAcl::parse(&text);
        let _ = PlainAcl::parse(&format!("accounts:\n- accessKey: x\n{text}"));
    }
}
