//! Failed logins slow down whoever fails: one source for one name, and one source for all names.
//!
//! Nothing is ever locked: other sources are not touched, so nobody can lock out a user by guessing at its name, and the
//! delays end by themselves. While a delay lasts, an attempt is refused unseen and does not count.
//!
//! | | free failures | then, doubling with each | forgotten after |
//! |---|---|---|---|
//! | one source, one name | 5 | 250 ms to 30 s | 5 min without one |
//! | one source, any name | 100 | 250 ms to 1 s | 5 min without one |
//!
//! What has no name, a token or a certificate, counts as the name itself: whoever shows a wrong one does not slow down those
//! beside it who show others.
//!
//! A source is an IPv4 address, or the /64 of an IPv6 address, which one machine has to itself. The second row is mild
//! because many clients may share an address. A change of users or policies forgives the first: it may be what the one
//! who failed was waiting for.

use parking_lot::Mutex;
use sluice_model::{Error, ErrorKind, Millis, Result};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

const FORGOTTEN: Millis = 300_000;
const FIRST_DELAY: Millis = 250;
const PER_NAME: Limit = Limit { free: 5, longest: 30_000 };
const PER_SOURCE: Limit = Limit { free: 100, longest: 1_000 };
/// About 1 MiB. Beyond it the oldest failures are forgiven early.
const MAX_ENTRIES: usize = 8192;

struct Limit {
    free: u32,
    longest: Millis,
}

/// A source, and the hash of a name; none for the source as a whole. The hash bounds the memory.
type Key = (IpAddr, Option<u64>);

#[derive(Default)]
pub(crate) struct Slowdown {
    table: Mutex<HashMap<Key, Failures>>,
    hasher: RandomState,
    /// False while the table is empty, so that logins pay nothing when all is well.
    any: AtomicBool,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Millis,
}

impl Failures {
    fn until(self, limit: &Limit) -> Millis {
        let Some(beyond) = self.count.checked_sub(limit.free + 1) else { return 0 };
        let delay = FIRST_DELAY.checked_shl(beyond.min(20)).unwrap_or(limit.longest);
        self.last.saturating_add(delay.min(limit.longest))
    }
}

impl Slowdown {
    /// # Errors
    /// `Throttled` while this source has to wait.
    pub(crate) fn check(&self, from: IpAddr, name: impl Hash, now: Millis) -> Result<()> {
        if !self.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let table = self.table.lock();
        let until = self.keys(from, name).map(|(key, limit)| {
            let failures = table.get(&key).filter(|failures| now.saturating_sub(failures.last) < FORGOTTEN);
            failures.map_or(0, |failures| failures.until(limit))
        });
        match until.into_iter().max().unwrap_or(0).saturating_sub(now) {
            0 => Ok(()),
            wait => {
                let message = format!("too many failed logins from this address; try again in {wait} ms");
                Err(Error::new(ErrorKind::Throttled, message))
            }
        }
    }

    pub(crate) fn failed(&self, from: IpAddr, name: impl Hash, now: Millis) {
        let mut table = self.table.lock();
        for (key, _) in self.keys(from, name) {
            if table.len() >= MAX_ENTRIES && !table.contains_key(&key) {
                make_room(&mut table, now);
            }
            let failures = table.entry(key).or_insert(Failures { count: 0, last: now });
            if now.saturating_sub(failures.last) >= FORGOTTEN {
                failures.count = 0;
            }
            *failures = Failures { count: failures.count.saturating_add(1), last: now };
        }
        self.any.store(true, Ordering::Relaxed);
    }

    /// Users have changed: names start anew.
    pub(crate) fn forgive_names(&self) {
        let mut table = self.table.lock();
        table.retain(|(_, name), _| name.is_none());
        self.any.store(!table.is_empty(), Ordering::Relaxed);
    }

    fn keys(&self, from: IpAddr, name: impl Hash) -> [(Key, &'static Limit); 2] {
        let source = match from.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
            ip => ip,
        };
        [((source, Some(self.hasher.hash_one(name))), &PER_NAME), ((source, None), &PER_SOURCE)]
    }
}

fn make_room(table: &mut HashMap<Key, Failures>, now: Millis) {
    table.retain(|_, failures| now.saturating_sub(failures.last) < FORGOTTEN);
    if table.len() >= MAX_ENTRIES {
        let mut times: Vec<Millis> = table.values().map(|failures| failures.last).collect();
        let at = times.len() / 8;
        let (_, oldest_kept, _) = times.select_nth_unstable(at);
        let oldest_kept = *oldest_kept;
        table.retain(|_, failures| failures.last > oldest_kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "10.0.0.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn free(slow: &Slowdown, from: &str, name: &str, now: Millis) -> bool {
        slow.check(ip(from), name, now).is_ok()
    }

    #[test]
    fn delays_double_and_end_by_themselves() {
        let slow = Slowdown::default();
        let mut now = 1_000_000;
        for _ in 0..5 {
            assert!(free(&slow, A, "alice", now));
            slow.failed(ip(A), "alice", now);
        }
        for delay in [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            assert!(free(&slow, A, "alice", now));
            slow.failed(ip(A), "alice", now);
            assert!(!free(&slow, A, "alice", now + delay - 1), "{delay}");
            now += delay;
        }
        assert!(free(&slow, A, "alice", now));
        slow.failed(ip(A), "alice", now);
        now += FORGOTTEN;
        slow.failed(ip(A), "alice", now);
        assert!(free(&slow, A, "alice", now), "what was long ago does not count");
    }

    #[test]
    fn other_sources_and_other_names_are_not_touched() {
        let slow = Slowdown::default();
        (0..20).for_each(|_| slow.failed(ip(A), "alice", 0));
        assert!(
            !free(&slow, A, "alice", 1) && free(&slow, A, "bob", 1) && free(&slow, "10.0.0.2", "alice", 1)
        );
        let wait = slow.check(ip("::ffff:10.0.0.1"), "alice", 1).unwrap_err();
        assert_eq!(wait.kind(), ErrorKind::Throttled);
        slow.forgive_names();
        assert!(free(&slow, A, "alice", 1));

        (0..200).for_each(|n| slow.failed(ip("2001:db8::1"), format!("user{n}"), 0));
        assert!(!free(&slow, "2001:db8::2", "anyone", 999) && free(&slow, "2001:db8::2", "anyone", 1000));
        assert!(free(&slow, "2001:db8:0:1::1", "anyone", 1));
        slow.forgive_names();
        assert!(!free(&slow, "2001:db8::1", "anyone", 1), "a source that tried many names is not forgiven");
    }

    #[test]
    fn the_table_is_bounded() {
        let slow = Slowdown::default();
        for n in 0..3 * MAX_ENTRIES as u64 {
            slow.failed(ip(A), n.to_string(), n);
        }
        let table = slow.table.lock();
        assert!(table.len() <= MAX_ENTRIES && table.len() > MAX_ENTRIES / 2);
    }
}
