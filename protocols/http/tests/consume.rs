//! Receiving, settling, browsing, offsets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{Server, server};

async fn publish(server: &Server, body: &str) -> Value {
    server.post("/v1/topics/t/messages?queue=0", body).await.expect(201)
}

#[tokio::test]
async fn receive_ack_and_nothing_is_left() {
    let server = server();
    publish(&server, "one").await;
    let message = server.receive_one().await;
    assert_eq!(message["body"], "one");
    assert_eq!(message["deliveries"], 1);
    assert!(message["leaseUntil"].is_string());
    assert_eq!(server.receive("").await.expect(200), json!({"messages": []}), "it is leased");
    let handle = message["handle"].clone();
    let results =
        server.json("POST", "/v1/groups/g/ack", json!({"handles": [handle, "nonsense"]})).await.expect(200);
    assert_eq!(results["results"][0], json!({"handle": handle, "ok": true}));
    assert_eq!(results["results"][1]["code"], "unknown-handle");
    let again = server.json("POST", "/v1/groups/g/ack", json!({"handles": [handle]})).await.expect(200);
    assert_eq!(again["results"][0]["code"], "lease-expired");
    let offsets = server.get("/v1/groups/g/offsets?topic=t").await.expect(200);
    assert_eq!(offsets["totalLag"], 0);
    assert_eq!(offsets["items"][0]["committed"], 1);
}

#[tokio::test]
async fn one_line_of_curl_acks_one_message() {
    let server = server();
    publish(&server, "one").await;
    let handle = server.receive_one().await["handle"].as_str().unwrap().to_owned();
    let path = format!("/v1/messages/{handle}");
    assert_eq!(server.call("DELETE", &path, &[], "").await.status, 204);
    server.call("DELETE", &path, &[], "").await.problem(410, "lease-expired");
    server.call("DELETE", "/v1/messages/bogus", &[], "").await.problem(404, "unknown-handle");
}

#[tokio::test]
async fn nack_redelivers_and_dead_letters_are_listed() {
    let server = server();
    publish(&server, "one").await;
    let first = server.receive_one().await;
    let nack = json!({"handles": [first["handle"]], "delay": "0s"});
    assert_eq!(server.json("POST", "/v1/groups/g/nack", nack).await.expect(200)["results"][0]["ok"], true);
    let second = server.receive_one().await;
    assert_eq!((&second["messageId"], &second["deliveries"]), (&first["messageId"], &json!(2)));
    assert_eq!(server.get("/v1/groups/g/dead-letters").await.expect(200)["items"], json!([]));
    let bury = json!({"handles": [second["handle"]], "deadLetter": true, "reason": "poison"});
    assert_eq!(server.json("POST", "/v1/groups/g/nack", bury).await.expect(200)["results"][0]["ok"], true);
    let dead = server.get("/v1/groups/g/dead-letters").await.expect(200);
    assert_eq!(dead["items"][0]["body"], "one");
    assert_eq!(dead["items"][0]["reason"], "poison");
    assert_eq!(dead["items"][0]["originalMessageId"], first["messageId"]);
    assert_eq!(dead["items"][0]["topic"], "t");
    assert_eq!(server.receive("").await.expect(200)["messages"], json!([]));

    let redrive = "/v1/groups/g/dead-letters:redrive";
    let id = dead["items"][0]["messageId"].clone();
    let dry = server.json("POST", &format!("{redrive}?dryRun=true"), json!({"all": true})).await.expect(200);
    assert_eq!(dry, json!({"redriven": 1, "missing": [], "more": false}));
    let done = server.json("POST", redrive, json!({"ids": [id, "none"]})).await.expect(202);
    assert_eq!(done, json!({"redriven": 1, "missing": ["none"], "more": false}));
    assert_eq!(server.get("/v1/groups/g/dead-letters").await.expect(200)["items"], json!([]));
    let again = server.receive("").await.expect(200)["messages"][0].clone();
    assert_eq!((&again["body"], &again["deliveries"]), (&json!("one"), &json!(1)));
    for wrong in [json!({}), json!({"ids": [], "all": true}), json!({"all": true, "limit": 0})] {
        server.json("POST", redrive, wrong).await.problem(400, "invalid-json");
    }
    server
        .json("POST", "/v1/groups/none/dead-letters:redrive", json!({"all": true}))
        .await
        .problem(404, "group-not-found");
}

#[tokio::test]
async fn extend_gives_a_new_handle_and_settle_does_all_at_once() {
    let server = server();
    for body in ["a", "b", "c"] {
        publish(&server, body).await;
    }
    let messages = server.receive("max=10").await.expect(200)["messages"].clone();
    let handle = |n: usize| messages[n]["handle"].clone();
    let extend = json!({"handles": [handle(0), handle(1)], "lease": "2m"});
    let extended = server.json("POST", "/v1/groups/g/extend", extend).await.expect(200)["results"][0].clone();
    assert_eq!((&extended["ok"], &extended["previous"]), (&json!(true), &handle(0)));
    assert_ne!(extended["handle"], handle(0));
    assert!(extended["leaseUntil"].as_str() > messages[0]["leaseUntil"].as_str());
    // The second is named as before: that holds as long as its own lease would have.
    let settle = json!({"ack": [extended["handle"]], "nack": [{"handle": handle(1), "delay": "1h"}], "deadLetter": [handle(2)]});
    let settled = server.json("POST", "/v1/groups/g/settle", settle).await.expect(200);
    let actions: Vec<_> = settled["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["action"].clone(), r["ok"].clone()))
        .collect();
    assert_eq!(
        actions,
        [(json!("ack"), json!(true)), (json!("nack"), json!(true)), (json!("deadLetter"), json!(true))]
    );
    let wrong = json!({"handles": [], "lease": "13h"});
    server.json("POST", "/v1/groups/g/extend", wrong).await.problem(400, "invalid-parameter");
    server
        .json("POST", "/v1/groups/nobody/ack", json!({"handles": []}))
        .await
        .problem(404, "group-not-found");
}

#[tokio::test]
async fn a_raw_receive_is_one_body_with_its_metadata_in_headers() {
    let server = server();
    let headers =
        ["Content-Type: text/html", "X-MQ-Tag: a", "X-MQ-Key: k", "X-MQ-Prop-City: UTF-8''K%C3%B6ln"];
    server.call("POST", "/v1/topics/t/messages", &headers, "<script>").await.expect(201);
    let answer = server.receive("format=raw&wait=5s").await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"<script>"[..]));
    assert_eq!(answer.header("content-type"), "text/html");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-security-policy").contains("sandbox"));
    assert_eq!(answer.header("x-mq-tag"), "a");
    assert_eq!(answer.header("x-mq-key"), "k");
    assert_eq!(answer.header("x-mq-prop-city"), "UTF-8''K%C3%B6ln");
    assert_eq!(answer.header("x-mq-deliveries"), "1");
    let path = format!("/v1/messages/{}", answer.header("x-mq-handle"));
    assert_eq!(server.call("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(server.receive("format=raw").await.status, 204);
    let accept = ["Accept: application/octet-stream"];
    assert_eq!(server.call("POST", "/v1/groups/g/receive?topic=t", &accept, "").await.status, 204);
    server.receive("format=raw&max=2").await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn an_empty_raw_message_keeps_its_lease() {
    let server = server();
    publish(&server, "").await;
    let answer = server.receive("format=raw&wait=5s").await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    let path = format!("/v1/messages/{}", answer.header("x-mq-handle"));
    assert_eq!(server.call("DELETE", &path, &[], "").await.status, 204);
}

#[tokio::test]
async fn an_answer_that_nobody_takes_gives_its_leases_back() {
    let server = server();
    publish(&server, "one").await;
    let request = support::request("POST", "/v1/groups/g/receive?topic=t", &[], "");
    drop(server.open(request).await);
    let message = server.receive_one().await;
    assert_eq!((&message["body"], &message["deliveries"]), (&json!("one"), &json!(1)));
}

#[tokio::test]
async fn a_dropped_long_poll_leases_nothing() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({})).await.expect(201);
    let request = support::request("POST", "/v1/groups/g/receive?topic=t&wait=60s", &[], "");
    let poll = server.open(request);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), poll).await.is_err());
    publish(&server, "one").await;
    assert_eq!(server.receive_one().await["deliveries"], 1);
}

#[tokio::test]
async fn a_long_poll_wakes_up_and_several_topics_share_one() {
    let server = server();
    for topic in ["t", "u"] {
        server.json("PUT", &format!("/v1/topics/{topic}"), json!({})).await.expect(201);
    }
    let poll = server.receive("topic=u&wait=20s");
    let publish = async {
        tokio::task::yield_now().await;
        server.post("/v1/topics/u/messages", "later").await.expect(201);
    };
    let (answer, ()) = tokio::join!(poll, publish);
    assert_eq!(answer.expect(200)["messages"][0]["topic"], "u");
}

#[tokio::test]
async fn auto_ack_settles_and_gives_no_handle() {
    let server = server();
    publish(&server, "one").await;
    let answer = server.receive("ack=auto").await.expect(200);
    assert!(answer["messages"][0].get("handle").is_none());
    let offsets = server.get("/v1/groups/g/offsets").await.expect(200);
    assert_eq!((&offsets["totalLag"], &offsets["items"][0]["inFlight"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn filters_and_body_modes() {
    let server = server();
    server.post("/v1/topics/t/messages?tag=a&queue=0", "{\"x\": 1}").await.expect(201);
    server.post("/v1/topics/t/messages?tag=b&queue=0", "two").await.expect(201);
    let browse = |query: &'static str| server.get(query);
    let page = browse("/v1/topics/t/queues/0/messages?filter=b&body=base64").await.expect(200);
    assert_eq!(
        (page["messages"].as_array().unwrap().len(), &page["messages"][0]["bodyBase64"]),
        (1, &json!("dHdv"))
    );
    let page = browse("/v1/topics/t/queues/0/messages?body=json").await.expect(200);
    assert_eq!(
        (&page["messages"][0]["body"], &page["messages"][1]["body"]),
        (&json!({"x": 1}), &json!("two"))
    );
    let page = browse("/v1/topics/t/queues/0/messages?body=none").await.expect(200);
    assert!(page["messages"][0].get("body").is_none() && page["messages"][0].get("bodyBase64").is_none());
    assert_eq!(server.receive("filter=b||c").await.expect(200)["messages"][0]["body"], "two");
    server.receive("body=xml").await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn browsing_pages_and_bounds() {
    let server = server();
    for n in 0..5 {
        publish(&server, &n.to_string()).await;
    }
    let at = |query: String| {
        let server = &server;
        async move { server.get(&format!("/v1/topics/t/queues/0/messages?{query}")).await }
    };
    let page = at("limit=2".into()).await.expect(200);
    assert_eq!((&page["next"], &page["nextOffset"]), (&json!("2"), &json!(2)));
    let page = at(format!("offset={}&limit=100", page["next"].as_str().unwrap())).await.expect(200);
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["next"]), (3, &Value::Null));
    assert_eq!(at("offset=-2".into()).await.expect(200)["messages"][0]["body"], "3");
    assert_eq!(at("offset=latest".into()).await.expect(200)["messages"], json!([]));
    let beyond = at("offset=99".into()).await.expect(200);
    assert_eq!((&beyond["messages"], &beyond["endOffset"]), (&json!([]), &json!(5)));
    at("offset=soon".into()).await.problem(400, "invalid-parameter");
    at("limit=0".into()).await.problem(400, "invalid-parameter");
    server.get("/v1/topics/none/queues/0/messages").await.problem(404, "topic-not-found");
    server.get("/v1/topics/t/queues/x/messages").await.problem(400, "invalid-name");
    let offsets = server.get("/v1/topics/t/offsets?time=latest").await.expect(200);
    assert_eq!(offsets["items"][0], json!({"queue": 0, "offset": 5}));
    let offsets = server.get("/v1/topics/t/offsets?time=1970-01-02T00:00:00Z").await.expect(200);
    assert_eq!(offsets["items"][0], json!({"queue": 0, "offset": 0}));
}

#[tokio::test]
async fn offsets_are_set_reset_and_tried() {
    let server = server();
    for n in 0..4 {
        publish(&server, &n.to_string()).await;
    }
    server.json("PUT", "/v1/groups/g", json!({})).await.expect(201);
    let set = |offset: u64, dry: bool| json!({"offsets": [{"topic": "t", "queue": 0, "offset": offset}], "dryRun": dry});
    let committed = |answer: Value| answer["items"][0]["committed"].as_u64();
    let put = |body: Value| server.json("PUT", "/v1/groups/g/offsets", body);
    assert_eq!(committed(put(set(3, false)).await.expect(200)), Some(3));
    assert_eq!(committed(put(set(1, true)).await.expect(200)), Some(1));
    assert_eq!(
        committed(server.get("/v1/groups/g/offsets").await.expect(200)),
        Some(3),
        "a dry run changes nothing"
    );
    put(set(5, false)).await.problem(416, "offset-out-of-range");
    assert_eq!(server.receive_one().await["body"], "3");
    let reset = |body: Value| server.json("POST", "/v1/groups/g/offsets:reset", body);
    let dry = reset(json!({"topic": "t", "to": "earliest", "dryRun": true})).await.expect(200);
    assert_eq!(committed(dry), Some(0));
    let done = reset(json!({"topic": "t", "to": "earliest"})).await.expect(200);
    assert_eq!(committed(done), Some(0));
    assert_eq!(server.receive_one().await["body"], "0");
    reset(json!({"topic": "t", "to": "timestamp"})).await.problem(400, "invalid-json");
    reset(json!({"topic": "t", "to": "timestamp", "timestamp": "2026-01-06T00:00:00Z", "dryRun": true}))
        .await
        .expect(200);
    server.get("/v1/groups/none/offsets").await.problem(404, "group-not-found");
}

#[tokio::test]
async fn receive_asks_for_what_it_needs() {
    let server = server();
    server.post("/v1/groups/g/receive", "").await.problem(400, "missing-parameter");
    server.receive("").await.problem(404, "topic-not-found");
    publish(&server, "x").await;
    for wrong in
        ["max=0", "max=257", "wait=61s", "lease=500ms", "lease=13h", "ack=later", "format=xml", "from=noon"]
    {
        server.receive(wrong).await.problem(400, "invalid-parameter");
    }
    for wrong in [
        "maxBytes=0",
        "maxBytes=99999999999",
        "order=lifo",
        "attempt=",
        "attempt=1&ack=auto",
        "minBatch=2",
        "max=2&minBatch=2",
        "max=2&minBatch=2&linger=61s",
        "max=2&linger=5s&lease=5s",
    ] {
        server.receive(wrong).await.problem(400, "invalid-parameter");
    }
    assert_eq!(
        server.receive("from=latest").await.expect(200)["messages"],
        json!([]),
        "the group starts at the end"
    );
}

#[tokio::test]
async fn sql_selects_by_properties() {
    let server = server();
    for (target, body) in [
        ("/v1/topics/t/messages?prop.price=5&tag=a", "cheap"),
        ("/v1/topics/t/messages?prop.price=12.50&tag=a", "dear"),
        ("/v1/topics/t/messages?tag=a", "no price"),
        ("/v1/topics/t/messages?prop.price=20&tag=b", "another tag"),
    ] {
        server.post(&format!("{target}&queue=0"), body).await.expect(201);
    }
    let sql = "sql=price%20%3E%2010%20AND%20TAGS%20%3D%20'a'";
    let got = server.receive(&format!("max=10&{sql}")).await.expect(200);
    let bodies: Vec<_> = got["messages"].as_array().unwrap().iter().map(|m| m["body"].clone()).collect();
    assert_eq!(bodies, ["dear"]);
    let seen = server.get(&format!("/v1/topics/t/queues/0/messages?{sql}")).await.expect(200);
    assert_eq!(seen["messages"].as_array().unwrap().len(), 1, "{seen}");
    let doc = server.receive("sql=price%20%3E").await.problem(400, "invalid-parameter");
    assert!(doc["detail"].as_str().unwrap().contains("at column 8: expected a value"), "{doc}");
    server.receive("sql=a%3D1&filter=a").await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn a_group_in_order_gets_one_of_each_sharding_key() {
    let server = server();
    let group = server.json("PUT", "/v1/groups/g", json!({"order": "fifo"})).await.expect(201);
    assert_eq!((&group["order"], &group["attributes"]), (&json!("fifo"), &json!({})));
    for (key, body) in [("a", "a1"), ("a", "a2"), ("b", "b1")] {
        server.post(&format!("/v1/topics/t/messages?queue=0&shardingKey={key}"), body).await.expect(201);
    }
    let got = server.receive("max=10").await.expect(200);
    let bodies: Vec<_> = got["messages"].as_array().unwrap().iter().map(|m| m["body"].clone()).collect();
    assert_eq!(bodies, ["a1", "b1"]);
    let handle = got["messages"][0]["handle"].as_str().unwrap();
    server.call("DELETE", &format!("/v1/messages/{handle}"), &[], "").await.expect(204);
    assert_eq!(server.receive_one().await["body"], "a2");
    let group = server.json("PATCH", "/v1/groups/g", json!({"order": "concurrent"})).await.expect(200);
    assert_eq!(group["order"], "concurrent");
}
