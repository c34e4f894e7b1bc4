//! How long a refusal takes must not say which users there are, on no wire.
//!
//! An unknown user and a wrong secret are tried in turn, and the medians compared by ratio, so that what else runs on the
//! machine falls on both alike. The proofs themselves are compared so in `auth`; here it is what the wires make of them. A
//! machine that does much else can shift one of the medians once; a leak is there in every series.

use crate::kafka::Kafka;
use crate::line::Line;
use crate::words::{http, remoting_by, stomp_connect_as};
use crate::{USERS, change};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sluice_auth::Mode;
use sluice_tests::TestServer;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// What chance alone does not reach.
const LIMIT: f64 = 1.8;
/// So many series may be disturbed but one.
const SERIES: u8 = 4;

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// Compares refusals of a user that exists with those of one that does not.
fn compare(wire: &str, rounds: u8, refused: impl Fn(&str, Ipv4Addr)) {
    let mut said = Vec::new();
    let alike = (0..SERIES).any(|series| {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            // Each from an address of its own: whoever fails often is slowed down.
            for (user, times) in [("app", &mut known), ("opp", &mut unknown)] {
                let from = Ipv4Addr::new(127, 77 + series, wire.len() as u8, round + 1);
                let began = Instant::now();
                refused(user, from);
                times.push(began.elapsed());
            }
        }
        let (known, unknown) = (median(known), median(unknown));
        said.push(format!("a known user takes {known:.6} s, an unknown one {unknown:.6} s"));
        (known / unknown).max(unknown / known) < LIMIT
    });
    assert!(alike, "{wire}: {said:?}");
}

#[test]
fn an_unknown_user_is_refused_as_slowly_as_a_wrong_secret_on_every_wire() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, USERS);
    compare("remoting", 60, |user, from| {
        let told =
            Line::open_from(&server, "remoting", from).ask(&remoting_by(user, "not the secret"), "\"code\":");
        assert!(!told.contains("\"code\":0"), "{told}");
    });
    compare("http", 9, |user, from| {
        let pair = STANDARD.encode(format!("{user}:not the secret"));
        let asked = http("GET", "/v1/whoami", &format!("Authorization: Basic {pair}\r\n"), "");
        let told = Line::open_from(&server, "http", from).ask(&asked, "\r\n\r\n");
        assert!(told.starts_with("HTTP/1.1 401"), "{told}");
    });
    compare("stomp", 9, |user, from| {
        let told =
            Line::open_from(&server, "stomp", from).ask(&stomp_connect_as(user, "not the secret"), "\0");
        assert!(told.starts_with("ERROR"), "{told}");
    });
    compare("kafka", 9, |user, from| {
        let (error, said) = Kafka::open_from(&server, from).log_in_as(user, "not the secret");
        assert_ne!(error, 0, "{said}");
    });
}
