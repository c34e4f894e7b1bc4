//! Who is connected: what the network knows of each connection, and whom it acts for.
//!
//! The one idea to know: the broker holds no connection. The network's list is asked through a trait when somebody wants
//! to see it; all that is kept here is the user of each connection's number, for as long as its
//! [`SessionWatch`](super::SessionWatch) follows that user's session.

use super::Broker;
use bytestring::ByteString;
use parking_lot::Mutex;
use sluice_auth::{Action, Session};
use sluice_model::{Error, ErrorKind, Millis, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// An open connection.
#[derive(Debug, Clone)]
pub struct ConnectionView {
    /// No other connection of this process has it, before or after.
    pub number: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// Where it came in.
    pub listener: &'static str,
    /// What it speaks; `None` while it has not said enough.
    pub protocol: Option<&'static str>,
    /// Whether it is encrypted; `None` while it has not said enough.
    pub tls: Option<bool>,
    /// When it was accepted.
    pub since: Millis,
    /// Whom it acts for; `None` for nobody, and for several. The list leaves it to the broker.
    pub user: Option<ByteString>,
}

/// Whoever has the connections.
pub trait ConnectionList: Send + Sync {
    /// So many of those that are open, in the order of their numbers, from the first one after `number`.
    fn after(&self, number: u64, limit: usize) -> Vec<ConnectionView>;

    /// Ends the open connection with this number, in its wire's words where it has some; false when there is none.
    fn close(&self, number: u64) -> bool;
}

impl Broker {
    /// Tells where the connections are listed; the first one told stays.
    pub fn set_connections(&self, list: Arc<dyn ConnectionList>) {
        // Set by whoever starts the process, before there is anybody to ask for a permit.
        let _ = self.0.by_itself().connections.list.set(list);
    }

    /// The open connections in the order in which they came, from the first one after `after` (0: from the first).
    /// Permit: Get on the cluster.
    ///
    /// # Errors
    /// `Unsupported` when nobody has told where they are listed.
    pub fn connections(&self, session: &Session, after: u64, limit: usize) -> Result<Vec<ConnectionView>> {
        let permit = self.0.cluster(session, &[Action::Get])?;
        let known = &self.0.under(&permit).connections;
        let mut open = known.list()?.after(after, limit);
        let users = known.users.0.lock();
        for connection in &mut open {
            connection.user = users.names.get(&connection.number).map(|(_, user)| user.clone());
        }
        Ok(open)
    }

    /// Ends an open connection; false when there is none with this number. Permit: Update on the cluster.
    ///
    /// # Errors
    /// `Unsupported` when nobody has told where they are listed.
    pub fn close_connection(&self, session: &Session, number: u64) -> Result<bool> {
        let permit = self.0.cluster(session, &[Action::Update])?;
        let closed = self.0.under(&permit).connections.list()?.close(number);
        if closed {
            tracing::info!(number, by = %session.principal(), "connection closed on request");
        }
        Ok(closed)
    }
}

/// The broker's part of the list.
#[derive(Default)]
pub(super) struct Connections {
    list: OnceLock<Arc<dyn ConnectionList>>,
    pub(super) users: Arc<Users>,
}

impl Connections {
    fn list(&self) -> Result<&dyn ConnectionList> {
        let list = self.list.get().map(|list| &**list);
        list.ok_or_else(|| Error::new(ErrorKind::Unsupported, "nothing here accepts connections"))
    }
}

/// Whom connections act for, by number: at most one entry for each that is open.
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    /// Which naming it was, and the user's name.
    names: HashMap<u64, (u64, ByteString)>,
    namings: u64,
}

impl Users {
    /// The connection acts for this user as long as the answer is kept, or until it is named again.
    pub(super) fn name(self: &Arc<Self>, connection: u64, user: ByteString) -> Named {
        let mut names = self.0.lock();
        names.namings += 1;
        let naming = names.namings;
        names.names.insert(connection, (naming, user));
        Named { users: Arc::clone(self), connection, naming }
    }
}

/// A connection's user, taken away when dropped.
#[derive(Debug)]
pub(super) struct Named {
    users: Arc<Users>,
    connection: u64,
    naming: u64,
}

impl Drop for Named {
    fn drop(&mut self) {
        let mut names = self.users.0.lock();
        // A connection that went over to another wire may have been named by that one meanwhile.
        if names.names.get(&self.connection).is_some_and(|(naming, _)| *naming == self.naming) {
            names.names.remove(&self.connection);
        }
    }
}
