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
    let peer = Peer::new();
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
    let peer = with_messages([b"a", b"b", b"c"]).await;
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
