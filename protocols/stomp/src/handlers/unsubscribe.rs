//! UNSUBSCRIBE: the subscription ends, and what it has not acknowledged is back before the RECEIPT.
//!
//! The one idea to know: a durable subscription ends only when UNSUBSCRIBE says that it is meant, by the headers that
//! made it; without them, its messages go on waiting. It may be ended without being subscribed to, as in ActiveMQ.

use super::subscribe;
use crate::client::{Client, required};
use crate::durable;
use crate::errors::Failure;
use crate::frame::{Frame, Version};
use bytestring::ByteString;
use sluice_model::GroupName;
use sluice_net::Outcome;

pub(super) fn unsubscribe(client: &mut Client, frame: &Frame) -> Result<Outcome, Failure> {
    let durable = client.durable(frame)?;
    let key = match (find(client, frame), &durable) {
        (Ok(key), _) => Some(key),
        (Err(_), Some(_)) => None, // it may be ended by those who are not subscribed
        (Err(failure), None) => return Err(failure),
    };
    let forgotten = durable.map(|named| forgotten(client, frame, key.as_ref(), named)).transpose()?.flatten();
    let ended = key.and_then(|key| client.subscriptions.end(&key));
    let (broker, session) = (client.wire.broker.clone(), client.session.clone());
    Ok(client.first(frame.get("receipt").cloned(), async move {
        if let Some(ended) = ended {
            ended.await;
        }
        if let Some(group) = forgotten {
            broker.delete_group(&session, &group).await?;
        }
        Ok(())
    }))
}

/// The group that is to be forgotten; `None` when the subscription is none that would be remembered.
fn forgotten(
    client: &Client,
    frame: &Frame,
    key: Option<&ByteString>,
    named: GroupName,
) -> Result<Option<GroupName>, Failure> {
    let Some(subscription) = key.and_then(|key| client.subscriptions.get(key)) else {
        return Ok(Some(named));
    };
    match &subscription.durable {
        Some(group) if !durable::is_named(frame) || *group == named => Ok(Some(group.clone())),
        None if !durable::is_named(frame) => Ok(None),
        _ => {
            let detail = "the id is that of another subscription than the durable one that is named";
            Err(Failure::protocol("Unknown subscription", detail))
        }
    }
}

/// By id; in 1.0 also by destination, whether the subscription had an id or not.
fn find(client: &Client, frame: &Frame) -> Result<ByteString, Failure> {
    let id = if client.version > Version::V10 { Some(required(frame, "id")?) } else { frame.get("id") };
    if let Some(id) = id.filter(|id| !id.is_empty()) {
        return client.subscriptions.get(id).map(|_| id.clone()).ok_or_else(|| unknown(id));
    }
    let destination = required(frame, "destination")?;
    let key = subscribe::key(None, destination);
    if client.subscriptions.get(&key).is_some() {
        return Ok(key);
    }
    let named =
        client.subscriptions.iter().find(|(_, subscription)| subscription.destination == *destination);
    named.map(|(key, _)| key.clone()).ok_or_else(|| unknown(destination))
}

fn unknown(what: &str) -> Failure {
    Failure::protocol("Unknown subscription", format!("{what:?} is not subscribed"))
}
