//! Who may do what, and what a broker in trouble answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::Engine;
use serde_json::json;
use sluice_auth::{AclFile, Auth, Command};
use sluice_broker::{Broker, PullRequest, SendRequest};
use sluice_model::{BodyCodec, Filter, GroupName, Message, QueueId, SystemClock, TopicName};
use sluice_store::MemoryLog;
use std::sync::Arc;
use std::time::Duration;
use support::{Server, server, server_on};

const ACL: &str = r#"
[[users]]
name = "reader"
password = "readers-password"

[[policies]]
subject = "reader"
resource = "Topic:open*"
actions = ["Sub", "Get"]

[[policies]]
subject = "reader"
resource = "Group:readers"
actions = ["Sub", "Create"]

[[users]]
name = "maker"
password = "makers-password"

[[policies]]
subject = "maker"
resource = "Topic:*"
actions = ["Create"]

[[users]]
name = "root"
superuser = true
password = "roots-password"
"#;

async fn guarded() -> Server {
    let clock = Arc::new(SystemClock);
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).unwrap();
    broker.change_access_as_operator(Command::ReplaceFile(AclFile::parse(ACL).unwrap())).await.unwrap();
    server_on(broker, Default::default())
}

fn basic(user: &str, password: &str) -> String {
    let pair = format!("{user}:{password}");
    format!("Authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

#[tokio::test]
async fn strangers_see_health_and_nothing_else() {
    let server = guarded().await;
    for open in ["/livez", "/healthz", "/readyz", "/problems/internal"] {
        assert_eq!(server.get(open).await.status, 200, "{open}");
    }
    for closed in
        ["/metrics", "/openapi.json", "/v1/version", "/v1/whoami", "/v1/topics?unknown=1", "/v1/topics/t"]
    {
        let refused = server.get(closed).await;
        refused.problem(401, "unauthenticated");
        assert_eq!(refused.headers.get_all("www-authenticate").iter().count(), 2);
    }
    server.post("/v1/topics/t/messages", "x").await.problem(401, "unauthenticated");
    server.call("GET", "/v1/whoami", &[&basic("reader", "wrong")], "").await.problem(401, "unauthenticated");
    server.call("GET", "/v1/whoami", &[&basic("nobody", "wrong")], "").await.problem(401, "unauthenticated");
    let token = server.call("GET", "/v1/whoami", &["Authorization: Bearer a.b.c"], "").await;
    token.problem(401, "unauthenticated");
    let challenges: Vec<_> = token.headers.get_all("www-authenticate").iter().collect();
    assert!(challenges[1].to_str().unwrap().contains("error=\"invalid_token\""));
}

#[tokio::test]
async fn users_do_what_their_policies_say() {
    let server = guarded().await;
    let (root, reader) = (basic("root", "roots-password"), basic("reader", "readers-password"));
    let whoami = server.call("GET", "/v1/whoami", &[&reader], "").await.expect(200);
    assert_eq!((&whoami["principal"], &whoami["anonymous"]), (&json!("reader"), &json!(false)));
    let published = server.call("POST", "/v1/topics/open-1/messages", &[&root], "x").await;
    published.expect(201);
    server.call("POST", "/v1/topics/closed/messages", &[&root], "x").await.expect(201);
    let receive = |group: &str, topic: &str| format!("/v1/groups/{group}/receive?topic={topic}&wait=1s");
    let got = server.call("POST", &receive("readers", "open-1"), &[&reader], "").await.expect(200);
    assert_eq!(got["messages"][0]["producer"], "root");
    server.call("POST", &receive("readers", "closed"), &[&reader], "").await.problem(403, "forbidden");
    server.call("POST", &receive("others", "open-1"), &[&reader], "").await.problem(403, "forbidden");
    server.call("POST", "/v1/topics/open-1/messages", &[&reader], "x").await.problem(403, "forbidden");
    server.call("DELETE", "/v1/topics/open-1", &[&reader], "").await.problem(403, "forbidden");
    server.call("GET", "/v1/topics/closed/stream", &[&reader], "").await.problem(403, "forbidden");
    let json_type = "Content-Type: application/json";
    let handles = json!({"handles": [got["messages"][0]["handle"]]}).to_string();
    let maker = basic("maker", "makers-password");
    let made = server.call("PUT", "/v1/topics/made", &[&maker, json_type], "{}").await.expect(201);
    assert_eq!(made, json!({"name": "made"}), "making it does not let one look at it");
    let acked =
        server.call("POST", "/v1/groups/readers/ack", &[&reader, json_type], handles).await.expect(200);
    assert_eq!(acked["results"][0]["ok"], true);
    let batch = json!({"messages": [{"topic": "open-1", "body": "a"}]}).to_string();
    server.call("POST", "/v1/messages:batch", &[&reader, json_type], batch).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_full_disk_refuses_messages_and_stays_ready() {
    let log = Arc::new(MemoryLog::new());
    let clock = Arc::new(SystemClock);
    let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock, Default::default()).unwrap();
    let server = server_on(broker, Default::default());
    server.post("/v1/topics/t/messages", "x").await.expect(201);
    log.set_full(true);
    let refused = server.post("/v1/topics/t/messages", "x").await;
    assert_eq!(refused.problem(503, "storage-full")["retryable"], true);
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(server.get("/readyz").await.status, 200);
    let verbose = server.get("/readyz?writable=1").await.expect(503);
    assert_eq!(
        (&verbose["checks"][2]["name"], &verbose["checks"][2]["ok"]),
        (&json!("space"), &json!(false))
    );
    assert_eq!(server.receive_one().await["body"], "x", "consumers come and drain");
}

#[tokio::test]
async fn a_failed_log_is_not_ready_and_answers_say_so() {
    let log = Arc::new(MemoryLog::new());
    let broker =
        Broker::open(log.clone(), Arc::new(Auth::open()), Arc::new(SystemClock), Default::default()).unwrap();
    let server = server_on(broker, Default::default());
    server.post("/v1/topics/t/messages", "x").await.expect(201);
    log.fail("no such device");
    tokio::time::timeout(support::PATIENCE, server.broker.failed())
        .await
        .expect("the failure goes unnoticed");
    let failed = server.post("/v1/topics/t/messages", "x").await;
    assert_eq!(failed.problem(503, "unavailable")["retryable"], true);
    let unready = server.get("/readyz").await;
    assert_eq!(unready.expect(503)["status"], "unavailable");
    assert_eq!(unready.header("retry-after"), "1");
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn packed_bodies_are_shown_plain() {
    let server = server();
    let session =
        server.broker.login_now(sluice_auth::Credentials::Anonymous, ([127, 0, 0, 1], 1).into()).unwrap();
    let zlib = vec![0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x06, 0x2c, 0x02, 0x15];
    for body in [zlib, b"not packed".to_vec()] {
        let message = Message { body: Some(body.into()), codec: BodyCodec::Zlib, ..Message::default() };
        let mut request = SendRequest::one(TopicName::new("t").unwrap(), message);
        request.create = Some(1);
        server.broker.send(&session, request).unwrap().await.unwrap();
    }
    let page = server.get("/v1/topics/t/queues/0/messages").await.expect(200);
    assert_eq!(page["messages"][0]["body"], "hello");
    let damaged = &page["messages"][1];
    assert_eq!((&damaged["bodyBase64"], &damaged["bodyCodec"]), (&json!("bm90IHBhY2tlZA=="), &json!("zlib")));
    let raw = server.receive("format=raw&wait=1s").await;
    assert_eq!(&raw.body[..], b"hello");
}

#[tokio::test]
async fn a_retried_message_shows_where_it_first_stood() {
    let server = server();
    server.post("/v1/topics/t/messages?queue=2", "one").await.expect(201);
    server.json("PUT", "/v1/groups/g", json!({})).await.expect(201);
    let session =
        server.broker.login_now(sluice_auth::Credentials::Anonymous, ([127, 0, 0, 1], 1).into()).unwrap();
    let (topic, group) = (TopicName::new("t").unwrap(), GroupName::new("g").unwrap());
    let request = PullRequest {
        topic: &topic,
        queue: QueueId(2),
        offset: 0,
        max: 1,
        max_bytes: 1000,
        filter: &Filter::All,
        group: None,
        wait: Duration::ZERO,
    };
    let pulled = server.broker.pull(&session, &request).await.unwrap();
    let commit = server.broker.commit_offset(&session, &group, &topic, QueueId(2), 1).unwrap();
    commit.await.unwrap();
    let locator = pulled.messages[0].locator;
    server.broker.send_back(&session, &group, locator, Some(Duration::ZERO), None).await.unwrap();
    let again = server.receive_one().await;
    assert_eq!((&again["topic"], &again["queue"], &again["offset"]), (&json!("t"), &json!(2), &json!(0)));
    assert_eq!((&again["body"], &again["deliveries"]), (&json!("one"), &json!(2)));
}
