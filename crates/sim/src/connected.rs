//! Open connections: the network's list, as the simulation keeps it, and what the broker tells of it.

use crate::node::{Check, Node};
use crate::tally;
use parking_lot::Mutex;
use sluice_broker::{Broker, ConnectionList, ConnectionView};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Open at once, at most.
const OPEN: u64 = 5;
/// So many come or go in one step.
const AT_ONCE: usize = 6;
/// From here on are those that act for somebody.
const OWN: u64 = 100;

/// The numbers of those that are open.
#[derive(Default)]
pub struct Connections(Mutex<BTreeSet<u64>>);

impl Connections {
    /// None, and the broker knows where to look.
    pub fn of(broker: &Broker) -> Arc<Self> {
        let connections = Arc::new(Self::default());
        broker.set_connections(Arc::clone(&connections) as _);
        connections
    }

    /// Opens one that will act for somebody.
    pub fn open_own(&self) -> u64 {
        let mut open = self.0.lock();
        let number = open.last().map_or(OWN, |last| OWN.max(last + 1));
        open.insert(number);
        number
    }

    pub fn close_own(&self, number: u64) {
        self.0.lock().remove(&number);
    }
}

impl ConnectionList for Connections {
    fn after(&self, number: u64, limit: usize) -> Vec<ConnectionView> {
        let view = |number: &u64| ConnectionView {
            number: *number,
            peer: ([127, 0, 0, 1], 1).into(),
            listener: "tcp",
            protocol: None,
            tls: Some(false),
            since: 0,
            user: None,
        };
        self.0.lock().range(number + 1..).take(limit).map(view).collect()
    }

    fn close(&self, number: u64) -> bool {
        self.0.lock().remove(&number)
    }
}

impl Node {
    /// Connections come and go.
    pub fn some_connections(&mut self) -> Check {
        (0..AT_ONCE).try_for_each(|_| self.some_connection())
    }

    /// A connection is opened or closed on request; then some are listed, with whom they act for.
    fn some_connection(&mut self) -> Check {
        let number = 1 + self.dice.below(2 * OPEN);
        let was_open = self.connections.0.lock().contains(&number);
        if self.dice.coin() {
            self.connections.0.lock().insert(number);
        } else {
            let closed = self.broker.close_connection(&self.me, number);
            let closed = closed.map_err(|error| format!("connection {number} is not closed: {error:?}"))?;
            if closed != was_open || self.connections.0.lock().contains(&number) {
                return Err(format!("connection {number} was open: {was_open}, and is closed: {closed}"));
            }
        }
        let (after, limit) = (self.dice.below(OPEN), self.dice.below(2 * OPEN) as usize);
        let listed = self.broker.connections(&self.me, after, limit);
        let listed = listed.map_err(|error| format!("no connections: {error:?}"))?;
        let found: Vec<_> = listed.iter().map(|view| (view.number, view.user.as_deref())).collect();
        let open = self.connections.0.lock().clone();
        let open = open.into_iter().filter(|number| *number > after).take(limit);
        let user = |number| self.guests.iter().find(|guest| guest.number() == number);
        let wanted: Vec<_> =
            open.map(|number| (number, user(number).map(|guest| guest.user.as_str()))).collect();
        self.trace.note(format_args!("connections {found:?}"));
        let wrong =
            (found != wanted).then(|| format!("the connections after {after} are {found:?}, not {wanted:?}"));
        self.checked(tally::CONNECTIONS);
        wrong.map_or(Ok(()), Err)
    }
}
