//! API tokens, rotation of secrets, quotas at once, and the audit trail, as an administrator handles them with curl.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::Engine;
use serde_json::{Value, json};
use sluice_auth::{AclFile, Auth, Command, Credentials};
use sluice_broker::Broker;
use sluice_model::{GroupName, ManualClock};
use sluice_store::MemoryLog;
use std::sync::Arc;
use support::{Answer, Server, request, server_on};

const ACL: &str = r#"
[[users]]
name = "chief"
superuser = true
secret = "roots-secret"

[[policies]]
subject = "app"
resource = "*"
actions = ["All"]
"#;
const NOW: u64 = 1_700_000_000_000;

async fn guarded() -> (Server, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock.clone(), Default::default()).unwrap();
    let users = "[[users]]\nname = \"chief\"\nsuperuser = true\nsecret = \"roots-secret\"";
    broker.change_access_as_operator(Command::ReplaceFile(AclFile::parse(users).unwrap())).await.unwrap();
    let server = server_on(broker, Default::default());
    root(&server, "PUT", "/v1/users/app", json!({"secret": "apps-secret"})).await.expect(201);
    server
        .broker
        .change_access_as_operator(Command::ReplaceFile(AclFile::parse(ACL).unwrap()))
        .await
        .unwrap();
    (server, clock)
}

async fn call(server: &Server, authorization: &str, method: &str, target: &str, body: Value) -> Answer {
    let headers = [&format!("Authorization: {authorization}"), "Content-Type: application/json"];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.call(method, target, &headers, body).await
}

fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}")))
}

async fn root(server: &Server, method: &str, target: &str, body: Value) -> Answer {
    call(server, &basic("chief", "roots-secret"), method, target, body).await
}

async fn status(server: &Server, authorization: &str) -> u16 {
    call(server, authorization, "GET", "/v1/whoami", Value::Null).await.status.as_u16()
}

#[tokio::test]
async fn a_token_is_shown_once_and_good_until_it_ends_or_is_deleted() {
    let (server, clock) = guarded().await;
    let tokens = "/v1/users/app/tokens";
    let made = root(&server, "POST", tokens, json!({"label": "ci", "expiresIn": "1h"})).await.expect(201);
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("slc_") && made["expiresAt"] == "2023-11-14T23:13:20.000Z", "{made}");
    let bearer = format!("Bearer {token}");
    assert_eq!(status(&server, &bearer).await, 200);
    assert_eq!(status(&server, &basic("app", token)).await, 200, "as a password too");
    assert_eq!(status(&server, &basic("chief", token)).await, 401, "but of nobody else");
    let listed = root(&server, "GET", tokens, Value::Null).await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(token));
    let listed = listed.expect(200);
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["label"]), (&made["id"], &json!("ci")));
    clock.advance(3_600_000);
    call(&server, &bearer, "GET", "/v1/whoami", Value::Null).await.problem(401, "token-expired");

    let other = root(&server, "POST", tokens, json!({"label": "deploy"})).await.expect(201);
    let bearer = format!("Bearer {}", other["token"].as_str().unwrap());
    assert_eq!((status(&server, &bearer).await, &other["expiresAt"]), (200, &Value::Null));
    let one = format!("{tokens}/{}", other["id"].as_str().unwrap());
    assert_eq!(root(&server, "DELETE", &one, Value::Null).await.status, 204);
    assert_eq!(status(&server, &bearer).await, 401);
    root(&server, "DELETE", &one, Value::Null).await.problem(404, "token-not-found");

    for (target, body, status, code) in [
        (tokens, json!({}), 400, "invalid-json"),
        (tokens, json!({"label": ""}), 400, "invalid-parameter"),
        (tokens, json!({"label": "a\nb"}), 400, "invalid-parameter"),
        (tokens, json!({"label": "x", "expiresIn": "1h", "expiresAt": 1}), 400, "invalid-json"),
        (tokens, json!({"label": "x", "expiresAt": "2001-01-01T00:00:00Z"}), 422, "semantic-error"),
        ("/v1/users/nobody/tokens", json!({"label": "x"}), 404, "user-not-found"),
        ("/v1/users/chief/tokens", json!({"label": "x"}), 409, "conflict"),
    ] {
        root(&server, "POST", target, body).await.problem(status, code);
    }
    root(&server, "GET", "/v1/users/nobody/tokens", Value::Null).await.problem(404, "user-not-found");
    root(&server, "DELETE", "/v1/users/nobody/tokens/x", Value::Null).await.problem(404, "user-not-found");
}

#[tokio::test]
async fn a_secret_is_rotated_while_clients_change_over() {
    let (server, _) = guarded().await;
    let (old, rotate, secret) =
        (basic("app", "apps-secret"), "/v1/users/app/secret:rotate", "/v1/users/app/secret");
    let rotated = root(&server, "POST", rotate, Value::Null).await.expect(200);
    let new = rotated["secret"].as_str().unwrap();
    assert!(new.len() >= 24);
    let new = basic("app", new);
    assert_eq!((status(&server, &old).await, status(&server, &new).await), (200, 200));
    root(&server, "POST", rotate, Value::Null).await.problem(409, "conflict");
    assert_eq!(root(&server, "DELETE", secret, Value::Null).await.status, 204);
    assert_eq!((status(&server, &old).await, status(&server, &new).await), (401, 200));
    root(&server, "DELETE", secret, Value::Null).await.problem(404, "not-found");

    let given = root(&server, "POST", rotate, json!({"secret": "chosen-secret"})).await.expect(200);
    assert_eq!(given, json!({"name": "app"}), "what was given is not repeated");
    assert_eq!(root(&server, "DELETE", &format!("{secret}?which=current"), Value::Null).await.status, 204);
    assert_eq!(status(&server, &new).await, 200, "a rotation that is taken back");
    root(&server, "POST", rotate, json!({"secret": ""})).await.problem(400, "invalid-parameter");
    root(&server, "POST", rotate, json!({"secret": null})).await.problem(400, "invalid-json");
    root(&server, "POST", rotate, json!({"secrets": "x"})).await.problem(400, "invalid-json");
    root(&server, "DELETE", &format!("{secret}?which=other"), Value::Null)
        .await
        .problem(400, "invalid-parameter");
    root(&server, "POST", "/v1/users/nobody/secret:rotate", Value::Null).await.problem(404, "user-not-found");
    root(&server, "POST", "/v1/users/chief/secret:rotate", Value::Null).await.problem(409, "conflict");
}

#[tokio::test]
async fn the_trail_tells_who_did_what_and_never_a_secret() {
    let (server, _) = guarded().await;
    let before = root(&server, "GET", "/v1/audit", Value::Null).await.expect(200);
    let after = before["next"].as_str().unwrap();
    status(&server, &basic("app", "hunter2")).await;
    status(&server, &basic("nobody\u{202e}", "hunter2")).await;
    root(&server, "PUT", "/v1/users/looker", json!({"secret": "hunter2-secret"})).await.expect(201);
    let looker = basic("looker", "hunter2-secret");
    call(&server, &looker, "GET", "/v1/audit", Value::Null).await.problem(403, "forbidden");
    let answer = root(&server, "GET", &format!("/v1/audit?after={after}"), Value::Null).await;
    assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"));
    let events = answer.expect(200)["items"].clone();
    let told: Vec<_> = events.as_array().unwrap().iter().map(|e| (&e["kind"], &e["user"])).collect();
    let of = |kind, user| (json!(kind), json!(user));
    for event in
        [of("login_failed", "app"), of("changed", "chief"), of("login", "looker"), of("denied", "looker")]
    {
        assert!(told.contains(&(&event.0, &event.1)), "{event:?} is not among {told:?}");
    }
    let first = root(&server, "GET", "/v1/audit?limit=1", Value::Null).await.expect(200);
    assert_eq!((first["items"].as_array().unwrap().len(), &first["next"]), (1, &json!("1")));
    root(&server, "GET", "/v1/audit?after=x", Value::Null).await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn a_group_is_limited_whoever_consumes_for_it() {
    let (server, clock) = guarded().await;
    let app = basic("app", "apps-secret");
    for _ in 0..4 {
        call(&server, &app, "POST", "/v1/topics/t/messages", json!("x")).await.expect(201);
    }
    let quota = json!({"messagesPerSecond": 2, "inFlight": 1});
    let put = root(&server, "PUT", "/v1/groups/g/quota", quota.clone()).await.expect(200);
    assert_eq!(put, json!({"group": "g", "quota": quota, "fromFile": false}));
    assert_eq!(root(&server, "GET", "/v1/groups/g/quota", Value::Null).await.expect(200), put);
    let all = root(&server, "GET", "/v1/quotas", Value::Null).await.expect(200);
    assert_eq!(all, json!({"items": [put], "next": null}));
    let receive = async |group: &str| {
        let target = format!("/v1/groups/{group}/receive?topic=t&max=2&from=earliest");
        call(&server, &app, "POST", &target, Value::Null).await
    };
    assert_eq!(receive("g").await.expect(200)["messages"].as_array().unwrap().len(), 2);
    let over = receive("g").await;
    assert_eq!(over.header("retry-after"), "1");
    assert_eq!(over.header("ratelimit-policy"), "\"messages\";q=2;w=1;qu=\"messages\"");
    assert_eq!(over.header("ratelimit"), "\"messages\";r=0;t=1");
    let detail = over.problem(429, "quota-exceeded")["detail"].clone();
    assert!(
        detail.as_str().unwrap().contains("Group:g is over its quota of 2 messages a second"),
        "{detail}"
    );
    receive("h").await.expect(200);
    clock.advance(1_000);
    receive("g").await.expect(200);
    root(&server, "PUT", "/v1/groups/g/quota", json!({"connections": 1})).await.expect(200);
    // Another connection consumes in the group already.
    let credentials = Credentials::Password { user: "app", password: "apps-secret" };
    let other = server.broker.login(credentials, ([127, 0, 0, 1], 9).into()).await.unwrap();
    server.broker.auth().consume(&other, &GroupName::new("g").unwrap()).unwrap();
    let over = receive("g").await.problem(429, "quota-exceeded")["detail"].clone();
    assert!(over.as_str().unwrap().contains("Group:g is over its quota of 1 connections at once"), "{over}");
    assert_eq!(root(&server, "DELETE", "/v1/groups/g/quota", Value::Null).await.status, 204);
    root(&server, "GET", "/v1/groups/g/quota", Value::Null).await.problem(404, "quota-not-found");
    for wrong in [json!({"connections": 0}), json!({"inFlight": 0})] {
        root(&server, "PUT", "/v1/groups/g/quota", wrong).await.problem(400, "invalid-parameter");
    }
    root(&server, "PUT", "/v1/groups/g/quota", json!({"inFlight": null})).await.problem(400, "invalid-json");
}

#[tokio::test]
async fn requests_at_once_are_counted_while_they_wait() {
    let (server, _) = guarded().await;
    let app = basic("app", "apps-secret");
    call(&server, &app, "POST", "/v1/topics/t/messages", json!("x")).await.expect(201);
    root(&server, "PUT", "/v1/users/app", json!({"quota": {"inFlight": 1}})).await.expect(200);
    call(&server, &app, "PUT", "/v1/topics/empty", json!({"queues": 1})).await.expect(201);
    let server = Arc::new(server);
    let waiting = tokio::spawn({
        let (server, app) = (Arc::clone(&server), app.clone());
        async move {
            let target = "/v1/groups/g/receive?topic=empty&wait=20s";
            call(&server, &app, "POST", target, Value::Null).await.status.as_u16()
        }
    });
    let publish = async || call(&server, &app, "POST", "/v1/topics/t/messages", json!("x")).await;
    let deadline = std::time::Instant::now() + support::PATIENCE;
    let over = loop {
        let answer = publish().await;
        if answer.status == 429 {
            break answer;
        }
        assert!(std::time::Instant::now() < deadline, "never over the quota");
        tokio::task::yield_now().await;
    };
    let detail = over.problem(429, "quota-exceeded")["detail"].clone();
    assert!(
        detail.as_str().unwrap().contains("User:app is over its quota of 1 requests at once"),
        "{detail}"
    );
    assert_eq!(over.header("ratelimit-policy"), "\"in-flight\";q=1;qu=\"concurrent-requests\"");
    let topic = "/v1/topics/empty/messages";
    root(&server, "POST", topic, json!("x")).await.expect(201);
    assert_eq!(waiting.await.unwrap(), 200);
    publish().await.expect(201);
}

/// A token of the query, and what becomes of a stream that is asked for with it.
async fn stream_with(server: &Server, token: &str, more: &[&str]) -> http::Response<axum::body::Body> {
    let target = format!("/v1/topics/t/stream?access_token={token}");
    server.open(request("GET", &target, more, "")).await
}

#[tokio::test]
async fn a_short_lived_token_may_stand_in_the_query_of_a_stream() {
    let (server, _clock) = guarded().await;
    let policy = json!({"subject": "app", "resource": "Topic:t", "actions": ["Sub", "Pub"]});
    root(&server, "PUT", "/v1/acls", policy).await.expect(200);
    root(&server, "PUT", "/v1/topics/t", json!({})).await.expect(201);
    let make = async |expires: Value| {
        let made =
            root(&server, "POST", "/v1/users/app/tokens", json!({"label": "page", "expiresIn": expires}))
                .await;
        made.expect(201)["token"].as_str().unwrap().to_owned()
    };
    let (short, long) = (make(json!("30m")).await, make(json!("30d")).await);
    let stream = stream_with(&server, &short, &[]).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["referrer-policy"], "no-referrer");
    drop(stream);
    let refused = |target: String, headers: Vec<String>| {
        let server = &server;
        async move {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            server.call("GET", &target, &headers, "").await
        }
    };
    let stream = |token: &str| format!("/v1/topics/t/stream?access_token={token}");
    let answer = refused(stream(&long), vec![]).await;
    let problem = answer.problem(401, "unauthenticated");
    assert!(problem["detail"].as_str().unwrap().contains("within 1h"), "{problem}");
    assert!(answer.header("www-authenticate").contains("Basic"));
    refused(stream("nonsense"), vec![]).await.problem(401, "unauthenticated");
    refused(format!("{}&access_token={short}", stream(&short)), vec![]).await.problem(400, "bad-request");
    let header = format!("Authorization: Bearer {short}");
    refused(stream(&short), vec![header.clone()]).await.problem(400, "bad-request");
    // Elsewhere an address says nothing of who asks, and is not taken for somebody who does.
    refused(format!("/v1/topics/t?access_token={short}"), vec![]).await.problem(401, "unauthenticated");
    refused(format!("/v1/topics/t?access_token={short}"), vec![header]).await.problem(501, "unsupported");
}
