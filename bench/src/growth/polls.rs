//! More readers that wait for messages: what a send costs that wakes one of them, and what one costs that waits.

use super::node::{column, message, sizes};
use super::{Growth, IN_PROPORTION, Scale, UNCHANGED};
use crate::allocations;
use sluice_broker::PullRequest;
use sluice_model::{Filter, QueueId};
use std::path::Path;
use std::time::{Duration, Instant};

const OF_A_TOPIC: usize = 1000;
/// Sends, each of which wakes one.
const WAKES: usize = 200;

pub fn run(folder: &Path, scale: Scale) -> Vec<Growth> {
    let counts: &[usize] = match scale {
        Scale::Small => &[10, 100, 1000],
        Scale::Medium => &[10, 100, 1000, 10_000],
        Scale::Full => &[10, 100, 1000, 10_000, 50_000],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = sizes(folder, counts, |node, count| {
        let topics: Vec<_> = (0..count.div_ceil(OF_A_TOPIC))
            .map(|n| node.topic(&format!("topic-{n}"), OF_A_TOPIC as u32))
            .collect();
        runtime.block_on(async {
            let before = allocations::live();
            let (woken, mut seen) = tokio::sync::mpsc::unbounded_channel();
            for n in 0..count {
                let (broker, me, topic) =
                    (node.broker.clone(), node.me.clone(), topics[n / OF_A_TOPIC].clone());
                let (queue, woken) = (QueueId((n % OF_A_TOPIC) as u32), woken.clone());
                tokio::spawn(async move {
                    let mut offset = 0;
                    loop {
                        let request = PullRequest {
                            topic: &topic,
                            queue,
                            offset,
                            max: 10,
                            max_bytes: 1 << 20,
                            filter: &Filter::All,
                            group: None,
                            wait: Duration::from_secs(60),
                        };
                        let Ok(pulled) = broker.pull(&me, &request).await else { return };
                        offset = pulled.next;
                        if !pulled.messages.is_empty() && woken.send(n).is_err() {
                            return;
                        }
                    }
                });
            }
            // All of them have begun to wait.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let memory = (allocations::live() - before) as f64;
            let message = message(100);
            let mut best = Duration::MAX;
            for wake in 0..WAKES {
                let n = wake.wrapping_mul(7919) % count;
                let began = Instant::now();
                node.send(&topics[n / OF_A_TOPIC], (n % OF_A_TOPIC) as u32, message.clone());
                node.log.commit();
                assert_eq!(seen.recv().await, Some(n), "another one was woken");
                best = best.min(began.elapsed());
            }
            drop(seen);
            [best.as_nanos() as f64, memory]
        })
    });
    let growth = |what, at, limit, most_each| Growth {
        what,
        against: "readers that wait",
        points: column(&found, at),
        limit: Some(limit),
        most_each,
    };
    vec![
        growth("ns of a send, its sync and one wake-up", 0, UNCHANGED, None),
        growth("bytes of memory of waiting readers", 1, IN_PROPORTION, None),
    ]
}
