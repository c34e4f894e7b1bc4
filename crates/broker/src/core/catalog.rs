//! Which topics and groups there are, and which log queue each topic's queue is.

use crate::{GroupSpec, TopicSpec};
use sluice_model::{Error, ErrorKind, GroupName, Millis, Offset, QueueId, Result, TopicName};
use sluice_store::LogQueue;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the broker's own delayed messages wait. Topics' queues are numbered from [`FIRST_QUEUE`].
pub(crate) const TIMER_QUEUE: LogQueue = LogQueue(1);
/// Where half messages wait for the end of their transaction.
pub(crate) const HALF_QUEUE: LogQueue = LogQueue(2);
pub(crate) const FIRST_QUEUE: u32 = 16;

/// RocketMQ's permission bit for reading.
const PERM_READ: u8 = 4;

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) spec: TopicSpec,
    pub(crate) queues: Vec<LogQueue>,
    pub(crate) created: Millis,
    turn: AtomicU32,
}

impl Topic {
    /// The queue in the log, or nothing when there is no such queue.
    pub(crate) fn log_queue(&self, queue: QueueId) -> Option<LogQueue> {
        self.queues.get(queue.0 as usize).copied()
    }

    /// Refuses readers of a topic that may only be written to.
    pub(crate) fn check_readable(&self) -> Result<()> {
        if self.spec.perm & PERM_READ == 0 {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("topic {} may not be read", self.name),
            ));
        }
        Ok(())
    }

    /// The next queue in turn.
    pub(crate) fn next_in_turn(&self) -> QueueId {
        QueueId(self.turn.fetch_add(1, Ordering::Relaxed) % self.queues.len().max(1) as u32)
    }

    /// All queues with their numbers.
    pub(crate) fn each_queue(&self) -> impl Iterator<Item = (QueueId, LogQueue)> + '_ {
        self.queues.iter().enumerate().map(|(i, q)| (QueueId(i as u32), *q))
    }
}

/// A group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: GroupName,
    pub(crate) number: u32,
    pub(crate) spec: GroupSpec,
    pub(crate) created: Millis,
}

/// All topics and groups.
#[derive(Debug)]
pub(crate) struct Catalog {
    topics: BTreeMap<TopicName, Arc<Topic>>,
    queues: HashMap<LogQueue, (Arc<Topic>, QueueId), foldhash::fast::RandomState>,
    groups: BTreeMap<GroupName, Arc<Group>>,
    group_names: HashMap<u32, GroupName, foldhash::fast::RandomState>,
    next_queue: u32,
    next_group: u32,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            topics: BTreeMap::new(),
            queues: HashMap::default(),
            groups: BTreeMap::new(),
            group_names: HashMap::default(),
            next_queue: FIRST_QUEUE,
            next_group: 1,
        }
    }
}

impl Catalog {
    pub(crate) fn topic(&self, name: &TopicName) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub(crate) fn topics(&self) -> &BTreeMap<TopicName, Arc<Topic>> {
        &self.topics
    }

    /// The topic that a log queue belongs to.
    pub(crate) fn owner(&self, queue: LogQueue) -> Option<(&Arc<Topic>, QueueId)> {
        self.queues.get(&queue).map(|(topic, id)| (topic, *id))
    }

    pub(crate) fn group(&self, name: &GroupName) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    pub(crate) fn groups(&self) -> &BTreeMap<GroupName, Arc<Group>> {
        &self.groups
    }

    pub(crate) fn group_by_number(&self, number: u32) -> Option<&Arc<Group>> {
        self.groups.get(self.group_names.get(&number)?)
    }

    pub(crate) fn next_group_number(&self) -> u32 {
        self.next_group
    }

    /// Log queue numbers for a topic that has `have` and shall have `want`.
    pub(crate) fn numbers_for(&self, have: &[LogQueue], want: u32) -> Vec<u32> {
        let missing = want.saturating_sub(have.len() as u32);
        have.iter().map(|q| q.0).chain((0..missing).map(|i| self.next_queue + i)).collect()
    }

    pub(crate) fn put_topic(&mut self, name: TopicName, spec: TopicSpec, queues: &[u32], created: Millis) {
        let turn = AtomicU32::new(self.topics.get(&name).map_or(0, |t| t.turn.load(Ordering::Relaxed)));
        let queues: Vec<_> = queues.iter().map(|n| LogQueue(*n)).collect();
        self.next_queue = queues.iter().map(|q| q.0 + 1).fold(self.next_queue, u32::max);
        let topic = Arc::new(Topic { name: name.clone(), spec, queues, created, turn });
        for (id, queue) in topic.each_queue() {
            self.queues.insert(queue, (Arc::clone(&topic), id));
        }
        self.topics.insert(name, topic);
    }

    pub(crate) fn remove_topic(&mut self, name: &TopicName) -> Option<Arc<Topic>> {
        let topic = self.topics.remove(name)?;
        for queue in &topic.queues {
            self.queues.remove(queue);
        }
        Some(topic)
    }

    pub(crate) fn put_group(&mut self, name: GroupName, number: u32, spec: GroupSpec, created: Millis) {
        self.next_group = self.next_group.max(number + 1);
        self.group_names.insert(number, name.clone());
        self.groups.insert(name.clone(), Arc::new(Group { name, number, spec, created }));
    }

    pub(crate) fn remove_group(&mut self, name: &GroupName) -> Option<Arc<Group>> {
        let group = self.groups.remove(name)?;
        self.group_names.remove(&group.number);
        Some(group)
    }

    /// Numbers given so far, so that none is used twice after a restart from a checkpoint.
    pub(crate) fn counters(&self) -> (u32, u32) {
        (self.next_queue, self.next_group)
    }

    pub(crate) fn restore_counters(&mut self, (next_queue, next_group): (u32, u32)) {
        self.next_queue = self.next_queue.max(next_queue);
        self.next_group = self.next_group.max(next_group);
    }
}

/// The readable offsets of a topic's queues, as [`crate::TopicView`] shows them.
pub(crate) type QueueBounds = Vec<(Offset, Offset)>;
