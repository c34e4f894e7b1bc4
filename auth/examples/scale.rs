//! Prints what many users cost: how long 10,000 of them with 100,000 policies take to load, and one check.
//!
//! `cargo run --release -p sluice-auth --example scale`

use sluice_auth::{AclFile, Action, Auth, Command, Config, Credentials, Policy, Resource, UserSpec};
use sluice_model::{Error, SystemClock, TopicName};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const USERS: usize = 10_000;
const POLICIES_EACH: usize = 10;
const CHECKS: u32 = 1_000_000;

fn main() -> Result<(), Error> {
    let mut file = AclFile::default();
    for n in 0..USERS {
        let name = format!("user-{n:05}");
        for p in 0..POLICIES_EACH {
            let resource = format!("Topic:team-{n:05}-{p}*");
            file.policies.push(Policy::allow(&name, &resource, &[Action::Pub])?);
        }
        file.users.push(UserSpec { secret: Some("secret".into()), ..UserSpec::named(name) });
    }
    let empty = || Auth::acl(Config::default(), Arc::new(SystemClock));
    let auth = empty()?;
    let start = Instant::now();
    let change = auth.plan(Command::ReplaceFile(file))?;
    println!("checking a file of {USERS} users: {:?}", start.elapsed());
    let start = Instant::now();
    auth.apply(&change);
    println!("applying it: {:?}", start.elapsed());

    let snapshot = auth.snapshot();
    let copy = empty()?;
    let start = Instant::now();
    snapshot.iter().for_each(|change| copy.apply(change));
    println!("loading a checkpoint: {:?}", start.elapsed());

    let credentials = Credentials::Password { user: "user-05000", password: "secret" };
    let session = copy.login(credentials, ([127, 0, 0, 1], 1).into())?;
    let topic = TopicName::new("team-05000-7-orders")?;
    let start = Instant::now();
    for _ in 0..CHECKS {
        black_box(copy.permit(black_box(&session), Action::Pub, Resource::Topic(&topic))?);
    }
    println!("one check: {:?}", start.elapsed() / CHECKS);
    Ok(())
}
