//! Ten thousand users with a hundred thousand policies: what they cost in memory, how long they take to load, and a
//! check among them. What it is exactly is printed by the example `scale`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test")]

use sluice_auth::{Action, Auth, Change, Command, Config, Credentials, Policy, Resource, UserSpec};
use sluice_model::{ManualClock, TopicName};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const USERS: usize = 10_000;
const POLICIES_EACH: usize = 10;
const MAX_GROWTH: usize = 100 << 20;
/// Short ones, and many: others use the processor, too, but not in all of them.
const WINDOWS: u32 = 50;
const CHECKS: u64 = 500;
const MILLISECOND: u64 = 1_000_000;
const MICROSECOND: u64 = 1_000;

/// For how long this thread has had a processor, in nanoseconds, to a few milliseconds: what others do on the machine
/// does not count.
fn worked() -> u64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    statistics.split(' ').next().unwrap().parse().unwrap()
}

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
    let first = empty();
    fill(&first);
    let snapshot: Vec<Change> = first.snapshot();
    let before = resident();
    let auth = empty();
    let start = worked();
    snapshot.iter().for_each(|change| auth.apply(change));
    let loading = worked() - start;
    assert!(loading < 1_000 * MILLISECOND, "loading took {} ms", loading / MILLISECOND);
    let growth = resident().saturating_sub(before);
    println!("loading took {} ms and {} MiB", loading / MILLISECOND, growth >> 20);
    drop(first); // not before: its memory would have been taken again, and cost nothing
    assert!(growth < MAX_GROWTH, "{} MiB", growth >> 20);

    assert_eq!(auth.users().len(), USERS);
    assert_eq!(auth.policies().len(), USERS * POLICIES_EACH);
    let credentials = Credentials::Password { user: "user-09999", password: "secret" };
    let session = auth.login(credentials, "127.0.0.1:1".parse().unwrap()).unwrap();
    let may = |topic: &str| {
        let topic = TopicName::new(topic).unwrap();
        auth.permit(&session, Action::Pub, Resource::Topic(&topic)).is_ok()
    };
    let topic = TopicName::new("team-09999-4-orders").unwrap();
    let best = (0..WINDOWS).map(|_| {
        let start = Instant::now();
        for _ in 0..CHECKS {
            black_box(auth.permit(black_box(&session), Action::Pub, Resource::Topic(&topic)).unwrap());
        }
        start.elapsed().as_nanos() as u64 / CHECKS
    });
    let check = best.min().unwrap();
    println!("a check takes {check} ns");
    assert!(check < MICROSECOND, "a check takes {check} ns");

    assert!(may("team-09999-0-x") && may("team-09999-1"));
    assert!(!may("team-09999-1-x") && !may("team-09998-0"));
}
