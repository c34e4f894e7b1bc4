//! Users, tokens and explanations through the one service.

#![allow(clippy::unwrap_used)]

use sluice_auth::{
    AclFile, Action, Auth, Command, Config as AuthConfig, Credentials, DataKey, Decision, GroupQuotaSpec,
    Policy, Quota, Resource, Session, UserSpec,
};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::{Log, MemoryLog};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const NOW: Millis = 1_700_000_000_000;
/// For what comes at once, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

fn peer() -> SocketAddr {
    "10.0.0.1:1".parse().unwrap()
}

fn open(log: &Arc<MemoryLog>, key: Option<&Path>) -> Result<Broker> {
    open_at(log, key, Arc::new(ManualClock::new(NOW)))
}

fn open_at(log: &Arc<MemoryLog>, key: Option<&Path>, clock: Arc<ManualClock>) -> Result<Broker> {
    let auth = Auth::acl(AuthConfig::default(), clock.clone())?;
    let auth = match key {
        Some(path) => auth.with_data_key(DataKey::open_or_create(path)?),
        None => auth,
    };
    Broker::open(Arc::clone(log) as Arc<dyn Log>, Arc::new(auth), clock, Config::default())
}

async fn with_users(broker: &Broker) -> (Session, Session) {
    let user = |name: &str, superuser| UserSpec {
        superuser: Some(superuser),
        secret: Some("secret".into()),
        ..UserSpec::named(name)
    };
    for user in [user("root", true), user("app", false)] {
        broker.change_access_as_operator(Command::PutUser(user)).await.unwrap();
    }
    let login = |user| broker.login_now(Credentials::Password { user, password: "secret" }, peer()).unwrap();
    (login("root"), login("app"))
}

#[tokio::test]
async fn a_token_is_made_by_whoever_may_change_users_and_shown_once() {
    let log = Arc::new(MemoryLog::new());
    let broker = open(&log, None).unwrap();
    let (root, app) = with_users(&broker).await;
    let denied = broker.create_token(&app, "app", "ci", None).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
    let token = broker.create_token(&root, "app", "ci", None).await.unwrap();
    let bearer = Credentials::Bearer { token: &token };
    assert_eq!(broker.login_now(bearer, peer()).unwrap().principal(), "app");
    drop(broker);
    let again = open(&log, None).unwrap();
    assert_eq!(again.login_now(bearer, peer()).unwrap().principal(), "app", "it outlives a restart");
}

#[tokio::test]
async fn an_explanation_is_for_those_who_may_look_at_the_cluster() {
    let broker = open(&Arc::new(MemoryLog::new()), None).unwrap();
    let (root, app) = with_users(&broker).await;
    let policy = Policy::allow("app", "Topic:orders*", &[Action::Pub]).unwrap();
    broker.change_access(&root, Command::PutPolicy(policy)).await.unwrap();
    let topic = TopicName::new("orders-1").unwrap();
    let ask =
        |session| broker.explain_access(session, "app", Action::Pub, Resource::Topic(&topic), peer().ip());
    assert_eq!(ask(&app).unwrap_err().kind(), ErrorKind::PermissionDenied);
    let answer = ask(&root).unwrap();
    assert_eq!(answer.decision, Decision::Allow);
    assert_eq!(answer.rules.len(), 1);
}

#[tokio::test]
async fn a_log_with_sealed_secrets_does_not_open_without_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let (key, another) = (folder.path().join("key"), folder.path().join("another"));
    let log = Arc::new(MemoryLog::new());
    with_users(&open(&log, Some(&key)).unwrap()).await;
    open(&log, Some(&key)).unwrap();
    for lost in [None, Some(another.as_path())] {
        let error = open(&log, lost).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains("app"), "{error}");
    }
}

#[tokio::test]
async fn the_trail_tells_who_changed_what_and_listing_denies_nothing() {
    let broker = open(&Arc::new(MemoryLog::new()), None).unwrap();
    let (root, app) = with_users(&broker).await;
    let topic = TopicName::new("t").unwrap();
    broker.put_topic(&root, &topic, TopicSpec::with_queues(1)).await.unwrap();
    assert!(broker.topics(&app, None, 10).unwrap().is_empty());
    let policy = Policy::allow("app", "Topic:t", &[Action::Get]).unwrap();
    broker.change_access(&root, Command::PutPolicy(policy)).await.unwrap();
    assert!(broker.audit(&app, 0, 10).is_err());
    let trail = broker.audit(&root, 0, 100).unwrap();
    let told: Vec<_> = trail.iter().map(|event| (event.user.as_str(), event.detail.as_str())).collect();
    let denied = "User:app has no permission to Get Cluster from 10.0.0.1, no matched policies";
    assert_eq!(
        told,
        [
            ("", "put User:root"),
            ("", "put User:app"),
            ("root", ""),
            ("app", ""),
            ("root", "put policy: allow Get on Topic:t for User:app"),
            ("app", denied),
        ]
    );
}

#[tokio::test]
async fn a_connection_learns_that_its_session_is_over() {
    let broker = open(&Arc::new(MemoryLog::new()), None).unwrap();
    let (root, app) = with_users(&broker).await;
    let waiting = {
        let broker = broker.clone();
        tokio::spawn(async move { broker.session_ended(&app).await })
    };
    let change =
        |user: &str, enabled| Command::PutUser(UserSpec { enabled: Some(enabled), ..UserSpec::named(user) });
    broker.change_access(&root, change("another", true)).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "a change about someone else");
    broker.change_access(&root, change("app", false)).await.unwrap();
    tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_is_watched_for_whom_it_acted_as_last() {
    let broker = open(&Arc::new(MemoryLog::new()), None).unwrap();
    let (root, app) = with_users(&broker).await;
    let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let mut watch = SessionWatch::default();
    for session in [&app, &root, &app] {
        assert!(watch.is_news(session));
        let (ends, name) = (ends.clone(), session.principal().clone());
        watch.follow(&broker, session, move || ends.send(name).unwrap()).unwrap();
        assert!(!watch.is_news(session));
    }
    let again = Credentials::Password { user: "app", password: "secret" };
    assert!(!watch.is_news(&broker.login_now(again, peer()).unwrap()), "the same proof");
    let another = UserSpec { superuser: Some(true), ..UserSpec::named("another") };
    broker.change_access_as_operator(Command::PutUser(another)).await.unwrap();
    for user in ["root", "app"] {
        broker.change_access_as_operator(Command::DeleteUser(user.to_owned())).await.unwrap();
    }
    let name = tokio::time::timeout(PATIENCE, ended.recv()).await.unwrap().unwrap();
    assert_eq!(name, "app");
    drop((watch, ends));
    assert!(ended.recv().await.is_none(), "root was not waited for any more");
}

/// By a timer of its own: nothing changes that could wake whoever waits.
#[tokio::test]
async fn a_session_ends_when_its_token_does() {
    let clock = Arc::new(SystemClock);
    let auth = Arc::new(Auth::acl(AuthConfig::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Config::default()).unwrap();
    let (root, _) = with_users(&broker).await;
    let end = broker.now() + 2_000;
    let token = broker.create_token(&root, "app", "ci", Some(end)).await.unwrap();
    let session = broker.login_now(Credentials::Bearer { token: &token }, peer()).unwrap();
    tokio::time::timeout(PATIENCE, broker.session_ended(&session)).await.unwrap();
    assert!(broker.now() >= end);
}

/// Sending is refused while a quota is used up; a consumer that waits is slowed down without an error.
#[tokio::test]
async fn a_quota_holds_for_sending_and_receiving_together() {
    let clock = Arc::new(ManualClock::new(NOW));
    let broker = open_at(&Arc::new(MemoryLog::new()), None, clock.clone()).unwrap();
    let (root, app) = with_users(&broker).await;
    for policy in ["Topic:*", "Group:*"] {
        let policy = Policy::allow("app", policy, &Action::ALL).unwrap();
        broker.change_access(&root, Command::PutPolicy(policy)).await.unwrap();
    }
    let quota = Quota { messages_per_second: Some(2), ..Quota::default() };
    let limited = UserSpec { quota: Some(quota), ..UserSpec::named("app") };
    broker.change_access(&root, Command::PutUser(limited)).await.unwrap();
    let (topic, group) = (TopicName::new("t").unwrap(), GroupName::new("g").unwrap());
    let send = |session, many| {
        let messages = vec![Message { body: Some("body".into()), ..Message::default() }; many];
        broker.send(session, SendRequest { messages, ..SendRequest::one(topic.clone(), Message::default()) })
    };
    send(&app, 2).unwrap().await.unwrap();
    let error = send(&app, 1).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    send(&root, 10).unwrap().await.unwrap();

    let receive = |wait| {
        let (broker, app, topic, group) = (broker.clone(), app.clone(), topic.clone(), group.clone());
        async move {
            let filter = Filter::All;
            let request = ReceiveRequest {
                group: &group,
                topic: &topic,
                filter: &filter,
                max: 4,
                lease: Lease::For(Duration::from_secs(60)),
                wait,
                start: StartAt::Earliest,
                create: None,
            };
            broker.receive(&app, &request).await
        }
    };
    assert_eq!(receive(Duration::ZERO).await.unwrap_err().kind(), ErrorKind::Throttled);
    assert!(receive(Duration::from_millis(20)).await.unwrap().is_empty(), "a wait that ends before");
    let waiting = tokio::spawn(receive(Duration::from_secs(20)));
    clock.advance(1000);
    assert_eq!(waiting.await.unwrap().unwrap().len(), 4);
    clock.advance(1000);
    assert!(send(&app, 1).is_err(), "what was received beyond the quota is paid for");
    clock.advance(1000);
    send(&app, 1).unwrap().await.unwrap();
    clock.advance(1000);
    let mut cursor = broker.cursor(&app, &topic, Filter::All, StartAt::Earliest, None).await.unwrap();
    let read = broker.poll(&app, &mut cursor, 4, Duration::from_secs(20)).await.unwrap();
    assert_eq!(read.len(), 4, "a reader without a group");
    let over = broker.poll(&app, &mut cursor, 4, Duration::ZERO).await.unwrap_err();
    assert_eq!(over.kind(), ErrorKind::Throttled);
    assert!(broker.poll(&app, &mut cursor, 4, Duration::from_millis(20)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_user_has_so_many_connections_at_once() {
    let broker = open(&Arc::new(MemoryLog::new()), None).unwrap();
    let (root, app) = with_users(&broker).await;
    let mut watches = [(); 3].map(|()| SessionWatch::default());
    let mut follow = |at: usize, session: &Session| watches[at].follow(&broker, session, || ());
    follow(0, &app).unwrap();
    // The limit comes when there is a connection already, and counts it.
    let quota = Quota { connections: Some(2), ..Quota::default() };
    let limited = UserSpec { quota: Some(quota), ..UserSpec::named("app") };
    broker.change_access(&root, Command::PutUser(limited)).await.unwrap();
    follow(1, &app).unwrap();
    let error = follow(2, &app).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(error.to_string().contains("User:app is over its quota of 2 connections at once"), "{error}");
    follow(1, &root).unwrap();
    follow(2, &app).expect("one of them acts for someone else now");
    assert!(follow(1, &app).is_err());
}

/// Whoever joins, receives or pulls counts, once for each connection, until the connection ends.
#[tokio::test]
async fn a_group_has_so_many_connections_at_once() {
    let broker = open(&Arc::new(MemoryLog::new()), None).unwrap();
    let (root, _) = with_users(&broker).await;
    let (topic, group) = (TopicName::new("t").unwrap(), GroupName::new("g").unwrap());
    broker.put_topic(&root, &topic, TopicSpec::with_queues(1)).await.unwrap();
    let from = |port: u16| {
        let peer = ([127, 0, 0, 1], port).into();
        broker.login_now(Credentials::Password { user: "root", password: "secret" }, peer).unwrap()
    };
    let receive = async |session: &Session| {
        let request = ReceiveRequest {
            group: &group,
            topic: &topic,
            filter: &Filter::All,
            max: 1,
            lease: Lease::For(Duration::from_secs(60)),
            wait: Duration::ZERO,
            start: StartAt::Earliest,
            create: None,
        };
        broker.receive(session, &request).await.map(drop)
    };
    let join = |session: &Session| {
        let client = broker.client(session);
        let membership = Membership {
            group: group.clone(),
            client_id: "c".into(),
            sharing: Sharing::Clustering,
            fetching: Fetching::Lease,
            start: StartAt::Earliest,
            subscriptions: None,
            agent: Default::default(),
        };
        client.join(session, membership).map(|_| client)
    };
    let quota = Quota { connections: Some(2), ..Quota::default() };
    let limited = GroupQuotaSpec { group: "g".into(), quota };
    broker.change_access(&root, Command::PutGroupQuota(limited)).await.unwrap();
    let [one, two, three] = [1, 2, 3].map(from);
    let mut watch = SessionWatch::default();
    watch.follow(&broker, &one, || ()).unwrap();
    receive(&one).await.unwrap();
    let client = join(&two).unwrap();
    let error = receive(&three).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(error.to_string().contains("Group:g is over its quota of 2 connections at once"), "{error}");
    assert!(join(&three).is_err());
    receive(&one).await.expect("it counts already");
    drop(client);
    receive(&three).await.expect("the member is gone");
    assert!(receive(&two).await.is_err());
    drop(watch);
    receive(&two).await.expect("the connection is gone");
}

#[tokio::test]
async fn the_same_file_at_every_start_does_not_make_the_log_grow() {
    let log = Arc::new(MemoryLog::new());
    let broker = open(&log, None).unwrap();
    let text = "[[users]]\nname = \"ops\"\nsuperuser = true\nsecret = \"s\"\n";
    let file = || Command::ReplaceFile(AclFile::parse(text).unwrap());
    broker.change_access_as_operator(file()).await.unwrap();
    let end = log.end();
    broker.change_access_as_operator(file()).await.unwrap();
    assert_eq!(log.end(), end);
    broker.change_access_as_operator(Command::ReplaceFile(AclFile::default())).await.unwrap();
    assert!(log.end() > end);
}

#[tokio::test]
async fn a_life_in_open_mode_does_not_lose_the_users() {
    let log = Arc::new(MemoryLog::new());
    let broker = open(&log, None).unwrap();
    with_users(&broker).await;
    drop(broker);
    let clock = Arc::new(ManualClock::new(NOW));
    for _ in 0..2 {
        let open_mode: Arc<dyn Log> = Arc::new(log.reopen());
        let broker =
            Broker::open(open_mode, Arc::new(Auth::open()), clock.clone(), Config::default()).unwrap();
        broker.checkpoint().unwrap();
    }
    let broker = open(&Arc::new(log.reopen()), None).unwrap();
    broker.login_now(Credentials::Password { user: "app", password: "secret" }, peer()).unwrap();
}
