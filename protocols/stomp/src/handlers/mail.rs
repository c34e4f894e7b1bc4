//! Mail: SEND to a mailbox, and a `reply-to` that names one.
//!
//! The one idea to know: RabbitMQ's clients never subscribe to their temporary queue. Naming it in `reply-to` is enough,
//! and the answers come with its name as `subscription`; ActiveMQ's clients subscribe first.

use super::subscribe;
use crate::client::Client;
use crate::convert;
use crate::errors::Failure;
use crate::frame::Frame;
use crate::mail::Address;
use crate::subscription::{AckMode, Plan, Source};
use bytestring::ByteString;
use sluice_net::Outcome;

const REPLY_TO: &str = "reply-to";

/// Puts a letter into a mailbox.
pub(super) fn send(client: &mut Client, mut frame: Frame, to: Address) -> Result<Outcome, Failure> {
    rewrite_reply_to(client, &mut frame)?;
    let receipt = frame.get("receipt").cloned();
    let transaction = frame.get("transaction").cloned();
    let message = convert::message(frame, &client.session, client.wire.broker.now())?;
    if message.headers.get("_AMQ_DUPL_ID").is_some() {
        let detail = "_AMQ_DUPL_ID: what is sent to a temporary destination is not remembered";
        return Err(Failure::unsupported(detail));
    }
    if message.deliver_at.is_some() {
        return Err(Failure::unsupported("what is sent to a temporary destination cannot be delayed"));
    }
    if to.is_own() {
        client.mailroom().public(&to)?; // made by its first use
    }
    if let Some(id) = transaction {
        client.transactions.post(&id, to, message)?;
        return Ok(client.done(receipt));
    }
    let own = to.is_own().then(|| client.mailroom().clone());
    client.wire.post.deliver(own.as_ref(), &to, message);
    Ok(client.done(receipt))
}

/// Writes an own mailbox in `reply-to` as everyone else has to, and sees to it that its answers are read.
pub(super) fn rewrite_reply_to(client: &mut Client, frame: &mut Frame) -> Result<(), Failure> {
    let Some(text) = frame.get(REPLY_TO).cloned() else { return Ok(()) };
    let Some(address) = Address::parse(&text) else { return Ok(()) };
    let address = address?;
    if !address.is_own() {
        return Ok(()); // somebody else's, passed on
    }
    let public = client.mailroom().public(&address)?;
    read(client, &text, &address)?;
    if let Some((_, value)) = frame.headers.iter_mut().find(|(name, _)| name == REPLY_TO) {
        *value = public.into();
    }
    Ok(())
}

/// Starts a subscription, unless the client has one.
fn read(client: &mut Client, text: &ByteString, address: &Address) -> Result<(), Failure> {
    if client.subscriptions.iter().any(|(_, known)| known.destination == *text) {
        return Ok(());
    }
    subscribe::room(client, text, text)?;
    let plan = Plan {
        id: Some(text.clone()),
        destination: text.clone(),
        mode: AckMode::Auto,
        window: client.wire.config.default_prefetch.max(1),
        ack_timeout: None,
        source: Source::Mail(client.mailroom().subscribe(address)?),
        automatic: true,
    };
    let (subscriptions, seat) = client.seat();
    let _ = subscriptions.start(text.clone(), plan, seat).go.send(());
    Ok(())
}
