//! ACK and NACK: which deliveries are meant, and what becomes of them.
//!
//! 1.2 names a delivery (`id`), 1.1 a message of a subscription, 1.0 a message. All spellings are understood in all
//! versions, because stock clients mix them.

use crate::client::Client;
use crate::convert;
use crate::errors::Failure;
use crate::frame::{Frame, Version};
use crate::subscription::{AckMode, Claim, Ledger, Refusal, Refused, Settled, refuse};
use crate::wire::tolerated;
use sluice_broker::Holder;
use sluice_model::Error;
use sluice_net::Outcome;
use std::sync::Arc;

/// Deliveries that a frame names.
struct Named {
    ledger: Arc<Ledger>,
    holder: Option<Arc<Holder>>,
    number: u64,
    cumulative: bool,
}

pub(super) fn ack(client: &mut Client, frame: &Frame) -> Result<Outcome, Failure> {
    let receipt = frame.get("receipt").cloned();
    let Some(named) = find(client, frame)? else { return Ok(client.done(receipt)) };
    if frame.get("transaction").is_some() {
        return reserve(client, frame, &named, None);
    }
    let mut acks = Vec::new();
    for (_, entry) in settle(&named)? {
        if let Claim::Lease(handle) = &entry.claim {
            acks.push(client.wire.broker.ack(&client.session, handle)?);
        }
    }
    Ok(client.when(receipt, async move {
        for ack in acks {
            ack.await?;
        }
        Ok(())
    }))
}

pub(super) fn nack(client: &mut Client, frame: &Frame) -> Result<Outcome, Failure> {
    let receipt = frame.get("receipt").cloned();
    let refusal = refusal(frame)?;
    let Some(named) = find(client, frame)? else { return Ok(client.done(receipt)) };
    if frame.get("transaction").is_some() {
        return reserve(client, frame, &named, Some(refusal));
    }
    metrics::counter!("sluice_stomp_nacks_total", "requeue" => refusal.requeue.to_string()).increment(1);
    let mut nacks = Vec::new();
    for (_, entry) in settle(&named)? {
        let (ledger, holder) = (named.ledger.clone(), named.holder.clone());
        nacks.push(refuse(&client.wire, &client.session, Refused { ledger, holder, entry, refusal })?);
    }
    Ok(client.when(receipt, async move {
        for nack in nacks {
            nack.await?;
        }
        Ok(())
    }))
}

fn refusal(frame: &Frame) -> Result<Refusal, Failure> {
    let requeue = match frame.get("requeue").map(|text| &text[..]) {
        None | Some("true") => true,
        Some("false") => false,
        Some(other) => {
            return Err(Error::invalid(format!("requeue must be true or false, not {other:?}")).into());
        }
    };
    let delay = frame.get("delay").map(|text| convert::span("delay", text)).transpose()?;
    Ok(Refusal { requeue, delay })
}

fn settle(named: &Named) -> Result<Settled, Failure> {
    named.ledger.settle(named.number, named.cumulative).ok_or_else(not_found)
}

/// Keeps it for COMMIT.
fn reserve(
    client: &mut Client,
    frame: &Frame,
    named: &Named,
    refusal: Option<Refusal>,
) -> Result<Outcome, Failure> {
    let id = frame.get("transaction").cloned().unwrap_or_default();
    client.transactions.check(&id)?;
    let reserved = named.ledger.reserve(named.number, named.cumulative, &id).ok_or_else(not_found)?;
    let refusal = refusal.map(|refusal| (refusal, named.holder.clone()));
    client.transactions.settle(&id, &named.ledger, reserved, refusal)?;
    Ok(client.done(frame.get("receipt").cloned()))
}

/// Finds what a frame names. `None`: a 1.0 client acknowledges what `auto` mode has acknowledged already.
fn find(client: &Client, frame: &Frame) -> Result<Option<Named>, Failure> {
    let named = match (frame.get("id"), frame.get("message-id")) {
        (Some(id), message) => {
            by_ack_id(client, id).or_else(|| by_message(client, frame, message.unwrap_or(id)))
        }
        (None, Some(message)) => by_message(client, frame, message),
        (None, None) => {
            return Err(Failure::missing(if client.version == Version::V12 { "id" } else { "message-id" }));
        }
    };
    let automatic =
        || client.subscriptions.iter().any(|(_, subscription)| subscription.mode == AckMode::Auto);
    match named {
        None if client.version == Version::V10 && automatic() => {
            tolerated("ack-of-auto");
            Ok(None)
        }
        None => Err(not_found()),
        named => Ok(named),
    }
}

fn by_ack_id(client: &Client, id: &str) -> Option<Named> {
    let (ordinal, number) = id.split_once('-')?;
    let subscription = client.subscriptions.by_ordinal(ordinal.parse().ok()?)?;
    Some(Named {
        ledger: subscription.ledger.clone(),
        holder: subscription.holder.clone(),
        number: number.parse().ok()?,
        cumulative: subscription.mode == AckMode::Client,
    })
}

/// The oldest delivery of that message, in the subscription if one is named.
fn by_message(client: &Client, frame: &Frame, message: &str) -> Option<Named> {
    let wanted = frame.get("subscription");
    let found = client
        .subscriptions
        .iter()
        .filter(|(key, _)| wanted.is_none_or(|id| id == *key))
        .filter_map(|(_, subscription)| Some((subscription, subscription.ledger.find(message)?)));
    let (subscription, number) = found.min_by_key(|(subscription, _)| subscription.ordinal)?;
    Some(Named {
        ledger: subscription.ledger.clone(),
        holder: subscription.holder.clone(),
        number,
        cumulative: subscription.mode == AckMode::Client,
    })
}

fn not_found() -> Failure {
    Failure::protocol(
        "Message not found",
        "no delivery of this connection that waits for its ACK has this id; it may have waited longer than ack-timeout",
    )
}
