//! What consumers ask.

use super::*;
use sluice_broker::ClientEvent;
use sluice_model::{QueueId, TopicName};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for an answer, but not for ever.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("an answer in time")
}

#[tokio::test]
async fn a_pull_relies_on_the_heartbeat() {
    let peer = Peer::new();
    for (tag, body) in [("A", &b"1"[..]), ("B", b"2"), ("A", b"3")] {
        peer.send("T", "0", &[("TAGS", tag)], body).await;
    }
    assert_eq!(peer.pull("CG", "T", "0", "0", "0").await.code(), 24);
    let beat = peer.heartbeat("c1", "CG", "T", "A || C").await;
    assert_eq!(beat.code(), 0, "{}", beat.remark());
    assert_eq!(beat.fields(&["IS_SUB_CHANGE", "IS_SUPPORT_HEART_BEAT_V2"]), ["true", "true"]);

    let got = peer.pull("CG", "T", "0", "0", "0").await;
    let bodies: Vec<_> = got.records().iter().map(|r| r.body.clone()).collect();
    assert_eq!((bodies, got.field("nextBeginOffset").as_deref()), (vec!["1".into(), "3".into()], Some("3")));
    assert_eq!(peer.pull("CG", "Other", "0", "0", "0").await.code(), 24);

    let newer = [
        ("consumerGroup", "CG"),
        ("topic", "T"),
        ("queueId", "0"),
        ("queueOffset", "0"),
        ("maxMsgNums", "1"),
        ("sysFlag", "0"),
        ("subVersion", "6"),
    ];
    assert_eq!(peer.ask(11, &newer, "").await.code(), 25);
}

/// As PyPI's `rocketmq` 0.4.4 writes it: constants by their place, the version in quotes.
const CPP_HEARTBEAT: &str = concat!(
    r#"{"clientID":"7389-127.0.0.1@DEFAULT","consumerDataSet":[{"consumeFromWhere":4,"consumeType":0,"groupName":"CG","#,
    r#""messageModel":0,"subscriptionDataSet":[{"subString":"A","subVersion":"5","topic":"T"}]}],"#,
    r#""producerDataSet":[{"groupName":"PG"}]}"#,
);

#[tokio::test]
async fn a_heartbeat_of_the_client_for_cpp() {
    let peer = Peer::new();
    for tag in ["A", "B"] {
        peer.send("T", "0", &[("TAGS", tag)], tag.as_bytes()).await;
    }
    let beat = peer.ask(34, &[], CPP_HEARTBEAT).await;
    assert_eq!(beat.code(), 0, "{}", beat.remark());
    let got = peer.pull("CG", "T", "0", "0", "0").await;
    assert_eq!(got.records().iter().map(|r| &r.body[..]).collect::<Vec<_>>(), [b"A"]);
    let member = peer.ask(203, &[("consumerGroup", "CG")], "").await.json();
    let told = ["consumeType", "messageModel", "consumeFromWhere"].map(|name| member[name].clone());
    assert_eq!(told, ["CONSUME_ACTIVELY", "BROADCASTING", "CONSUME_FROM_FIRST_OFFSET"]);
    let wrong = CPP_HEARTBEAT.replace(r#""5""#, r#""five""#);
    assert_eq!(peer.ask(34, &[], wrong).await.code(), 29);

    let locks = r#"{"clientId":"7389-127.0.0.1@DEFAULT","consumerGroup":"CG",
        "mqSet":[{"brokerName":"sluice","queueId":"0","topic":"T"}]}"#;
    let locked = peer.ask(41, &[], locks).await;
    assert_eq!((locked.code(), locked.json()["lockOKMQSet"][0]["queueId"].as_i64()), (0, Some(0)));
}

#[tokio::test]
async fn outcomes_of_a_pull_that_finds_nothing() {
    let peer = Peer::new();
    for _ in 0..3 {
        peer.send("T", "0", &[("TAGS", "B")], b"x").await;
    }
    let at = async |queue: &str, offset: &str| {
        let got = peer.pull("CG", "T", queue, offset, "4").await;
        let fields = got.fields(&["nextBeginOffset", "minOffset", "maxOffset"]);
        (got.code(), fields.join(" "), got.remark().to_owned())
    };
    assert_eq!(at("0", "3").await, (19, "3 0 3".into(), "OFFSET_OVERFLOW_ONE".into()));
    assert_eq!(at("0", "9").await, (21, "3 0 3".into(), "OFFSET_OVERFLOW_BADLY".into()));
    assert_eq!(at("1", "0").await, (19, "0 0 0".into(), "NO_MESSAGE_IN_QUEUE".into()));
    assert_eq!(at("1", "5").await, (21, "0 0 0".into(), "NO_MESSAGE_IN_QUEUE".into()));
    peer.heartbeat("c1", "CG", "T", "A").await;
    let none = peer.pull("CG", "T", "0", "0", "0").await;
    assert_eq!((none.code(), none.field("nextBeginOffset").as_deref()), (20, Some("3")));
    assert_eq!(peer.pull("CG", "T", "4", "0", "4").await.code(), 29);
    assert_eq!(peer.pull("CG", "Unknown", "0", "0", "4").await.code(), 17);
}

#[tokio::test]
async fn a_waiting_pull_gets_what_comes_and_ends_when_the_connection_does() {
    let peer = Peer::new();
    peer.send("T", "0", &[], b"first").await;
    let sender = peer.another();
    let (got, _) = soon(async {
        tokio::join!(peer.pull("CG", "T", "0", "1", "6"), async {
            tokio::task::yield_now().await;
            sender.send("T", "0", &[], b"second").await
        })
    })
    .await;
    assert_eq!(&got.records()[0].body[..], b"second");

    let mut waiting = Box::pin(peer.pull("CG", "T", "0", "2", "6"));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    peer.link.end(&peer.node);
    let got = soon(waiting).await;
    assert_eq!((got.code(), got.field("nextBeginOffset").as_deref()), (19, Some("2")));
}

#[tokio::test]
async fn a_lite_pull_carries_its_own_condition() {
    let peer = Peer::new();
    peer.send("T", "0", &[("TAGS", "A")], b"a").await;
    peer.send("T", "0", &[("TAGS", "B")], b"b").await;
    let fields = vec![
        ("consumerGroup", "CG"),
        ("topic", "T"),
        ("queueId", "0"),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", "20"),
        ("subscription", "B"),
        ("expressionType", "TAG"),
    ];
    let got = peer.ask(361, &fields, "").await;
    assert_eq!(got.records().iter().map(|r| r.body.clone()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn offsets_are_kept_and_a_young_queue_starts_at_its_beginning() {
    let peer = Peer::new();
    peer.send("T", "0", &[], b"x").await;
    let place = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0")];
    let query =
        async |more: &[(&'static str, &'static str)]| peer.ask(14, &[&place[..], more].concat(), "").await;
    assert_eq!(query(&[]).await.field("offset").as_deref(), Some("0"));
    let strict = query(&[("setZeroIfNotFound", "false")]).await;
    assert_eq!(strict.code(), 22);
    assert_eq!(peer.ask(15, &[&place[..], &[("commitOffset", "1")]].concat(), "").await.code(), 0);
    assert_eq!(query(&[("setZeroIfNotFound", "false")]).await.field("offset").as_deref(), Some("1"));
    assert_eq!(peer.ask(15, &place, "").await.code(), 29);
    let elsewhere = [("consumerGroup", "CG"), ("topic", "Unknown"), ("queueId", "0"), ("commitOffset", "1")];
    assert_eq!(peer.ask(15, &elsewhere, "").await.code(), 17);
    assert_eq!(peer.ask(14, &elsewhere[..3], "").await.code(), 22);
}

#[tokio::test]
async fn a_place_that_is_not_there_is_told_as_the_nearest_that_is() {
    let peer = Peer::new();
    for _ in 0..3 {
        peer.send("T", "0", &[], b"x").await;
    }
    let place = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0")];
    let commit =
        async |offset| peer.ask(15, &[&place[..], &[("commitOffset", offset)]].concat(), "").await.code();
    let query = async || peer.ask(14, &place, "").await.field("offset").unwrap();
    assert_eq!((commit("1").await, query().await.as_str()), (0, "1"));
    let topic = TopicName::new("T").unwrap();
    let queue = QueueId(0);
    let begin = peer.node.broker.truncate_queue(&peer.session(), &topic, queue, Some(2)).await.unwrap();
    assert_eq!((begin, query().await.as_str()), (2, "2"));
    assert_eq!((commit("9").await, query().await.as_str()), (0, "3"));
    peer.send("T", "0", &[], b"x").await;
    assert_eq!(query().await, "4");
}

#[tokio::test]
async fn an_old_queue_has_no_progress_for_a_new_group() {
    let config = Config { young_queue: 1, ..Config::default() };
    let peer = Peer::with(Broker::in_memory(), config);
    peer.send("T", "0", &[], b"x").await;
    let place = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0")];
    assert_eq!(peer.ask(14, &place, "").await.code(), 22);
}

#[tokio::test]
async fn bounds_and_times_of_a_queue() {
    let peer = Peer::new();
    for _ in 0..3 {
        peer.send("T", "0", &[], b"x").await;
    }
    let offset = async |code: i32, queue: &str, more: &[(&'static str, &'static str)]| {
        let fields = [&[("topic", "T"), ("queueId", queue)], more].concat();
        peer.ask(code, &fields, "").await.field("offset").unwrap()
    };
    assert_eq!(offset(30, "0", &[]).await, "3");
    assert_eq!(offset(31, "0", &[]).await, "0");
    assert_eq!(offset(30, "77", &[]).await, "0");
    let far = ("timestamp", "9999999999999");
    assert_eq!(offset(29, "0", &[("timestamp", "0")]).await, "0");
    assert_eq!(offset(29, "0", &[far]).await, "3");
    assert_eq!(offset(29, "0", &[far, ("boundaryType", "upper")]).await, "2");
    assert_eq!(offset(29, "0", &[("timestamp", "5"), ("boundaryType", "UPPER")]).await, "0");
    assert_eq!(offset(29, "1", &[far, ("boundaryType", "UPPER")]).await, "0");
    let time = async |queue: &str| {
        let fields = [("topic", "T"), ("queueId", queue)];
        peer.ask(32, &fields, "").await.field("timestamp").unwrap().parse::<i64>().unwrap()
    };
    assert!(time("0").await > 1_700_000_000_000);
    assert_eq!(time("1").await, -1);
}

#[tokio::test]
async fn members_are_told_of_each_other() {
    let one = Peer::new();
    let two = one.another();
    one.send("T", "0", &[], b"x").await;
    assert_eq!(one.ask(38, &[("consumerGroup", "CG")], "").await.code(), 1);
    one.heartbeat("c1", "CG", "T", "*").await;
    let client = one.link.known_client().unwrap();
    soon(client.event()).await;
    two.heartbeat("c2", "CG", "T", "*").await;
    let ClientEvent::GroupChanged(group) = soon(client.event()).await else { panic!("no change") };
    assert_eq!(group.as_str(), "CG");
    let ids = one.ask(38, &[("consumerGroup", "CG")], "").await.text();
    assert_eq!(ids, r#"{"consumerIdList":["c1","c2"]}"#);
    assert_eq!(two.ask(35, &[("clientID", "c2"), ("consumerGroup", "CG")], "").await.code(), 0);
    soon(client.event()).await;
    let ids = one.ask(38, &[("consumerGroup", "CG")], "").await.text();
    assert_eq!(ids, r#"{"consumerIdList":["c1"]}"#);

    let connections = one.ask(203, &[("consumerGroup", "CG")], "").await.json();
    assert_eq!(connections["connectionSet"][0]["clientId"], "c1");
    assert_eq!(connections["connectionSet"][0]["language"], "JAVA");
    assert_eq!(connections["subscriptionTable"]["T"]["subString"], "*");
    assert_eq!(one.ask(203, &[("consumerGroup", "nobody")], "").await.code(), 206);
    // The end of a connection is the end of its memberships.
    two.heartbeat("c2", "CG", "T", "*").await;
    two.link.end(&two.node);
    let ids = one.ask(38, &[("consumerGroup", "CG")], "").await.text();
    assert_eq!(ids, r#"{"consumerIdList":["c1"]}"#);
}

#[tokio::test]
async fn a_heartbeat_may_leave_the_subscriptions_out() {
    let peer = Peer::new();
    peer.send("T", "0", &[], b"x").await;
    let bare = r#"{"clientID":"c1","consumerDataSet":[{"groupName":"CG","subscriptionDataSet":[]}],
        "heartbeatFingerprint":9,"withoutSub":true}"#;
    assert_eq!(peer.ask(34, &[], bare).await.field("IS_SUB_CHANGE").as_deref(), Some("true"));
    let full = r#"{"clientID":"c1","consumerDataSet":[{"groupName":"CG","subscriptionDataSet":[
        {"topic":"T","subString":"*","subVersion":1}]}],"heartbeatFingerprint":9,"withoutSub":false}"#;
    assert_eq!(peer.ask(34, &[], full).await.field("IS_SUB_CHANGE").as_deref(), Some("false"));
    assert_eq!(peer.ask(34, &[], bare).await.field("IS_SUB_CHANGE").as_deref(), Some("false"));
    assert_eq!(peer.pull("CG", "T", "0", "0", "0").await.code(), 0);
    assert_eq!(peer.ask(34, &[], "{").await.code(), 29);
}

#[tokio::test]
async fn a_queue_is_locked_by_one_member() {
    let peer = Peer::new();
    peer.send("T", "0", &[], b"x").await;
    let body = |client: &str| {
        format!(
            r#"{{"clientId":"{client}","consumerGroup":"CG","mqSet":[
            {{"brokerName":"sluice","queueId":0,"topic":"T"}},{{"brokerName":"sluice","queueId":9,"topic":"T"}}]}}"#
        )
    };
    let locked = peer.ask(41, &[], body("c1")).await.text();
    assert_eq!(locked, r#"{"lockOKMQSet":[{"brokerName":"sluice","queueId":0,"topic":"T"}]}"#);
    assert_eq!(peer.ask(41, &[], body("c2")).await.text(), r#"{"lockOKMQSet":[]}"#);
    assert_eq!(peer.ask(42, &[], body("c2")).await.code(), 0);
    assert_eq!(peer.ask(41, &[], body("c2")).await.text(), r#"{"lockOKMQSet":[]}"#);
    assert_eq!(peer.ask(42, &[], body("c1")).await.code(), 0);
    assert_eq!(peer.ask(41, &[], body("c2")).await.text(), locked);
}

#[tokio::test]
async fn what_failed_too_often_rests_with_the_dead_letters() {
    let peer = Peer::new();
    peer.send("T", "0", &[("UNIQ_KEY", "U"), ("TAGS", "t")], b"poison").await;
    peer.heartbeat("c1", "CG", "T", "*").await;
    let first = &peer.pull("CG", "T", "0", "0", "4").await.records()[0];
    let locator = first.locator.to_string();
    let back = [("group", "CG"), ("offset", &locator[..]), ("delayLevel", "-1"), ("originTopic", "T")];
    let answer = peer.ask(36, &back, "").await;
    assert_eq!(answer.code(), 0, "{}", answer.remark());

    let dead = &peer.pull("Reader", "%DLQ%CG", "0", "0", "4").await.records()[0];
    assert_eq!((dead.topic.as_str(), &dead.body[..]), ("%DLQ%CG", &b"poison"[..]));
    assert_eq!((dead.property("RETRY_TOPIC"), dead.property("UNIQ_KEY")), ("T", "U"));
    assert_eq!(dead.property("ORIGIN_MESSAGE_ID"), format!("7F00000100002A9F{:016X}", first.locator));
    assert_eq!((dead.property("TAGS"), dead.attempt), ("t", 1));

    let missing = [("group", "CG"), ("offset", "99999999"), ("delayLevel", "0")];
    let answer = peer.ask(36, &missing, "").await;
    assert_eq!((answer.code(), answer.remark()), (1, "look message by offset failed, 99999999"));
}

#[tokio::test]
async fn sixteen_retries_come_at_their_steps_and_then_there_is_a_dead_letter() {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let peer = Peer::at(&clock);
    peer.send("T", "0", &[], b"poison").await;
    peer.heartbeat("c1", "CG", "T", "*").await;
    let refuse = async |topic: &str, offset: usize| {
        let got = peer.pull("CG", topic, "0", &offset.to_string(), "4").await.records().remove(0);
        let locator = got.locator.to_string();
        let fields =
            [("group", "CG"), ("offset", &locator[..]), ("delayLevel", "0"), ("maxReconsumeTimes", "-1")];
        assert_eq!(peer.ask(36, &fields, "").await.code(), 0);
        got.attempt
    };
    let arrived = async || {
        peer.node.broker.fire_due().await.unwrap();
        let max = peer.ask(30, &[("topic", "%RETRY%CG"), ("queueId", "0")], "").await;
        max.field("offset").unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(refuse("T", 0).await, 0);
    let minutes = (1..=10).map(|minutes| minutes * 60);
    let steps = [10, 30].into_iter().chain(minutes).chain([1200, 1800, 3600, 7200]);
    for (before, seconds) in steps.enumerate() {
        clock.advance(seconds * 1000 - 1);
        assert_eq!(arrived().await, before, "retry {} is early", before + 1);
        clock.advance(1);
        assert_eq!(arrived().await, before + 1, "retry {} is late", before + 1);
        assert_eq!(refuse("%RETRY%CG", before).await as usize, before + 1);
    }
    clock.advance(24 * 3_600_000);
    assert_eq!(arrived().await, 16);
    assert_eq!(peer.pull("R", "%DLQ%CG", "0", "0", "4").await.records()[0].attempt, 17);
}

/// A send to the group's retry topic, as a consumer does it that could not send back.
async fn send_to_retry(peer: &Peer, origin: &str, attempt: &str, max: &str) -> Got {
    let list = property_list(&[
        ("UNIQ_KEY", "U"),
        ("RETRY_TOPIC", "T"),
        ("ORIGIN_MESSAGE_ID", origin),
        ("RECONSUME_TIME", attempt),
        ("colour", "red"),
    ]);
    let fields = [
        ("a", "CLIENT_INNER_PRODUCER"),
        ("b", "%RETRY%CG"),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", &list),
        ("j", attempt),
        ("l", max),
    ];
    peer.ask(310, &fields, "again").await
}

#[tokio::test]
async fn a_consumer_may_send_to_its_retry_topic_itself() {
    let peer = Peer::new();
    let id = peer.send("T", "1", &[("UNIQ_KEY", "U")], b"again").await.field("msgId").unwrap();
    peer.heartbeat("c1", "CG", "T", "*").await;
    let sent = send_to_retry(&peer, &id, "2", "3").await;
    assert_eq!(sent.code(), 0, "{}", sent.remark());
    let got = &peer.pull("CG", "%RETRY%CG", "0", "0", "4").await.records()[0];
    assert_eq!(
        (got.attempt, got.property("RETRY_TOPIC"), got.property("ORIGIN_MESSAGE_ID")),
        (2, "T", &id[..])
    );
    assert_eq!(got.property("colour"), "red");
    assert_eq!((got.property("REAL_TOPIC"), got.property("REAL_QID")), ("%RETRY%CG", "0"));

    assert_eq!(send_to_retry(&peer, &id, "4", "3").await.code(), 0);
    let dead = &peer.pull("R", "%DLQ%CG", "0", "0", "4").await.records()[0];
    assert_eq!((dead.attempt, dead.property("RETRY_TOPIC")), (4, "T"));

    // A group that holds queue locks consumes in order: what it sends, it has given up.
    let lock = r#"{"clientId":"c1","consumerGroup":"CG","mqSet":[{"queueId":0,"topic":"T"}]}"#;
    peer.ask(41, &[], lock).await;
    // It names the original by the unique key that it shows, which may look like a place in the log.
    for (at, key) in ["nonsense", "7F0000010001630EFB9A6D7F6C5B0000"].into_iter().enumerate() {
        assert_eq!(send_to_retry(&peer, key, "1", "3").await.code(), 0);
        let dead = &peer.pull("R", "%DLQ%CG", "0", &(at + 1).to_string(), "4").await.records()[0];
        let shown = ["RETRY_TOPIC", "ORIGIN_MESSAGE_ID", "RECONSUME_TIME"].map(|name| dead.property(name));
        assert_eq!(shown, ["T", "U", "1"]);
    }
}

#[tokio::test]
async fn an_earlier_pull_does_not_undo_a_later_offset() {
    let peer = Peer::new();
    for _ in 0..3 {
        peer.send("T", "0", &[], b"x").await;
    }
    let place = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0")];
    let pull =
        [("queueOffset", "3"), ("maxMsgNums", "1"), ("sysFlag", "7"), ("suspendTimeoutMillis", "20000")];
    let stale = [&place[..], &pull, &[("commitOffset", "1"), ("subscription", "*")]].concat();
    // Both arrive in this order; the pull is looked at again only later, as in the connection's loop.
    let waiting = peer.start(11, &stale, "");
    peer.ask(15, &[&place[..], &[("commitOffset", "3")]].concat(), "").await;
    peer.link.end(&peer.node);
    assert_eq!(soon(Peer::finish(waiting)).await.code(), 19);
    let committed = peer.ask(14, &place, "").await;
    assert_eq!(committed.field("offset").as_deref(), Some("3"));
}

#[tokio::test]
async fn heartbeats_and_locks_have_limits() {
    let peer = Peer::new();
    let list = |item: &str, n: usize| vec![item; n].join(",");
    let groups = |n| format!(r#"{{"clientID":"c","consumerDataSet":[{}]}}"#, list(r#"{"groupName":"G"}"#, n));
    assert_eq!(peer.ask(34, &[], groups(1000)).await.code(), 0);
    assert_eq!(peer.ask(34, &[], groups(1001)).await.code(), 29);
    let topics = |n| {
        let topics = list(r#"{"topic":"T"}"#, n);
        format!(
            r#"{{"clientID":"c","consumerDataSet":[{{"groupName":"G","subscriptionDataSet":[{topics}]}}]}}"#
        )
    };
    assert_eq!(peer.ask(34, &[], topics(1000)).await.code(), 0);
    assert_eq!(peer.ask(34, &[], topics(1001)).await.code(), 29);
    let queues = |n| {
        let queues = list(r#"{"queueId":0,"topic":"T"}"#, n);
        format!(r#"{{"clientId":"c","consumerGroup":"G","mqSet":[{queues}]}}"#)
    };
    assert_eq!(peer.ask(41, &[], queues(10_000)).await.code(), 0);
    assert_eq!(peer.ask(41, &[], queues(10_001)).await.code(), 29);
}

#[tokio::test]
async fn each_member_gets_what_it_subscribes_to_and_tools_see_that_they_differ() {
    let one = Peer::new();
    for tag in ["a", "b"] {
        one.send("T", "0", &[("TAGS", tag)], b"x").await;
    }
    let other = one.another();
    one.heartbeat("c1", "CG", "T", "a").await;
    other.heartbeat("c2", "CG", "T", "b").await;
    for (peer, tag) in [(&one, "a"), (&other, "b")] {
        let pulled = peer.pull("CG", "T", "0", "0", "0").await;
        let tags: Vec<String> = pulled.records().iter().map(|r| r.property("TAGS").to_owned()).collect();
        assert_eq!(tags, [tag]);
    }
    let shown = async || {
        let members = one.ask(203, &[("consumerGroup", "CG")], "").await.json();
        members["subscriptionTable"]["T"]["subString"].clone()
    };
    assert_eq!(shown().await, "DIFFERENT: a (c1), b (c2)");
    other.heartbeat("c2", "CG", "T", "a").await;
    assert_eq!(shown().await, "a");
}

#[tokio::test]
async fn a_retry_topic_has_a_route_before_its_group_is_known() {
    let peer = Peer::new();
    let route = peer.ask(105, &[("topic", "%RETRY%CG")], "").await;
    assert_eq!(route.json()["queueDatas"][0]["readQueueNums"], 1);
    // Nothing was made for it, and a name that no group can have leads nowhere.
    assert!(!peer.ask(206, &[], "").await.text().contains("%RETRY%CG"));
    assert_eq!(peer.ask(105, &[("topic", "%RETRY%")], "").await.code(), 17);
    assert_eq!(peer.ask(105, &[("topic", "%DLQ%CG")], "").await.code(), 17);
    peer.heartbeat("c", "CG", "T", "*").await;
    assert!(peer.ask(206, &[], "").await.text().contains("%RETRY%CG"));
}
