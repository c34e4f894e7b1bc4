//! UNSUBSCRIBE: the subscription ends, and what it has not acknowledged is back before the RECEIPT.

use super::subscribe;
use crate::client::{Client, required};
use crate::errors::Failure;
use crate::frame::{Frame, Version};
use bytestring::ByteString;
use sluice_net::Outcome;

pub(super) fn unsubscribe(client: &mut Client, frame: &Frame) -> Result<Outcome, Failure> {
    if frame.get("activemq.subscriptionName").is_some() {
        return Err(Failure::unsupported(
            "durable subscriptions are not supported; use /group/<group>/<topic>",
        ));
    }
    let key = find(client, frame)?;
    let ended = client.subscriptions.end(&key).ok_or_else(|| unknown(&key))?;
    Ok(client.first(frame.get("receipt").cloned(), async move {
        ended.await;
        Ok(())
    }))
}

/// By id; in 1.0 also by destination, whether the subscription had an id or not.
fn find(client: &Client, frame: &Frame) -> Result<ByteString, Failure> {
    if client.version > Version::V10 {
        return Ok(required(frame, "id")?.clone());
    }
    if let Some(id) = frame.get("id").filter(|id| !id.is_empty()) {
        return Ok(id.clone());
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
