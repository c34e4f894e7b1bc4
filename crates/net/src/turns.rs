//! Whose turn it is to shake hands.
//!
//! A handshake costs a millisecond of CPU and then waits for the client, so their number is bounded, in all and for one
//! address. The one idea to know: an address waits for its own places first, and takes one of the common places only
//! then; so one that begins handshakes and does not end them holds up nobody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The places for handshakes.
pub(crate) struct Turns {
    all: Semaphore,
    per_ip: usize,
    /// Addresses that shake hands or wait for it.
    by_ip: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// A place, given back when dropped.
pub(crate) struct Turn<'a> {
    _common: Option<SemaphorePermit<'a>>,
    _own: Option<OwnedSemaphorePermit>,
    _entry: Entry<'a>,
}

/// Keeps an address in the table while it is needed.
struct Entry<'a> {
    turns: &'a Turns,
    ip: IpAddr,
    own: Option<Arc<Semaphore>>,
}

impl Turns {
    pub(crate) fn new(all: usize, per_ip: usize) -> Self {
        let places = |n: usize| n.clamp(1, Semaphore::MAX_PERMITS);
        Self { all: Semaphore::new(places(all)), per_ip: places(per_ip), by_ip: Mutex::default() }
    }

    /// Waits for a place. Cancel-safe.
    pub(crate) async fn take(&self, ip: IpAddr) -> Turn<'_> {
        let ip = ip.to_canonical(); // an IPv4 client of an IPv6 socket is the same client
        let own = {
            let mut by_ip = self.by_ip.lock();
            Arc::clone(by_ip.entry(ip).or_insert_with(|| Arc::new(Semaphore::new(self.per_ip))))
        };
        let entry = Entry { turns: self, ip, own: Some(Arc::clone(&own)) };
        // Neither semaphore is ever closed, so neither wait fails.
        let own = own.acquire_owned().await.ok();
        let common = self.all.acquire().await.ok();
        Turn { _common: common, _own: own, _entry: entry }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut by_ip = self.turns.by_ip.lock();
        self.own = None;
        // The table's own is the last: nobody of this address waits or shakes hands.
        if by_ip.get(&self.ip).is_some_and(|own| Arc::strong_count(own) == 1) {
            by_ip.remove(&self.ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::Turns;

    fn ip(n: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))
    }

    #[test]
    fn one_address_leaves_places_for_others() {
        let turns = Turns::new(3, 2);
        let mut cx = Context::from_waker(Waker::noop());
        let mut now = |ip| match pin!(turns.take(ip)).poll(&mut cx) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        };
        let held = [now(ip(1)), now(ip(1))];
        assert!(held.iter().all(Option::is_some));
        assert!(now(ip(1)).is_none(), "the address has its share");
        let other = now(ip(2));
        assert!(other.is_some());
        assert!(now(ip(3)).is_none(), "all places are taken");
        drop(other);
        assert!(now(ip(3)).is_some());
        drop(held);
        assert!(turns.by_ip.lock().is_empty(), "nothing is kept of who is gone");
    }
}
