//! More queues: what a send costs, and how much memory a queue takes that nobody uses.

use super::node::{column, message, sizes};
use super::{Growth, IN_PROPORTION, Scale, UNCHANGED};
use crate::allocations;
use std::path::Path;

/// Bytes of memory of an idle queue.
const MOST_EACH: f64 = 256.0;
/// Queues of one topic, at most.
const OF_A_TOPIC: usize = 1000;

pub fn run(folder: &Path, scale: Scale) -> Vec<Growth> {
    let counts: &[usize] = match scale {
        Scale::Small => &[10, 100, 1000],
        _ => &[10, 100, 1000, 10_000, 100_000],
    };
    let found = sizes(folder, counts, |node, count| {
        let before = allocations::live();
        let topics: Vec<_> = (0..count.div_ceil(OF_A_TOPIC))
            .map(|n| node.topic(&format!("topic-{n}"), OF_A_TOPIC.min(count - n * OF_A_TOPIC) as u32))
            .collect();
        let memory = (allocations::live() - before) as f64;
        let message = message(1024);
        let send = node.time(|n| {
            // All of them in turn, far from each other.
            let queue = n.wrapping_mul(7919) % count;
            node.send(&topics[queue / OF_A_TOPIC], (queue % OF_A_TOPIC) as u32, message.clone());
        });
        [send, memory]
    });
    vec![
        Growth {
            what: "ns of a send",
            against: "queues",
            points: column(&found, 0),
            limit: Some(UNCHANGED),
            most_each: None,
        },
        Growth {
            what: "bytes of memory of idle queues",
            against: "queues",
            points: column(&found, 1),
            limit: Some(IN_PROPORTION),
            most_each: Some(MOST_EACH),
        },
    ]
}
