//! Which connections consume in a group that limits how many do.
//!
//! A connection is known by its client's address, which no other open one has. It counts from the first time that it
//! consumes in the group until it leaves the group or ends; whoever consumed before there was a limit counts from the
//! next time. There are never more entries for a group than its limit allows.

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

#[derive(Debug, Default)]
pub(crate) struct Consumers(Mutex<HashMap<String, HashSet<SocketAddr>>>);

impl Consumers {
    /// False when the group has as many others already.
    pub(crate) fn enter(&self, group: &str, from: SocketAddr, limit: u32) -> bool {
        let mut groups = self.0.lock();
        let Some(known) = groups.get_mut(group) else {
            return limit > 0 && groups.entry(group.to_owned()).or_default().insert(from);
        };
        known.contains(&from) || (known.len() < limit as usize && known.insert(from))
    }

    /// The connection consumes in this group no longer.
    pub(crate) fn leave(&self, group: &str, from: SocketAddr) {
        let mut groups = self.0.lock();
        if let Some(known) = groups.get_mut(group) {
            known.remove(&from);
            if known.is_empty() {
                groups.remove(group);
            }
        }
    }

    /// The connection has ended.
    pub(crate) fn gone(&self, from: SocketAddr) {
        self.0.lock().retain(|_, known| {
            known.remove(&from);
            !known.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_limit_says_until_one_goes() {
        let consumers = Consumers::default();
        let from = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        assert!(consumers.enter("g", from(1), 2) && consumers.enter("g", from(2), 2));
        assert!(consumers.enter("g", from(1), 2), "it is there already");
        assert!(!consumers.enter("g", from(3), 2) && consumers.enter("other", from(3), 2));
        consumers.leave("g", from(1));
        assert!(consumers.enter("g", from(3), 2) && !consumers.enter("g", from(1), 2));
        consumers.gone(from(3));
        assert!(consumers.enter("g", from(1), 2));
        [1, 2].iter().for_each(|port| consumers.gone(from(*port)));
        assert!(consumers.0.lock().is_empty());
    }
}
