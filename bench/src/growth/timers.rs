//! More delayed messages that wait: what sending one more costs, and their memory, of those that are due soon and of those
//! that lie in files.

use super::node::{NOW, Node, column, message, sizes};
use super::{Growth, IN_PROPORTION, Scale, UNCHANGED};
use crate::allocations;
use sluice_model::{Message, TopicName};
use std::path::Path;

/// Those that are in memory are due within this, in no order.
const SPREAD: u64 = 3_000_000;
const HOUR: u64 = 3_600_000;
/// Bytes of memory of one that is due soon.
const MOST_EACH: f64 = 80.0;
/// And of one that lies in a file: 20 million are to wait in 150 MB.
const MOST_EACH_ASIDE: f64 = 7.5;

pub fn run(folder: &Path, scale: Scale) -> Vec<Growth> {
    let counts: &[usize] = match scale {
        Scale::Small => &[100, 1000, 10_000],
        Scale::Medium => &[100, 1000, 10_000, 100_000],
        Scale::Full => &[100, 1000, 10_000, 100_000, 1_000_000],
    };
    let near = |n| NOW + 60_000 + spread(n, SPREAD);
    let sent = sizes(&folder.join("sent"), counts, |node, count| {
        let topic = waiting(node, count, near);
        [node.time(|n| node.send(&topic, 0, later(near(count + n))))]
    });
    let found = tables(&folder.join("near"), counts, |node, count| drop(waiting(node, count, near)));
    // Each hour has a file, and each file is made safe: forty days of them take too long for a test.
    let hours = if scale == Scale::Full { 38 * 24 } else { 24 };
    let aside = tables(&folder.join("far"), counts, |node, count| {
        waiting(node, count, |n| NOW + 6 * HOUR + spread(n, hours * HOUR));
        assert_eq!(node.done(node.broker.put_far_aside()).unwrap(), count);
    });
    let growth = |what, points, limit, most_each| Growth {
        what,
        against: "delayed messages waiting",
        points,
        limit: Some(limit),
        most_each,
    };
    vec![
        growth("ns of a delayed send", column(&sent, 0), UNCHANGED, None),
        growth("bytes of memory of timers", found, IN_PROPORTION, Some(MOST_EACH)),
        growth("bytes of memory of timers in files", aside, IN_PROPORTION, Some(MOST_EACH_ASIDE)),
    ]
}

fn spread(n: usize, over: u64) -> u64 {
    (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % over
}

fn later(due: u64) -> Message {
    Message { deliver_at: Some(due), ..message(10) }
}

/// Sends so many.
fn waiting(node: &Node, count: usize, due: impl Fn(usize) -> u64) -> TopicName {
    let topic = node.topic("topic", 1);
    for n in 0..count {
        node.send(&topic, 0, later(due(n)));
        if n % 1000 == 999 {
            node.commit();
        }
    }
    node.commit();
    topic
}

/// How much memory the broker gives back at its end, when what the log remembers is still there.
fn tables(folder: &Path, counts: &[usize], fill: impl Fn(&Node, usize)) -> Vec<(f64, f64)> {
    let of = |count: usize| {
        let folder = folder.join(count.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let node = Node::open(&folder);
        fill(&node, count);
        let Node { log, broker, me } = node;
        let before = allocations::live();
        drop(broker);
        let taken = before - allocations::live();
        drop((log, me));
        std::fs::remove_dir_all(&folder).unwrap();
        (count as f64, taken as f64)
    };
    counts.iter().map(|count| of(*count)).collect()
}
