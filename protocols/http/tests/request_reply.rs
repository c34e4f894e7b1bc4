//! Request and reply.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{Server, server};

async fn serve_one(server: &Server, headers: &[&str], body: &'static str) -> String {
    let got = server.receive("wait=15s").await.expect(200);
    let request = &got["messages"][0];
    let reply_to = request["replyTo"].as_str().unwrap();
    assert_eq!(reply_to, format!("/v1/replies/{}", request["correlationId"].as_str().unwrap()));
    let replied = server.call("POST", reply_to, headers, body).await;
    assert_eq!(replied.status, 202);
    reply_to.to_owned()
}

#[tokio::test]
async fn a_reply_answers_its_request() {
    let server = server();
    let headers = ["Content-Type: text/html", "X-MQ-Prop-status: done"];
    let ask = server.call("POST", "/v1/topics/t/request?timeout=20s&tag=q", &["X-MQ-Prop-a: b"], "how much?");
    let serve = async {
        // The topic is made by the request.
        while server.get("/v1/topics/t").await.status != 200 {
            tokio::task::yield_now().await;
        }
        serve_one(&server, &headers, "17 & more").await
    };
    let (reply, reply_to) = tokio::join!(ask, serve);
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"17 & more"[..]));
    assert_eq!((reply.header("content-type"), reply.header("x-mq-prop-status")), ("text/html", "done"));
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert!(!reply.header("x-mq-message-id").is_empty());
    server.post(&reply_to, "again").await.problem(404, "reply-not-awaited");
    server.post("/v1/replies/0123", "x").await.problem(404, "reply-not-awaited");
}

#[tokio::test]
async fn nobody_or_nobody_in_time() {
    let server = server();
    server.post("/v1/topics/other/messages", "x").await.expect(201);
    server.post("/v1/groups/others/receive?topic=other", "").await.expect(200);
    let problem = server.post("/v1/topics/t/request?timeout=10ms", "x").await.problem(503, "no-consumer");
    assert!(problem["messageId"].is_string(), "{problem}");
    let got = server.receive_one().await;
    let late = got["replyTo"].as_str().unwrap();
    server.post(late, "too late").await.problem(404, "reply-not-awaited");
    server.post("/v1/topics/t/request?timeout=10ms", "x").await.problem(504, "reply-timeout");
    server.post("/v1/topics/t/request?timeout=61s", "x").await.problem(400, "invalid-parameter");
    server.post("/v1/topics/none/request?create=false", "x").await.problem(404, "topic-not-found");
    for header in ["X-MQ-Reply-To: /x", "X-MQ-Correlation-Id: 1"] {
        let refused = server.call("POST", "/v1/topics/t/request", &[header], "x").await;
        refused.problem(400, "invalid-parameter");
    }
}
