//! Users, roles and policies over HTTP, on a broker that asks for credentials.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::Engine;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sluice_auth::{AclFile, Auth, Command, Credentials};
use sluice_broker::Broker;
use sluice_http::Config;
use sluice_model::units::Span;
use sluice_model::{SystemClock, TopicName};
use sluice_store::MemoryLog;
use std::sync::Arc;
use support::{Answer, PATIENCE, Server, request, server, server_on};

const ACL: &str = r#"
[[users]]
name = "root"
superuser = true
secret = "roots-secret"

[[users]]
name = "looker"
secret = "lookers-secret"

[[policies]]
subject = "looker"
resource = "Cluster"
actions = ["Get"]

[[users]]
name = "writer"
secret = "writers-secret"

[[policies]]
subject = "writer"
resource = "Cluster"
actions = ["Update"]
"#;

async fn guarded() -> Server {
    guarded_with(Config::default()).await
}

async fn guarded_with(config: Config) -> Server {
    let clock = Arc::new(SystemClock);
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).unwrap();
    broker.change_access_as_operator(Command::ReplaceFile(AclFile::parse(ACL).unwrap())).await.unwrap();
    server_on(broker, config)
}

/// The login of a user whose secret is its name and `s-secret`.
fn basic(user: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{user}s-secret"));
    format!("Authorization: Basic {pair}")
}

/// A call as such a user.
async fn call(server: &Server, user: &str, method: &str, target: &str, body: Value) -> Answer {
    let headers = [&basic(user), "Content-Type: application/json"];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.call(method, target, &headers, body).await
}

async fn root(server: &Server, method: &str, target: &str, body: Value) -> Answer {
    call(server, "root", method, target, body).await
}

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_user_is_made_changed_and_deleted_and_its_secrets_are_never_shown() {
    let server = guarded().await;
    let settings = json!({
        "password": "hunter2-password", "secret": "apps-secret",
        "accessKeys": [{"key": "app-key", "secret": "hunter2-key"}],
    });
    let made = root(&server, "PUT", "/v1/users/app", settings).await;
    let expected = json!({
        "name": "app", "superuser": false, "enabled": true, "hasPassword": true, "accessKeys": ["app", "app-key"],
        "hasPreviousSecret": false, "tokens": [], "roles": [], "quota": {},
        "fromFile": false,
    });
    assert_eq!(made.expect(201), expected);
    let changed = root(&server, "PUT", "/v1/users/app", json!({"enabled": false})).await;
    assert_eq!(changed.expect(200)["hasPassword"], true, "what is left out stays");
    call(&server, "app", "GET", "/v1/whoami", Value::Null).await.problem(401, "unauthenticated");
    root(&server, "PUT", "/v1/users/app", json!({"enabled": true})).await.expect(200);
    let whoami = call(&server, "app", "GET", "/v1/whoami", Value::Null).await;
    assert_eq!(whoami.expect(200)["principal"], "app");
    let one = root(&server, "GET", "/v1/users/app", Value::Null).await;
    assert_eq!(one.expect(200), expected);
    let all = root(&server, "GET", "/v1/users", Value::Null).await;
    for answer in [&made, &changed, &one, &all] {
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!["hunter2", "-secret", "argon2"].iter().any(|secret| text.contains(secret)), "{text}");
    }
    assert_eq!(root(&server, "DELETE", "/v1/users/app", Value::Null).await.status, 204);
    root(&server, "GET", "/v1/users/app", Value::Null).await.problem(404, "user-not-found");
    root(&server, "DELETE", "/v1/users/app", Value::Null).await.problem(404, "user-not-found");
}

#[tokio::test]
async fn a_role_lends_its_policies_to_who_has_it() {
    let server = guarded().await;
    let quota = json!({"bytesPerSecond": "1MiB", "messagesPerSecond": 1000});
    let made = root(&server, "PUT", "/v1/roles/senders", json!({"quota": quota})).await.expect(201);
    assert_eq!(made, json!({"name": "senders", "quota": quota, "fromFile": false}));
    let kept = root(&server, "PUT", "/v1/roles/senders", json!({})).await.expect(200);
    assert_eq!(kept, made, "what is left out stays");
    let policy = json!({"subject": "Role:senders", "resource": "Topic:*", "actions": ["Pub"]});
    root(&server, "PUT", "/v1/acls", policy).await.expect(200);
    let user = json!({"secret": "apps-secret", "roles": ["senders"], "quota": {"messagesPerSecond": 7}});
    let user = root(&server, "PUT", "/v1/users/app", user).await.expect(201);
    assert_eq!((&user["roles"], &user["quota"]), (&json!(["senders"]), &json!({"messagesPerSecond": 7})));
    call(&server, "app", "POST", "/v1/topics/t/messages", json!("x")).await.expect(201);
    let whoami = call(&server, "app", "GET", "/v1/whoami", Value::Null).await.expect(200);
    assert_eq!((&whoami["principal"], &whoami["roles"]), (&json!("app"), &json!(["senders"])));
    root(&server, "DELETE", "/v1/roles/senders", Value::Null).await.problem(409, "conflict");
    let unlimited =
        root(&server, "PUT", "/v1/users/app", json!({"roles": [], "quota": {}})).await.expect(200);
    assert_eq!((&unlimited["roles"], &unlimited["quota"]), (&json!([]), &json!({})));
    call(&server, "app", "POST", "/v1/topics/t/messages", json!("x")).await.problem(403, "forbidden");
    let all = root(&server, "GET", "/v1/roles", Value::Null).await.expect(200);
    assert_eq!(all, json!({"items": [made], "next": null}));
    assert_eq!(root(&server, "GET", "/v1/roles/senders", Value::Null).await.expect(200), made);
    assert_eq!(root(&server, "DELETE", "/v1/roles/senders", Value::Null).await.status, 204);
    root(&server, "GET", "/v1/roles/senders", Value::Null).await.problem(404, "role-not-found");
    root(&server, "DELETE", "/v1/roles/senders", Value::Null).await.problem(404, "role-not-found");
    for (wrong, code) in [
        (json!({"quota": null}), "invalid-json"),
        (json!({"quota": {"bytes_per_second": 1}}), "invalid-json"),
        (json!({"quota": {"bytesPerSecond": "much"}}), "invalid-json"),
        (json!({"quota": {"messagesPerSecond": 0}}), "invalid-parameter"),
    ] {
        root(&server, "PUT", "/v1/roles/senders", wrong).await.problem(400, code);
    }
}

#[tokio::test]
async fn users_are_listed_in_pages() {
    let server = guarded().await;
    for name in ["b", "a%2Fc", "gr%C3%BCn"] {
        root(&server, "PUT", &format!("/v1/users/{name}"), json!({})).await.expect(201);
    }
    let first = root(&server, "GET", "/v1/users?limit=3", Value::Null).await.expect(200);
    assert_eq!(names(&first), ["a/c", "b", "grün"]);
    assert_eq!(first["next"], "grün");
    let last = root(&server, "GET", "/v1/users?limit=3&cursor=gr%C3%BCn", Value::Null).await.expect(200);
    assert_eq!(names(&last), ["looker", "root", "writer"]);
    assert_eq!(last["next"], Value::Null);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = guarded().await;
    let put = |body| root(&server, "PUT", "/v1/users/app", body);
    let misspelt = put(json!({"pasword": "hunter2"})).await.problem(400, "invalid-json");
    assert_eq!(misspelt["errors"][0]["pointer"], "/pasword");
    put(json!({"name": "app"})).await.problem(400, "invalid-json");
    put(json!({"password": null})).await.problem(400, "invalid-json");
    put(json!({"roles": ["no-such-role"]})).await.problem(400, "invalid-parameter");
    put(json!({"accessKeys": [{"key": "root", "secret": "s"}]})).await.problem(409, "conflict");
    root(&server, "PUT", "/v1/users/with%20blank", json!({})).await.problem(400, "invalid-parameter");
    let filed = root(&server, "PUT", "/v1/users/looker", json!({"superuser": true})).await;
    assert!(filed.problem(409, "conflict")["detail"].as_str().unwrap().contains("auth.file"));
    root(&server, "DELETE", "/v1/users/looker", Value::Null).await.problem(409, "conflict");
    let post = |body| root(&server, "POST", "/v1/acls", body);
    let policy = |resource: &str, actions: Value| json!({"subject": "looker", "resource": resource, "actions": actions});
    post(policy("Topic:a*b", json!(["Pub"]))).await.problem(400, "invalid-json");
    post(policy("Topic:a", json!(["Fly"]))).await.problem(400, "invalid-json");
    post(policy("Topic:a", json!([]))).await.problem(400, "invalid-parameter");
    post(json!({"subject": "nobody", "resource": "*", "actions": ["All"]}))
        .await
        .problem(400, "invalid-parameter");
    post(json!({"subject": "looker", "resource": "*", "actions": ["All"], "source_ips": []}))
        .await
        .problem(400, "invalid-json");
    root(&server, "DELETE", "/v1/acls", Value::Null).await.problem(400, "missing-parameter");
    root(&server, "DELETE", "/v1/acls?subject=looker&resouce=x", Value::Null)
        .await
        .problem(400, "unknown-parameter");
    root(&server, "GET", "/v1/acls?cursor=x", Value::Null).await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn policies_are_put_listed_and_deleted() {
    let server = guarded().await;
    root(&server, "PUT", "/v1/users/app", json!({"secret": "apps-secret"})).await.expect(201);
    let publish = || call(&server, "app", "POST", "/v1/topics/orders/messages", json!("x"));
    let denied = publish().await.problem(403, "forbidden");
    let detail = denied["detail"].as_str().unwrap();
    assert!(detail.contains("User:app") && detail.contains("Pub Topic:orders"), "{detail}");
    let allow = json!({"subject": "app", "resource": "Topic:ord*", "actions": ["Pub"], "decision": "allow", "sourceIps": []});
    assert_eq!(root(&server, "PUT", "/v1/acls", allow.clone()).await.expect(200), allow);
    publish().await.expect(201);
    // As denials write the subject, and with what may be left out left out.
    let more = json!({"subject": "User:app", "resource": "Group:*", "actions": ["All"], "sourceIps": ["10.0.0.0/8"]});
    let more = root(&server, "POST", "/v1/acls", more).await.expect(200);
    assert_eq!((&more["subject"], &more["decision"]), (&json!("app"), &json!("allow")));
    assert_eq!(more["actions"].as_array().unwrap().len(), 7);
    let first = root(&server, "GET", "/v1/acls?limit=1", Value::Null).await.expect(200);
    assert_eq!(first["items"], json!([allow]));
    let rest = format!("/v1/acls?cursor={}", first["next"].as_str().unwrap());
    let rest = root(&server, "GET", &rest, Value::Null).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 3);
    assert_eq!((&rest["items"][0], &rest["next"]), (&more, &Value::Null));
    let own = root(&server, "GET", "/v1/acls?subject=User:app", Value::Null).await.expect(200);
    assert_eq!(own["items"], json!([allow, more]));
    let removed = root(&server, "DELETE", "/v1/acls?subject=app&resource=Topic:ord*", Value::Null).await;
    assert_eq!(removed.expect(200), json!({"removed": 1, "kept": 0}));
    publish().await.problem(403, "forbidden");
    root(&server, "DELETE", "/v1/acls?subject=app&resource=Topic:ord*", Value::Null)
        .await
        .problem(404, "policy-not-found");
    root(&server, "DELETE", "/v1/acls?subject=looker", Value::Null).await.problem(409, "conflict");
}

#[tokio::test]
async fn looking_and_changing_are_permitted_apart() {
    let server = guarded().await;
    let policy = json!({"subject": "writer", "resource": "Topic:*", "actions": ["Pub"]});
    let question = json!({"user": "writer", "action": "Pub", "resource": "Topic:t"});
    for (method, target, body) in [
        ("GET", "/v1/users", &Value::Null),
        ("GET", "/v1/users/root", &Value::Null),
        ("GET", "/v1/acls", &Value::Null),
        ("GET", "/v1/roles", &Value::Null),
        ("POST", "/v1/acls:explain", &question),
    ] {
        call(&server, "looker", method, target, body.clone()).await.expect(200);
        let denied = call(&server, "writer", method, target, body.clone()).await.problem(403, "forbidden");
        assert!(
            denied["detail"].as_str().unwrap().starts_with("User:writer has no permission to Get Cluster")
        );
    }
    for (method, target, body) in [
        ("PUT", "/v1/users/new", &json!({"secret": "news-secret"})),
        ("PUT", "/v1/roles/new", &json!({})),
        ("DELETE", "/v1/roles/new", &Value::Null),
        ("PUT", "/v1/acls", &policy),
        ("DELETE", "/v1/acls?subject=writer&resource=Topic:*", &Value::Null),
        ("DELETE", "/v1/users/new", &Value::Null),
    ] {
        let denied = call(&server, "looker", method, target, body.clone()).await.problem(403, "forbidden");
        assert!(
            denied["detail"].as_str().unwrap().starts_with("User:looker has no permission to Update Cluster")
        );
        let done = call(&server, "writer", method, target, body.clone()).await;
        assert!(done.status.is_success(), "{method} {target}: {:?}", done.body);
        if method == "PUT" && target.ends_with("/new") {
            assert_eq!(done.json(), json!({"name": "new"}), "making it does not let one look at it");
        }
    }
    server.get("/v1/users").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_decision_is_explained() {
    let server = guarded().await;
    root(&server, "PUT", "/v1/users/app", json!({"secret": "apps-secret"})).await.expect(201);
    let rule = |resource: &str, decision: &str, from: Value| json!({"subject": "app", "resource": resource, "actions": ["Pub"], "decision": decision, "sourceIps": from});
    let allow = rule("Topic:orders*", "allow", json!([]));
    let deny = rule("Topic:orders-eu", "deny", json!(["10.0.0.0/8"]));
    for policy in [&allow, &deny] {
        root(&server, "PUT", "/v1/acls", policy.clone()).await.expect(200);
    }
    let ask = |question| root(&server, "POST", "/v1/acls:explain", question);
    let question = |resource: &str, source: &str| json!({"user": "app", "action": "Pub", "resource": resource, "source": source});
    let denied = ask(question("Topic:orders-eu", "10.1.2.3")).await.expect(200);
    assert_eq!(denied["decision"], "deny");
    assert_eq!(denied["question"], "User:app Pub Topic:orders-eu from 10.1.2.3");
    assert_eq!(
        denied["rules"],
        json!([{"rule": deny, "part": "decided"}, {"rule": allow, "part": "outvoted"}])
    );
    let allowed = ask(question("Topic:orders-eu", "11.1.2.3")).await.expect(200);
    assert_eq!(allowed["decision"], "allow");
    assert_eq!(
        allowed["rules"],
        json!([{"rule": allow, "part": "decided"}, {"rule": deny, "part": "otherSource"}])
    );
    let nothing = ask(json!({"user": "app", "action": "Sub", "resource": "Group:g"})).await.expect(200);
    assert_eq!(nothing["decision"], "deny");
    assert!(nothing["question"].as_str().unwrap().ends_with("from 127.0.0.1"), "the asker's own address");
    let unknown = ask(json!({"user": "nobody", "action": "Sub", "resource": "Cluster"})).await.expect(200);
    assert!(unknown["reason"].as_str().unwrap().contains("nobody"));
    for wrong in [
        json!({"user": "app", "action": "Fly", "resource": "Cluster"}),
        json!({"user": "app", "action": "Pub", "resource": "*"}),
        json!({"user": "app", "action": "Pub", "resource": "Topic:t", "source": "ten"}),
        json!({"user": "app", "action": "Pub", "resource": "Topic:t", "form": "10.0.0.1"}),
        json!({"user": "app", "action": "Pub"}),
    ] {
        ask(wrong).await.problem(400, "invalid-json");
    }
    let pattern = json!({"user": "app", "action": "Pub", "resource": "Topic:*"});
    ask(pattern).await.problem(400, "invalid-name");
}

#[tokio::test]
async fn a_deleted_user_is_refused_from_the_next_request_on() {
    let server = guarded().await;
    root(&server, "PUT", "/v1/users/app", json!({"secret": "apps-secret"})).await.expect(201);
    let everything = json!({"subject": "app", "resource": "*", "actions": ["All"]});
    root(&server, "PUT", "/v1/acls", everything).await.expect(200);
    call(&server, "app", "POST", "/v1/topics/t/messages", json!("x")).await.expect(201);
    let credentials = Credentials::Password { user: "app", password: "apps-secret" };
    let session = server.broker.login(credentials, ([127, 0, 0, 1], 1).into()).await.unwrap();
    let topic = TopicName::new("t").unwrap();
    server.broker.topic(&session, &topic).unwrap();
    assert_eq!(root(&server, "DELETE", "/v1/users/app", Value::Null).await.status, 204);
    let refused = call(&server, "app", "POST", "/v1/topics/t/messages", json!("x")).await;
    refused.problem(401, "unauthenticated");
    assert!(server.broker.topic(&session, &topic).is_err(), "its session may do nothing more");
    let gone = root(&server, "GET", "/v1/acls?subject=app", Value::Null).await.expect(200);
    assert_eq!(gone["items"], json!([]), "its policies went with it");
}

#[tokio::test]
async fn what_a_deleted_user_waits_for_ends_at_once() {
    // No sign of life, which would ask for the permit again, comes before the test gives up.
    let server = guarded_with(Config { heartbeat: Span::secs(60), ..Config::default() }).await;
    root(&server, "PUT", "/v1/users/app", json!({"secret": "apps-secret"})).await.expect(201);
    let everything = json!({"subject": "app", "resource": "*", "actions": ["All"]});
    root(&server, "PUT", "/v1/acls", everything).await.expect(200);
    for topic in ["t", "empty"] {
        call(&server, "app", "PUT", &format!("/v1/topics/{topic}"), json!({"queues": 1})).await.expect(201);
    }
    call(&server, "app", "POST", "/v1/topics/t/messages", json!("x")).await.expect(201);
    let streams = [
        "/v1/topics/t/stream?format=ndjson",
        "/v1/groups/waiting/stream?topic=empty&format=ndjson",
        "/v1/groups/full/stream?topic=t&maxInFlight=1&format=ndjson",
    ];
    let read = async |target| {
        let opened = server.open(request("GET", target, &[&basic("app")], "")).await;
        assert_eq!(opened.status(), 200, "{target}");
        let body = tokio::time::timeout(PATIENCE, opened.into_body().collect()).await.expect("it stays open");
        String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap()
    };
    // Each is polled until it waits before the last one begins.
    let (tail, waiting, full, receive, browse, deleted) = tokio::join!(
        read(streams[0]),
        read(streams[1]),
        read(streams[2]),
        call(&server, "app", "POST", "/v1/groups/g/receive?topic=empty&wait=30s", Value::Null),
        call(&server, "app", "GET", "/v1/topics/empty/queues/0/messages?offset=0&wait=30s", Value::Null),
        root(&server, "DELETE", "/v1/users/app", Value::Null),
    );
    assert_eq!(deleted.status, 204);
    for refused in [receive, browse] {
        let detail = refused.problem(401, "unauthenticated")["detail"].to_string();
        assert!(detail.contains("no longer good"), "it did not wait: {detail}");
    }
    for (stream, messages) in [(tail, 0), (waiting, 0), (full, 1)] {
        let lines: Vec<Value> = stream.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), messages + 1, "{stream}");
        assert!(lines[messages].to_string().contains("no longer good"), "{stream}");
    }
}

#[tokio::test]
async fn an_open_broker_has_no_users_and_takes_none() {
    let server = server();
    for target in ["/v1/users", "/v1/roles", "/v1/acls"] {
        assert_eq!(server.get(target).await.expect(200), json!({"items": [], "next": null}));
    }
    server.get("/v1/users/app").await.problem(404, "user-not-found");
    let question = json!({"user": "app", "action": "Pub", "resource": "Topic:t"});
    let explained = server.json("POST", "/v1/acls:explain", question).await.expect(200);
    assert_eq!(explained["decision"], "allow");
    let policy = json!({"subject": "app", "resource": "*", "actions": ["All"]});
    for (method, target, body) in [
        ("PUT", "/v1/users/app", json!({"secret": "s"})),
        ("DELETE", "/v1/users/app", json!({})),
        ("PUT", "/v1/roles/ops", json!({})),
        ("DELETE", "/v1/roles/ops", json!({})),
        ("PUT", "/v1/acls", policy.clone()),
        ("POST", "/v1/acls", policy),
        ("DELETE", "/v1/acls?subject=app", json!({})),
    ] {
        let refused = server.json(method, target, body).await.problem(501, "unsupported");
        assert!(refused["detail"].as_str().unwrap().contains("auth.mode"), "{method} {target}: {refused}");
    }
}

#[tokio::test]
async fn who_is_over_quota_is_told_when_to_come_again() {
    let server = guarded().await;
    let user = json!({"secret": "apps-secret", "quota": {"bytesPerSecond": 100}});
    root(&server, "PUT", "/v1/users/app", user).await.expect(201);
    let policy = json!({"subject": "app", "resource": "Topic:t", "actions": ["Pub", "Create"]});
    root(&server, "PUT", "/v1/acls", policy).await.expect(200);
    let publish = || call(&server, "app", "POST", "/v1/topics/t/messages", json!("x".repeat(10_000)));
    publish().await.expect(201);
    let refused = publish().await;
    assert_eq!(refused.problem(429, "quota-exceeded")["retryable"], true);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((90..=101).contains(&wait), "{wait}");
    assert_eq!(refused.headers.get_all("retry-after").iter().count(), 1);
    assert_eq!(refused.header("ratelimit-policy"), "\"bytes\";q=100;w=1;qu=\"content-bytes\"");
    assert_eq!(refused.header("ratelimit"), format!("\"bytes\";r=0;t={wait}"));
}

#[tokio::test]
async fn a_dry_run_of_what_takes_something_away_takes_nothing_away() {
    let server = guarded().await;
    let app = json!({"secret": "apps-secret", "password": "apps-password", "roles": []});
    root(&server, "PUT", "/v1/users/app", app).await.expect(201);
    root(&server, "PUT", "/v1/roles/spare", json!({})).await.expect(201);
    root(&server, "PUT", "/v1/groups/g", json!({})).await.expect(201);
    root(&server, "PUT", "/v1/groups/g/quota", json!({"inFlight": 3})).await.expect(200);
    let policy = json!({"subject": "app", "resource": "Topic:*", "actions": ["Pub"]});
    root(&server, "PUT", "/v1/acls", policy).await.expect(200);
    let token = root(&server, "POST", "/v1/users/app/tokens", json!({"label": "ci"})).await.expect(201);
    let token = format!("/v1/users/app/tokens/{}", token["id"].as_str().unwrap());
    let all = [
        "/v1/users/app/secret?which=current",
        "/v1/users/app/password",
        &token,
        "/v1/roles/spare",
        "/v1/groups/g/quota",
        "/v1/groups/g",
        "/v1/users/app",
    ];
    let dry = |target: &str| format!("{target}{}dryRun=true", if target.contains('?') { '&' } else { '?' });
    for target in all {
        for _ in 0..2 {
            let answer = root(&server, "DELETE", &dry(target), Value::Null).await;
            assert_eq!(answer.status, 204, "{target}: {:?}", answer.body);
        }
    }
    let acls = "/v1/acls?subject=app";
    let counted = root(&server, "DELETE", &dry(acls), Value::Null).await.expect(200);
    assert_eq!(counted, json!({"removed": 1, "kept": 0}));
    let refused = root(&server, "DELETE", "/v1/acls?subject=looker&dryRun", Value::Null).await;
    refused.problem(409, "conflict");
    assert_eq!(root(&server, "DELETE", acls, Value::Null).await.expect(200), counted, "it was only counted");
    root(&server, "DELETE", &dry(acls), Value::Null).await.problem(404, "policy-not-found");
    // It needs what the removal needs, and no more.
    for target in ["/v1/users/app", "/v1/roles/spare", "/v1/users/app/password"] {
        assert_eq!(
            call(&server, "writer", "DELETE", &dry(target), Value::Null).await.status,
            204,
            "{target}"
        );
    }
    // What would be refused is refused.
    root(&server, "DELETE", &dry("/v1/users/root"), Value::Null).await.problem(409, "conflict");
    root(&server, "DELETE", &dry("/v1/users/nobody"), Value::Null).await.problem(404, "user-not-found");
    root(&server, "DELETE", &dry("/v1/roles/none"), Value::Null).await.problem(404, "role-not-found");
    root(&server, "DELETE", &dry("/v1/groups/none"), Value::Null).await.problem(404, "group-not-found");
    call(&server, "looker", "DELETE", &dry("/v1/users/app"), Value::Null).await.problem(403, "forbidden");
    root(&server, "DELETE", &dry("/v1/users/app").replace("true", "maybe"), Value::Null)
        .await
        .problem(400, "invalid-parameter");
    for target in all {
        assert_eq!(root(&server, "DELETE", target, Value::Null).await.status, 204, "{target}");
    }
}

#[tokio::test]
async fn a_password_is_taken_away_alone() {
    let server = guarded().await;
    let app = json!({"secret": "apps-secret", "password": "apps-password"});
    root(&server, "PUT", "/v1/users/app", app).await.expect(201);
    let target = "/v1/users/app/password";
    call(&server, "looker", "DELETE", target, Value::Null).await.problem(403, "forbidden");
    assert_eq!(root(&server, "DELETE", target, Value::Null).await.status, 204);
    let shown = root(&server, "GET", "/v1/users/app", Value::Null).await.expect(200);
    assert_eq!((&shown["hasPassword"], &shown["accessKeys"]), (&json!(false), &json!(["app"])));
    call(&server, "app", "GET", "/v1/whoami", Value::Null).await.expect(200);
    root(&server, "DELETE", target, Value::Null).await.problem(404, "not-found");
    root(&server, "DELETE", "/v1/users/nobody/password", Value::Null).await.problem(404, "user-not-found");
    root(&server, "DELETE", "/v1/users/looker/password", Value::Null).await.problem(409, "conflict");
}

#[tokio::test]
async fn whoami_says_how_it_was_proven() {
    let server = guarded().await;
    let tokens = format!("/v1/users/{}/tokens", "root");
    let token = root(&server, "POST", &tokens, json!({"label": "x"})).await;
    token.problem(409, "conflict");
    root(&server, "PUT", "/v1/users/app", json!({"secret": "apps-secret"})).await.expect(201);
    let token = root(&server, "POST", "/v1/users/app/tokens", json!({"label": "x"})).await.expect(201);
    let bearer = format!("Authorization: Bearer {}", token["token"].as_str().unwrap());
    for (header, scheme) in [(basic("app"), "basic"), (bearer, "bearer")] {
        let shown = server.call("GET", "/v1/whoami", &[&header], "").await.expect(200);
        assert_eq!((&shown["scheme"], &shown["principal"]), (&json!(scheme), &json!("app")));
    }
    let open = support::server().get("/v1/whoami").await.expect(200);
    assert_eq!((&open["scheme"], &open["anonymous"]), (&Value::Null, &json!(true)));
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_told_apart() {
    let config = Config { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Config::default() };
    let server = guarded_with(config).await;
    root(&server, "PUT", "/v1/users/app", json!({"secret": "apps-secret"})).await.expect(201);
    let policy = |decision: &str, net: &str| {
        json!({
            "subject": "app", "resource": "Topic:t", "actions": ["Pub"], "decision": decision, "sourceIps": [net],
        })
    };
    root(&server, "PUT", "/v1/acls", policy("allow", "10.0.0.0/8")).await.expect(200);
    let publish = |from: &'static str| {
        let (server, login) = (&server, basic("app"));
        async move {
            server
                .call("POST", "/v1/topics/t/messages", &[&login, &format!("X-Forwarded-For: {from}")], "x")
                .await
        }
    };
    publish("10.1.2.3").await.expect(201);
    let problem = publish("192.0.2.1").await.problem(403, "ip-denied");
    assert!(problem["detail"].as_str().unwrap().contains("from 192.0.2.1"), "{problem}");
    root(&server, "PUT", "/v1/acls", policy("deny", "10.1.0.0/16")).await.expect(200);
    publish("10.1.2.3").await.problem(403, "ip-denied");
    publish("10.2.0.1").await.expect(201);
    let other = server.call("POST", "/v1/topics/other/messages", &[&basic("app")], "x").await;
    other.problem(403, "forbidden");
    let whoami = server.call("GET", "/v1/whoami", &[&basic("app"), "Forwarded: for=192.0.2.9"], "").await;
    assert_eq!(whoami.expect(200)["address"], "192.0.2.9");
}
