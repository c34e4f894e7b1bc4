//! How many requests wait for messages under lease, by group and topic: for tools that ask.

use parking_lot::Mutex;
use sluice_model::{GroupName, TopicName};
use std::collections::HashMap;
use std::sync::Arc;

type Counts = HashMap<(GroupName, TopicName), usize, foldhash::fast::RandomState>;

/// Those that wait. There are as many as requests in flight, which the connections' limits bound.
#[derive(Debug, Default, Clone)]
pub(crate) struct Waiting(Arc<Mutex<Counts>>);

/// One that waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Waits {
    all: Waiting,
    key: (GroupName, TopicName),
}

impl Waiting {
    pub(crate) fn enter(&self, group: &GroupName, topic: &TopicName) -> Waits {
        let key = (group.clone(), topic.clone());
        *self.0.lock().entry(key.clone()).or_default() += 1;
        Waits { all: self.clone(), key }
    }

    pub(crate) fn count(&self, group: &GroupName, topic: &TopicName) -> usize {
        self.0.lock().get(&(group.clone(), topic.clone())).copied().unwrap_or(0)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        if let Some(count) = all.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.key);
            }
        }
    }
}
