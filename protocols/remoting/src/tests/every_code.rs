//! Every code that RocketMQ knows is answered: served, or refused in words; and nothing asked one-way is answered.

use super::*;
use crate::codes::ALL;
use std::time::Duration;

/// Answered without any field: these ask for everything, or for nothing in particular.
const NEED_NOTHING: [i32; 20] =
    [21, 26, 28, 35, 106, 201, 206, 304, 305, 306, 311, 312, 313, 316, 317, 319, 328, 402, 3005, 3010];

#[tokio::test]
async fn every_code_is_served_or_refused_by_its_name() {
    let peer = Peer::new();
    for (code, name) in ALL {
        let asked = peer.ask(code, &[], "");
        let got = tokio::time::timeout(Duration::from_secs(10), asked).await;
        let got = got.unwrap_or_else(|_| panic!("{code} {name} was not answered"));
        match got.code() {
            0 => assert!(NEED_NOTHING.contains(&code), "{code} {name}: success for nothing"),
            3 => assert!(got.remark().contains(name), "{code} {name}: {}", got.remark()),
            _ => assert!(!got.remark().is_empty(), "{code} {name} is refused without a word"),
        }
    }
}

/// What the pages of the official Dashboard ask for; README.md has them by page.
const DASHBOARD: [i32; 39] = [
    106, 26, 28, 206, 304, 105, 202, 300, 208, 17, 215, 216, 310, 222, 351, 21, 201, 203, 307, 200, 207, 343,
    352, 204, 12, 33, 309, 11, 29, 30, 31, 3001, 3002, 3003, 3005, 3006, 3007, 3008, 3010,
];

#[tokio::test]
async fn the_dashboard_asks_for_nothing_that_is_not_served() {
    let peer = Peer::new();
    for code in DASHBOARD {
        assert_ne!(peer.ask(code, &[], "").await.code(), 3, "{code}");
    }
}
