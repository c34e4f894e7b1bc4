//! Every code that RocketMQ knows is answered: served, or refused in words; and nothing asked one-way is answered.

use super::*;
use crate::codes::ALL;
use std::time::Duration;

/// Answered without any field: these ask for everything, or for nothing in particular.
const NEED_NOTHING: [i32; 16] =
    [21, 26, 28, 35, 106, 201, 206, 304, 305, 306, 316, 317, 319, 328, 3005, 3010];

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
