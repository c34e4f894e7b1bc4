//! Who is connected: the network's list with the users that the broker knows, for those who may see it.

#![allow(clippy::unwrap_used)]

use sluice_auth::{Auth, Command, Config as AuthConfig, Credentials, Quota, Session, UserSpec};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::MemoryLog;
use std::net::SocketAddr;
use std::sync::Arc;

/// So many connections, all from one address.
struct Open(u64);

impl ConnectionList for Open {
    fn after(&self, number: u64, limit: usize) -> Vec<ConnectionView> {
        let view = |number| ConnectionView {
            number,
            peer: peer(),
            listener: "test",
            protocol: None,
            tls: None,
            since: number,
            user: None,
        };
        (number + 1..=self.0).map(view).take(limit).collect()
    }

    fn close(&self, number: u64) -> bool {
        (1..=self.0).contains(&number)
    }
}

fn peer() -> SocketAddr {
    "10.0.0.1:1".parse().unwrap()
}

async fn broker() -> (Broker, Session, Session) {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let auth = Auth::acl(AuthConfig::default(), clock.clone()).unwrap();
    let broker = Broker::open(Arc::new(MemoryLog::new()), Arc::new(auth), clock, Config::default()).unwrap();
    for (name, superuser) in [("root", true), ("app", false)] {
        let quota = Some(Quota { connections: Some(2), ..Quota::default() });
        let secret = Some("secret".into());
        let spec = UserSpec { superuser: Some(superuser), secret, quota, ..UserSpec::named(name) };
        broker.change_access_as_operator(Command::PutUser(spec)).await.unwrap();
    }
    let login = |user| broker.login_now(Credentials::Password { user, password: "secret" }, peer()).unwrap();
    let (root, app) = (login("root"), login("app"));
    (broker, root, app)
}

fn users(broker: &Broker, session: &Session) -> Vec<Option<String>> {
    let open = broker.connections(session, 0, 9).unwrap();
    open.into_iter().map(|open| open.user.map(String::from)).collect()
}

fn some(names: [&str; 3]) -> Vec<Option<String>> {
    names.map(|name| (!name.is_empty()).then(|| name.to_owned())).into()
}

#[tokio::test]
async fn the_list_is_for_those_who_may_look_at_the_broker() {
    let (broker, root, app) = broker().await;
    assert_eq!(broker.connections(&root, 0, 9).unwrap_err().kind(), ErrorKind::Unsupported);
    broker.set_connections(Arc::new(Open(3)));
    assert_eq!(broker.connections(&app, 0, 9).unwrap_err().kind(), ErrorKind::PermissionDenied);
    let page = broker.connections(&root, 1, 1).unwrap();
    assert_eq!(page.iter().map(|open| open.number).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn one_is_closed_for_those_who_may_change_the_broker() {
    let (broker, root, app) = broker().await;
    assert_eq!(broker.close_connection(&root, 1).unwrap_err().kind(), ErrorKind::Unsupported);
    broker.set_connections(Arc::new(Open(3)));
    assert_eq!(broker.close_connection(&app, 1).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(broker.close_connection(&root, 3).unwrap());
    assert!(!broker.close_connection(&root, 4).unwrap());
}

#[tokio::test]
async fn a_connection_has_the_user_that_it_acts_for() {
    let (broker, root, app) = broker().await;
    broker.set_connections(Arc::new(Open(3)));
    let mut watches = [1, 2, 3].map(|number| SessionWatch::of(Some(number)));
    let mut nameless = SessionWatch::default();
    nameless.follow(&broker, &app, || ()).unwrap();
    assert_eq!(users(&broker, &root), some(["", "", ""]), "the address alone names nobody");
    watches[0].follow(&broker, &app, || ()).unwrap();
    watches[1].follow(&broker, &root, || ()).unwrap();
    assert_eq!(users(&broker, &root), some(["app", "root", ""]));
    watches[2].follow(&broker, &app, || ()).unwrap_err();
    assert_eq!(users(&broker, &root), some(["app", "root", ""]), "over the quota");
    watches[0].follow(&broker, &root, || ()).unwrap();
    assert_eq!(users(&broker, &root), some(["root", "root", ""]));
    watches[1].follow(&broker, &app, || ()).unwrap();
    watches[1].follow(&broker, &app, || ()).unwrap();
    assert_eq!(users(&broker, &root), some(["root", "app", ""]));
    drop(watches);
    assert_eq!(users(&broker, &root), some(["", "", ""]));
}

#[tokio::test]
async fn who_takes_a_connection_over_is_not_forgotten_with_who_had_it() {
    let (broker, root, app) = broker().await;
    broker.set_connections(Arc::new(Open(3)));
    let (mut before, mut after) = (SessionWatch::of(Some(1)), SessionWatch::of(Some(1)));
    before.follow(&broker, &app, || ()).unwrap();
    after.follow(&broker, &root, || ()).unwrap();
    drop(before);
    assert_eq!(users(&broker, &root), some(["root", "", ""]));
    drop(after);
    assert_eq!(users(&broker, &root), some(["", "", ""]));
}
