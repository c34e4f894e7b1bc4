//! What senders ask.

use super::*;
use crate::ids::parse_offset_id;
use sluice_model::{BodyCodec, Headers, Message, Protocol, TopicName};

#[tokio::test]
async fn a_sent_message_comes_back_as_it_was() {
    let peer = Peer::new();
    let list = [
        ("TAGS", "TagA"),
        ("KEYS", "k1 k2"),
        ("UNIQ_KEY", "0A00"),
        ("WAIT", "true"),
        ("__SHARDINGKEY", "s"),
        ("colour", "grün"),
        ("CORRELATION_ID", "c-1"),
    ];
    let sent = peer.send("T", "3", &list, b"Hello\0").await;
    assert_eq!(sent.code(), 0, "{}", sent.remark());
    assert_eq!(sent.fields(&["queueId", "queueOffset", "transactionId"]), ["3", "0", "0A00"]);
    assert_eq!(sent.fields(&["MSG_REGION", "TRACE_ON"]), ["DefaultRegion", "true"]);
    let (host, locator) = parse_offset_id(&sent.field("msgId").unwrap()).unwrap();
    assert_eq!(host.to_string(), "127.0.0.1:10911");

    let got = peer.pull("CG", "T", "3", "0", "4").await;
    let fields = got.fields(&["nextBeginOffset", "minOffset", "maxOffset", "suggestWhichBrokerId"]);
    assert_eq!((got.code(), fields), (0, ["1", "0", "1", "0"].map(String::from).to_vec()));
    let [record] = &got.records()[..] else { panic!() };
    assert_eq!((record.queue, record.offset, record.flag, record.attempt), (3, 0, 77, 0));
    assert_eq!((record.topic.as_str(), &record.body[..]), ("T", &b"Hello\0"[..]));
    assert_eq!(record.locator, locator as i64);
    assert_eq!((record.born, record.sys_flag), (1_700_000_000_000, 0));
    assert!(record.stored > record.born);
    let expected = property_list(&[
        ("CLUSTER", "DefaultCluster"),
        ("CORRELATION_ID", "c-1"),
        ("KEYS", "k1 k2"),
        ("MSG_REGION", "DefaultRegion"),
        ("TAGS", "TagA"),
        ("TRACE_ON", "true"),
        ("UNIQ_KEY", "0A00"),
        ("__SHARDINGKEY", "s"),
        ("colour", "grün"),
        ("correlation-id", "c-1"),
    ]);
    let mut got: Vec<_> = record.properties.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    got.sort_unstable();
    assert_eq!(property_list(&got), expected);

    let viewed = peer.ask(33, &[("offset", &locator.to_string())], "").await;
    assert_eq!(&viewed.records()[0].body[..], b"Hello\0");
    let missing = peer.ask(33, &[("offset", "999999999")], "").await;
    assert_eq!((missing.code(), missing.remark()), (1, "can not find message by the offset, 999999999"));
}

#[tokio::test]
async fn typed_properties_become_typed_fields() {
    let peer = Peer::new();
    let list = [("TAGS", "t"), ("KEYS", "a b"), ("UNIQ_KEY", "U"), ("__SHARDINGKEY", "g"), ("x", "1")];
    let sent = peer.send("T", "0", &list, b"b").await;
    let (_, locator) = parse_offset_id(&sent.field("msgId").unwrap()).unwrap();
    let session = peer.node.broker.login_now(Credentials::Anonymous, peer.link.peer).unwrap();
    let message = peer.node.broker.message_at(&session, locator).await.unwrap().message;
    assert_eq!(message.tag.as_deref(), Some("t"));
    assert_eq!(message.keys.iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((&*message.id.text(), message.ordering_group.as_deref()), ("U", Some("g")));
    assert_eq!(message.headers.iter().collect::<Vec<_>>(), [("x", Some(&b"1"[..]))]);
    assert_eq!(message.provenance.protocol, Protocol::Remoting);
    assert_eq!(message.provenance.peer, Some("10.0.0.1:50001".parse().unwrap()));
}

#[tokio::test]
async fn what_other_wires_say_is_shown_as_far_as_it_can_be() {
    let peer = Peer::new();
    let session =
        peer.node.broker.login_now(Credentials::Anonymous, "10.0.0.1:50001".parse().unwrap()).unwrap();
    let mut headers = Headers::builder();
    let pairs: [(&str, Option<&[u8]>); 8] = [
        ("twice", Some(b"first")),
        ("twice", Some(b"second")),
        ("null", None),
        ("empty", Some(b"")),
        ("binary", Some(&[0xFF, 0])),
        ("separator", Some(b"a\x02b")),
        ("TAGS", Some(b"not the tag")),
        ("odd name: ü", Some(b"v")),
    ];
    for (name, value) in pairs {
        headers.push(name, value).unwrap();
    }
    let message = Message { body: None, headers: headers.build(), ..Message::default() };
    let request = sluice_broker::SendRequest {
        create: Some(1),
        ..sluice_broker::SendRequest::one(TopicName::new("T").unwrap(), message)
    };
    peer.node.broker.send(&session, request).unwrap().await.unwrap();

    let [record] = &peer.pull("CG", "T", "0", "0", "4").await.records()[..] else { panic!() };
    assert!(record.body.is_empty());
    assert_eq!(record.property("twice"), "first");
    assert_eq!(record.property("binary.base64"), "/wA=");
    assert_eq!(record.property("separator.base64"), "YQJi");
    assert_eq!(record.property("odd name: ü"), "v");
    for absent in ["null", "empty", "binary", "separator", "TAGS"] {
        assert!(!record.properties.contains_key(absent), "{absent}");
    }
    assert!(!record.property("UNIQ_KEY").is_empty());
}

#[tokio::test]
async fn a_packed_body_stays_packed_and_says_so() {
    let peer = Peer::new();
    let fields = [
        ("a", "PG"),
        ("b", "T"),
        ("d", "4"),
        ("e", "0"),
        ("f", "513"),
        ("g", "1"),
        ("h", "0"),
        ("i", "UNIQ_KEY\u{1}U\u{2}"),
    ];
    let sent = peer.ask(310, &fields, "packed").await;
    assert_eq!(sent.code(), 0);
    let [record] = &peer.pull("CG", "T", "0", "0", "4").await.records()[..] else { panic!() };
    assert_eq!((record.sys_flag, &record.body[..]), (0x201, &b"packed"[..]));
    let (_, locator) = parse_offset_id(&sent.field("msgId").unwrap()).unwrap();
    let session = peer.node.broker.login_now(Credentials::Anonymous, peer.link.peer).unwrap();
    let stored = peer.node.broker.message_at(&session, locator).await.unwrap();
    assert_eq!(stored.message.codec, BodyCodec::Zstd);
}

#[tokio::test]
async fn a_batch_becomes_messages_one_after_the_other() {
    let peer = Peer::new();
    let body: String = include_str!("../../tests/golden/batch-body.hex").split_whitespace().collect();
    let fields =
        [("a", "PG"), ("b", "T"), ("d", "4"), ("e", "2"), ("f", "0"), ("g", "5"), ("h", "0"), ("m", "true")];
    let sent = peer.ask(320, &fields, hex::decode(&body).unwrap()).await;
    assert_eq!((sent.code(), sent.fields(&["queueId", "queueOffset"])), (0, vec!["2".into(), "0".into()]));
    let ids = sent.field("msgId").unwrap();
    assert_eq!(ids.split(',').filter(|id| id.len() == 32).count(), 2);

    let records = peer.pull("CG", "T", "2", "0", "4").await.records();
    let seen: Vec<_> = records.iter().map(|r| (r.offset, r.flag, &r.body[..], r.property("TAGS"))).collect();
    assert_eq!(seen, [(0, 0, &b"a"[..], ""), (1, 5, &b"bc"[..], "t")]);
    assert_eq!(records[0].property("UNIQ_KEY"), "AA");

    let items = peer.node.broker.config().max_batch + 1;
    let item = hex::decode(&body[..70]).unwrap();
    assert_eq!(peer.ask(320, &fields, item.repeat(items)).await.code(), 13);
    assert_eq!(peer.ask(320, &fields, item.repeat(items - 1)).await.code(), 0);

    let cut = peer.ask(320, &fields, hex::decode(&body[..20]).unwrap()).await;
    assert_eq!(cut.code(), 13);
    let mut retry = fields;
    retry[1].1 = "%RETRY%CG";
    assert_eq!(peer.ask(320, &retry, hex::decode(&body).unwrap()).await.code(), 13);
}

#[tokio::test]
async fn refusals_have_their_codes_and_still_the_two_fields() {
    let peer = Peer::new();
    assert_eq!(peer.send("T", "0", &[], b"first").await.code(), 0);
    let long = "x".repeat(40_000);
    let refused = [
        (13, peer.send("T", "0", &[("long", &long)], b"x").await),
        (13, peer.send("T", "0", &[("TIMER_DELAY_MS", "soon")], b"x").await),
        (13, peer.send("T", "0", &[("TIMER_DELAY_SEC", "99999999")], b"x").await),
        (29, peer.send("T", "4", &[], b"x").await),
        (29, peer.send("bad name", "0", &[], b"x").await),
        (16, peer.send("TBW102", "0", &[], b"x").await),
        (29, peer.ask(310, &[("b", "T"), ("g", "no time")], "x").await),
        (29, peer.ask(310, &[("g", "1")], "x").await),
        (13, peer.ask(10, &[("topic", "T"), ("bornTimestamp", "1")], vec![0; (4 << 20) + 1]).await),
    ];
    for (at, (code, got)) in refused.iter().enumerate() {
        assert_eq!(got.code(), *code, "{at}: {}", got.remark());
        assert_eq!(got.fields(&["MSG_REGION", "TRACE_ON"]), ["DefaultRegion", "true"], "{at}");
        assert!(!got.remark().is_empty());
    }
    let any_queue = peer.send("T", "-1", &[], b"x").await;
    assert_eq!(any_queue.code(), 0);
}

#[tokio::test]
async fn long_names_say_the_same_as_short_ones() {
    let peer = Peer::new();
    let fields = [
        ("producerGroup", "PG"),
        ("topic", "T"),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "16"),
        ("queueId", "7"),
        ("sysFlag", "0"),
        ("bornTimestamp", "1700000000000"),
        ("flag", "5"),
        ("properties", "TAGS\u{1}t\u{2}"),
        ("reconsumeTimes", "0"),
        ("unitMode", "false"),
        ("maxReconsumeTimes", "0"),
    ];
    let sent = peer.ask(10, &fields, "body").await;
    // Eight queues at most, whatever the client would like.
    assert_eq!((sent.code(), sent.field("queueId").as_deref()), (0, Some("7")), "{}", sent.remark());
    let [record] = &peer.pull("CG", "T", "7", "0", "4").await.records()[..] else { panic!() };
    assert_eq!((record.flag, record.property("TAGS"), record.born), (5, "t", 1_700_000_000_000));
}

#[tokio::test]
async fn the_hundredth_topic_is_made_as_the_first() {
    let peer = Peer::new();
    for n in 0..100 {
        let topic = format!("T{n}");
        assert_eq!(peer.send(&topic, "0", &[], b"x").await.code(), 0, "{topic}");
        let template = &peer.ask(105, &[("topic", "TBW102")], "").await.json()["queueDatas"][0];
        assert_eq!((&template["perm"], &template["writeQueueNums"]), (&7.into(), &8.into()), "{topic}");
    }
}
