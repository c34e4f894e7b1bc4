//! More messages that nobody has read: what a send costs, what is read from the far end, and how much memory they take.

use super::node::{Node, column, message};
use super::{Growth, IN_PROPORTION, Scale, UNCHANGED};
use crate::allocations;
use sluice_broker::PullRequest;
use sluice_model::{Filter, QueueId};
use std::path::Path;
use std::time::{Duration, Instant};

const BODY: usize = 64;
/// Bytes of memory of a message, when there are many: those of the segments that are not sealed are known one by one.
const MOST_EACH: f64 = 2.5;
/// Reads of something else each time, of which the quickest counts.
const READS: usize = 50;

pub fn run(folder: &Path, scale: Scale) -> Vec<Growth> {
    let counts: &[usize] = match scale {
        Scale::Small => &[1000, 10_000, 100_000],
        Scale::Medium => &[1000, 10_000, 100_000, 1_000_000],
        Scale::Full => &[1000, 10_000, 100_000, 1_000_000, 20_000_000],
    };
    let folder = folder.join("one");
    std::fs::create_dir_all(&folder).unwrap();
    // One node for all sizes: it is filled further.
    let node = Node::open(&folder);
    let topic = node.topic("topic", 1);
    let (before, mut filled, plain) = (allocations::live(), 0, message(BODY));
    let mut found = Vec::new();
    for count in counts {
        node.fill(&topic, 0, count.saturating_sub(filled), BODY);
        filled = filled.max(*count);
        let memory = (allocations::live() - before) as f64;
        let read = (0..READS).map(|n| read_at(&node, n * count / READS / 2)).fold(f64::MAX, f64::min);
        let sent = node.time(|_| {
            filled += 1;
            node.send(&topic, 0, plain.clone());
        });
        found.push((*count as f64, [sent, read, memory]));
    }
    drop(node);
    std::fs::remove_dir_all(&folder).unwrap();
    let growth = |what, at, limit, most_each| Growth {
        what,
        against: "messages stored",
        points: column(&found, at),
        limit,
        most_each,
    };
    vec![
        growth("ns of a send", 0, Some(UNCHANGED), None),
        growth("ns of a read of ten old ones", 1, None, None),
        growth("bytes of memory", 2, Some(IN_PROPORTION), (scale == Scale::Full).then_some(MOST_EACH)),
    ]
}

fn read_at(node: &Node, offset: usize) -> f64 {
    let topic = sluice_model::TopicName::new("topic").unwrap();
    let request = PullRequest {
        topic: &topic,
        queue: QueueId(0),
        offset: offset as u64,
        max: 10,
        max_bytes: 1 << 20,
        filter: &Filter::All,
        group: None,
        wait: Duration::ZERO,
    };
    let began = Instant::now();
    let pulled = node.done(node.broker.pull(&node.me, &request)).unwrap();
    assert!(!pulled.messages.is_empty(), "nothing at {offset}");
    began.elapsed().as_nanos() as f64
}
