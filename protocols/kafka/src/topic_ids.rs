//! The ids of topics: what newer clients name a topic by.
//!
//! An id must outlive restarts and must not outlive its topic, or a client that reads on after a topic was deleted and
//! made again would read another topic's messages at its old offsets. The one idea to know: an id is a hash of the
//! topic's name and the moment it was made, so every topic of every wire has one and nothing is stored; the way back is
//! a table that is filled on use.

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use sluice_auth::Session;
use sluice_broker::{Broker, TopicView};
use sluice_model::{Millis, TopicName};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// An unknown id makes us look at all topics, so not more often than this.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Ids of deleted topics stay in the table; beyond so many it starts anew.
const MAX_KNOWN: usize = 200_000;
/// Topics asked for at once.
const PAGE: usize = 1_000;

/// The table.
#[derive(Default)]
pub(crate) struct TopicIds(Mutex<Known>);

#[derive(Default)]
struct Known {
    names: HashMap<Uuid, TopicName, RandomState>,
    looked: Option<Instant>,
}

/// A topic's id, from its name and when it was made.
pub(crate) fn id_of(name: &TopicName, created: Millis) -> Uuid {
    let hash = Sha256::new().chain_update(name.as_str()).chain_update(created.to_be_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl TopicIds {
    /// The id of a topic, remembered for the way back.
    pub fn id(&self, topic: &TopicView) -> Uuid {
        let id = id_of(&topic.name, topic.created);
        let mut known = self.0.lock();
        if known.names.len() >= MAX_KNOWN {
            known.names.clear();
        }
        known.names.entry(id).or_insert_with(|| topic.name.clone());
        id
    }

    /// The topic with this id, if there is one that the session may see.
    pub fn topic(&self, broker: &Broker, session: &Session, id: Uuid) -> Option<TopicName> {
        let is_still = |name: &TopicName| {
            broker.topic(session, name).is_ok_and(|topic| id_of(&topic.name, topic.created) == id)
        };
        let name = self.0.lock().names.get(&id).cloned();
        if let Some(name) = name {
            return is_still(&name).then_some(name);
        }
        if !self.may_look() {
            return None;
        }
        let mut after: Option<TopicName> = None;
        loop {
            let page = broker.topics(session, after.as_ref().map(TopicName::as_str), PAGE).ok()?;
            let found = page.iter().find(|topic| self.id(topic) == id).map(|topic| topic.name.clone());
            if found.is_some() || page.len() < PAGE {
                return found;
            }
            after = page.last().map(|topic| topic.name.clone());
        }
    }

    fn may_look(&self) -> bool {
        let mut known = self.0.lock();
        let now = Instant::now();
        let may = known.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_AGAIN);
        if may {
            known.looked = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_made_again_has_another_id() {
        let name = TopicName::new("orders").unwrap();
        assert_eq!(id_of(&name, 7), id_of(&name, 7));
        assert_ne!(id_of(&name, 7), id_of(&name, 8));
        assert_ne!(id_of(&name, 7), id_of(&TopicName::new("orders2").unwrap(), 7));
        assert!(!id_of(&name, 7).is_nil());
    }
}
