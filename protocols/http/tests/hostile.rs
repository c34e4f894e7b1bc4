//! Authorization headers of somebody who wants to get in, or to have something written where it does not belong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sluice_auth::{AclFile, Auth, Command};
use sluice_broker::Broker;
use sluice_model::SystemClock;
use sluice_store::MemoryLog;
use std::sync::Arc;
use support::{Answer, server_on};

const ACL: &str = "[[users]]\nname = \"alice\"\nsecret = \"rabbit-hole\"\n";

/// A call with these headers, on a broker of its own: who fails often must wait.
async fn whoami(headers: &[&str]) -> Answer {
    let clock = Arc::new(SystemClock);
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).unwrap();
    broker.change_access_as_operator(Command::ReplaceFile(AclFile::parse(ACL).unwrap())).await.unwrap();
    server_on(broker, Default::default()).call("GET", "/v1/whoami", headers, "").await
}

fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(pair))
}

async fn refused(header: &str) {
    let answer = whoami(&[header]).await;
    assert_eq!(answer.status, 401, "{header}");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!text.contains("rabbit") && !text.contains("eve"), "what was sent came back: {text}");
    let headers = format!("{:?}", answer.headers);
    assert!(!headers.contains("x-admin") && headers.contains("Basic realm"), "{headers}");
}

#[tokio::test]
async fn basic_credentials() {
    let good = basic("alice:rabbit-hole");
    assert_eq!(whoami(&[&good]).await.status, 200);
    for length in "Authorization: ".len()..good.trim_end_matches('=').len() {
        refused(&good[..length]).await;
    }
    for pair in [
        "alice",
        "alice:",
        ":",
        "",
        ":rabbit-hole",
        "alice:rabbit-hole ",
        "alice :rabbit-hole",
        "alice:rabbit-hole\0",
        "alice:rabbit-hole\r\nx-admin: 1",
        "eve\r\nx-admin: 1:rabbit-hole",
        "аlice:rabbit-hole",
        "Alice:rabbit-hole",
        "alice\u{200b}:rabbit-hole",
        "alice::rabbit-hole",
        "User:alice:rabbit-hole",
    ] {
        refused(&basic(pair)).await;
    }
    for header in [
        "Authorization: Basic",
        "Authorization: Basic !!!!",
        "Authorization: Basic //79/A==", // not UTF-8
        "Authorization: Basically YWxpY2U6cmFiYml0LWhvbGU=",
        "Authorization: YWxpY2U6cmFiYml0LWhvbGU=",
        "Authorization: basic\tYWxpY2U6cmFiYml0LWhvbGU=",
        "Authorization: Digest username=\"alice\"",
        "Authorization: Bearer",
        "Authorization: Bearer ",
        "Authorization: Bearer rabbit-hole",
        "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.",
        "Authorization: AWS4-HMAC-SHA256",
        "Authorization: AWS4-HMAC-SHA256 Credential=alice",
        "Authorization: MQ",
        "Authorization: MQ alice:",
        "Authorization: 4-HMAC-SHA256 Credential=x",
        "Authorization: ÄWS4-HMAC-SHA256 x",
    ] {
        refused(header).await;
    }
}

#[tokio::test]
async fn several_or_oversized_headers() {
    let good = basic("alice:rabbit-hole");
    whoami(&[&good, &good]).await.problem(400, "bad-request");
    whoami(&[&good, "Authorization: Bearer x"]).await.problem(400, "bad-request");
    let long = format!("Authorization: Bearer {}", "x".repeat(70_000));
    whoami(&[&long]).await.problem(431, "headers-too-large");
    refused(&format!("Authorization: Bearer eyJ{}.b.c", "x".repeat(20_000))).await;
    refused(&basic(&format!("alice:{}", "x".repeat(20_000)))).await;
}
