//! Larger messages: what a send costs, and how often memory is asked for.

use super::node::{Node, column, message};
use super::{Growth, IN_PROPORTION, Scale, UNCHANGED};
use crate::allocations;
use std::path::Path;
use std::time::Instant;

/// Enough that the quickest is quick.
const TIMES: usize = 40;

pub fn run(folder: &Path, scale: Scale) -> Vec<Growth> {
    let bodies: &[usize] = match scale {
        Scale::Small => &[128, 1024, 16 << 10, 256 << 10],
        _ => &[128, 1024, 16 << 10, 256 << 10, 4 << 20],
    };
    let found = super::node::sizes(folder, bodies, |node: &Node, body| {
        let topic = node.topic("topic", 1);
        let message = message(body);
        let (mut best, mut asked) = (f64::MAX, u64::MAX);
        for _ in 0..TIMES {
            let (began, before) = (Instant::now(), allocations::calls());
            node.send(&topic, 0, message.clone());
            best = best.min(began.elapsed().as_nanos() as f64);
            asked = asked.min(allocations::calls() - before);
            node.commit();
        }
        [best, asked as f64]
    });
    vec![
        Growth {
            what: "ns of a send",
            against: "bytes of a message",
            points: column(&found, 0),
            limit: Some(IN_PROPORTION),
            most_each: None,
        },
        Growth {
            what: "allocations of a send",
            against: "bytes of a message",
            points: column(&found, 1),
            limit: Some(UNCHANGED),
            most_each: None,
        },
    ]
}
