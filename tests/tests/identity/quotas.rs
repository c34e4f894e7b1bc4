//! Who is over a quota is told so in its wire's own words, or slowed down where the wire has none.

use crate::kafka::{GROUP_FULL, Kafka, LOGIN_REFUSED, TIMED_OUT};
use crate::line::Line;
use crate::words::{basic, cloud, http, pull, remoting, send_message, signed, stomp_connect};
use crate::{PATIENCE, USERS, change};
use serde_json::{Map, json};
use sluice_auth::Mode;
use sluice_tests::TestServer;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

#[test]
fn who_is_over_a_rate_is_told_or_slowed_down() {
    // Each message has a body of four bytes.
    over_a_rate("messages_per_second = 1", "User:app is over its quota of 1 messages a second");
    over_a_rate("bytes_per_second = 4", "User:app is over its quota of 4");
}

fn over_a_rate(quota: &str, words: &str) {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, &limited(quota));
    let publish = http("POST", "/v1/topics/t/messages", &basic(), "body");
    let mut line = Line::open(&server, "http");
    assert!(line.ask(&publish, "\r\n\r\n").starts_with("HTTP/1.1 201"));
    let told = soon(|| line.ask(&publish, "\r\n\r\n"), |answer| answer.starts_with("HTTP/1.1 429"));
    assert!(told.to_lowercase().contains("\r\nretry-after: "), "{told}");

    let mut line = Line::open(&server, "remoting");
    let busy = |answer: &str| answer.contains("\"code\":2,") || answer.contains("\"code\":2}");
    let told = soon(|| line.ask(&send_message(), "\"code\":"), busy);
    assert!(told.contains(words), "{told}");

    let publish = "<Message><MessageBody>body</MessageBody></Message>";
    let publish = cloud("POST", "/topics/t/messages", publish);
    soon(
        || Line::open(&server, "http").ask(&publish, "</"),
        |answer| answer.contains("<Code>QpsLimitExceeded"),
    );

    // STOMP has no word for "later": what it sends waits, and so does the client.
    let mut line = Line::open(&server, "stomp");
    assert!(line.ask(stomp_connect(), "\0").starts_with("CONNECTED"));
    let began = Instant::now();
    for number in 0..3 {
        let send = format!("SEND\ndestination:/queue/t\nreceipt:{number}\n\nbody\0");
        let answer = line.ask(send.as_bytes(), "\0");
        assert!(answer.trim_start().starts_with("RECEIPT"), "{answer}");
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "three messages in {:?}", began.elapsed());

    // A Kafka client is told how long to wait with what it asked for. This one does not listen, and is held.
    let mut kafka = Kafka::known(&server);
    let began = Instant::now();
    let told: Vec<(i16, i32)> = (0..3).map(|_| kafka.produce("t")).collect();
    assert!(told.iter().all(|(error, _)| *error == 0), "{told:?}");
    assert!(told.iter().any(|(_, quiet)| (1..=3000).contains(quiet)), "{told:?}");
    assert!(began.elapsed() >= Duration::from_secs(1), "three messages in {:?}", began.elapsed());
    let (error, bytes, quiet) = kafka.fetch("t");
    assert!(error == 0 && bytes > 0 && quiet > 500, "{error}, {bytes} bytes, {quiet} ms");
}

/// Asks until the answer is as wanted: how soon a rate is over depends on how fast the machine is just then.
fn soon(mut ask: impl FnMut() -> String, wanted: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let answer = ask();
        if wanted(&answer) {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{answer}");
    }
}

/// The users, `app` with a quota.
fn limited(quota: &str) -> String {
    USERS.replace("\"apps-secret\"", &format!("\"apps-secret\"\nquota = {{ {quota} }}"))
}

#[test]
fn who_has_too_many_requests_at_once_is_told_or_waits() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, &limited("in_flight = 1"));
    let json = format!("{}Content-Type: application/json\r\n", basic());
    for topic in ["t", "quiet"] {
        let make = http("PUT", &format!("/v1/topics/{topic}"), &json, "{}");
        assert!(Line::open(&server, "http").ask(&make, "\r\n\r\n").starts_with("HTTP/1.1 201"));
    }
    let words = "User:app is over its quota of 1 requests at once";
    let receive = http("POST", "/v1/groups/g/receive?topic=quiet&wait=60s", &basic(), "");
    let wait = || {
        let mut line = Line::open(&server, "http");
        line.0.write_all(&receive).expect("it reads");
        line.0.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
        line
    };
    let mut waits = wait();
    let publish = http("POST", "/v1/topics/t/messages", &basic(), "body");
    let began = Instant::now();
    let told = loop {
        let told = Line::open(&server, "http").ask(&publish, "\r\n\r\n");
        if !told.starts_with("HTTP/1.1 201") {
            break told;
        }
        // Either it is still on its way, or this message was the one request when it came, and it was refused.
        if waits.0.read(&mut [0; 64]).is_ok() {
            waits = wait();
        }
        assert!(began.elapsed() < PATIENCE, "a request that waits counts");
    };
    assert!(told.starts_with("HTTP/1.1 429"), "{told}");
    let publish = "<Message><MessageBody>body</MessageBody></Message>";
    let told = Line::open(&server, "http").ask(&cloud("POST", "/topics/t/messages", publish), "</");
    assert!(told.contains("<Code>QpsLimitExceeded"), "{told}");
    let told = Line::open(&server, "remoting").ask(&send_message(), words);
    assert!(told.contains("\"code\":2"), "{told}");
    let mut kafka = Kafka::known(&server);
    assert_eq!(kafka.produce("t").0, TIMED_OUT, "clients try again after this error");
    let mut stomp = Line::open(&server, "stomp");
    assert!(stomp.ask(stomp_connect(), "\0").starts_with("CONNECTED"));
    stomp.0.write_all(b"SEND\ndestination:/queue/t\nreceipt:1\n\nbody\0").expect("it reads");
    stomp.0.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
    assert!(stomp.0.read(&mut [0; 64]).is_err(), "the message waits");
    stomp.0.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    drop(waits);
    assert!(stomp.ask(b"\n", "\0").trim_start().starts_with("RECEIPT"));
    assert_eq!(kafka.produce("t").0, 0);
}

#[test]
fn who_consumes_for_a_group_over_its_rate_is_told_or_waits() {
    group_over_a_rate("messages_per_second = 1", "Group:g is over its quota of 1 messages a second");
    group_over_a_rate("bytes_per_second = 4", "Group:g is over its quota of 4");
}

fn group_over_a_rate(quota: &str, words: &str) {
    const MESSAGES: usize = 6;
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    let of = |group: &str| format!("\n[[groups]]\ngroup = \"{group}\"\nquota = {{ {quota} }}\n");
    change(&server, &format!("{USERS}{}{}", of("g"), of("h")));
    let json = format!("{}Content-Type: application/json\r\n", basic());
    let make = http("PUT", "/v1/topics/t", &json, r#"{"queues":1}"#);
    assert!(Line::open(&server, "http").ask(&make, "\r\n\r\n").starts_with("HTTP/1.1 201"));
    let publish = http("POST", "/v1/topics/t/messages", &basic(), "body");
    let mut line = Line::open(&server, "http");
    for _ in 0..MESSAGES {
        assert!(line.ask(&publish, "\r\n\r\n").starts_with("HTTP/1.1 201"));
    }

    let receive = http("POST", "/v1/groups/g/receive?topic=t&max=2&from=earliest", &basic(), "");
    let ask = || Line::open(&server, "http").ask(&receive, "\r\n\r\n");
    let first = ask();
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    soon(ask, |answer| answer.starts_with("HTTP/1.1 429"));

    let consume = cloud("GET", "/topics/t/messages?consumer=g", "");
    soon(
        || Line::open(&server, "http").ask(&consume, "</"),
        |answer| answer.contains("<Code>QpsLimitExceeded"),
    );

    let pull = remoting(11, signed(pull("g"), ""), "");
    let mut line = Line::open(&server, "remoting");
    let told = soon(|| line.ask(&pull, "\"code\":"), |answer| answer.contains(words));
    assert!(told.contains("\"code\":2"), "{told}");

    // A subscription has no word for it: its messages come later.
    let mut stomp = Line::open(&server, "stomp");
    assert!(stomp.ask(stomp_connect(), "\0").starts_with("CONNECTED"));
    let began = Instant::now();
    stomp.ask(b"SUBSCRIBE\nid:1\ndestination:/queue/t\ngroup:g\nack:auto\nprefetch-count:1\n\n\0", "MESSAGE");
    stomp.ask(b"\n", "MESSAGE");
    assert!(began.elapsed() >= Duration::from_millis(500), "two messages in {:?}", began.elapsed());
    drop(stomp);

    // A fetch names no group: it counts for the one that its client is a member of.
    let topics = http("PUT", "/v1/topics/k", &json, r#"{"queues":1}"#);
    assert!(Line::open(&server, "http").ask(&topics, "\r\n\r\n").starts_with("HTTP/1.1 201"));
    let mut kafka = Kafka::known(&server);
    (0..4).for_each(|_| assert_eq!(kafka.produce("k").0, 0));
    let fetched = kafka.fetch("k");
    assert!(fetched.0 == 0 && fetched.1 > 0 && fetched.2 == 0, "for itself: {fetched:?}");
    assert_eq!(kafka.join("h", "k", "member"), 0);
    let began = Instant::now();
    let told = loop {
        let told = kafka.fetch("k");
        assert_eq!(told.0, 0, "clients know no error for it");
        if told.1 > 0 {
            break told;
        }
        assert!(began.elapsed() < PATIENCE, "{told:?}");
    };
    assert!(told.2 > 500, "{told:?}");
    let told = kafka.fetch("k");
    assert!(told.0 == 0 && told.1 == 0 && told.2 > 500, "{told:?}");
}

#[test]
fn who_has_too_many_connections_is_told_on_the_next() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, &limited("connections = 1"));
    let words = "User:app is over its quota of 1 connections at once";
    let whoami = http("GET", "/v1/whoami", &basic(), "");
    let mut first = Line::open(&server, "http");
    assert!(first.ask(&whoami, "\r\n\r\n").starts_with("HTTP/1.1 200"));
    let over = Line::open(&server, "http").ask(&whoami, words);
    assert!(over.starts_with("HTTP/1.1 429"), "{over}");
    let over = Line::open(&server, "http").ask(&cloud("GET", "/topics/t/messages?consumer=g", ""), "</");
    assert!(over.contains("<Code>QpsLimitExceeded"), "{over}");
    let over = Line::open(&server, "stomp").ask(stomp_connect(), words);
    assert!(over.starts_with("ERROR\nmessage:Too busy") || over.contains("\nmessage:Too busy"), "{over}");
    let over = Line::open(&server, "remoting").ask(&send_message(), words);
    assert!(over.contains("\"code\":2"), "{over}");
    let (error, said) = Kafka::open(&server).log_in();
    assert_eq!((error, said.contains(words)), (LOGIN_REFUSED, true), "{said}");
    drop(first);
    let began = Instant::now();
    while !Line::open(&server, "stomp").ask(stomp_connect(), "\0").starts_with("CONNECTED") {
        assert!(began.elapsed() < PATIENCE, "the place is not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_group_that_has_enough_consumers_says_so_to_the_next() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, &format!("{USERS}\n[[groups]]\ngroup = \"g\"\nquota = {{ connections = 1 }}\n"));
    let publish = http("POST", "/v1/topics/t/messages", &basic(), "body");
    assert!(Line::open(&server, "http").ask(&publish, "\r\n\r\n").starts_with("HTTP/1.1 201"));
    let words = "Group:g is over its quota of 1 connections at once";
    let receive = http("POST", "/v1/groups/g/receive?topic=t&max=1&from=earliest", &basic(), "");
    let mut first = Line::open(&server, "http");
    for _ in 0..2 {
        assert!(first.ask(&receive, "\r\n\r\n").starts_with("HTTP/1.1 200"));
    }
    let mut second = Line::open(&server, "http");
    let over = second.ask(&receive, words);
    assert!(over.starts_with("HTTP/1.1 429"), "{over}");
    let over = Line::open(&server, "http").ask(&cloud("GET", "/topics/t/messages?consumer=g", ""), "</");
    assert!(over.contains("<Code>QpsLimitExceeded"), "{over}");
    let heartbeat = json!({
        "clientID": "c", "producerDataSet": [], "consumerDataSet": [{
            "groupName": "g", "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET", "unitMode": false, "subscriptionDataSet": [],
        }],
    })
    .to_string();
    let heartbeat = remoting(34, signed(Map::new(), &heartbeat), &heartbeat);
    let over = Line::open(&server, "remoting").ask(&heartbeat, words);
    assert!(over.contains("\"code\":2"), "{over}");
    let mut stomp = Line::open(&server, "stomp");
    assert!(stomp.ask(stomp_connect(), "\0").starts_with("CONNECTED"));
    let over = stomp.ask(b"SUBSCRIBE\nid:1\ndestination:/queue/t\ngroup:g\n\n\0", words);
    assert!(over.trim_start().starts_with("ERROR\n"), "{over}");
    let mut kafka = Kafka::known(&server);
    assert_eq!(kafka.join("g", "t", "member"), GROUP_FULL);
    drop(first);
    let began = Instant::now();
    while !Line::open(&server, "http").ask(&receive, "\r\n\r\n").starts_with("HTTP/1.1 200") {
        assert!(began.elapsed() < PATIENCE, "the place is not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
}
