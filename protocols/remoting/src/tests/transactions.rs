//! Transactions: prepared messages, their end, and the questions for it. Delayed messages that are taken back.

use super::*;
use crate::checks::question;
use crate::codec;
use bytes::BytesMut;
use sluice_broker::ClientEvent;
use sluice_model::ManualClock;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

const HALF: [(&str, &str); 4] = [("TRAN_MSG", "true"), ("PGROUP", "PG"), ("UNIQ_KEY", "U1"), ("k", "v")];

/// The fields by which a client ends the transaction of this answer.
fn place(sent: &Got) -> (String, String) {
    let id = sent.field("msgId").unwrap();
    let locator = u64::from_str_radix(&id[16..], 16).unwrap();
    (locator.to_string(), sent.field("queueOffset").unwrap())
}

async fn end(peer: &Peer, (locator, offset): &(String, String), group: &str, how: &str) -> Got {
    let fields = [
        ("producerGroup", group),
        ("tranStateTableOffset", offset),
        ("commitLogOffset", locator),
        ("commitOrRollback", how),
        ("fromTransactionCheck", "false"),
        ("msgId", "U1"),
        ("transactionId", "U1"),
    ];
    peer.ask(37, &fields, "").await
}

#[tokio::test]
async fn a_prepared_message_shows_when_it_is_committed() {
    let peer = Peer::new();
    let [one, two] = [peer.send("T", "2", &HALF, b"one").await, peer.send("T", "2", &HALF, b"two").await];
    assert_eq!(one.fields(&["queueId", "queueOffset", "transactionId"]), ["2", "0", "U1"]);
    assert_eq!(two.fields(&["queueId", "queueOffset"]), ["2", "1"]);
    assert_eq!(peer.pull("CG", "T", "2", "0", "4").await.code(), 19);
    // Not known yet: nothing happens.
    assert_eq!(end(&peer, &place(&one), "PG", "0").await.code(), 0);
    assert_eq!(end(&peer, &place(&two), "PG", "12").await.code(), 0);
    assert_eq!(peer.pull("CG", "T", "2", "0", "4").await.code(), 19);
    for _ in 0..2 {
        assert_eq!(end(&peer, &place(&one), "PG", "8").await.code(), 0);
    }
    let records = peer.pull("CG", "T", "2", "0", "4").await.records();
    assert_eq!(records.len(), 1, "told twice, delivered once");
    let record = &records[0];
    assert_eq!((&record.body[..], record.sys_flag, record.offset), (&b"one"[..], 8, 0));
    assert_eq!(["TRAN_MSG", "UNIQ_KEY", "k"].map(|n| record.property(n)), ["true", "U1", "v"]);
}

#[tokio::test]
async fn an_end_that_does_not_fit_is_refused() {
    let peer = Peer::new();
    let (locator, offset) = place(&peer.send("T", "0", &HALF, b"x").await);
    let of = |locator: &str, offset: &str| (locator.to_owned(), offset.to_owned());
    let other = end(&peer, &of(&locator, &offset), "OTHER", "8").await;
    assert_eq!((other.code(), other.remark()), (1, "another producer group prepared this message"));
    assert_eq!(end(&peer, &of(&locator, "7"), "PG", "8").await.code(), 1);
    let unknown = end(&peer, &of("12345", &offset), "PG", "8").await;
    assert_eq!((unknown.code(), unknown.remark()), (1, "Find prepared transaction message failed"));
    assert_eq!(end(&peer, &of(&locator, &offset), "PG", "7").await.code(), 29);
    assert_eq!(end(&peer, &of(&locator, &offset), "PG", "12").await.code(), 0);
    assert_eq!(end(&peer, &of(&locator, &offset), "PG", "8").await.code(), 1);
    assert_eq!(peer.pull("CG", "T", "0", "0", "4").await.code(), 19);
}

#[tokio::test]
async fn what_cannot_be_prepared() {
    let peer = Peer::new();
    let codes = [
        // Retries are no halves, whatever a consumer copies.
        peer.send("%RETRY%CG", "0", &HALF, b"x").await.code(),
        peer.send("T", "0", &[("TRAN_MSG", "true"), ("CHECK_IMMUNITY_TIME_IN_SECONDS", "soon")], b"x")
            .await
            .code(),
        peer.send("T", "0", &[("TRAN_MSG", "true"), ("PGROUP", "no name!")], b"x").await.code(),
    ];
    assert_eq!(codes, [0, 13, 13]);
    // Without its property the request's group counts.
    assert_eq!(peer.send("T", "0", &[("TRAN_MSG", "true")], b"x").await.code(), 0);
    let session = peer.node.broker.login_now(Credentials::Anonymous, peer.link.peer).unwrap();
    let open = peer.node.broker.transactions(&session, None, 0, 10).unwrap();
    assert_eq!(open.iter().map(|t| t.group.as_str()).collect::<Vec<_>>(), ["PG"]);
}

#[tokio::test]
async fn a_producer_that_has_said_so_is_asked() {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let peer = Peer::at(&clock);
    let list = [&HALF[..], &[("CHECK_IMMUNITY_TIME_IN_SECONDS", "60")]].concat();
    let sent = peer.send("T", "1", &list, b"x").await;
    assert_eq!(peer.heartbeat("c1", "CG", "Other", "*").await.code(), 0);
    let client = peer.link.known_client().unwrap();
    assert!(matches!(tokio::time::timeout(PATIENCE, client.event()).await, Ok(ClientEvent::GroupChanged(_))));
    clock.advance(59_999);
    peer.node.broker.check_due().await.unwrap();
    assert!(futures_util::poll!(Box::pin(client.event())).is_pending());
    clock.advance(1);
    peer.node.broker.check_due().await.unwrap();
    let event = tokio::time::timeout(PATIENCE, client.event()).await.expect("a check");
    let ClientEvent::CheckTransaction(check) = event else { panic!("{event:?}") };
    let host = peer.link.here.host;
    let mut bytes = BytesMut::from(&question(*check, &peer.node, host).to_bytes()[..]);
    let frame = codec::decode(&mut bytes, codec::MAX_FRAME).unwrap().unwrap();
    assert_eq!((frame.head.code, frame.head.is_one_way()), (39, true));
    let (locator, offset) = place(&sent);
    let field = |name: &str| frame.ext.get(name).map(|v| v.to_string()).unwrap_or_default();
    assert_eq!(field("commitLogOffset"), locator);
    assert_eq!(field("tranStateTableOffset"), offset);
    assert_eq!([field("topic"), field("msgId"), field("transactionId")], ["T", "U1", "U1"]);
    assert_eq!(field("offsetMsgId"), sent.field("msgId").unwrap());
    let record = Record::read(&mut frame.body.clone());
    assert_eq!((&record.topic[..], record.queue, record.sys_flag, &record.body[..]), ("T", 1, 0, &b"x"[..]));
    assert_eq!(
        ["PGROUP", "UNIQ_KEY", "TRAN_MSG", "k"].map(|n| record.property(n)),
        ["PG", "U1", "true", "v"]
    );
    assert_eq!(record.property("TRANSACTION_CHECK_TIMES"), "1");
    // One that has left is not asked.
    peer.ask(35, &[("clientID", "c1"), ("producerGroup", "PG")], "").await;
    clock.advance(30_000);
    peer.node.broker.check_due().await.unwrap();
    assert!(futures_util::poll!(Box::pin(client.event())).is_pending());
}

#[tokio::test]
async fn a_delayed_message_can_be_recalled() {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let peer = Peer::at(&clock);
    let sent = peer.send("T", "0", &[("TIMER_DELAY_MS", "60000"), ("UNIQ_KEY", "U7")], b"x").await;
    let handle = sent.field("recallHandle").unwrap();
    let words = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE, &handle).unwrap();
    let words = String::from_utf8(words).unwrap();
    assert!(words.starts_with("v1 T sluice 1700000060000 U7 "), "{words}");
    let at_once = peer.send("T", "1", &[], b"x").await;
    assert_eq!((at_once.field("recallHandle"), at_once.code()), (None, 0));
    let recall = async |topic: &str, handle: &str| {
        peer.ask(370, &[("topic", topic), ("recallHandle", handle), ("producerGroup", "PG")], "").await
    };
    assert_eq!(recall("T", "nonsense").await.code(), 604);
    assert_eq!(recall("Other", &handle).await.code(), 604);
    let got = recall("T", &handle).await;
    assert_eq!((got.code(), got.field("msgId").as_deref()), (0, Some("U7")));
    let again = recall("T", &handle).await;
    assert_eq!((again.code(), again.remark()), (604, "recall failed, the message does not wait any more"));
    clock.advance(60_000);
    peer.node.broker.fire_due().await.unwrap();
    assert_eq!(peer.pull("CG", "T", "0", "0", "4").await.code(), 19);
}
