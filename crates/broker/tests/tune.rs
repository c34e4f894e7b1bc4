//! Settings that change while the broker runs.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::units::Span;
use sluice_model::*;
use sluice_store::MemoryLog;
use std::sync::Arc;
use std::time::Duration;

const START: Millis = 1_700_000_000_000;

fn open(log: &Arc<MemoryLog>, clock: &Arc<ManualClock>, config: Config) -> (Broker, Session) {
    let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock.clone(), config).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    (broker, me)
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_holds_at_once_and_after_a_restart_whatever_the_file_says() {
    let (log, clock) = (Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(START)));
    let (broker, me) = open(&log, &clock, Config::default());
    let retention = |hours: u64| Setting::Retention(hours * 3_600_000);
    broker.tune(&me, &[Setting::AutoCreate(false), retention(5)]).await.unwrap();
    broker.tune(&me, &[retention(6)]).await.unwrap();
    let new = TopicName::new("new").unwrap();
    assert_eq!(broker.ensure_topic(&me, &new, 1).unwrap_err().kind(), ErrorKind::TopicNotFound);
    let (mut log, mut broker, mut me) = (log, broker, me);
    for checkpoint in [false, true, false] {
        if checkpoint {
            broker.checkpoint().unwrap();
        }
        log = Arc::new(log.reopen());
        (broker, me) = open(&log, &clock, Config { retention: Span::secs(1), ..Config::default() });
        let tuned = broker.tuned();
        assert_eq!((tuned.auto_create, tuned.retention), (false, Span::secs(6 * 3600)));
        assert_eq!(tuned.max_checks, 15, "the file's, which nobody has changed");
    }
    for wrong in
        [Setting::DefaultQueues(0), Setting::DefaultQueues(9999), Setting::MaxChecks(0), retention(0)]
    {
        let error = broker.tune(&me, &[Setting::AutoCreate(true), wrong]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert!(!broker.tuned().auto_create, "all or none");
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_asked_for_as_configured_and_as_changed() {
    let (log, clock) = (Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(START)));
    let config = Config {
        first_check: Span::millis(500),
        check_interval: Span::millis(200),
        max_checks: 2,
        ..Config::default()
    };
    let (broker, me) = open(&log, &clock, config);
    let (topic, group) = (TopicName::new("t").unwrap(), GroupName::new("p").unwrap());
    let prepare = async || {
        let message = Message { body: Some(Bytes::from_static(b"x")), ..Message::default() };
        let send = SendRequest { create: Some(1), ..SendRequest::one(topic.clone(), message) };
        let request = PrepareRequest { send, group: group.clone(), first_check: None };
        broker.prepare(&me, request).unwrap().await.unwrap();
    };
    let asked = async |after: u64| {
        clock.advance(after);
        broker.check_due().await.unwrap();
        broker.receive_checks(&me, &group, 100, Duration::ZERO).await.unwrap().len()
    };
    let exhausted = async || broker.transactions(&me, None, 0, 100).unwrap().is_empty();
    prepare().await;
    assert_eq!((asked(499).await, asked(1).await), (0, 1));
    assert_eq!((asked(199).await, asked(1).await), (0, 1));
    assert!(!exhausted().await);
    assert_eq!(asked(200).await, 0, "twice is enough");
    assert!(exhausted().await);
    let changed = [Setting::FirstCheck(100), Setting::CheckInterval(1000), Setting::MaxChecks(3)];
    broker.tune(&me, &changed).await.unwrap();
    prepare().await;
    assert_eq!((asked(99).await, asked(1).await), (0, 1));
    assert_eq!((asked(999).await, asked(1).await, asked(1000).await), (0, 1, 1));
    assert!(!exhausted().await);
    assert_eq!(asked(1000).await, 0);
    assert!(exhausted().await);
}
