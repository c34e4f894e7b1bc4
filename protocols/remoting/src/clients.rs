//! The clients that are connected now, found by their id, and questions to them.
//!
//! The one idea to know: a client is known through its heartbeats, as long as its connection lives. Nothing of it is
//! stored. A question is a request like those of clients, the other way round; its answer is awaited for a while.

use crate::codec::{Frame, Head};
use crate::response::Value;
use crate::response::request_to_client;
use crate::session::Link;
use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::Mutex;
use sluice_model::{GroupName, Millis};
use sluice_net::Outbox;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;

/// How long a client may take to answer: what stock brokers wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Questions that one client has not answered yet. Tools ask one at a time; more is a client that hangs.
const MAX_QUESTIONS: usize = 64;

/// What a heartbeat says about a client.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) client_id: ByteString,
    pub(crate) peer: SocketAddr,
    pub(crate) language: u8,
    pub(crate) version: i32,
    /// The groups it sends messages as.
    pub(crate) producers: Vec<GroupName>,
    /// When it was last heard of.
    pub(crate) seen: Millis,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    link: Weak<Link>,
}

/// Every client that has sent a heartbeat, by its id and its connection's number: one that has just reconnected is
/// there twice for a moment.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    entries: Mutex<BTreeMap<(ByteString, u64), Entry>>,
    next: AtomicU64,
}

/// A client's place in the list; dropping it takes the client out.
#[derive(Debug)]
pub(crate) struct Place {
    clients: Arc<Clients>,
    key: (ByteString, u64),
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.entries.lock().remove(&self.key);
    }
}

impl Clients {
    /// Takes a client in, or hears of it again. `place` is the one it has, if any.
    pub(crate) fn heard(self: &Arc<Self>, place: &mut Option<Place>, link: &Arc<Link>, known: Known) {
        if place.as_ref().is_none_or(|place| place.key.0 != known.client_id) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            *place = Some(Place { clients: Arc::clone(self), key: (known.client_id.clone(), number) });
        }
        if let Some(place) = place {
            let entry = Entry { known, link: Arc::downgrade(link) };
            self.entries.lock().insert(place.key.clone(), entry);
        }
    }

    /// The client is no longer a producer of this group.
    pub(crate) fn no_producer(&self, place: &Place, group: &str) {
        if let Some(entry) = self.entries.lock().get_mut(&place.key) {
            entry.known.producers.retain(|known| known.as_str() != group);
        }
    }

    /// The newest connection of the client with this id.
    pub(crate) fn find(&self, client_id: &str) -> Option<Arc<Link>> {
        let mut links: Vec<Arc<Link>> = {
            let entries = self.entries.lock();
            let from = (ByteString::from(client_id), 0);
            let of_client = entries.range(from..).take_while(|((id, _), _)| *id == client_id);
            of_client.filter_map(|(_, entry)| entry.link.upgrade()).collect()
        };
        // Not under the lock: the last hold of a link gives its place back.
        links.pop()
    }

    /// The clients that send as this group, or as any.
    pub(crate) fn producers(&self, group: Option<&GroupName>) -> Vec<Known> {
        let entries = self.entries.lock();
        let known = entries.values().map(|entry| &entry.known);
        let wanted = known.filter(|known| match group {
            Some(group) => known.producers.contains(group),
            None => !known.producers.is_empty(),
        });
        wanted.cloned().collect()
    }
}

/// Why there is no answer.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    #[error("the client is not connected")]
    NotConnected,
    #[error("the client has {MAX_QUESTIONS} questions that it has not answered")]
    Busy,
    #[error("the client did not answer within {} s", PATIENCE.as_secs())]
    TimedOut,
}

/// The questions of one connection that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Questions(Mutex<HashMap<i32, oneshot::Sender<Frame>>>);

impl Questions {
    /// Asks the client, and gives its answer, whatever that says.
    pub(crate) async fn ask(
        &self,
        out: &Outbox,
        code: i32,
        ext: &[(&str, Value)],
        body: Vec<Bytes>,
    ) -> Result<Frame, NoAnswer> {
        let (opaque, request) = request_to_client(code, 0, ext, body);
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = self.0.lock();
            if waiting.len() >= MAX_QUESTIONS {
                return Err(NoAnswer::Busy);
            }
            waiting.insert(opaque, sender);
        }
        let _forget = Forget { questions: self, opaque };
        let asked = async {
            out.send(request).await.map_err(|_| NoAnswer::NotConnected)?;
            answer.await.map_err(|_| NoAnswer::NotConnected)
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(NoAnswer::TimedOut))
    }

    /// Takes a client's answer; false when nobody waits for it.
    pub(crate) fn answered(&self, frame: Frame) -> bool {
        let Head { opaque, .. } = frame.head;
        self.0.lock().remove(&opaque).is_some_and(|waiting| waiting.send(frame).is_ok())
    }

    /// Nobody will answer any more.
    pub(crate) fn end(&self) {
        self.0.lock().clear();
    }
}

/// Takes a question back when whoever asked waits no longer.
struct Forget<'a> {
    questions: &'a Questions,
    opaque: i32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.questions.0.lock().remove(&self.opaque);
    }
}
