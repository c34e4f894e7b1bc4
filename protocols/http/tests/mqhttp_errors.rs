//! What the cloud's clients are told when something is wrong: names, statuses, and the shape they parse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/mq.rs"]
mod mq;
mod support;

use mq::{Cloud, TARGET, cloud, cloud_with, message, sign};
use sluice_broker::Config as BrokerConfig;
use sluice_http::Config;

const CONSUME: &str = "/topics/t/messages?consumer=g";

/// Calls with exactly these lines as headers.
async fn raw(cloud: &Cloud, method: &str, target: &str, lines: &[String], body: &str) -> support::Answer {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    cloud.server.call(method, target, &lines, body.to_owned()).await
}

fn without(lines: Vec<String>, name: &str) -> Vec<String> {
    lines.into_iter().filter(|line| !line.starts_with(name)).collect()
}

#[tokio::test]
async fn every_step_of_the_login_has_a_name() {
    // A broker of its own for each: who fails often must wait.
    let attempt = async |change: fn(&Cloud, Vec<String>) -> Vec<String>, status, code: &str| {
        let cloud = cloud().await;
        let lines = change(&cloud, cloud.signed("GET", CONSUME, &[]));
        raw(&cloud, "GET", CONSUME, &lines, "").await.fails(status, code)
    };
    let hint = attempt(|_, lines| without(lines, "Authorization"), 400, "MissingAuthorizationHeader").await;
    assert!(hint.text().contains("/v1"));
    for authorization in
        ["Basic QTpC", "MQ", "MQ AccessKeyId", "MQ :AAAA", "MQ AccessKeyId:not base64!", "mq a:AAAA"]
    {
        let cloud = cloud().await;
        let mut lines = without(cloud.signed("GET", CONSUME, &[]), "Authorization");
        lines.push(format!("Authorization: {authorization}"));
        raw(&cloud, "GET", CONSUME, &lines, "").await.fails(400, "InvalidAuthorizationHeader");
    }
    attempt(|_, lines| without(lines, "Date"), 400, "MissingDateHeader").await;
    let soon = |_: &Cloud, lines| [without(lines, "Date"), vec!["Date: soon".into()]].concat();
    attempt(soon, 400, "InvalidDateHeader").await;
    for minutes in [14, 16] {
        let cloud = cloud().await;
        cloud.publish("a", "").await.is(201);
        let lines = cloud.signed("GET", CONSUME, &[]);
        cloud.clock.advance(minutes * 60_000);
        let answer = raw(&cloud, "GET", CONSUME, &lines, "").await;
        if minutes > 15 {
            answer.fails(408, "TimeExpired")
        } else {
            answer.is(200)
        };
    }
    attempt(
        |cloud, _| Cloud { user: "stranger", ..clone(cloud) }.signed("GET", CONSUME, &[]),
        403,
        "InvalidAccessKeyId",
    )
    .await;
    attempt(|cloud, _| cloud.signed("GET", "/topics/u/messages", &[]), 403, "SignatureDoesNotMatch").await;
    attempt(|cloud, _| cloud.signed("POST", CONSUME, &[]), 403, "SignatureDoesNotMatch").await;
}

#[tokio::test]
async fn temporary_credentials_are_refused_and_none_are_none() {
    let cloud = cloud().await;
    cloud.publish("a", "").await.is(201);
    let lines = cloud.signed("GET", CONSUME, &["security-token: CAISowJ1q6Ft5B2yfSjIr5f"]);
    let refused = raw(&cloud, "GET", CONSUME, &lines, "").await.fails(403, "AccessDenied");
    assert!(refused.text().contains("temporary credentials"), "{}", refused.text());
    let lines = cloud.signed("GET", CONSUME, &["security-token: "]);
    raw(&cloud, "GET", CONSUME, &lines, "").await.is(200);
    let lines = cloud.signed("GET", "/v1/whoami", &["security-token: x"]);
    let refused = raw(&cloud, "GET", "/v1/whoami", &lines, "").await;
    assert!(refused.problem(401, "unauthenticated")["detail"].as_str().unwrap().contains("temporary"));
}

fn clone(cloud: &Cloud) -> Cloud {
    let server = support::Server { http: cloud.server.http.clone(), broker: cloud.server.broker.clone() };
    Cloud { server, clock: cloud.clock.clone(), user: cloud.user }
}

#[tokio::test]
async fn a_digest_is_checked_in_each_of_its_forms() {
    let cloud = cloud().await;
    let (body, date, kind) = (message("a", "", ""), cloud.date(), "text/xml;charset=utf-8");
    let digits = md5_hex(&body);
    let encode = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    for (digest, good) in [
        (encode(digits.as_bytes()), true),
        (encode(&hex::decode(&digits).unwrap()), true),
        (digits.clone(), true),
        (encode(b"d41d8cd98f00b204e9800998ecf8427e"), false),
        ("nonsense".to_owned(), false),
    ] {
        let text = format!("POST\n{digest}\n{kind}\n{date}\nx-mq-version:2015-06-06\n{TARGET}");
        let lines = [
            format!("Authorization: MQ AccessKeyId:{}", sign(&text)),
            format!("Date: {date}"),
            format!("Content-Type: {kind}"),
            format!("Content-MD5: {digest}"),
            "x-mq-version: 2015-06-06".into(),
            "Host: mq.example.com".into(),
        ];
        let answer = raw(&cloud, "POST", TARGET, &lines, &body).await;
        if good {
            answer.is(201)
        } else {
            answer.fails(400, "InvalidDigest")
        };
    }
}

fn md5_hex(text: &str) -> String {
    use md5::{Digest, Md5};
    hex::encode(Md5::digest(text))
}

#[tokio::test]
async fn what_is_asked_wrongly_has_a_name() {
    let cloud = cloud().await;
    cloud.publish("a", "").await.is(201);
    for (method, target, body, status, code) in [
        ("POST", TARGET, "<Message>", 400, "MalformedXML"),
        ("POST", TARGET, "", 400, "MalformedXML"),
        (
            "POST",
            TARGET,
            "<!DOCTYPE x [<!ENTITY a \"b\">]><Message><MessageBody>&a;</MessageBody></Message>",
            400,
            "MalformedXML",
        ),
        ("POST", TARGET, "<Message/>", 400, "InvalidArgument"),
        ("POST", TARGET, "<Message><MessageBody></MessageBody></Message>", 400, "InvalidArgument"),
        ("POST", TARGET, &message("a", "", "x"), 400, "InvalidArgument"),
        ("POST", TARGET, &message("a", "", "__TransCheckT:9"), 400, "InvalidArgument"),
        ("POST", TARGET, &message("a", "", "__TransCheckT:301"), 400, "InvalidArgument"),
        (
            "POST",
            TARGET,
            &message("a", "", "__TransCheckT:10|__STARTDELIVERTIME:9999999999999"),
            400,
            "InvalidArgument",
        ),
        ("POST", "/topics/a.b/messages", &message("a", "", ""), 400, "InvalidArgument"),
        ("POST", "/topics/t/messages?ns=a%25b", &message("a", "", ""), 400, "InvalidArgument"),
        ("GET", TARGET, "", 400, "InvalidArgument"),
        ("GET", "/topics/t/messages?consumer=g&numOfMessages=x", "", 400, "InvalidArgument"),
        ("GET", "/topics/t/messages?consumer=g&trans=commit", "", 400, "InvalidArgument"),
        ("GET", "/topics/t/messages?consumer=g&tag=%zz", "", 400, "InvalidQueryString"),
        ("GET", "/topics/t/messages?consumer=g&consumer=h", "", 400, "InvalidQueryString"),
        ("GET", "/topics/unknown/messages?consumer=g", "", 404, "TopicNotExist"),
        ("GET", "/topics/unknown/messages?consumer=g&trans=order", "", 404, "TopicNotExist"),
        ("GET", "/topics/unknown/messages?consumer=g&trans=pop", "", 404, "TopicNotExist"),
        (
            "DELETE",
            "/topics/unknown/messages?consumer=g",
            "<ReceiptHandles><ReceiptHandle>h</ReceiptHandle></ReceiptHandles>",
            404,
            "TopicNotExist",
        ),
        (
            "DELETE",
            "/topics/t/messages?consumer=unknown",
            "<ReceiptHandles><ReceiptHandle>h</ReceiptHandle></ReceiptHandles>",
            404,
            "SubscriptionNotExist",
        ),
        ("DELETE", "/topics/t/messages?consumer=g", "<ReceiptHandles/>", 400, "MissingReceiptHandle"),
        ("DELETE", "/topics/t/messages?consumer=g", "<Handles/>", 400, "MalformedXML"),
        (
            "DELETE",
            "/topics/t/messages?consumer=g&trans=order",
            "<ReceiptHandles><ReceiptHandle>h</ReceiptHandle></ReceiptHandles>",
            400,
            "InvalidArgument",
        ),
        ("GET", "/topics/t", "", 400, "InvalidRequestURL"),
        ("GET", "/topics/t/messages/x", "", 400, "InvalidRequestURL"),
        ("GET", "/topics/%ff/messages", "", 400, "InvalidRequestURL"),
        ("PUT", TARGET, "", 405, "InvalidRequestURL"),
        ("OPTIONS", TARGET, "", 405, "InvalidRequestURL"),
    ] {
        let answer = cloud.call(method, target, body.to_owned()).await;
        println!("{method} {target} {body}");
        answer.fails(status, code);
    }
}

#[tokio::test]
async fn a_bad_handle_is_told_in_a_list_of_three_words_each() {
    let cloud = cloud().await;
    cloud.publish("a", "").await.is(201);
    cloud.consume("").await.is(200);
    for trans in ["", "&trans=commit", "&trans=rollback"] {
        let bad = ["h1".to_owned(), "T0000000000000001.00000000".to_owned()];
        let answer = cloud.acknowledge(&bad, trans).await.is(404);
        let text = answer.text();
        assert!(text.starts_with(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Errors xmlns=\"http://mq.aliyuncs.com/doc/v1\"><Error>\
             <ErrorCode>ReceiptHandleError</ErrorCode><ErrorMessage>The receipt handle you provide is not valid."
        ));
        assert_eq!(answer.all("ReceiptHandle"), bad);
        assert_eq!(answer.all("Error").len(), 2);
    }
}

#[tokio::test]
async fn who_may_not_is_told() {
    let cloud = cloud().await;
    cloud.publish("a", "").await.is(201);
    let limited = Cloud { user: "limited", ..clone(&cloud) };
    limited.publish("a", "").await.fails(403, "AccessDenied");
    limited.publish("a", "__TransCheckT:10").await.fails(403, "AccessDenied");
    limited.call("GET", "/topics/t/messages?consumer=h", "").await.fails(403, "AccessDenied");
    limited.call("GET", "/topics/u/messages?consumer=g", "").await.fails(403, "AccessDenied");
    let got = limited.consume("").await.is(200);
    let handle = [got.one("ReceiptHandle")];
    let theirs = cloud.call("GET", "/topics/t/messages?consumer=h", "").await.is(200).one("ReceiptHandle");
    let target = "/topics/t/messages?consumer=h";
    limited.call("DELETE", target, mq::receipts(&[theirs])).await.fails(403, "AccessDenied");
    limited.acknowledge(&handle, "").await.is(204);
    let half = cloud.publish("half", "__TransCheckT:10").await.is(201).one("ReceiptHandle");
    limited.acknowledge(&[half], "&trans=commit").await.fails(403, "AccessDenied");
}

#[tokio::test]
async fn who_is_too_fast_is_told_as_the_cloud_does() {
    let cloud = cloud().await;
    let slow = Cloud { user: "slow", ..clone(&cloud) };
    let mut answers = Vec::new();
    while answers.last() != Some(&400) && answers.len() < 100 {
        let answer = slow.publish("a", "").await;
        answers.push(answer.status.as_u16());
        if answers.last() == Some(&400) {
            answer.fails(400, "QpsLimitExceeded");
        }
    }
    assert_eq!((answers[0], answers.last()), (201, Some(&400)));
    cloud.clock.advance(60_000);
    slow.publish("a", "").await.is(201);
}

#[tokio::test]
async fn topics_are_not_made_where_that_is_off() {
    let broker = BrokerConfig { auto_create: false, ..BrokerConfig::default() };
    let cloud = cloud_with(Config::default(), broker).await;
    cloud.publish("a", "").await.fails(404, "TopicNotExist");
    cloud.publish("a", "__TransCheckT:10").await.fails(404, "TopicNotExist");
    cloud
        .call("POST", "/topics/t/messages?ns=MQ_INST_unknown", message("a", "", ""))
        .await
        .fails(404, "TopicNotExist");
}

#[tokio::test]
async fn what_the_edge_refuses_is_xml_too() {
    let config = Config {
        max_request_target: sluice_model::units::ByteSize(100),
        max_headers: 8,
        ..Config::default()
    };
    let cloud = cloud_with(config, BrokerConfig::default()).await;
    let long = format!("{TARGET}?consumer={}", "g".repeat(100));
    cloud.call("GET", &long, "").await.fails(400, "InvalidRequestURL");
    let more = ["a: 1", "b: 1", "c: 1", "d: 1"];
    let lines = cloud.signed("GET", TARGET, &more);
    raw(&cloud, "GET", TARGET, &lines, "").await.fails(400, "InvalidArgument");
    let lines = cloud.signed("POST", TARGET, &["Content-Encoding: gzip"]);
    raw(&cloud, "POST", TARGET, &lines, "").await.fails(400, "InvalidArgument");
    let lines = without(cloud.signed("POST", TARGET, &["x-mq-version: 2030-01-01"]), "x-mq-version: 2015");
    raw(&cloud, "POST", TARGET, &lines, "").await.fails(400, "InvalidArgument");
    // The rest of the port is as it was.
    let other = cloud.server.get("/other/t/messages").await;
    assert_eq!(other.header("content-type"), "application/problem+json");
}
