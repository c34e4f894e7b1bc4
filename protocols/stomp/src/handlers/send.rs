//! SEND: one message, stored at once or kept for COMMIT.

use super::mail;
use crate::client::{Client, required};
use crate::convert;
use crate::destination::{Destination, Role};
use crate::errors::Failure;
use crate::frame::Frame;
use crate::mail::Address;
use sluice_auth::Session;
use sluice_broker::{Broker, QueueChoice, SendRequest};
use sluice_model::ErrorKind;
use sluice_net::Outcome;
use std::time::Duration;
use tokio::time::Instant;

/// Between attempts while the broker is too busy.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn send(client: &mut Client, mut frame: Frame) -> Result<Outcome, Failure> {
    let text = required(&frame, "destination")?;
    if let Some(address) = Address::parse(text) {
        return mail::send(client, frame, address?);
    }
    let destination = Destination::parse(text)?;
    destination.refuse_unwritable()?;
    destination.refuse_wildcards()?;
    mail::rewrite_reply_to(client, &mut frame)?;
    let receipt = frame.get("receipt").cloned();
    let transaction = frame.get("transaction").cloned();
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
        broker.check_send(&client.session, &request)?;
        client.transactions.send(&id, request)?;
        return Ok(client.done(receipt)); // some clients wait for it before they COMMIT
    }
    match broker.send(&client.session, request.clone()) {
        Ok(sent) => Ok(client.when(receipt, async move { sent.await.map(drop).map_err(Failure::from) })),
        Err(error) if error.kind() == ErrorKind::Throttled => {
            let patience = client.wire.config.throttle_patience.0;
            Ok(client.first(receipt, send_later(broker, client.session.clone(), request, patience)))
        }
        Err(error) => Err(error.into()),
    }
}

/// How many queues the topic gets if it has to be made.
pub(super) fn create(client: &Client, destination: &Destination) -> Option<u32> {
    match destination.role {
        Role::Queue { create: true } => Some(client.wire.config.queue_width),
        Role::Queue { create: false } => None,
        Role::Topic | Role::Group(_) => Some(0),
    }
}

/// The broker is too busy: this client's socket is not read meanwhile, which slows it down.
async fn send_later(
    broker: Broker,
    session: Session,
    request: SendRequest,
    patience: Duration,
) -> Result<(), Failure> {
    metrics::counter!("sluice_stomp_throttled_total").increment(1);
    let end = Instant::now() + patience;
    loop {
        tokio::time::sleep(PAUSE).await;
        match broker.send(&session, request.clone()) {
            Ok(sent) => return sent.await.map(drop).map_err(Failure::from),
            Err(error) if error.kind() == ErrorKind::Throttled && Instant::now() < end => {}
            Err(error) => return Err(error.into()),
        }
    }
}
