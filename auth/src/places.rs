//! How many connections and requests at once someone has: places that are taken, and given back when dropped.
//!
//! Connections are always counted, so that a limit set later knows those that are there; requests only while somebody
//! has a limit, for they are many.

use crate::quota::{Limit, OverQuota, Quota};
use parking_lot::Mutex;
use sluice_model::{Error, ErrorKind, Millis, Result};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// When to try again for a place: nobody knows when another one ends.
const RETRY_AFTER: Millis = 1_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Connections,
    Requests,
}

impl What {
    fn limit(self, quota: Quota) -> Option<u32> {
        match self {
            Self::Connections => quota.connections,
            Self::Requests => quota.in_flight,
        }
    }

    fn reached(self, limit: u32) -> Limit {
        match self {
            Self::Connections => Limit::Connections(limit),
            Self::Requests => Limit::InFlight(limit),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Connections { "connections" } else { "requests" })
    }
}

/// Everybody's places.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<HashMap<(What, String), u32>>);

/// Some places; dropping it gives them back.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    what: What,
    whose: Vec<String>,
}

impl Places {
    /// A place for each of these, or none at all.
    ///
    /// # Errors
    /// `Throttled` with an [`OverQuota`], naming whose limit it is.
    pub(crate) fn take<W: fmt::Display>(
        self: &Arc<Self>,
        what: What,
        whose: impl Iterator<Item = (W, Quota)>,
    ) -> Result<Place> {
        let mut counts = self.0.lock();
        let mut names = Vec::new();
        for (name, quota) in whose {
            let key = (what, name.to_string());
            let taken = counts.get(&key).copied().unwrap_or(0);
            if let Some(limit) = what.limit(quota).filter(|limit| taken >= *limit) {
                return Err(over(&name, what, limit));
            }
            names.push(key.1);
        }
        for name in &names {
            *counts.entry((what, name.clone())).or_default() += 1;
        }
        Ok(Place { places: Arc::clone(self), what, whose: names })
    }
}

/// What to say to whoever comes too late.
pub(crate) fn over(whose: &dyn fmt::Display, what: What, limit: u32) -> Error {
    let message = format!("{whose} is over its quota of {limit} {what} at once; try again later");
    let over = OverQuota { limit: what.reached(limit), retry_after: RETRY_AFTER };
    Error::new(ErrorKind::Throttled, message).with_source(over)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.0.lock();
        for name in self.whose.drain(..) {
            let key = (self.what, name);
            match counts.get_mut(&key) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(counts.remove(&key)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_for_all_or_none_and_given_back() {
        let places = Arc::new(Places::default());
        let two = Quota { connections: Some(2), ..Quota::default() };
        let take = |names: &[&'static str]| {
            places.take(
                What::Connections,
                names.iter().map(|name| (*name, two)).collect::<Vec<_>>().into_iter(),
            )
        };
        let first = take(&["User:a", "Role:r"]).unwrap();
        let second = take(&["User:b", "Role:r"]).unwrap();
        let over = take(&["User:a", "Role:r"]).unwrap_err();
        assert_eq!(over.kind(), ErrorKind::Throttled);
        assert!(over.to_string().contains("Role:r is over its quota of 2 connections"), "{over}");
        let third = take(&["User:a"]).expect("what was refused took nothing");
        assert!(take(&["User:a"]).is_err());
        let unlimited = places.take(What::Requests, [("User:a", two)].into_iter()).unwrap();
        drop((first, second, third, unlimited));
        assert!(places.0.lock().is_empty());
    }
}
