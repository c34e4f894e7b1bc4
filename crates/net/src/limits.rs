//! How many connections there may be, in all and from one address; and which ones there are.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use metrics::Gauge;
use parking_lot::Mutex;

use crate::Drain;
use crate::open_connections::{OpenConnection, Spoken};

/// Counts connections; what is over a limit is refused.
pub(crate) struct Limits {
    max_total: usize,
    max_per_ip: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    per_ip: HashMap<IpAddr, usize>,
    /// By number, each with what ends it.
    open: BTreeMap<u64, (OpenConnection, Drain)>,
    last: u64,
}

/// Which limit was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Total,
    PerIp,
}

impl Refused {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Total => "max_connections",
            Self::PerIp => "max_connections_per_ip",
        }
    }
}

/// A place under the limits, given back when dropped.
pub(crate) struct Admission {
    limits: Arc<Limits>,
    ip: IpAddr,
    number: u64,
    drain: Drain,
    open: Gauge,
}

impl Limits {
    pub(crate) fn new(max_total: usize, max_per_ip: usize) -> Arc<Self> {
        Arc::new(Self { max_total, max_per_ip, counts: Mutex::default() })
    }

    /// Takes a place for a connection from `peer`, which ends with `all`; `open` counts it while it lasts.
    pub(crate) fn admit(
        self: &Arc<Self>,
        peer: SocketAddr,
        listener: &'static str,
        all: &Drain,
        open: Gauge,
    ) -> Result<Admission, Refused> {
        let ip = peer.ip().to_canonical(); // an IPv4 client of an IPv6 socket is the same client
        let mut counts = self.counts.lock();
        if counts.open.len() >= self.max_total {
            return Err(Refused::Total);
        }
        let from_ip = counts.per_ip.entry(ip).or_default();
        if *from_ip >= self.max_per_ip {
            if *from_ip == 0 {
                counts.per_ip.remove(&ip);
            }
            return Err(Refused::PerIp);
        }
        *from_ip += 1;
        counts.last += 1;
        let number = counts.last;
        let entry = OpenConnection { number, peer, listener, opened: Instant::now(), spoken: None };
        let drain = all.child();
        counts.open.insert(number, (entry, drain.clone()));
        drop(counts);
        open.increment(1.0);
        Ok(Admission { limits: Arc::clone(self), ip, number, drain, open })
    }

    pub(crate) fn open_after(&self, number: u64, limit: usize) -> Vec<OpenConnection> {
        let counts = self.counts.lock();
        let later = counts.open.range((Bound::Excluded(number), Bound::Unbounded));
        later.take(limit).map(|(_, (open, _))| open.clone()).collect()
    }

    pub(crate) fn close(&self, number: u64) -> bool {
        // Those who wait for the signal are woken without the lock.
        let drain = self.counts.lock().open.get(&number).map(|(_, drain)| drain.clone());
        drain.inspect(Drain::start).is_some()
    }
}

impl Admission {
    /// The connection's number in the list of those that are open.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Tells this connection to finish.
    pub(crate) fn drain(&self) -> &Drain {
        &self.drain
    }

    /// It is known what the connection speaks.
    pub(crate) fn speaks(&self, spoken: Spoken) {
        if let Some((open, _)) = self.limits.counts.lock().open.get_mut(&self.number) {
            open.spoken = Some(spoken);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.limits.counts.lock();
        counts.open.remove(&self.number);
        if let Some(from_ip) = counts.per_ip.get_mut(&self.ip) {
            *from_ip -= 1;
            if *from_ip == 0 {
                counts.per_ip.remove(&self.ip);
            }
        }
        drop(counts);
        self.open.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use metrics::Gauge;

    use super::{Limits, Refused};
    use crate::Drain;
    use crate::open_connections::{OpenConnections, Spoken};

    #[test]
    fn a_place_is_given_back() {
        let limits = Limits::new(2, 1);
        let admit = |n| limits.admit(from(n), "test", &Drain::new(), Gauge::noop());
        let first = admit(1).ok().unwrap();
        assert_eq!(admit(1).err(), Some(Refused::PerIp));
        let second = admit(2).ok().unwrap();
        assert_eq!(admit(3).err(), Some(Refused::Total));
        drop(first);
        assert!(admit(1).is_ok());
        drop(second);
        assert!(limits.counts.lock().per_ip.is_empty());
    }

    #[test]
    fn what_is_open_is_listed_by_numbers_that_never_come_again() {
        let limits = Limits::new(9, 9);
        let list = OpenConnections(limits.clone());
        let numbers =
            |after, limit| list.after(after, limit).iter().map(|open| open.number).collect::<Vec<_>>();
        assert_eq!(numbers(0, 9), []);
        let admit = |n| limits.admit(from(n), "test", &Drain::new(), Gauge::noop()).ok().unwrap();
        let mut admitted: Vec<_> = (1..=3).map(admit).collect();
        assert_eq!((numbers(0, 2), numbers(2, 2), numbers(3, 2)), (vec![1, 2], vec![3], vec![]));
        drop(admitted.remove(1));
        assert_eq!(numbers(0, 9), [1, 3]);
        admitted.push(admit(2));
        assert_eq!(numbers(0, 9), [1, 3, 4]);
        let spoken = Spoken { protocol: "stomp", tls: true };
        admitted[1].speaks(spoken);
        let shown = list.after(1, 2);
        assert_eq!((shown[0].peer, shown[0].listener, shown[0].spoken), (from(3), "test", Some(spoken)));
        assert_eq!(shown[1].spoken, None, "it has said nothing yet");
        drop(admitted);
        assert_eq!(numbers(0, 9), []);
    }

    #[test]
    fn one_connection_ends_alone_and_all_end_together() {
        let (limits, all) = (Limits::new(9, 9), Drain::new());
        let list = OpenConnections(limits.clone());
        let admit = |n| limits.admit(from(n), "test", &all, Gauge::noop()).ok().unwrap();
        let (first, second) = (admit(1), admit(2));
        assert!(list.close(second.number()));
        assert!(second.drain().is_draining() && !first.drain().is_draining());
        let gone = second.number();
        drop(second);
        assert!(!list.close(gone), "its number is nobody's any more");
        all.start();
        assert!(first.drain().is_draining());
    }

    fn from(n: u8) -> SocketAddr {
        (Ipv4Addr::new(10, 0, 0, n), 5_000).into()
    }
}
