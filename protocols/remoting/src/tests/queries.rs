//! Messages asked for by their keys, and the trace of a message as tools read it.

use super::*;
use sluice_auth::{Auth, Command, Policy, Secret, UserSpec};
use sluice_broker::{Lease, ReceiveRequest, StartAt};
use sluice_model::{Filter, GroupName, ManualClock, QueueId, SystemClock, TopicName};
use sluice_store::MemoryLog;
use std::time::Duration;

impl Peer {
    async fn query(&self, topic: &str, key: &str, more: &[(&str, &str)]) -> Got {
        let fields = [
            ("topic", topic),
            ("key", key),
            ("maxNum", "64"),
            ("beginTimestamp", "0"),
            ("endTimestamp", "9223372036854775807"),
        ];
        self.ask(12, &[&fields[..], more].concat(), "").await
    }
}

fn ids(got: &Got) -> Vec<String> {
    assert_eq!(got.code(), 0, "{}", got.remark());
    got.records().iter().map(|record| record.property("UNIQ_KEY").to_owned()).collect()
}

const UNIQUE: [(&str, &str); 2] = [("_UNIQUE_KEY_QUERY", "true"), ("indexType", "U")];

#[tokio::test]
async fn messages_are_found_by_keys_and_by_unique_key() {
    let peer = Peer::new();
    for n in 0..40 {
        let id = format!("ID{n}");
        peer.send("T", "0", &[("KEYS", "all ID7"), ("UNIQ_KEY", &id)], b"x").await;
    }
    let all = peer.query("T", "all", &[]).await;
    assert_eq!(ids(&all), (0..40).rev().map(|n| format!("ID{n}")).collect::<Vec<_>>(), "newest first");
    let newest = &all.records()[0];
    assert_eq!(
        all.fields(&["indexLastUpdateTimestamp", "indexLastUpdatePhyoffset"]),
        [newest.stored.to_string(), newest.locator.to_string()]
    );
    assert_eq!(ids(&peer.query("T", "all", &[("indexType", "K"), ("maxNum", "3")]).await).len(), 3);
    assert_eq!(ids(&peer.query("T", "ID7", &UNIQUE).await), ["ID7"]);
    let many = [("maxNum", "1"), ("_UNIQUE_KEY_QUERY", "true")];
    assert_eq!(ids(&peer.query("T", "ID7", &many).await), ["ID7"]);
    let stored = all.records()[39].stored;
    let none = [("beginTimestamp", "-5"), ("endTimestamp", &*(stored - 1).to_string())]
        .map(|(n, v)| (n, v.to_owned()));
    let none: Vec<(&str, &str)> = none.iter().map(|(n, v)| (*n, v.as_str())).collect();
    for (fields, key) in [(&none[..], "all"), (&UNIQUE[..], "all"), (&[][..], "nothing")] {
        let got = peer.query("T", key, fields).await;
        assert_eq!((got.code(), got.remark()), (22, "can not find message, maybe time range not correct"));
    }
    for (wrong, code) in [([("indexType", "X")], 29), ([("lastKey", "x")], 29), ([("maxNum", "x")], 29)] {
        assert_eq!(peer.query("T", "all", &wrong).await.code(), code);
    }
    assert_eq!(peer.query("unknown", "all", &[]).await.code(), 17);
}

/// The lines of a trace, and their fields.
#[tokio::test]
async fn messages_are_found_by_tag_and_page_by_page() {
    let peer = Peer::new();
    for n in 0..30 {
        let (id, tag) = (format!("ID{n}"), if n % 2 == 0 { "even" } else { "odd" });
        let queue = (n % 4).to_string();
        peer.send("T", &queue, &[("TAGS", tag), ("KEYS", "all"), ("UNIQ_KEY", &id)], b"x").await;
    }
    let even = peer.query("T", "even", &[("indexType", "T")]).await;
    assert_eq!(ids(&even), (0..15).rev().map(|n| format!("ID{}", n * 2)).collect::<Vec<_>>(), "newest first");
    assert_eq!(peer.query("T", "neither", &[("indexType", "T")]).await.code(), 22);
    let stored = even.records().iter().map(|r| r.stored).min().unwrap();
    let before = (stored - 1).to_string();
    let early = [("indexType", "T"), ("endTimestamp", before.as_str())];
    assert_eq!(
        peer.ask(
            12,
            &[&[("topic", "T"), ("key", "even"), ("maxNum", "9"), ("beginTimestamp", "0")][..], &early]
                .concat(),
            ""
        )
        .await
        .code(),
        22
    );
    for (index, key, all) in [("T", "even", 15), ("K", "all", 30)] {
        let (mut seen, mut last) = (Vec::new(), String::new());
        loop {
            let mut fields = vec![("indexType", index), ("maxNum", "7")];
            fields.extend((!last.is_empty()).then_some(("lastKey", last.as_str())));
            let got = peer
                .ask(
                    12,
                    &[
                        &[
                            ("topic", "T"),
                            ("key", key),
                            ("beginTimestamp", "0"),
                            ("endTimestamp", "9223372036854775807"),
                        ][..],
                        &fields,
                    ]
                    .concat(),
                    "",
                )
                .await;
            if got.code() == 22 {
                break;
            }
            seen.extend(ids(&got));
            // As a tool prints it beside each message.
            last = format!("1700000000@T@{index}@{key}@ID@{}", got.records().last().unwrap().locator);
        }
        assert_eq!(seen.len(), all, "{index}: each once");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all, "{index}: each once");
    }
}

fn lines(got: &Got) -> Vec<Vec<String>> {
    assert_eq!(got.code(), 0, "{}", got.remark());
    let records = got.records();
    for (n, record) in records.iter().enumerate() {
        assert_eq!((record.topic.as_str(), record.property("KEYS"), record.offset), (TRACE, "M", n as i64));
    }
    let text = |record: &Record| String::from_utf8(record.body.to_vec()).unwrap();
    let text: String = records.iter().map(text).collect();
    let lines = text.split_terminator('\u{2}');
    lines.map(|line| line.split('\u{1}').map(str::to_owned).collect()).collect()
}

const TRACE: &str = "RMQ_SYS_TRACE_TOPIC";

#[tokio::test]
async fn the_brokers_trace_is_read_as_clients_write_theirs() {
    let peer = Peer::new();
    assert_eq!(peer.ask(105, &[("topic", TRACE)], "").await.code(), 0, "before anybody has stored one");
    assert_eq!(peer.query(TRACE, "M", &[]).await.code(), 22);
    let sent = peer.send("T", "0", &[("UNIQ_KEY", "M"), ("TAGS", "a")], b"four").await;
    let (group, topic) = (GroupName::new("CG").unwrap(), TopicName::new("T").unwrap());
    let receive = ReceiveRequest {
        group: &group,
        topic: &topic,
        filter: &Filter::All,
        max: 1,
        lease: Lease::For(Duration::from_secs(60)),
        wait: Duration::ZERO,
        start: StartAt::Earliest,
        create: None,
    };
    for ack in [false, true] {
        let got = peer.node.broker.receive(&peer.session(), &receive).await.unwrap().remove(0);
        let done = match ack {
            true => peer.node.broker.ack(&peer.session(), &got.receipt),
            false => peer.node.broker.nack(&peer.session(), &got.receipt, None),
        };
        done.unwrap().await.unwrap();
    }
    let lines = lines(&peer.query(TRACE, "M", &[]).await);
    let kinds: Vec<&str> = lines.iter().map(|line| &line[0][..]).collect();
    assert_eq!(kinds, ["Pub", "SubBefore", "SubAfter", "SubBefore", "SubAfter"]);
    let offset_id = sent.field("msgId").unwrap();
    let expected = ["DefaultRegion", "remoting", "T", "M", "a", "null", "127.0.0.1:10911", "4"];
    assert_eq!(lines[0][2..10], expected);
    assert_eq!(lines[0][11..], ["0", &offset_id, "true"]);
    for (at, retries, success, code) in [(1, "0", "false", "4"), (3, "1", "true", "0")] {
        let (before, after) = (&lines[at], &lines[at + 1]);
        assert_eq!(before[2..4], ["DefaultRegion", "CG"]);
        assert_eq!(before[5..], ["M", retries, "null"]);
        assert_eq!((&after[1], &after[2][..], &after[4][..]), (&before[4], "M", success));
        assert_eq!(
            (&after[5][..], &after[6][..], &after[7], &after[8][..]),
            ("null", code, &before[1], "CG")
        );
    }
    // What clients have stored comes with it, and nothing else does.
    peer.send(TRACE, "0", &[("KEYS", "M other"), ("UNIQ_KEY", "X")], b"a client's").await;
    let both = peer.query(TRACE, "M", &[]).await.records();
    assert_eq!((both.len(), &both[0].body[..]), (4, &b"a client's"[..]));
    assert_eq!(ids(&peer.query(TRACE, "X", &UNIQUE).await), ["X"]);
}

/// The consumptions that a trace tells of, in short: group, retries, and the end by its number.
async fn consumptions(peer: &Peer) -> Vec<String> {
    let lines = lines(&peer.query(TRACE, "M", &[]).await);
    let consumptions = lines.iter().filter(|line| line[0].starts_with("Sub"));
    let told = consumptions.map(|line| match &line[0][..] {
        "SubBefore" => format!("{} {}", line[3], line[6]),
        _ => format!("{} {}", line[4], line[6]),
    });
    told.collect::<Vec<_>>().chunks(2).map(|both| both.join(" ")).collect()
}

#[tokio::test]
async fn what_queue_consumers_refuse_is_told_as_failed_and_only_so() {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let peer = Peer::at(&clock);
    peer.send("T", "0", &[("UNIQ_KEY", "M")], b"poison").await;
    peer.heartbeat("c1", "CG", "T", "*").await;
    let refuse = async |topic: &str| {
        let locator = peer.pull("CG", topic, "0", "0", "4").await.records()[0].locator.to_string();
        let fields = [("group", "CG"), ("offset", &locator[..]), ("delayLevel", "0"), ("originTopic", "T")];
        let fields = [&fields[..], &[("maxReconsumeTimes", "1")]].concat();
        assert_eq!(peer.ask(36, &fields, "").await.code(), 0);
    };
    let commit = async |group: &str, topic: &str, offset: u64| {
        let (group, topic) =
            (GroupName::new(group.to_owned()).unwrap(), TopicName::new(topic.to_owned()).unwrap());
        let done = peer.node.broker.commit_offset(&peer.session(), &group, &topic, QueueId(0), offset);
        done.unwrap().await.unwrap();
    };
    refuse("T").await;
    assert_eq!(consumptions(&peer).await, ["CG 0 false 4"]);
    // What lies before it in its queue takes the consumer hours: its offset is behind the message long after the retry.
    clock.advance(3 * 3_600_000);
    peer.node.broker.fire_due().await.unwrap();
    assert_eq!(consumptions(&peer).await, ["CG 0 false 4"]);
    clock.advance(3 * 3_600_000);
    refuse("%RETRY%CG").await;
    commit("CG", "T", 1).await;
    commit("CG", "%RETRY%CG", 1).await;
    commit("Other", "T", 1).await;
    assert_eq!(consumptions(&peer).await, ["CG 0 false 4", "CG 1 false 4", "Other 0 true 0"]);
    // The group is sent back to where it stood, and now it takes the message.
    commit("CG", "T", 0).await;
    commit("CG", "T", 1).await;
    assert_eq!(consumptions(&peer).await.last().unwrap(), "CG 0 true 0");
    // And once more, where it refuses it and then takes the retry.
    commit("CG", "T", 0).await;
    refuse("T").await;
    commit("CG", "T", 1).await;
    clock.advance(60_000);
    peer.node.broker.fire_due().await.unwrap();
    commit("CG", "%RETRY%CG", 2).await;
    let told = consumptions(&peer).await;
    assert_eq!(told[4..], ["CG 0 false 4", "CG 1 true 0"]);
    assert_eq!(told.len(), 6);
}

#[tokio::test]
async fn a_trace_is_for_those_who_may_read_the_topic() {
    let clock = Arc::new(SystemClock);
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).unwrap();
    for name in ["root", "alice"] {
        let secret = Some(Secret::from("s"));
        let user = UserSpec { superuser: Some(name == "root"), secret, ..UserSpec::named(name) };
        broker.change_access_as_operator(Command::PutUser(user)).await.unwrap();
    }
    let allow = |resource: &str| Policy::allow("alice", resource, &[sluice_auth::Action::Get]).unwrap();
    let root = Peer::with(broker.clone(), Config::default());
    let root = Peer { credentials: Some(("root", "s")), ..root };
    let alice = Peer { credentials: Some(("alice", "s")), ..root.another() };
    root.send("T", "0", &[("UNIQ_KEY", "M")], b"x").await;
    assert_eq!(lines(&root.query(TRACE, "M", &[]).await).len(), 1);
    broker.change_access_as_operator(Command::PutPolicy(allow(&format!("Topic:{TRACE}")))).await.unwrap();
    let denied = alice.query(TRACE, "M", &[]).await;
    assert_eq!(denied.code(), 16);
    assert!(denied.remark().contains("Topic:T"), "{}", denied.remark());
    broker.change_access_as_operator(Command::PutPolicy(allow("Topic:T"))).await.unwrap();
    assert_eq!(lines(&alice.query(TRACE, "M", &[]).await).len(), 1);
}
