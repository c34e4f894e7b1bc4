//! Versions, greetings, heart-beats.

use crate::client::Server;
use sluice_model::units::Span;
use sluice_stomp::Config;
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_highest_common_version_is_agreed() {
    let server = Server::start();
    for (accepted, agreed) in [("1.2,1.1,1.0", "1.2"), ("1.0, 1.1", "1.1"), ("3.14159,1.0,12.0", "1.0")] {
        for command in ["CONNECT", "STOMP"] {
            let mut client = server.dial().await;
            client.say(&format!("{command}\naccept-version:{accepted}\n\n")).await;
            let got = client.frame().await;
            assert_eq!((&got.command[..], got.get("version")), ("CONNECTED", agreed));
            assert!(got.get("server").starts_with("sluice/"));
            assert!(!got.get("session").is_empty());
            assert_eq!(got.get("heart-beat"), "0,0");
        }
    }
    let mut old = server.dial().await;
    old.say("CONNECT\nlogin: guest\npasscode: guest\n\n").await;
    assert_eq!(old.frame().await.get("version"), "1.0");
    server.stop().await;
}

#[tokio::test]
async fn no_common_version_is_an_error_with_the_list() {
    let server = Server::start();
    let mut client = server.dial().await;
    client.say("CONNECT\naccept-version:9.0\nhost:x\n\n").await;
    let error = client.error().await;
    assert_eq!(error.get("version"), "1.0,1.1,1.2");
    assert_eq!(error.get("message"), "Supported protocol versions are 1.0,1.1,1.2");
    assert_eq!(error.text(), "client accepts only versions: \"9.0\"\n");
    server.stop().await;
}

#[tokio::test]
async fn the_first_frame_is_a_greeting_and_only_the_first() {
    let server = Server::start();
    let mut client = server.dial().await;
    client.say("SEND\ndestination:/queue/x\n\nx").await;
    assert_eq!(client.error().await.get("message"), "Not connected");
    let mut client = server.connect("1.2").await;
    client.say("CONNECT\naccept-version:1.2\n\n").await;
    assert_eq!(client.error().await.get("message"), "Already connected");
    for wrong in ["heart-beat:a,b", "receipt:r"] {
        let mut client = server.dial().await;
        client.say(&format!("CONNECT\naccept-version:1.2\n{wrong}\n\n")).await;
        assert_eq!(client.error().await.get("message"), "Bad CONNECT");
    }
    server.stop().await;
}

#[tokio::test]
async fn frames_behind_the_greeting_wait_for_it() {
    let server = Server::start();
    let mut client = server.dial().await;
    client.raw(b"CONNECT\naccept-version:1.2\n\n\0SUBSCRIBE\nid:1\ndestination:/topic/t\n\n\0SEND\ndestination:/topic/t\n\nhi\0").await;
    assert_eq!(client.frame().await.command, "CONNECTED");
    client.message("hi").await;
    server.stop().await;
}

#[tokio::test]
async fn a_stranger_who_says_nothing_is_shown_out() {
    let server = Server::with(Config { login_timeout: Span::millis(100), ..Config::default() });
    let mut client = server.dial().await;
    client.raw(b"\n").await;
    assert_eq!(client.error().await.get("message"), "Login timeout");
    server.stop().await;
}

#[tokio::test]
async fn heart_beats_are_mirrored_sent_and_expected() {
    let server = Server::start();
    let mut client = server.dial().await;
    let began = Instant::now();
    client.say("CONNECT\naccept-version:1.2\nheart-beat:700,10\n\n").await;
    assert_eq!(client.frame().await.get("heart-beat"), "500,700");
    client.end().await; // we are silent, so the server gives up
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1350), "{took:?}");
    // Half of what was agreed, so that none is late; how many fit in is up to the machine.
    let most = usize::try_from(took.as_millis()).unwrap() / 250 + 1;
    assert!((1..=most).contains(&client.beats), "{} beats of 250 ms in {took:?}", client.beats);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_beats_stays() {
    let server = Server::with(Config { heartbeat_tolerance: 500, ..Config::default() });
    let mut client = server.dial().await;
    client.say("CONNECT\naccept-version:1.1\nhost:x\nheart-beat:500,0\n\n").await;
    client.frame().await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        client.raw(b"\n").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn a_stopping_server_says_so() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(client.error().await.get("message"), "Server shutting down");
    stopping.await.unwrap();
}
