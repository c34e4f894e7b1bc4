//! The cloud's MQ HTTP protocol: what is published comes out as the SDKs parse it, is leased, settled, ordered, decided.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/mq.rs"]
mod mq;
mod support;

use mq::{Cloud, NOW, TARGET, cloud, cloud_with, message};
use sluice_broker::{Config as BrokerConfig, SendRequest};
use sluice_http::{Config, MqConfig};
use sluice_model::units::{ByteSize, Span};
use sluice_model::{Headers, Keys, Message, TopicName};

const LEASE: u64 = 300_000;
const ORDER_LEASE: u64 = 60_000;

#[tokio::test]
async fn a_message_comes_back_as_it_was_published() {
    let cloud = cloud().await;
    let sent = cloud
        .call("POST", TARGET, message("h\u{e9}llo &lt;&amp;&gt;&#13;\n", "TagA", "KEYS:order-17|colour:red|"))
        .await
        .is(201);
    let digest = "0BB1C9B41F69C20F0CC47C54E0B4B9E3";
    let id = sent.one("MessageId");
    assert_eq!((id.len(), sent.all("ReceiptHandle").len()), (32, 0));
    let got = cloud.consume("&numOfMessages=16&waitseconds=5").await.is(200);
    let digest_sent = sent.one("MessageBodyMD5");
    assert_eq!(digest_sent.len(), digest.len());
    let handle = got.one("ReceiptHandle");
    let wanted = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Messages xmlns=\"http://mq.aliyuncs.com/doc/v1\"><Message>\
         <MessageId>{id}</MessageId><MessageBodyMD5>{digest_sent}</MessageBodyMD5>\
         <MessageBody>h\u{e9}llo &lt;&amp;&gt;&#13;\n</MessageBody><ReceiptHandle>{handle}</ReceiptHandle>\
         <PublishTime>{NOW}</PublishTime><FirstConsumeTime>{NOW}</FirstConsumeTime>\
         <NextConsumeTime>{}</NextConsumeTime><ConsumedTimes>1</ConsumedTimes><MessageTag>TagA</MessageTag>\
         <Properties>KEYS:order-17|colour:red|</Properties></Message></Messages>",
        NOW + LEASE
    );
    assert_eq!(got.text(), wanted);
    cloud.acknowledge(&[handle], "").await.is(204);
    cloud.consume("").await.fails(404, "MessageNotExist");
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_when_its_lease_ends() {
    let cloud = cloud().await;
    cloud.publish("a", "").await.is(201);
    let first = cloud.consume("").await.is(200).one("ReceiptHandle");
    cloud.consume("").await.fails(404, "MessageNotExist");
    cloud.clock.advance(LEASE);
    let late = cloud.acknowledge(std::slice::from_ref(&first), "").await.is(404);
    assert_eq!(
        (late.one("ErrorCode"), late.one("ReceiptHandle")),
        ("ReceiptHandleError".to_owned(), first.clone())
    );
    let again = cloud.consume("").await.is(200);
    assert_eq!((again.one("ConsumedTimes"), again.one("FirstConsumeTime")), ("2".into(), NOW.to_string()));
    let second = again.one("ReceiptHandle");
    assert_ne!(first, second);
    let both = cloud.acknowledge(&[first.clone(), second.clone()], "").await.is(404);
    assert_eq!(both.all("ReceiptHandle"), [first], "the good one is settled all the same");
    // Whoever lost the answer may ask again while the lease would hold.
    cloud.acknowledge(std::slice::from_ref(&second), "").await.is(204);
    cloud.clock.advance(LEASE);
    cloud.acknowledge(&[second], "").await.is(404);
    cloud.consume("").await.fails(404, "MessageNotExist");
}

#[tokio::test]
async fn a_group_of_these_clients_tries_often_and_then_buries() {
    let config = Config { mq: MqConfig { max_attempts: 3, ..MqConfig::default() }, ..Config::default() };
    let cloud = cloud_with(config, BrokerConfig::default()).await;
    cloud.publish("a", "").await.is(201);
    for times in ["1", "2", "3"] {
        assert_eq!(cloud.consume("").await.is(200).one("ConsumedTimes"), times);
        cloud.clock.advance(LEASE);
    }
    cloud.consume("").await.fails(404, "MessageNotExist");
    let dead = cloud.call("GET", "/topics/%25DLQ%25g/messages?consumer=h", "").await.is(200);
    assert_eq!(dead.one("MessageBody"), "a");
}

#[tokio::test]
async fn tags_select() {
    let cloud = cloud().await;
    for tag in ["A", "B", "C"] {
        cloud.call("POST", TARGET, message(tag, tag, "")).await.is(201);
    }
    let got = cloud.consume("&numOfMessages=16&tag=A%7C%7CC").await.is(200);
    let mut bodies = got.all("MessageBody");
    // The others came to queues that are looked at later, or not at all.
    while let Some(more) = Some(cloud.consume("&tag=A%7C%7CC").await).filter(|a| a.status.as_u16() == 200) {
        bodies.extend(more.all("MessageBody"));
    }
    bodies.sort();
    assert_eq!(bodies, ["A", "C"]);
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_message_or_its_time() {
    let cloud = cloud().await;
    cloud.publish("first", "").await.is(201);
    cloud.consume("").await.is(200);
    let (got, ()) = tokio::join!(cloud.consume("&waitseconds=20&numOfMessages=16"), async {
        tokio::task::yield_now().await;
        cloud.publish("second", "").await.is(201);
    });
    assert_eq!(got.is(200).one("MessageBody"), "second");
    let began = std::time::Instant::now();
    cloud.consume("&waitseconds=1").await.fails(404, "MessageNotExist");
    assert!(began.elapsed().as_millis() >= 900);
}

#[tokio::test]
async fn of_one_sharding_key_nothing_overtakes() {
    let cloud = cloud().await;
    for body in ["a1", "a2", "a3"] {
        cloud.publish(body, "__SHARDINGKEY:a").await.is(201);
    }
    cloud.publish("b1", "__SHARDINGKEY:b").await.is(201);
    let consume = async |n: u32| cloud.consume(&format!("&trans=order&numOfMessages={n}")).await;
    let mut handles = Vec::new();
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let got = consume(2).await;
        if got.status.as_u16() == 200 {
            assert!(got.text().contains(&format!("<NextConsumeTime>{}<", NOW + ORDER_LEASE)));
            bodies.extend(got.all("MessageBody"));
            handles.extend(got.all("ReceiptHandle"));
        }
    }
    let of_a: Vec<_> = bodies.iter().filter(|body| body.starts_with('a')).cloned().collect();
    assert!(of_a == ["a1", "a2"] || of_a == ["a1"], "{bodies:?}");
    consume(16).await.fails(404, "MessageNotExist");
    cloud.clock.advance(ORDER_LEASE);
    let mut again = Vec::new();
    while again.len() < 4 {
        let got = consume(16).await.is(200);
        again.extend(got.all("MessageBody").into_iter().zip(got.all("ReceiptHandle")));
    }
    let of_a: Vec<_> = again.iter().filter(|(body, _)| body.starts_with('a')).collect();
    assert_eq!(of_a.iter().map(|(body, _)| body.as_str()).collect::<Vec<_>>(), ["a1", "a2", "a3"]);
    // Of the batch the second is settled: the others come again, still in order.
    cloud.acknowledge(&[of_a[1].1.clone()], "").await.is(204);
    consume(16).await.fails(404, "MessageNotExist");
    cloud.clock.advance(ORDER_LEASE);
    let mut left = Vec::new();
    while left.len() < 3 {
        left.extend(consume(16).await.is(200).all("MessageBody"));
    }
    left.retain(|body| body.starts_with('a'));
    assert_eq!(left, ["a1", "a3"]);
}

#[tokio::test]
async fn a_delivery_time_is_kept_and_bounded() {
    let cloud = cloud().await;
    let due = NOW + 5000;
    cloud.publish("later", &format!("__STARTDELIVERTIME:{due}")).await.is(201);
    cloud.publish("past", "__STARTDELIVERTIME:1|").await.is(201);
    assert_eq!(cloud.consume("&numOfMessages=16").await.is(200).one("MessageBody"), "past");
    cloud.clock.advance(5000);
    cloud.server.broker.fire_due().await.unwrap();
    let got = cloud.consume("").await.is(200);
    assert_eq!(got.one("Properties"), format!("__STARTDELIVERTIME:{due}|"));
    let much_later = NOW + 50 * 86_400_000;
    for wrong in [format!("__STARTDELIVERTIME:{much_later}"), "__STARTDELIVERTIME:soon".to_owned()] {
        cloud.publish("x", &wrong).await.fails(400, "InvalidArgument");
    }
}

async fn checks(cloud: &Cloud) -> support::Answer {
    cloud.server.broker.check_due().await.unwrap();
    cloud.consume("&trans=pop&numOfMessages=16").await
}

#[tokio::test]
async fn a_half_message_is_committed_or_rolled_back() {
    let cloud = cloud().await;
    for (body, trans, visible) in [("in", "commit", true), ("out", "rollback", false)] {
        let sent = cloud.publish(body, "__TransCheckT:10|a:b|").await.is(201);
        let handle = [sent.one("ReceiptHandle")];
        cloud.consume("").await.fails(404, "MessageNotExist");
        let trans = format!("&trans={trans}");
        cloud.acknowledge(&handle, &trans).await.is(204);
        cloud.acknowledge(&handle, &trans).await.is(204);
        let other = if visible { "&trans=rollback" } else { "&trans=commit" };
        assert_eq!(cloud.acknowledge(&handle, other).await.is(404).one("ErrorCode"), "ReceiptHandleError");
        let got = cloud.consume("").await;
        if visible {
            let got = got.is(200);
            assert_eq!((got.one("MessageBody"), got.one("MessageId")), ("in".into(), sent.one("MessageId")));
            assert_eq!(got.one("Properties"), "a:b|__TransCheckT:10|");
        } else {
            got.fails(404, "MessageNotExist");
        }
    }
    checks(&cloud).await.fails(404, "MessageNotExist");
}

#[tokio::test]
async fn an_undecided_half_message_is_offered_again_and_again() {
    let cloud = cloud().await;
    let sent = cloud.publish("half", "__TransCheckT:10").await.is(201);
    checks(&cloud).await.fails(404, "MessageNotExist");
    cloud.clock.advance(10_000);
    let first = checks(&cloud).await.is(200);
    assert_eq!((first.one("MessageBody"), first.one("ConsumedTimes")), ("half".into(), "1".into()));
    assert_eq!(first.one("MessageId"), sent.one("MessageId"));
    assert_eq!(first.one("NextConsumeTime"), (NOW + 10_000 + 30_000).to_string());
    checks(&cloud).await.fails(404, "MessageNotExist");
    cloud.clock.advance(30_000);
    let again = checks(&cloud).await.is(200);
    assert_eq!(
        (again.one("ConsumedTimes"), again.one("FirstConsumeTime")),
        ("2".into(), (NOW + 10_000).to_string())
    );
    // Another topic is not asked, and its handles are no good here.
    cloud.call("POST", "/topics/u/messages", message("u", "", "__TransCheckT:10")).await.is(201);
    cloud.clock.advance(10_000);
    checks(&cloud).await.fails(404, "MessageNotExist");
    let handle = [again.one("ReceiptHandle")];
    let elsewhere =
        cloud.call("DELETE", "/topics/u/messages?consumer=g&trans=commit", mq::receipts(&handle)).await;
    assert_eq!(elsewhere.is(404).one("ErrorCode"), "ReceiptHandleError");
    cloud.acknowledge(&handle, "&trans=commit").await.is(204);
    assert_eq!(cloud.consume("").await.is(200).one("MessageBody"), "half");
}

#[tokio::test]
async fn a_check_wakes_who_waits_for_it() {
    let cloud = cloud().await;
    cloud.publish("half", "__TransCheckT:10").await.is(201);
    let (got, ()) = tokio::join!(cloud.consume("&trans=pop&waitseconds=20"), async {
        tokio::task::yield_now().await;
        cloud.clock.advance(10_000);
        cloud.server.broker.check_due().await.unwrap();
    });
    assert_eq!(got.is(200).one("MessageBody"), "half");
}

#[tokio::test]
async fn instances_are_worlds_of_their_own() {
    let cloud = cloud().await;
    let target = "/topics/t/messages?ns=MQ_INST_1";
    cloud.call("POST", target, message("theirs", "", "")).await.is(201);
    cloud.consume("").await.fails(404, "TopicNotExist");
    cloud.consume("&ns=MQ_INST_2").await.fails(404, "TopicNotExist");
    let got = cloud.consume("&ns=MQ_INST_1").await.is(200);
    assert_eq!(got.one("MessageBody"), "theirs");
    let handle = [got.one("ReceiptHandle")];
    cloud.acknowledge(&handle, "&ns=MQ_INST_2").await.fails(404, "TopicNotExist");
    cloud.acknowledge(&handle, "&ns=MQ_INST_1").await.is(204);
    // Other wires see the names as RocketMQ writes them.
    let me = cloud.server.broker.login_now(
        sluice_auth::Credentials::Password { user: "AccessKeyId", password: "secretExample" },
        "127.0.0.1:1".parse().unwrap(),
    );
    let topics = cloud.server.broker.topics(&me.unwrap(), None, 10).unwrap();
    assert!(topics.iter().any(|topic| topic.name.as_str() == "MQ_INST_1%t"));
}

#[tokio::test]
async fn messages_of_other_wires_spoil_no_batch() {
    let cloud = cloud().await;
    let me = cloud.server.broker.login_now(
        sluice_auth::Credentials::Password { user: "AccessKeyId", password: "secretExample" },
        "127.0.0.1:1".parse().unwrap(),
    );
    let mut headers = Headers::builder();
    headers.push("url", Some(b"http://x|y")).unwrap();
    headers.push("plain", Some(b"1")).unwrap();
    headers.push("binary", Some(b"\xff")).unwrap();
    let message = Message {
        body: Some(b"\x00\xff"[..].into()),
        tag: Some("\u{1}".into()),
        keys: Keys::joined("k1 k2"),
        headers: headers.build(),
        ..Message::default()
    };
    let request = SendRequest { create: Some(1), ..SendRequest::one(TopicName::new("t").unwrap(), message) };
    let request = SendRequest {
        messages: vec![request.messages[0].clone(), Message::default(), request.messages[0].clone()],
        ..request
    };
    cloud.server.broker.send(&me.unwrap(), request).unwrap().await.unwrap();
    let got = cloud.consume("&numOfMessages=16").await.is(200);
    assert_eq!(got.all("MessageBody"), ["AP8=", " ", "AP8="]);
    assert_eq!(
        got.all("Properties"),
        [
            "KEYS:k1 k2|plain:1|__BODYENCODING:base64|",
            "__BODYENCODING:base64|",
            "KEYS:k1 k2|plain:1|__BODYENCODING:base64|"
        ]
    );
    assert!(got.all("MessageTag").is_empty());
}

/// The same user over the rest of the port.
async fn rest(cloud: &Cloud, method: &str, target: &str, lines: &[&str], body: &str) -> support::Answer {
    let basic = "Authorization: Basic QWNjZXNzS2V5SWQ6c2VjcmV0RXhhbXBsZQ==";
    cloud.server.call(method, target, &[&[basic], lines].concat(), body.to_owned()).await
}

#[tokio::test]
async fn what_curl_publishes_an_sdk_consumes_and_the_other_way_round() {
    let cloud = cloud().await;
    let lines = ["X-MQ-Tag: A", "X-MQ-Key: k", "X-MQ-Prop-Colour: red", "X-MQ-Sharding-Key: s"];
    rest(&cloud, "POST", "/v1/topics/t/messages", &lines, "from curl").await.expect(201);
    let got = cloud.consume("&tag=A").await.is(200);
    assert_eq!((got.one("MessageBody"), got.one("MessageTag")), ("from curl".into(), "A".into()));
    assert_eq!(got.one("Properties"), "KEYS:k|__SHARDINGKEY:s|colour:red|");
    // The group is one for both: what an SDK holds, curl does not get, and it may not be settled twice.
    assert_eq!(
        rest(&cloud, "POST", "/v1/groups/g/receive?topic=t", &[], "").await.expect(200)["messages"][0],
        serde_json::Value::Null
    );
    cloud.acknowledge(&[got.one("ReceiptHandle")], "").await.is(204);
    cloud.call("POST", TARGET, message("from an SDK", "B", "KEYS:k1 k2|__SHARDINGKEY:s|a:b|")).await.is(201);
    let got = rest(&cloud, "POST", "/v1/groups/g/receive?topic=t", &[], "").await.expect(200)["messages"][0]
        .clone();
    assert_eq!((got["body"].as_str(), got["tag"].as_str()), (Some("from an SDK"), Some("B")));
    assert_eq!(got["keys"], serde_json::json!(["k1", "k2"]));
    assert_eq!((got["shardingKey"].as_str(), got["properties"]["a"].as_str()), (Some("s"), Some("b")));
    assert_eq!(got["protocol"], "http");
}

#[tokio::test]
async fn who_asks_is_offered_what_its_group_prepared_by_other_wires() {
    let cloud = cloud().await;
    let target = "/v1/topics/t/messages?transaction=prepare&producerGroup=g&checkAfter=10s";
    rest(&cloud, "POST", target, &[], "half").await.expect(202);
    cloud.clock.advance(10_000);
    cloud.server.broker.check_due().await.unwrap();
    cloud.call("GET", &format!("{TARGET}?consumer=h&trans=pop"), "").await.fails(404, "MessageNotExist");
    let got = checks(&cloud).await.is(200);
    assert_eq!(got.one("MessageBody"), "half");
    cloud.acknowledge(&[got.one("ReceiptHandle")], "&trans=rollback").await.is(204);
    cloud.clock.advance(100_000);
    checks(&cloud).await.fails(404, "MessageNotExist");
}

#[tokio::test]
async fn sizes_are_bounded() {
    let broker = BrokerConfig { max_message_size: ByteSize(1000), ..BrokerConfig::default() };
    let config =
        Config { mq: MqConfig { max_body: ByteSize::kib(10), ..MqConfig::default() }, ..Config::default() };
    let cloud = cloud_with(config, broker).await;
    cloud.publish(&"&#97;".repeat(1000), "").await.is(201);
    assert_eq!(cloud.consume("").await.is(200).one("MessageBody"), "a".repeat(1000));
    cloud.publish(&"a".repeat(1001), "").await.fails(400, "InvalidArgument");
    let over = cloud.publish(&"a".repeat(11 << 10), "").await.fails(400, "InvalidArgument");
    assert_eq!(over.header("connection"), "close");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_gives_its_leases_back() {
    let config = MqConfig { invisible_time: Span::secs(3600), ..MqConfig::default() };
    let cloud = cloud_with(Config { mq: config, ..Config::default() }, BrokerConfig::default()).await;
    cloud.publish("a", "").await.is(201);
    let target = format!("{TARGET}?consumer=g");
    let headers = cloud.signed("GET", &target, &[]);
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    drop(cloud.server.open(support::request("GET", &target, &headers, "")).await);
    let got = cloud.consume("&waitseconds=29").await; // far less than the lease
    assert_eq!(got.is(200).one("ConsumedTimes"), "1");
}
