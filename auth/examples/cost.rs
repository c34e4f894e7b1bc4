//! Prints what a signed and permitted request costs, piece by piece, in nanoseconds.
//!
//! `cargo run --release -p sluice-auth --example cost`

use sha1::{Digest, Sha1};
use sluice_auth::{
    AclFile, Action, Auth, Command, Config, Credentials, HmacAlgorithm, Policy, Proven, Resource, Session,
    UserSpec,
};
use sluice_model::{Error, SystemClock, TopicName};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const USERS: usize = 100;
const POLICIES_EACH: usize = 10;
const ROUNDS: u32 = 200_000;
const BODY: usize = 1024;
const SECRET: &str = "the secret of the benchmark";

/// The best of several runs, for one of them.
fn measure(what: &str, mut work: impl FnMut()) {
    let run = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    };
    let best = (0..5).map(|_| run(&mut work)).fold(f64::INFINITY, f64::min);
    println!("{what:40} {best:8.1} ns");
}

fn auth() -> Result<Auth, Error> {
    let mut file = AclFile::default();
    for n in 0..USERS {
        let name = format!("user-{n}");
        for p in 0..POLICIES_EACH {
            let topic = if p == 0 { "Topic:bench".to_owned() } else { format!("Topic:topic-{p}*") };
            file.policies.push(Policy::allow(&name, &topic, &[Action::Pub, Action::Create])?);
        }
        file.users.push(UserSpec { secret: Some(SECRET.into()), ..UserSpec::named(name) });
    }
    let auth = Auth::acl(Config::default(), Arc::new(SystemClock))?;
    auth.apply(&auth.plan(Command::ReplaceFile(file))?);
    Ok(auth)
}

fn sign(pieces: &[&[u8]]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    let Ok(mut mac) = <Hmac<Sha1> as KeyInit>::new_from_slice(SECRET.as_bytes()) else { return Vec::new() };
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}

fn main() -> Result<(), Error> {
    let auth = auth()?;
    let body = vec![b'x'; BODY];
    let fields = [
        "user-50",
        "load",
        "bench",
        "TBW102",
        "4",
        "-1",
        "0",
        "1700000000000",
        "0",
        "",
        "0",
        "false",
        "false",
    ];
    // As the front-end shows them: the fields in one piece, and the body where it was read.
    let fields = fields.concat();
    let content = [fields.as_bytes(), &body];
    let signature = sign(&content);
    let credentials = Credentials::Hmac {
        access_key: "user-50",
        algorithm: HmacAlgorithm::Sha1,
        content: &content,
        signature: &signature,
    };
    let peer = ([127, 0, 0, 1], 1).into();
    measure("SHA-1 of the body", || _ = black_box(Sha1::digest(black_box(&body))));
    measure("making the signature", || _ = black_box(sign(black_box(&content))));
    let session = auth.login(credentials, peer)?;
    measure("login by signature", || _ = black_box(auth.login(black_box(credentials), peer)));
    let mut proven = Proven::default();
    measure("again, over the same connection", || {
        _ = black_box(auth.login_again(&mut proven, black_box(credentials), peer));
    });
    let again = auth.login_again(&mut proven, credentials, peer)?;
    measure("the session of a request, made and let go", || _ = black_box(black_box(&again).clone()));
    measure("whether it is the session of before", || {
        _ = black_box(again.is_same_proof(black_box(&session)))
    });
    let topic = TopicName::new("bench")?;
    measure("permit to send to a topic", || _ = black_box(permit(&auth, &session, &topic)));
    measure("all of it: again, and the permit", || {
        let session = auth.login_again(&mut proven, black_box(credentials), peer);
        _ = black_box(session.is_ok_and(|session| permit(&auth, &session, &topic)));
    });
    Ok(())
}

fn permit(auth: &Auth, session: &Session, topic: &TopicName) -> bool {
    auth.permit(black_box(session), Action::Pub, Resource::Topic(topic)).is_ok()
}
