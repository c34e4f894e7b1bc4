//! Which topic each queue of a log belongs to, for those who look at a store while no broker runs.

use crate::core::catalog::{FIRST_QUEUE, HALF_QUEUE, TIMER_QUEUE};
use crate::core::record::Record;
use crate::core::state::Core;
use std::collections::BTreeMap;

/// The names of queues, learnt from checkpoints and records in the order in which they were written.
#[derive(Debug, Default)]
pub struct QueueNames(BTreeMap<u32, String>);

impl QueueNames {
    /// Learns from a checkpoint. One that cannot be read teaches nothing.
    pub fn checkpoint(&mut self, state: &[u8]) {
        let Ok((core, _)) = Core::load(state) else { return };
        for topic in core.catalog.topics().values() {
            for (queue, log) in topic.each_queue() {
                self.0.insert(log.0, format!("topic {}, queue {queue}", topic.name));
            }
        }
    }

    /// Learns from a record. What is gone keeps its name here.
    pub fn record(&mut self, bytes: &[u8]) {
        if let Ok(Record::Topic { name, queues, .. }) = Record::decode(bytes) {
            for (queue, log) in queues.iter().enumerate() {
                self.0.insert(*log, format!("topic {name}, queue {queue}"));
            }
        }
    }

    /// What a queue is called.
    pub fn name(&self, queue: u32) -> String {
        match self.0.get(&queue) {
            Some(name) => name.clone(),
            None => own_name(queue),
        }
    }
}

/// What a queue is called that is no topic's, or not any more.
pub(crate) fn own_name(queue: u32) -> String {
    match queue {
        _ if queue == TIMER_QUEUE.0 => "delayed messages".to_owned(),
        _ if queue == HALF_QUEUE.0 => "messages of open transactions".to_owned(),
        _ if queue < FIRST_QUEUE => format!("the broker's own queue {queue}"),
        _ => format!("log queue {queue} of an unknown topic"),
    }
}
