//! Ten thousand users with a hundred thousand policies: what they cost in memory, and that loading them is linear.
//! How long it takes is printed by the example `scale`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test")]

use sluice_auth::{Action, Auth, Change, Command, Config, Credentials, Policy, Resource, UserSpec};
use sluice_model::{ManualClock, TopicName};
use std::sync::Arc;

const USERS: usize = 10_000;
const POLICIES_EACH: usize = 10;
const MAX_GROWTH: usize = 100 << 20;

/// What of this process is in memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

fn empty() -> Auth {
    Auth::acl(Config::default(), Arc::new(ManualClock::new(0))).unwrap()
}

fn fill(auth: &Auth) {
    let run = |command| auth.apply(&auth.plan(command).unwrap());
    for n in 0..USERS {
        let name = format!("user-{n:05}");
        run(Command::PutUser(UserSpec { secret: Some("secret".into()), ..UserSpec::named(&name) }));
        for p in 0..POLICIES_EACH {
            let star = if p % 2 == 0 { "*" } else { "" };
            let resource = format!("Topic:team-{n:05}-{p}{star}");
            run(Command::PutPolicy(Policy::allow(&name, &resource, &[Action::Pub, Action::Sub]).unwrap()));
        }
    }
}

#[test]
fn many_users_with_many_policies_fit() {
    let snapshot: Vec<Change> = {
        let auth = empty();
        fill(&auth);
        auth.snapshot()
    };
    let before = resident();
    let auth = empty();
    snapshot.iter().for_each(|change| auth.apply(change));
    let growth = resident().saturating_sub(before);
    assert!(growth < MAX_GROWTH, "{} MiB", growth >> 20);

    assert_eq!(auth.users().len(), USERS);
    assert_eq!(auth.policies().len(), USERS * POLICIES_EACH);
    let credentials = Credentials::Password { user: "user-09999", password: "secret" };
    let session = auth.login(credentials, "127.0.0.1:1".parse().unwrap()).unwrap();
    let may = |topic: &str| {
        let topic = TopicName::new(topic).unwrap();
        auth.permit(&session, Action::Pub, Resource::Topic(&topic)).is_ok()
    };
    assert!(may("team-09999-0-x") && may("team-09999-1"));
    assert!(!may("team-09999-1-x") && !may("team-09998-0"));
}
