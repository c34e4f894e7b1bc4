//! More deliveries that are leased and not settled: what a receive and an acknowledgement cost, and their memory.

use super::node::{CALLS, Node, column, group, sizes};
use super::{Growth, IN_PROPORTION, Scale, UNCHANGED};
use crate::allocations;
use sluice_broker::{Lease, ReceiveRequest, StartAt};
use sluice_model::{Delivered, Filter, GroupName, ReceiptHandle, TopicName};
use std::path::Path;
use std::time::Duration;

const BATCH: usize = 32;
/// Messages that the timed calls receive.
const SPARE: usize = 60 * CALLS;

/// Bytes of memory of a lease.
const MOST_EACH: f64 = 64.0;

pub fn run(folder: &Path, scale: Scale) -> Vec<Growth> {
    let counts: &[usize] = match scale {
        Scale::Small => &[100, 1000, 10_000],
        Scale::Medium => &[100, 1000, 10_000, 100_000],
        Scale::Full => &[100, 1000, 10_000, 100_000, 1_000_000],
    };
    let found = sizes(folder, counts, |node, count| {
        let (topic, group) = (node.topic("topic", 1), group("group"));
        node.fill(&topic, 0, count + SPARE, 10);
        let before = allocations::live();
        let mut leased = 0;
        while leased < count {
            leased += receive(node, &group, &topic, BATCH.min(count - leased)).len();
            node.commit();
        }
        let memory = (allocations::live() - before) as f64;
        let mut receipts: Vec<ReceiptHandle> = Vec::new();
        let received = node.time(|n| {
            // A stretch has as many messages as calls.
            if n % BATCH == 0 {
                receipts.extend(receive(node, &group, &topic, BATCH).into_iter().map(|d| d.receipt));
            }
        });
        let mut waiting = receipts.iter();
        let acked = node.time(|_| drop(node.broker.ack(&node.me, waiting.next().unwrap()).unwrap()));
        [received, acked, memory]
    });
    let growth = |what, at, limit, most_each| Growth {
        what,
        against: "leased deliveries",
        points: column(&found, at),
        limit: Some(limit),
        most_each,
    };
    vec![
        growth("ns of a message received", 0, UNCHANGED, None),
        growth("ns of an acknowledgement", 1, UNCHANGED, None),
        growth("bytes of memory of leases", 2, IN_PROPORTION, Some(MOST_EACH)),
    ]
}

fn receive(node: &Node, group: &GroupName, topic: &TopicName, max: usize) -> Vec<Delivered> {
    let request = ReceiveRequest {
        group,
        topic,
        filter: &Filter::All,
        max,
        lease: Lease::For(Duration::from_secs(3600)),
        wait: Duration::ZERO,
        start: StartAt::Earliest,
        create: None,
    };
    node.done(node.broker.receive(&node.me, &request)).unwrap()
}
