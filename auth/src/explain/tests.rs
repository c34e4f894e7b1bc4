use super::*;
use crate::{Auth, Command, Config, Credentials, Session, UserSpec};
use proptest::prelude::*;
use proptest::sample::select;
use sluice_model::{GroupName, ManualClock, TopicName};
use std::net::SocketAddr;
use std::sync::Arc;

fn with_users() -> Auth {
    let auth = Auth::acl(Config::default(), Arc::new(ManualClock::new(0))).unwrap();
    let user = |name: &str| UserSpec { secret: Some("s".into()), ..UserSpec::named(name) };
    run(&auth, Command::PutUser(UserSpec { superuser: Some(true), ..user("root") }));
    run(&auth, Command::PutUser(user("alice")));
    auth
}

fn run(auth: &Auth, command: Command) {
    auth.apply(&auth.plan(command).unwrap());
}

fn login(auth: &Auth, user: &str, from: IpAddr) -> Session {
    auth.login(Credentials::Password { user, password: "s" }, SocketAddr::new(from, 1)).unwrap()
}

fn home() -> IpAddr {
    "10.0.0.1".parse().unwrap()
}

#[test]
fn traces_and_replies_may_be_sent_by_whoever_has_something_to_trace_or_answer() {
    let auth = with_users();
    let [trace, reply, orders] = ["RMQ_SYS_TRACE_TOPIC", "DefaultCluster_REPLY_TOPIC", "orders"]
        .map(|name| TopicName::new(name).unwrap());
    let session = login(&auth, "alice", home());
    let may = |action, topic| auth.permit(&session, action, Resource::Topic(topic)).is_ok();
    assert!(!may(Action::Pub, &trace) && !may(Action::Pub, &reply), "nothing follows from nothing");
    let allow = |resource: &str, action| Policy::allow("alice", resource, &[action]).unwrap();

    run(&auth, Command::PutPolicy(allow("Topic:*", Action::Get)));
    run(&auth, Command::PutPolicy(allow("Topic:orders", Action::Sub)));
    assert!(!may(Action::Pub, &trace) && !may(Action::Pub, &reply));
    let elsewhere = Policy { source_ips: vec!["11.0.0.0/8".parse().unwrap()], ..allow("*", Action::Pub) };
    run(&auth, Command::PutPolicy(elsewhere));
    assert!(!may(Action::Pub, &trace), "a right from another place");
    run(&auth, Command::PutPolicy(allow("Topic:orders", Action::Pub)));
    assert!(may(Action::Pub, &trace) && may(Action::Create, &trace) && !may(Action::Pub, &reply));
    for action in [Action::Sub, Action::Delete, Action::Update, Action::List] {
        assert!(!may(action, &trace), "{action}");
    }
    run(&auth, Command::PutPolicy(allow("Group:billing", Action::Sub)));
    assert!(may(Action::Pub, &reply) && !may(Action::Create, &orders));

    let answer = auth.explain("alice", Action::Pub, Resource::Topic(&reply), home());
    assert_eq!(answer.decision, Decision::Allow);
    assert!(answer.reason.ends_with("sending to this topic follows from that"), "{}", answer.reason);
    let decided = &answer.rules[0];
    assert_eq!(
        (decided.part, decided.rule.resource.to_string()),
        (RulePart::Decided, "Group:billing".into())
    );

    run(&auth, Command::PutPolicy(Policy::deny("alice", "Topic:RMQ_SYS*", &[Action::Pub]).unwrap()));
    assert!(!may(Action::Pub, &trace), "a deny wins");
}

#[test]
fn the_deciding_rule_comes_first_and_the_others_say_why_not() {
    let auth = with_users();
    let from = |net: &str, policy: Policy| Policy { source_ips: vec![net.parse().unwrap()], ..policy };
    for policy in [
        Policy::allow("alice", "Topic:orders*", &[Action::Pub]).unwrap(),
        Policy::deny("alice", "Topic:orders", &[Action::Pub]).unwrap(),
        Policy::allow("alice", "Topic:orders", &[Action::Sub]).unwrap(),
        Policy::allow("alice", "Group:*", &[Action::Pub]).unwrap(),
        from("192.168.0.0/16", Policy::allow("alice", "*", &[Action::Pub]).unwrap()),
    ] {
        run(&auth, Command::PutPolicy(policy));
    }
    let topic = TopicName::new("orders").unwrap();
    let answer = auth.explain("alice", Action::Pub, Resource::Topic(&topic), home());
    assert_eq!(answer.decision, Decision::Deny);
    let mut parts: Vec<_> =
        answer.rules.iter().map(|note| (note.part, note.rule.resource.to_string())).collect();
    assert_eq!(parts.remove(0), (RulePart::Decided, "Topic:orders".to_owned()));
    for expected in [
        (RulePart::Outvoted, "Topic:orders*"),
        (RulePart::OtherAction, "Topic:orders"),
        (RulePart::OtherResource, "Group:*"),
        (RulePart::OtherSource, "*"),
    ] {
        assert!(parts.iter().any(|(part, of)| (*part, of.as_str()) == expected), "{expected:?} in {parts:?}");
    }
    assert_eq!(parts.len(), 4);
    let text = answer.to_string();
    assert!(
        text.starts_with(
            "User:alice Pub Topic:orders from 10.0.0.1: denied, because deny Pub on Topic:orders for User:alice"
        ),
        "{text}"
    );
    assert!(
        text.contains("\n  allow Pub on * for User:alice from 192.168.0.0/16: is about other source"),
        "{text}"
    );
}

/// Across the user's own rules, the operator's file and roles: whatever a rule comes from, the closest decides.
#[test]
fn rules_of_every_origin_compete() {
    let auth = with_users();
    let file = r#"
[[users]]
name = "bob"
secret = "s"
roles = ["team", "guests"]
[[roles]]
name = "team"
[[roles]]
name = "guests"
[[policies]]
subject = "bob"
resource = "Topic:orders*"
actions = ["Pub"]
[[policies]]
subject = "Role:team"
resource = "Topic:orders-eu"
actions = ["Pub"]
decision = "deny"
[[policies]]
subject = "Role:guests"
resource = "*"
actions = ["All"]
decision = "deny"
[[policies]]
subject = "Role:guests"
resource = "Topic:orders-us"
actions = ["Pub"]
"#;
    run(&auth, Command::ReplaceFile(crate::AclFile::parse(file).unwrap()));
    let session = login(&auth, "bob", home());
    let decided = |topic: &str| {
        let topic = TopicName::new(topic).unwrap();
        let answer = auth.explain("bob", Action::Pub, Resource::Topic(&topic), home());
        let permitted = auth.permit(&session, Action::Pub, Resource::Topic(&topic)).is_ok();
        assert_eq!(permitted, answer.decision == Decision::Allow, "{answer}");
        let by = answer.rules.iter().find(|note| note.part == RulePart::Decided).expect("a rule decides");
        (answer.decision, by.rule.subject.clone(), by.rule.resource.to_string())
    };
    let is = |decision, subject: &str, resource: &str| (decision, subject.to_owned(), resource.to_owned());
    assert_eq!(decided("orders-eu"), is(Decision::Deny, "Role:team", "Topic:orders-eu"));
    assert_eq!(decided("orders-asia"), is(Decision::Allow, "bob", "Topic:orders*"));
    assert_eq!(decided("bills"), is(Decision::Deny, "Role:guests", "*"));
    let own = Policy::deny("bob", "Topic:orders-us", &[Action::Pub]).unwrap();
    assert_eq!(decided("orders-us"), is(Decision::Allow, "Role:guests", "Topic:orders-us"));
    run(&auth, Command::PutPolicy(own));
    assert_eq!(decided("orders-us"), is(Decision::Deny, "bob", "Topic:orders-us"));
}

#[test]
fn what_no_rule_decides_is_explained_too() {
    let auth = with_users();
    let says = |auth: &Auth, user: &str, expected: &str, decision: Decision| {
        let answer = auth.explain(user, Action::Get, Resource::Cluster, home());
        assert!(answer.reason.contains(expected), "{answer}");
        assert_eq!(answer.decision, decision);
    };
    says(&auth, "root", "superuser", Decision::Allow);
    says(&auth, "alice", "no policy about User:alice or its roles matches", Decision::Deny);
    says(&auth, "nobody", "there is no User:nobody", Decision::Deny);
    run(&auth, Command::PutUser(UserSpec { enabled: Some(false), ..UserSpec::named("alice") }));
    says(&auth, "alice", "User:alice is disabled", Decision::Deny);
    says(&Auth::open(), "anyone", "auth.mode is open", Decision::Allow);
}

/// A hypothetical request is told the same for an IPv4 address however it is written.
#[test]
fn mapped_addresses_are_their_ipv4_address() {
    let auth = with_users();
    let policy = Policy::allow("alice", "Cluster", &[Action::Get]).unwrap();
    run(&auth, Command::PutPolicy(Policy { source_ips: vec!["10.0.0.0/8".parse().unwrap()], ..policy }));
    let answer = auth.explain("alice", Action::Get, Resource::Cluster, "::ffff:10.0.0.1".parse().unwrap());
    assert_eq!(answer.decision, Decision::Allow, "{answer}");
}

const PATTERNS: [&str; 7] = ["*", "Topic:*", "Topic:a*", "Topic:ab", "Group:a", "Group:*", "Cluster"];

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let actions = proptest::sample::subsequence(Action::ALL.to_vec(), 1..=3);
    let nets = proptest::sample::subsequence(vec!["10.0.0.0/8", "10.0.0.1", "::/0"], 0..=2);
    let policy =
        (select(&PATTERNS[..]), actions, any::<bool>(), nets).prop_map(|(on, actions, deny, nets)| Policy {
            decision: if deny { Decision::Deny } else { Decision::Allow },
            source_ips: nets.into_iter().map(|net| net.parse().unwrap()).collect(),
            ..Policy::allow("alice", on, &actions).unwrap()
        });
    proptest::collection::vec(policy, 0..8)
}

proptest! {
    #[test]
    fn an_explanation_says_what_permit_does(
        policies in policies(),
        user in select(&["root", "alice"][..]),
        action in select(&Action::ALL[..]),
        name in select(&["a", "ab", "b"][..]),
        from in select(&["10.0.0.1", "10.2.2.2", "192.168.0.1", "::1"][..]),
    ) {
        let auth = with_users();
        for policy in policies {
            run(&auth, Command::PutPolicy(policy));
        }
        let from: IpAddr = from.parse().unwrap();
        let session = login(&auth, user, from);
        let (topic, group) = (TopicName::new(name).unwrap(), GroupName::new(name).unwrap());
        for resource in [Resource::Topic(&topic), Resource::Group(&group), Resource::Cluster] {
            let answer = auth.explain(user, action, resource, from);
            let permitted = auth.permit(&session, action, resource).is_ok();
            prop_assert_eq!(permitted, answer.decision == Decision::Allow, "{}", answer);
            let decided: Vec<_> = answer.rules.iter().filter(|r| r.part == RulePart::Decided).collect();
            prop_assert!(decided.len() <= 1 && decided.iter().all(|r| r.rule.decision == answer.decision));
        }
    }
}
