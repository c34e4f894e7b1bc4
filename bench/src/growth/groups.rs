//! More groups on one topic: what a send and a commit of an offset cost, and how much memory a group's queue takes.

use super::node::{column, group, message, sizes};
use super::{Growth, IN_PROPORTION, Scale, UNCHANGED};
use crate::allocations;
use sluice_model::QueueId;
use std::path::Path;

const QUEUES: usize = 8;

/// Bytes of memory of a group on all queues.
const MOST_EACH: f64 = 128.0 * QUEUES as f64;

pub fn run(folder: &Path, scale: Scale) -> Vec<Growth> {
    let counts: &[usize] = match scale {
        Scale::Small => &[1, 10, 100],
        _ => &[1, 10, 100, 1000, 10_000],
    };
    let found = sizes(folder, counts, |node, count| {
        let topic = node.topic("topic", QUEUES as u32);
        for queue in 0..QUEUES {
            node.fill(&topic, queue as u32, 100, 10);
        }
        let groups: Vec<_> = (0..count).map(|n| group(&format!("group-{n}"))).collect();
        let before = allocations::live();
        for (at, group) in groups.iter().enumerate() {
            for queue in 0..QUEUES {
                drop(node.broker.commit_offset(&node.me, group, &topic, QueueId(queue as u32), 1).unwrap());
            }
            if at % 100 == 99 {
                node.commit();
            }
        }
        node.commit();
        let memory = (allocations::live() - before) as f64;
        let commit = node.time(|n| {
            let (group, queue) = (&groups[n.wrapping_mul(7919) % count], QueueId((n % QUEUES) as u32));
            drop(node.broker.commit_offset(&node.me, group, &topic, queue, n as u64 % 100).unwrap());
        });
        let message = message(1024);
        let send = node.time(|n| node.send(&topic, (n % QUEUES) as u32, message.clone()));
        [send, commit, memory]
    });
    let growth = |what, at, limit, most_each| Growth {
        what,
        against: "groups on one topic",
        points: column(&found, at),
        limit: Some(limit),
        most_each,
    };
    vec![
        growth("ns of a send", 0, UNCHANGED, None),
        growth("ns of a commit", 1, UNCHANGED, None),
        growth("bytes of memory of groups", 2, IN_PROPORTION, Some(MOST_EACH)),
    ]
}
