//! SEND: one message, stored at once or kept for COMMIT.

use super::mail;
use crate::client::{Client, required};
use crate::convert;
use crate::destination::{Destination, Role};
use crate::errors::Failure;
use crate::frame::Frame;
use crate::mail::Address;
use bytestring::ByteString;
use sluice_auth::Session;
use sluice_broker::{
    Broker, ContentHasher, OnceKey, OnceRequest, OnceSent, Promise, QueueChoice, SendRequest, Sent,
};
use sluice_model::{Error, ErrorKind};
use sluice_net::Outcome;
use std::time::Duration;
use tokio::time::Instant;

/// By which Artemis's clients call a message that they may send again.
const DUPLICATE: &str = "_AMQ_DUPL_ID";
/// Between attempts while the broker is too busy.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn send(client: &mut Client, mut frame: Frame) -> Result<Outcome, Failure> {
    let text = required(&frame, "destination")?;
    if let Some(address) = Address::parse(text) {
        return mail::send(client, frame, address?);
    }
    let destination = client.destination(text)?;
    destination.refuse_unwritable()?;
    destination.refuse_wildcards()?;
    mail::rewrite_reply_to(client, &mut frame)?;
    let receipt = frame.get("receipt").cloned();
    let transaction = frame.get("transaction").cloned();
    let once = frame.get(DUPLICATE).cloned();
    let broker = client.wire.broker.clone();
    let request = SendRequest {
        create: create(client, &destination),
        topic: destination.topic,
        messages: vec![convert::message(frame, &client.session, broker.now())?],
        queue: QueueChoice::Any,
        durability: None,
    };
    if let Some(id) = transaction {
        client.transactions.check(&id)?;
        if once.is_some() {
            let detail = "_AMQ_DUPL_ID: a transaction is sent again as a whole, under no id";
            return Err(Failure::unsupported(detail));
        }
        broker.check_send(&client.session, &request)?;
        client.transactions.send(&id, request)?;
        return Ok(client.done(receipt)); // some clients wait for it before they COMMIT
    }
    let work = Sending { broker, session: client.session.clone(), request, once };
    match work.begin() {
        Ok(Some(sent)) => {
            Ok(client.when(receipt, async move { sent.await.map(drop).map_err(Failure::from) }))
        }
        Ok(None) => Ok(client.done(receipt)),
        Err(error) if work.passes(&error) => {
            let patience = client.wire.config.throttle_patience.0;
            Ok(client.first(receipt, send_later(work, patience)))
        }
        Err(error) => Err(error.into()),
    }
}

/// One message on its way to the log.
struct Sending {
    broker: Broker,
    session: Session,
    request: SendRequest,
    /// What the sender calls it, so that it is stored once.
    once: Option<ByteString>,
}

impl Sending {
    /// Hands it to the log; nothing to wait for when it was stored before.
    fn begin(&self) -> Result<Option<Promise<Vec<Sent>>>, Error> {
        let request = self.request.clone();
        let Some(key) = &self.once else { return self.broker.send(&self.session, request).map(Some) };
        let content = request.messages.iter().fold(ContentHasher::default(), ContentHasher::message).finish();
        let request = OnceRequest { sends: vec![request], key: OnceKey::Idempotency(key), content };
        Ok(match self.broker.send_once(&self.session, request)? {
            OnceSent::First(promise) => Some(promise),
            OnceSent::Again(_) => None,
        })
    }

    /// Whether it is only a matter of time: the broker is busy, or the first of the same name is being stored.
    fn passes(&self, error: &Error) -> bool {
        let busy = error.kind() == ErrorKind::Throttled;
        busy || self.once.is_some() && error.kind() == ErrorKind::Unavailable
    }
}

/// How many queues the topic gets if it has to be made.
pub(super) fn create(client: &Client, destination: &Destination) -> Option<u32> {
    match destination.role {
        _ if destination.is_of_a_group() => None, // the broker makes it when there is something to put there
        Role::Queue { create: true } => Some(client.wire.config.queue_width),
        Role::Queue { create: false } | Role::Part => None,
        Role::Topic | Role::Group(_) => Some(0),
    }
}

/// The broker is too busy: this client's socket is not read meanwhile, which slows it down.
async fn send_later(work: Sending, patience: Duration) -> Result<(), Failure> {
    metrics::counter!("sluice_stomp_throttled_total").increment(1);
    let end = Instant::now() + patience;
    loop {
        tokio::time::sleep(PAUSE).await;
        match work.begin() {
            Ok(Some(sent)) => return sent.await.map(drop).map_err(Failure::from),
            Ok(None) => return Ok(()),
            Err(error) if work.passes(&error) && Instant::now() < end => {}
            Err(error) => return Err(error.into()),
        }
    }
}
