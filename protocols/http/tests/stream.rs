//! Streams: a topic's tail and a group's deliveries, as events and as lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use axum::body::BodyDataStream;
use futures_util::StreamExt;
use serde_json::{Value, json};
use sluice_http::Config;
use sluice_model::units::Span;
use support::{PATIENCE, Server, request, server, server_with};

struct Reader {
    stream: BodyDataStream,
    text: String,
}

impl Reader {
    async fn open(server: &Server, target: &str, headers: &[&str]) -> Self {
        let response = server.open(request("GET", target, headers, "")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
        Self { stream: response.into_body().into_data_stream(), text: String::new() }
    }

    /// What stands before the next `end`.
    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.text.find(end) {
                let rest = self.text.split_off(at + end.len());
                let mut found = std::mem::replace(&mut self.text, rest);
                found.truncate(at);
                return found;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("nothing came");
            self.text.push_str(std::str::from_utf8(&chunk.expect("the stream ended").unwrap()).unwrap());
        }
    }

    /// The next message event: its id and its data.
    async fn event(&mut self) -> (String, Value) {
        loop {
            let event = self.until("\n\n").await;
            if event.contains("event: message") {
                let line = |name: &str| {
                    event.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().to_owned()
                };
                return (line("id: "), serde_json::from_str(&line("data: ")).unwrap());
            }
        }
    }

    /// The next line that is not blank.
    async fn line(&mut self) -> Value {
        loop {
            let line = self.until("\n").await;
            if !line.is_empty() {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }
}

async fn publish(server: &Server, body: &str) {
    server.post("/v1/topics/t/messages", body).await.expect(201);
}

fn quick() -> Config {
    Config { heartbeat: Span::millis(20), ..Config::default() }
}

#[tokio::test]
async fn a_tail_begins_at_the_end_and_goes_on_where_it_was_cut() {
    for queues in [1, 4] {
        let server = server();
        server.json("PUT", "/v1/topics/t", json!({"queues": queues})).await.expect(201);
        publish(&server, "before").await;
        let mut reader = Reader::open(&server, "/v1/topics/t/stream", &["Accept: text/event-stream"]).await;
        assert_eq!(reader.until("\n\n").await, "retry: 3000");
        for body in ["1", "2", "3"] {
            publish(&server, body).await;
        }
        let (mut bodies, mut ids) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (id, data) = reader.event().await;
            bodies.push(data["body"].as_str().unwrap().to_owned());
            ids.push(id);
        }
        drop(reader);
        publish(&server, "4").await;
        // Whatever was seen up to the cut does not come again; everything else does.
        for (seen, id) in ids.iter().enumerate() {
            let header = format!("Last-Event-ID: {id}");
            let mut resumed = Reader::open(&server, "/v1/topics/t/stream?from=latest", &[&header]).await;
            let mut all: Vec<String> = bodies[..=seen].to_vec();
            while all.len() < 4 {
                all.push(resumed.event().await.1["body"].as_str().unwrap().to_owned());
            }
            all.sort();
            assert_eq!(all, ["1", "2", "3", "4"], "{queues} queues, cut after {seen}");
        }
    }
}

#[tokio::test]
async fn lines_filters_and_heartbeats() {
    let server = server_with(quick());
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    let mut reader =
        Reader::open(&server, "/v1/topics/t/stream?format=ndjson&filter=b&from=earliest", &[]).await;
    assert_eq!(reader.until("\n").await, "", "a sign of life");
    server.post("/v1/topics/t/messages?tag=a", "1").await.expect(201);
    server.post("/v1/topics/t/messages?tag=b", "2").await.expect(201);
    let line = reader.line().await;
    assert_eq!((&line["body"], &line["eventId"]), (&json!("2"), &json!("0:1")));
    let mut reader = Reader::open(&server, "/v1/topics/t/stream?format=sse&lastEventId=0:0", &[]).await;
    assert_eq!(reader.event().await.1["body"], "2");
    reader.until(": keep-alive\n\n").await;
}

#[tokio::test]
async fn a_group_stream_hands_out_leases_within_its_credit() {
    let server = server_with(quick());
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    for body in ["1", "2", "3"] {
        publish(&server, body).await;
    }
    let target = "/v1/groups/g/stream?topic=t&format=ndjson&maxInFlight=2&lease=60s";
    let mut reader = Reader::open(&server, target, &[]).await;
    let (first, second) = (reader.line().await, reader.line().await);
    assert_eq!((&first["body"], &second["body"]), (&json!("1"), &json!("2")));
    for _ in 0..3 {
        assert_eq!(reader.until("\n").await, "", "the third one waits for credit");
    }
    let ack = json!({"handles": [first["handle"]]});
    assert_eq!(server.json("POST", "/v1/groups/g/ack", ack).await.expect(200)["results"][0]["ok"], true);
    assert_eq!(reader.line().await["body"], "3");
    assert_eq!(reader.until("\n").await, "", "asking on means that the third one was taken");
    drop(reader);
    let offsets = server.get("/v1/groups/g/offsets").await.expect(200);
    assert_eq!(offsets["items"][0]["inFlight"], 2, "what was handed out stays leased");
}

#[tokio::test]
async fn a_stream_that_settles_by_itself_and_one_that_nobody_reads() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    publish(&server, "1").await;
    let unread = server.open(request("GET", "/v1/groups/g/stream?topic=t", &[], "")).await;
    drop(unread);
    let mut reader = Reader::open(&server, "/v1/groups/g/stream?topic=t&ack=auto", &[]).await;
    let (_, data) = reader.event().await;
    assert_eq!((&data["body"], &data["deliveries"]), (&json!("1"), &json!(1)));
    assert!(data.get("handle").is_none());
    publish(&server, "2").await;
    assert_eq!(reader.event().await.1["body"], "2");
    let offsets = server.get("/v1/groups/g/offsets").await.expect(200);
    assert_eq!(offsets["items"][0]["committed"], 1, "asking for the second one took the first");
}

#[tokio::test]
async fn a_group_stream_says_where_the_group_is() {
    let server = server_with(quick());
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    for body in ["1", "2", "3"] {
        publish(&server, body).await;
    }
    let target = "/v1/groups/g/stream?topic=t&ack=auto&maxInFlight=2&status=1s";
    let mut reader = Reader::open(&server, target, &[]).await;
    let status = async |reader: &mut Reader| {
        reader.until("event: status\ndata: ").await;
        serde_json::from_str::<Value>(&reader.until("\n\n").await).unwrap()
    };
    let first = status(&mut reader).await;
    assert_eq!((&first["totalLag"], &first["items"][0]["committed"]), (&json!(1), &json!(2)), "{first}");
    let later = status(&mut reader).await;
    assert_eq!((&later["totalLag"], &later["items"][0]["committed"]), (&json!(0), &json!(3)), "{later}");
    assert_eq!(later["items"], server.get("/v1/groups/g/offsets").await.expect(200)["items"]);

    let mut reader = Reader::open(&server, "/v1/groups/h/stream?topic=t&format=ndjson&status=1h", &[]).await;
    let handles = [reader.line().await, reader.line().await, reader.line().await];
    assert!(handles.iter().all(|line| line["handle"].is_string()));
    assert_eq!(reader.line().await["status"]["items"][0]["inFlight"], 3, "and not again for an hour");
    assert_eq!(reader.until("\n").await, "");
    for wrong in ["status=0s", "status=2h", "status=often"] {
        let target = format!("/v1/groups/g/stream?topic=t&{wrong}");
        server.get(&target).await.problem(400, "invalid-parameter");
    }
    server.get("/v1/topics/t/stream?status=1s").await.problem(400, "unknown-parameter");
}

#[tokio::test]
async fn wrong_streams_are_refused_before_they_begin() {
    let server = server();
    server.get("/v1/topics/none/stream").await.problem(404, "topic-not-found");
    server.get("/v1/groups/g/stream").await.problem(400, "missing-parameter");
    server.get("/v1/groups/g/stream?topic=none").await.problem(404, "topic-not-found");
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    server.get("/v1/topics/t/stream?lastEventId=what").await.problem(400, "invalid-parameter");
    server.get("/v1/topics/t/stream?format=xml").await.problem(400, "invalid-parameter");
    server.get("/v1/groups/g/stream?topic=t&maxInFlight=0").await.problem(400, "invalid-parameter");
    server
        .call("GET", "/v1/topics/t/stream", &["Accept: image/png"], "")
        .await
        .problem(406, "not-acceptable");
}

#[tokio::test]
async fn a_stream_ends_with_an_error_when_its_topic_goes() {
    let server = server_with(quick());
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    let mut reader = Reader::open(&server, "/v1/topics/t/stream", &[]).await;
    reader.until(": keep-alive\n\n").await;
    assert_eq!(server.call("DELETE", "/v1/topics/t", &[], "").await.status, 204);
    reader.until("event: error\n").await;
    assert!(reader.until("\n\n").await.contains("topic-not-found"));
}
