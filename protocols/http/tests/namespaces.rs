//! Names within a namespace: `ns=a` and `t` are `a%t` on every wire.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{Server, server};

async fn names(server: &Server, target: &str) -> Vec<String> {
    let shown = server.get(target).await.expect(200);
    let items = shown["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_namespace_stands_before_every_name_of_a_call() {
    let server = server();
    let sent = server.post("/v1/topics/t/messages?ns=shop", "one").await.expect(201);
    assert_eq!(sent["topic"], "shop%t");
    let header = ["X-MQ-Namespace: shop"];
    let sent = server.call("POST", "/v1/topics/t/messages", &header, "two").await.expect(201);
    assert_eq!(sent["topic"], "shop%t");
    // What was answered may be handed back.
    server.post("/v1/topics/shop%25t/messages?ns=shop", "three").await.expect(201);
    server.post("/v1/topics/t/messages", "elsewhere").await.expect(201);
    let batch = json!({"messages": [{"topic": "t", "body": "four"}, {"topic": "shop%t", "body": "five"}]});
    let sent = server.json("POST", "/v1/messages:batch?ns=shop", batch).await.expect(201);
    assert_eq!(sent["results"][0]["topic"], "shop%t");
    let batch = json!({"messages": [{"topic": "t", "body": "six"}]});
    server.json("POST", "/v1/topics/t/messages:batch?ns=shop", batch).await.expect(201);
    let got = server.post("/v1/groups/g/receive?topic=t&ns=shop&max=10", "").await.expect(200);
    let mut bodies: Vec<&str> =
        got["messages"].as_array().unwrap().iter().map(|m| m["body"].as_str().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, ["five", "four", "one", "six", "three", "two"]);
    let offsets = server.get("/v1/groups/g/offsets?topic=t&ns=shop").await.expect(200);
    assert_eq!(offsets["items"][0]["topic"], "shop%t");
    assert_eq!(names(&server, "/v1/groups").await, ["shop%g"], "the group is within, too");
    server.get("/v1/groups/g").await.problem(404, "group-not-found");
}

#[tokio::test]
async fn bodies_name_topics_within_it() {
    let server = server();
    server.json("PUT", "/v1/topics/t?ns=shop", json!({"queues": 1})).await.expect(201);
    let group = json!({"subscription": ["t"]});
    let group = server.json("PUT", "/v1/groups/g?ns=shop", group).await.expect(201);
    assert_eq!((&group["name"], &group["subscription"]), (&json!("shop%g"), &json!(["shop%t"])));
    server.post("/v1/topics/t/messages?ns=shop", "one").await.expect(201);
    let got = server.post("/v1/groups/g/receive?ns=shop", "").await.expect(200);
    assert_eq!(got["messages"][0]["topic"], "shop%t");
    let place = json!({"offsets": [{"topic": "t", "queue": 0, "offset": 0}]});
    let shown = server.json("PUT", "/v1/groups/g/offsets?ns=shop", place).await.expect(200);
    assert_eq!(shown["items"][0]["topic"], "shop%t");
    let reset = json!({"topic": "t", "to": "latest"});
    let shown = server.json("POST", "/v1/groups/g/offsets:reset?ns=shop", reset).await.expect(200);
    assert_eq!(shown["items"][0]["committed"], 1);
}

#[tokio::test]
async fn lists_keep_to_it_and_it_is_listed_itself() {
    let server = server();
    for (ns, topic) in [("shop", "orders"), ("shop", "audit"), ("bank", "orders"), ("", "orders")] {
        server.json("PUT", &format!("/v1/topics/{topic}?ns={ns}"), json!({})).await.expect(201);
    }
    server.json("PUT", "/v1/groups/g?ns=shop", json!({})).await.expect(201);
    server.json("PUT", "/v1/groups/only?ns=office", json!({})).await.expect(201);
    assert_eq!(names(&server, "/v1/topics?ns=shop").await, ["shop%audit", "shop%orders"]);
    assert_eq!(names(&server, "/v1/topics?ns=shop&prefix=or").await, ["shop%orders"]);
    assert_eq!(names(&server, "/v1/groups?ns=shop").await, ["shop%g"]);
    assert_eq!(names(&server, "/v1/topics?prefix=or").await, ["orders"]);
    assert_eq!(names(&server, "/v1/namespaces").await, ["bank", "office", "shop"]);
    let page = server.get("/v1/namespaces?limit=1").await.expect(200);
    assert_eq!(page["next"], "bank");
    let shop = server.get("/v1/namespaces/shop").await.expect(200);
    assert_eq!(shop, json!({"name": "shop", "topics": 2, "groups": 1}));
    server.get("/v1/namespaces/none").await.problem(404, "namespace-not-found");
    server.get("/v1/namespaces/a%25b").await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn what_is_no_namespace_is_refused() {
    let server = server();
    for wrong in ["a%25b", "a.b", "a b", &"x".repeat(65)] {
        let target = format!("/v1/topics/t/messages?ns={}", wrong.replace(' ', "+"));
        server.post(&target, "x").await.problem(400, "invalid-parameter");
    }
    let both = server.call("POST", "/v1/topics/t/messages?ns=a", &["X-MQ-Namespace: a"], "x").await;
    both.problem(400, "invalid-parameter");
    server.get("/v1/users?ns=a").await.problem(501, "unsupported");
    server.call("GET", "/v1/users", &["X-MQ-Namespace: a"], "").await.problem(501, "unsupported");
    assert_eq!(server.get("/v1/topics").await.expect(200)["items"], Value::Array(Vec::new()));
}
