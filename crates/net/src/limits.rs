//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use metrics::Gauge;
use parking_lot::Mutex;

/// Counts connections; what is over a limit is refused.
pub(crate) struct Limits {
    max_total: usize,
    max_per_ip: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    per_ip: HashMap<IpAddr, usize>,
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
    open: Gauge,
}

impl Limits {
    pub(crate) fn new(max_total: usize, max_per_ip: usize) -> Arc<Self> {
        Arc::new(Self { max_total, max_per_ip, counts: Mutex::default() })
    }

    /// Takes a place for a connection from `ip`; `open` counts it while it lasts.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr, open: Gauge) -> Result<Admission, Refused> {
        let ip = ip.to_canonical(); // an IPv4 client of an IPv6 socket is the same client
        let mut counts = self.counts.lock();
        if counts.total >= self.max_total {
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
        counts.total += 1;
        drop(counts);
        open.increment(1.0);
        Ok(Admission { limits: Arc::clone(self), ip, open })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.limits.counts.lock();
        counts.total -= 1;
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
    use std::net::{IpAddr, Ipv4Addr};

    use metrics::Gauge;

    use super::{Limits, Refused};

    #[test]
    fn a_place_is_given_back() {
        let limits = Limits::new(2, 1);
        let ip = |n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        let first = limits.admit(ip(1), Gauge::noop()).ok().unwrap();
        assert_eq!(limits.admit(ip(1), Gauge::noop()).err(), Some(Refused::PerIp));
        let second = limits.admit(ip(2), Gauge::noop()).ok().unwrap();
        assert_eq!(limits.admit(ip(3), Gauge::noop()).err(), Some(Refused::Total));
        drop(first);
        assert!(limits.admit(ip(1), Gauge::noop()).is_ok());
        drop(second);
        assert!(limits.counts.lock().per_ip.is_empty());
    }
}
