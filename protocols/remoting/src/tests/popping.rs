//! Consuming under lease, as clients that pop do it.

use super::*;

const POP: [(&str, &str); 8] = [
    ("consumerGroup", "CG"),
    ("topic", "T"),
    ("queueId", "-1"),
    ("maxMsgNums", "32"),
    ("invisibleTime", "60000"),
    ("pollTime", "0"),
    ("initMode", "1"),
    ("exp", "*"),
];

async fn with_messages(bodies: [&'static [u8]; 3]) -> Peer {
    filled(Peer::new(), bodies).await
}

async fn filled(peer: Peer, bodies: [&'static [u8]; 3]) -> Peer {
    for body in bodies {
        assert_eq!(peer.send("T", "0", &[], body).await.code(), 0);
    }
    peer
}

/// What a client says of one message to settle it.
fn place<'a>(record: &'a Record, point: &'a str, offset: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("consumerGroup", "CG"),
        ("topic", &record.topic),
        ("queueId", "0"),
        ("extraInfo", point),
        ("offset", offset),
    ]
}

#[tokio::test]
async fn what_is_popped_is_leased_and_settled_by_its_check_point() {
    // A clock that stands: the lease is as long as was asked, however long the test takes.
    let peer = Peer::at(&Arc::new(ManualClock::new(1_700_000_000_000)));
    let peer = filled(peer, [b"a", b"b", b"c"]).await;
    let got = peer.ask(200_050, &POP, "").await;
    assert_eq!((got.code(), got.field("restNum").as_deref()), (0, Some("0")));
    assert_eq!(got.fields(&["startOffsetInfo", "msgOffsetInfo"]), ["0 0 0", "0 0 0,1,2"]);
    let records = got.records();
    assert_eq!(records.iter().map(|r| &r.body[..]).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
    let point = records[1].property("POP_CK").to_owned();
    let words: Vec<&str> = point.split(' ').collect();
    assert_eq!((words[0], words[2], &words[3..8]), ("1", "60000", &["0", "0", "sluice", "0", "1"][..]));

    // All of it is leased.
    assert_eq!(peer.ask(200_050, &POP, "").await.code(), 210);
    assert_eq!(peer.ask(200_051, &place(&records[1], &point, "1"), "").await.code(), 0);
    // Again, or too late: nothing that a client could do about it.
    assert_eq!(peer.ask(200_051, &place(&records[1], &point, "1"), "").await.code(), 0);
    // A text that is no receipt is refused.
    assert_eq!(
        peer.ask(200_051, &place(&records[1], "1 2 3 0 0 sluice 0 1 forged", "1"), "").await.code(),
        29
    );
}

#[tokio::test]
async fn who_only_wants_to_know_is_told_when_there_is_something_to_pop() {
    let peer = with_messages([b"a", b"b", b"c"]).await;
    let ask =
        [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "-1"), ("pollTime", "0"), ("bornTime", "0")];
    let has = async || peer.ask(200_054, &ask, "").await.field("hasMsg").unwrap();
    assert_eq!(has().await, "true");
    assert_eq!(peer.ask(200_050, &POP, "").await.records().len(), 3);
    assert_eq!(has().await, "false", "all of it is leased");
    let waits = [
        ("consumerGroup", "CG"),
        ("topic", "T"),
        ("queueId", "-1"),
        ("pollTime", "30000"),
        ("bornTime", "0"),
    ];
    let waiting = async { peer.ask(200_054, &waits, "").await.field("hasMsg").unwrap() };
    let sending = async {
        let polling = async || {
            let fields = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "-1")];
            peer.ask(200_055, &fields, "").await.field("pollingNum").unwrap()
        };
        while polling().await != "1" {
            tokio::task::yield_now().await;
        }
        peer.send("T", "0", &[], b"d").await
    };
    let told =
        tokio::time::timeout(std::time::Duration::from_secs(20), async { tokio::join!(waiting, sending) });
    let (has, sent) = told.await.unwrap();
    assert_eq!((has.as_str(), sent.code()), ("true", 0));
    let polling = peer.ask(200_055, &ask[..3], "").await;
    assert_eq!(polling.field("pollingNum").as_deref(), Some("0"));
}

#[tokio::test]
async fn the_groups_that_pop_are_listed() {
    let peer = with_messages([b"a", b"b", b"c"]).await;
    assert_eq!(peer.ask(200, &[], r#"{"groupName":"CG"}"#).await.code(), 0);
    assert_eq!(peer.ask(402, &[], "").await.json()["messageRequestModeMap"], serde_json::json!({}));
    let mode = r#"{"topic":"T","consumerGroup":"CG","mode":"POP","popShareQueueNum":0}"#;
    assert_eq!(peer.ask(401, &[], mode).await.code(), 0);
    assert_eq!(peer.ask(402, &[], "").await.json()["messageRequestModeMap"]["T"]["CG"]["mode"], "POP");
}

#[tokio::test]
async fn a_place_alone_settles_too() {
    let peer = with_messages([b"a", b"b", b"c"]).await;
    let records = peer.ask(200_050, &POP, "").await.records();
    let own = "0 1700000000000 60000 0 0 sluice 0 0";
    assert_eq!(peer.ask(200_051, &place(&records[0], own, "0"), "").await.code(), 0);
    // Offsets 1 and 2, as bits.
    let acks = r#"{"acks":[{"b":"Bg==","c":"CG","it":60000,"pt":1700000000000,"q":0,"r":"0","rq":0,"so":0,"t":"T"}]}"#;
    assert_eq!(peer.ask(200_151, &[], acks).await.code(), 0);
    let offset = peer.ask(14, &[("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0")], "").await;
    assert_eq!(offset.field("offset").as_deref(), Some("3"));
    assert_eq!(peer.ask(200_151, &[], r#"{"acks":[]}"#).await.code(), 208);
    let never = place(&records[0], "9 1700000000000 60000 0 0 sluice 0 9", "9");
    assert_eq!(peer.ask(200_051, &never, "").await.code(), 208);
}

#[tokio::test]
async fn a_changed_lease_ends_when_the_client_says() {
    let peer = with_messages([b"a", b"b", b"c"]).await;
    let records = peer.ask(200_050, &POP, "").await.records();
    let point = records[0].property("POP_CK").to_owned();
    let mut fields = place(&records[0], &point, "0").to_vec();
    fields.push(("invisibleTime", "1"));
    let changed = peer.ask(200_053, &fields, "").await;
    assert_eq!((changed.code(), changed.field("invisibleTime").as_deref()), (0, Some("1")));
    let mut again = POP;
    again[5] = ("pollTime", "5000");
    let got = peer.ask(200_050, &again, "").await.records();
    assert_eq!((&got[0].body[..], got[0].attempt, got.len()), (&b"a"[..], 1, 1));
}

#[tokio::test]
async fn what_is_popped_in_order_is_one_of_each_ordering_group_until_it_is_settled() {
    let peer = Peer::new();
    for (body, key) in [(&b"a1"[..], "a"), (b"a2", "a"), (b"b1", "b")] {
        assert_eq!(peer.send("T", "0", &[("__SHARDINGKEY", key)], body).await.code(), 0);
    }
    let pop = async |max: &'static str| {
        let mut fields = [&POP[..], &[("order", "true")]].concat();
        fields[3] = ("maxMsgNums", max);
        peer.ask(200_050, &fields, "").await
    };
    let first = pop("1").await.records().remove(0);
    assert_eq!(&first.body[..], b"a1");
    let other = pop("32").await.records();
    assert_eq!(other.iter().map(|r| &r.body[..]).collect::<Vec<_>>(), [b"b1"]);
    assert_eq!(pop("32").await.code(), 210, "the next of its group waits");
    let point = first.property("POP_CK").to_owned();
    assert_eq!(peer.ask(200_051, &place(&first, &point, "0"), "").await.code(), 0);
    let next = pop("32").await.records();
    assert_eq!(next.iter().map(|r| &r.body[..]).collect::<Vec<_>>(), [b"a2"]);
}

/// As it arrives: a binary header has room for the lower 16 bits of a code.
#[tokio::test]
async fn a_client_with_binary_headers_pops_too() {
    let peer = with_messages([b"a", b"b", b"c"]).await;
    assert_eq!(peer.ask(200_050 & 0xFFFF, &POP, "").await.code(), 3);
    let peer = Peer { spelling: Spelling::Binary, ..peer };
    assert_eq!(peer.ask(200_050 & 0xFFFF, &POP, "").await.records().len(), 3);
    // A code that nobody has.
    assert_eq!(peer.ask(31_000, &[], "").await.code(), 3);
}

#[tokio::test]
async fn looking_leases_nothing() {
    let peer = with_messages([b"a", b"b", b"c"]).await;
    let look = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "-1"), ("maxMsgNums", "2")];
    assert_eq!(peer.ask(200_052, &look, "").await.records().len(), 2);
    assert_eq!(peer.ask(200_050, &POP, "").await.records().len(), 3);
}

#[tokio::test]
async fn what_cannot_be_popped_is_refused() {
    let peer = with_messages([b"a", b"b", b"c"]).await;
    for (at, field, code) in [
        (1, ("topic", "missing"), 17),
        (2, ("queueId", "0"), 29),
        (3, ("maxMsgNums", "33"), 29),
        (4, ("invisibleTime", "0"), 29),
    ] {
        let mut fields = POP;
        fields[at] = field;
        assert_eq!(peer.ask(200_050, &fields, "").await.code(), code, "{field:?}");
    }
}

#[tokio::test]
async fn a_group_that_pops_is_told_so() {
    let peer = with_messages([b"a", b"b", b"c"]).await;
    peer.heartbeat("c", "CG", "T", "*").await;
    let ask = async |topic: &str| {
        let body = format!(
            r#"{{"clientId":"c","consumerGroup":"CG","messageModel":"CLUSTERING","strategyName":"AVG","topic":"{topic}"}}"#
        );
        peer.ask(400, &[], body).await.json()["messageQueueAssignments"].clone()
    };
    assert_eq!(ask("T").await[0]["mode"], "PULL");
    assert_eq!(ask("%RETRY%CG").await[0]["mode"], "PULL");
    let set = async |mode: &str, share: u32| {
        let body =
            format!(r#"{{"consumerGroup":"CG","mode":"{mode}","popShareQueueNum":{share},"topic":"T"}}"#);
        peer.ask(401, &[], body).await.code()
    };
    assert_eq!((set("POP", 1).await, set("PUSH", 0).await, set("POP", 0).await), (29, 29, 0));
    assert_eq!(
        ask("T").await.to_string(),
        r#"[{"messageQueue":{"brokerName":"sluice","queueId":-1,"topic":"T"},"mode":"POP"}]"#
    );
    // The retries are among what is popped.
    assert_eq!(ask("%RETRY%CG").await.to_string(), "[]");
    assert!(ask("missing").await.is_null());
    assert_eq!(set("PULL", 0).await, 0);
    assert_eq!(ask("T").await[0]["mode"], "PULL");
}
