//! What the network knows of its connections, told to the broker, which knows no network.

use std::sync::Arc;
use std::time::Instant;

use sluice_broker::{ConnectionList, ConnectionView};
use sluice_model::Millis;
use sluice_net::{OpenConnection, OpenConnections};

/// The list as the broker asks for it.
struct Listed {
    open: OpenConnections,
    /// The same moment by two clocks: the network's knows no dates, and the other one may be set meanwhile, which must not
    /// give a connection another beginning.
    started: (Instant, Millis),
}

pub(crate) fn list(open: OpenConnections, now: Millis) -> Arc<dyn ConnectionList> {
    Arc::new(Listed { open, started: (Instant::now(), now) })
}

impl Listed {
    fn view(&self, open: OpenConnection) -> ConnectionView {
        let (instant, at) = self.started;
        ConnectionView {
            number: open.number,
            peer: open.peer,
            listener: open.listener,
            protocol: open.spoken.map(|spoken| spoken.protocol),
            tls: open.spoken.map(|spoken| spoken.tls),
            since: at + open.opened.saturating_duration_since(instant).as_millis() as Millis,
            user: None,
        }
    }
}

impl ConnectionList for Listed {
    fn after(&self, number: u64, limit: usize) -> Vec<ConnectionView> {
        self.open.after(number, limit).into_iter().map(|open| self.view(open)).collect()
    }

    fn close(&self, number: u64) -> bool {
        self.open.close(number)
    }
}
