//! One connection: requests in any order, each with its own identity, and notices to a client that joined groups.
//!
//! The one idea to know: the connection knows a client only through its heartbeats. They make the broker's
//! [`Client`], whose end (with the connection) leaves every group, and whose events become one-way requests of ours.

use crate::auth::Authenticator;
use crate::checks;
use crate::clients::{Known, NoAnswer, Place, Questions};
use crate::codec::{self, Frame};
use crate::codes::request;
use crate::handlers::{self, Answer, Call};
use crate::node::{Here, Node};
use crate::response::{Response, Value, one_way_request};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use sluice_auth::Session;
use sluice_broker::{Client, ClientEvent, SessionWatch, Subscription};
use sluice_model::{GroupName, TopicName};
use sluice_net::{Closing, Connection, Decoded, FramedHandler, Outbox, Outcome, Reply};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the requests of one connection share.
pub(crate) struct Link {
    pub(crate) peer: SocketAddr,
    /// Where this client reaches the broker.
    pub(crate) here: Here,
    client: Mutex<Option<Arc<Client>>>,
    /// What this very client wants, by group: it may differ from what others of the group want.
    wants: Mutex<HashMap<GroupName, Vec<Subscription>>>,
    /// Among the clients that are known by their id.
    place: Mutex<Option<Place>>,
    /// The way to a client that has sent a heartbeat.
    out: OnceLock<Outbox>,
    questions: Questions,
    closing: watch::Sender<bool>,
}

impl Link {
    pub(crate) fn new(peer: SocketAddr, here: Here) -> Self {
        Self {
            peer,
            here,
            client: Mutex::default(),
            wants: Mutex::default(),
            place: Mutex::default(),
            out: OnceLock::new(),
            questions: Questions::default(),
            closing: watch::Sender::new(false),
        }
    }

    /// The connection as the broker knows it, made at the first heartbeat.
    pub(crate) fn client(&self, node: &Node, session: &Session) -> Arc<Client> {
        let mut client = self.client.lock();
        Arc::clone(client.get_or_insert_with(|| Arc::new(node.broker.client(session))))
    }

    /// The same, if there was a heartbeat.
    pub(crate) fn known_client(&self) -> Option<Arc<Client>> {
        self.client.lock().clone()
    }

    /// A heartbeat has told who the client is.
    pub(crate) fn heard(self: &Arc<Self>, node: &Node, known: Known) {
        node.clients.heard(&mut self.place.lock(), self, known);
    }

    /// A heartbeat has told the groups that the client consumes in, and what it wants there; nothing said is as before.
    pub(crate) fn consumes(&self, groups: Vec<(GroupName, Option<Vec<Subscription>>)>) {
        let mut wants = self.wants.lock();
        let mut before = std::mem::take(&mut *wants);
        wants.extend(groups.into_iter().filter_map(|(group, told)| {
            let subscriptions = told.or_else(|| before.remove(&group))?;
            Some((group, subscriptions))
        }));
    }

    /// What this client wants from a topic as a member of a group, when it has told.
    pub(crate) fn wants(&self, group: &GroupName, topic: &TopicName) -> Option<Subscription> {
        self.wants.lock().get(group)?.iter().find(|s| s.topic == *topic).cloned()
    }

    /// The client is no longer a producer of this group.
    pub(crate) fn no_producer(&self, node: &Node, group: &str) {
        if let Some(place) = &*self.place.lock() {
            node.clients.no_producer(place, group);
        }
    }

    /// Asks the client something, and gives its answer, whatever that says.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn ask(
        &self,
        code: i32,
        ext: &[(&str, Value)],
        body: Vec<Bytes>,
    ) -> Result<Frame, NoAnswer> {
        let out = self.out.get().ok_or(NoAnswer::NotConnected)?;
        self.questions.ask(out, code, ext, body).await
    }

    /// No further request will be handled: long waits end, and the groups are left at once, so that nobody counts on a
    /// client that is going while its last requests are answered.
    pub(crate) fn end(&self, node: &Node) {
        self.closing.send_replace(true);
        self.client.lock().take();
        self.place.lock().take();
        self.questions.end();
        std::mem::take(&mut *self.wants.lock()).keys().for_each(|group| node.differing.left(group));
    }

    /// Resolves when no further request will be handled, and long waits should end.
    pub(crate) async fn closing(&self) {
        // An error means that the connection is gone.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

/// The handler of one connection.
pub(crate) struct RemotingSession {
    node: Arc<Node>,
    link: Arc<Link>,
    authenticator: Authenticator,
    /// Of the last request's session: the connection ends with it.
    watch: SessionWatch,
    max_frame: usize,
    /// Passes events on, once there is a client. Ends with the connection.
    events: JoinSet<()>,
}

impl RemotingSession {
    pub(crate) fn new(node: Arc<Node>, conn: &Connection) -> Self {
        let here = node.here(conn.into());
        Self {
            link: Arc::new(Link::new(conn.peer, here)),
            authenticator: Authenticator::new(conn.peer, conn.client_cert().map(|c| c.to_vec())),
            watch: SessionWatch::of(conn.number()),
            max_frame: node.config.connection.max_frame,
            events: JoinSet::new(),
            node,
        }
    }

    fn forward_events(&mut self, out: &Outbox) {
        if !self.events.is_empty() {
            return;
        }
        if let Some(client) = self.link.known_client() {
            let (node, host) = (Arc::clone(&self.node), self.link.here.host);
            self.events.spawn(forward(client, node, host, out.clone()));
        }
    }
}

/// Tells the client what the broker has to tell it.
async fn forward(client: Arc<Client>, node: Arc<Node>, host: SocketAddr, out: Outbox) {
    loop {
        let request = match client.event().await {
            ClientEvent::GroupChanged(group) => {
                let ext = [("consumerGroup", Value::Text(group.as_bytestring().clone()))];
                one_way_request(request::NOTIFY_CONSUMER_IDS_CHANGED, &ext)
            }
            ClientEvent::CheckTransaction(check) => checks::question(*check, &node, host),
        };
        if out.send(request).await.is_err() {
            return;
        }
    }
}

impl FramedHandler for RemotingSession {
    type Frame = Frame;

    fn decode(&mut self, buf: &mut BytesMut) -> Decoded<Frame> {
        match codec::decode(buf, self.max_frame) {
            Ok(Some(frame)) => Decoded::Frame(frame),
            Ok(None) => Decoded::Incomplete,
            Err(error) => {
                tracing::info!(peer = %self.link.peer, %error, "malformed frame, closing the connection");
                Decoded::Malformed(None)
            }
        }
    }

    fn handle(&mut self, frame: Frame, out: &Outbox) -> Outcome {
        if frame.head.is_response() {
            let opaque = frame.head.opaque;
            if !self.link.questions.answered(frame) {
                tracing::debug!(peer = %self.link.peer, opaque, "answer to nothing, or too late");
            }
            return Outcome::Nothing;
        }
        let (opaque, spelling, one_way) = (frame.head.opaque, frame.spelling, frame.head.is_one_way());
        let reply = move |response: Response| {
            if one_way { Reply::nothing() } else { Reply::new(response.encode(spelling, opaque)) }
        };
        let heartbeat = frame.head.code == request::HEART_BEAT;
        tracing::debug!(code = frame.head.code, opaque, one_way, bytes = frame.body.len(), "request");
        let session = match self.authenticator.prove(&self.node.broker, &frame) {
            Ok(session) => session,
            Err(failure) => return Outcome::Reply(reply(failure.into())),
        };
        if self.watch.is_news(&session) {
            let out = out.clone();
            if let Err(error) = self.watch.follow(&self.node.broker, &session, move || out.revoke()) {
                return Outcome::Reply(reply(crate::errors::Failure::from(error).into()));
            }
        }
        if heartbeat {
            self.link.out.get_or_init(|| out.clone());
        }
        let (node, link) = (Arc::clone(&self.node), Arc::clone(&self.link));
        let answer = handlers::dispatch(Call { node, link, session, frame });
        if heartbeat {
            self.forward_events(out);
        }
        match answer {
            Answer::Ready(response) => Outcome::Reply(reply(response)),
            Answer::Later(response) => Outcome::pending(async move { reply(response.await) }),
        }
    }

    fn closing(&mut self, _why: &Closing) {
        self.events.abort_all();
        self.link.end(&self.node);
    }
}
