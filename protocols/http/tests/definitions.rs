//! Definitions, queries by time, pages, the page for people: what is looked at or carried elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use sluice_broker::{ConnectionList, ConnectionView};
use std::sync::Arc;
use support::{Server, server};

async fn make_something(server: &Server) {
    let topic = json!({"queues": 3, "type": "FIFO", "attributes": {"owner": "me"}});
    server.json("PUT", "/v1/topics/orders", topic).await.expect(201);
    server
        .json("PUT", "/v1/topics/other", json!({"permissions": "r", "durability": "async"}))
        .await
        .expect(201);
    let group =
        json!({"maxDeliveries": 3, "retryBackoff": ["10s", "1m"], "order": "fifo", "attributes": {"a": "b"}});
    server.json("PUT", "/v1/groups/billing", group).await.expect(201);
}

#[tokio::test]
async fn an_export_imported_elsewhere_exports_the_same() {
    let (one, two) = (server(), server());
    make_something(&one).await;
    let exported = one.get("/v1/definitions").await.expect(200);
    assert_eq!(exported["topics"].as_array().unwrap().len(), 2);

    let dry = two.json("PUT", "/v1/definitions?dryRun=true", exported.clone()).await.expect(200);
    assert_eq!((&dry["created"], &dry["dryRun"]), (&json!(3), &json!(true)));
    assert_eq!(two.get("/v1/topics").await.expect(200)["items"], json!([]), "a dry run does nothing");

    let done = two.json("PUT", "/v1/definitions", exported.clone()).await.expect(200);
    assert_eq!((&done["created"], &done["refused"]), (&json!(3), &json!(0)));
    assert_eq!(two.get("/v1/definitions").await.expect(200), exported);
    let again = two.json("PUT", "/v1/definitions", exported).await.expect(200);
    assert_eq!(
        (&again["created"], &again["updated"], &again["unchanged"]),
        (&json!(0), &json!(0), &json!(3))
    );
}

#[tokio::test]
async fn a_fault_in_the_form_changes_nothing_and_a_refusal_concerns_its_entry() {
    let server = server();
    for (document, pointer) in [
        (json!({"topics": [{"name": "a"}, {"name": "b", "queus": 1}]}), "/topics/1/queus"),
        (json!({"topics": [{"name": "a"}, {"queues": 1}]}), "/topics/1/name"),
        (json!({"topics": [{"name": "a"}, {"name": "no blank"}]}), "/topics/1/name"),
        (
            json!({"topics": [{"name": "a"}], "groups": [{"name": "g", "maxDeliveries": 0}]}),
            "/groups/0/maxDeliveries",
        ),
        (json!({"topics": [{"name": "a"}], "version": 2}), "/version"),
        (json!({"topics": [{"name": "a"}], "topcis": []}), "/topcis"),
    ] {
        let code = if document["topics"][1]["name"] == "no blank" { "invalid-name" } else { "invalid-json" };
        let problem = server.json("PUT", "/v1/definitions", document).await.problem(400, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(server.get("/v1/topics").await.expect(200)["items"], json!([]));

    server.json("PUT", "/v1/topics/a", json!({"queues": 4})).await.expect(201);
    let document = json!({"topics": [{"name": "a", "queues": 2}, {"name": "b"}]});
    for query in ["?dryRun=true", ""] {
        let report =
            server.json("PUT", &format!("/v1/definitions{query}"), document.clone()).await.expect(200);
        assert_eq!((&report["refused"], &report["created"]), (&json!(1), &json!(1)));
        assert_eq!(report["results"][0]["code"], "semantic-error");
    }
}

#[tokio::test]
async fn messages_are_found_by_time_in_pages() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({"queues": 2})).await.expect(201);
    for n in 0..6 {
        let target = format!("/v1/topics/t/messages?queue={}&tag={}", n % 2, if n < 2 { "a" } else { "b" });
        server.call("POST", &target, &[], n.to_string()).await.expect(201);
    }
    let bodies = |page: &Value| -> Vec<String> {
        let messages = page["messages"].as_array().unwrap().iter();
        messages.map(|m| m["body"].as_str().unwrap().to_owned()).collect()
    };
    let all = server.get("/v1/topics/t/messages").await.expect(200);
    assert_eq!(bodies(&all), ["0", "2", "4", "1", "3", "5"]);
    assert_eq!(all["next"], Value::Null);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/topics/t/messages?limit=2{cursor}")).await.expect(200);
        seen.extend(bodies(&page));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["0", "2", "4", "1", "3", "5"]);

    let one = server.get("/v1/topics/t/messages?queue=1&filter=b").await.expect(200);
    assert_eq!(bodies(&one), ["3", "5"]);
    let none = server.get("/v1/topics/t/messages?to=2020-01-01T00:00:00Z").await.expect(200);
    assert_eq!(none["messages"], json!([]));
    let later = server.get("/v1/topics/t/messages?from=2020-01-01T00:00:00Z&to=latest").await.expect(200);
    assert_eq!(bodies(&later).len(), 6);
    server.get("/v1/topics/t/messages?queue=2").await.problem(404, "not-found");
    server.get("/v1/topics/t/messages?cursor=x").await.problem(400, "invalid-parameter");
    server.get("/v1/topics/none/messages").await.problem(404, "topic-not-found");
}

#[tokio::test]
async fn messages_are_found_by_id_and_by_key() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    let head = ["Content-Type: text/html", "X-MQ-Tag: a", "X-MQ-Key: k1,k2"];
    let first = server.call("POST", "/v1/topics/t/messages", &head, "<b>one</b>").await.expect(201);
    server.call("POST", "/v1/topics/t/messages?key=k2", &[], "two").await.expect(201);
    let id = first["messageId"].as_str().unwrap();

    let one = format!("/v1/topics/t/messages/{id}");
    let shown = server.get(&one).await.expect(200);
    assert_eq!((&shown["body"], &shown["keys"]), (&json!("<b>one</b>"), &json!(["k1", "k2"])));
    let raw = server.get(&format!("{one}?format=raw")).await;
    assert_eq!((&raw.body[..], raw.header("x-mq-tag")), (&b"<b>one</b>"[..], "a"));
    assert_eq!(raw.header("x-content-type-options"), "nosniff");
    let wanted = server.call("GET", &one, &["Accept: application/octet-stream"], "").await;
    assert_eq!(&wanted.body[..], b"<b>one</b>");
    server.get("/v1/topics/t/messages/none").await.problem(404, "message-not-found");
    server.get(&format!("/v1/topics/other/messages/{id}")).await.problem(404, "topic-not-found");

    let bodies = |page: &Value| -> Vec<String> {
        let messages = page["messages"].as_array().unwrap().iter();
        messages.map(|m| m["body"].as_str().unwrap().to_owned()).collect()
    };
    let both = server.get("/v1/topics/t/messages?key=k2").await.expect(200);
    assert_eq!(bodies(&both), ["two", "<b>one</b>"], "newest first");
    let page = server.get("/v1/topics/t/messages?key=k2&limit=1").await.expect(200);
    let next = format!("/v1/topics/t/messages?key=k2&limit=1&cursor={}", page["next"].as_str().unwrap());
    assert_eq!(bodies(&server.get(&next).await.expect(200)), ["<b>one</b>"]);
    assert_eq!(bodies(&server.get("/v1/topics/t/messages?key=k1").await.expect(200)).len(), 1);
    let earlier = "/v1/topics/t/messages?key=k2&to=2020-01-01T00:00:00Z";
    assert_eq!(server.get(earlier).await.expect(200)["messages"], json!([]));
    server.get("/v1/topics/t/messages?key=k1&queue=0").await.problem(400, "invalid-parameter");
    server.get("/v1/topics/t/messages?key=").await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn a_trace_tells_what_became_of_a_message() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    let sent = server.call("POST", "/v1/topics/t/messages?tag=a", &[], "body").await.expect(201);
    let id = sent["messageId"].as_str().unwrap();
    let receive = "/v1/groups/g/receive?topic=t";
    let first = server.call("POST", receive, &[], "").await.expect(200);
    let nack = json!({"handles": [first["messages"][0]["handle"]], "delay": 0});
    server.json("POST", "/v1/groups/g/nack", nack).await.expect(200);
    let second = server.call("POST", receive, &[], "").await.expect(200);
    let handle = second["messages"][0]["handle"].as_str().unwrap();
    assert_eq!(server.call("DELETE", &format!("/v1/messages/{handle}"), &[], "").await.status, 204);

    let trace = server.get(&format!("/v1/messages/{id}/trace")).await.expect(200);
    let events: Vec<&str> =
        trace["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["stored", "delivered", "returned", "delivered", "acknowledged"], "{trace}");
    assert_eq!((&trace["topic"], &trace["messages"][0]["tag"]), (&json!("t"), &json!("a")));
    assert_eq!((&trace["events"][3]["group"], &trace["events"][3]["deliveries"]), (&json!("g"), &json!(2)));
    assert!(trace["messages"][0].get("body").is_none(), "metadata alone");
    server.get(&format!("/v1/messages/{id}/trace?topic=other")).await.problem(404, "topic-not-found");
    server.get("/v1/messages/none/trace?topic=t").await.problem(404, "message-not-found");
}

#[tokio::test]
async fn offsets_come_in_pages() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({"queues": 3})).await.expect(201);
    server.json("PUT", "/v1/groups/g", json!({})).await.expect(201);
    let to = json!({"topic": "t", "to": "earliest"});
    server.json("POST", "/v1/groups/g/offsets:reset", to).await.expect(200);
    let first = server.get("/v1/groups/g/offsets?limit=2").await.expect(200);
    assert_eq!((first["items"].as_array().unwrap().len(), &first["next"]), (2, &json!("t:1")));
    let second = server.get("/v1/groups/g/offsets?limit=2&cursor=t:1").await.expect(200);
    assert_eq!((&second["items"][0]["queue"], &second["next"]), (&json!(2), &Value::Null));
    let times = server.get("/v1/topics/t/offsets?time=latest&limit=1&cursor=0").await.expect(200);
    assert_eq!((&times["items"][0]["queue"], &times["next"]), (&json!(1), &json!("1")));
}

#[tokio::test]
async fn the_interface_is_described_in_three_forms() {
    let server = server();
    assert_eq!(server.get("/openapi.json").await.expect(200)["openapi"], "3.1.0");
    let yaml = server.get("/openapi.yaml").await;
    assert_eq!((yaml.status.as_u16(), yaml.header("content-type")), (200, "application/yaml"));
    assert!(yaml.body.starts_with(b"\"openapi\": \"3.1.0\"\n"));
    let page = server.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
    let text = std::str::from_utf8(&page.body).unwrap();
    assert!(text.starts_with("<!doctype html>") && text.contains("/v1/topics/{topic}/messages"));
}

/// Three connections of one client, the first of which has said nothing yet.
struct Open;

impl ConnectionList for Open {
    fn after(&self, number: u64, limit: usize) -> Vec<ConnectionView> {
        let view = |number: u64| ConnectionView {
            number,
            peer: ([127, 0, 0, 1], 5_000 + number as u16).into(),
            listener: "all",
            protocol: (number > 1).then_some("stomp"),
            tls: (number > 1).then_some(true),
            since: 1_700_000_000_000,
            user: None,
        };
        (1..=3).filter(|n| *n > number).map(view).take(limit).collect()
    }

    fn close(&self, number: u64) -> bool {
        (1..=3).contains(&number)
    }
}

#[tokio::test]
async fn open_connections_come_in_pages() {
    let server = server();
    server.get("/v1/connections").await.problem(501, "unsupported");
    server.broker.set_connections(Arc::new(Open));
    let page = server.get("/v1/connections?limit=2").await.expect(200);
    let (first, second) = (&page["items"][0], &page["items"][1]);
    let silent = json!({
        "id": "1", "peer": "127.0.0.1:5001", "listener": "all", "protocol": null, "tls": null,
        "since": "2023-11-14T22:13:20.000Z", "user": null,
    });
    assert_eq!((first, &page["next"]), (&silent, &json!("2")));
    assert_eq!((&second["protocol"], &second["tls"]), (&json!("stomp"), &json!(true)));
    let page = server.get("/v1/connections?limit=2&cursor=2").await.expect(200);
    assert_eq!((&page["items"][0]["id"], &page["next"]), (&json!("3"), &Value::Null));
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    server.delete("/v1/connections/2").await.expect(204);
    for unknown in ["4", "-1", "x"] {
        server.delete(&format!("/v1/connections/{unknown}")).await.problem(404, "connection-not-found");
    }
    server.get("/v1/connections?cursor=-").await.problem(400, "invalid-parameter");
    server.get("/v1/connections?limit=0").await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn the_cluster_is_one_node() {
    let server = server();
    assert_eq!(server.get("/v1/cluster").await.expect(200)["nodes"], 1);
    let nodes = server.get("/v1/cluster/nodes").await.expect(200);
    assert_eq!((&nodes["items"][0]["ready"], &nodes["next"]), (&json!(true), &Value::Null));
}
