//! Durable subscriptions: a group of a subscriber's own, so that a topic's messages wait for it while it is away.
//!
//! | spelling | the group |
//! | --- | --- |
//! | ActiveMQ: `client-id` on CONNECT, `activemq.subscriptionName` | `STOMP_D_<client-id>_<name>` |
//! | Artemis: `client-id`, `durable-subscription-name` | the same |
//! | RabbitMQ: `durable:true` or `persistent:true`, and `x-queue-name` or `id` | `STOMP_D_<name>` |
//!
//! The one idea to know: both parts of a name are written with `_` as `%5F`, so that no two subscriptions meet by
//! chance. Whoever says the same name shares the subscription, on any connection.

use crate::destination::{Destination, Role, shorten};
use crate::errors::Failure;
use crate::frame::Frame;
use bytestring::ByteString;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sluice_model::GroupName;

const GROUP: &str = "STOMP_D_";
/// Longer group names are cut and made unique by a hash: with a prefix they are names of topics too.
const MAX_GROUP: usize = 200;
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');

/// ActiveMQ's and Artemis's names of a durable subscription.
const NAMES: [&str; 3] =
    ["activemq.subscriptionName", "durable-subscription-name", "durable-subscriber-name"];

/// The group of the durable subscription that a SUBSCRIBE or UNSUBSCRIBE speaks of, if it speaks of one.
///
/// # Errors
/// When it asks for one without saying whose.
pub(crate) fn group(frame: &Frame, client_id: Option<&ByteString>) -> Result<Option<GroupName>, Failure> {
    if let Some((header, name)) = frame.first_of(&NAMES) {
        let whose = client_id.ok_or_else(|| {
            Failure::protocol("Missing header", format!("{header} needs a client-id on CONNECT"))
        })?;
        if name.is_empty() {
            return Err(Failure::missing(header));
        }
        return named(&[whose, name]).map(Some);
    }
    if !is_durable(frame) {
        return Ok(None);
    }
    let name = frame.first_of(&["x-queue-name", "id"]).map(|(_, name)| name).filter(|name| !name.is_empty());
    named(&[name.ok_or_else(|| Failure::missing("id"))?]).map(Some)
}

/// Whether it is named as in ActiveMQ or Artemis.
pub(crate) fn is_named(frame: &Frame) -> bool {
    frame.first_of(&NAMES).is_some()
}

/// Refuses what a subscription cannot be.
///
/// # Errors
/// For durable subscriptions to other destinations than topics, and for flags that contradict each other.
pub(crate) fn refuse(frame: &Frame, destination: &Destination) -> Result<(), Failure> {
    let is_topic = destination.role == Role::Topic;
    if destination.role == Role::Part && is_durable(frame) {
        return Err(Failure::unsupported("durable: a part of a topic is kept for nobody; use /topic/…"));
    }
    let deleted = frame.get("auto-delete").is_some_and(|value| value == "true");
    match frame.first_of(&NAMES) {
        Some((name, _)) if !is_topic => {
            let detail =
                format!("{name}: a durable subscription is one to /topic/…; queues are durable anyhow");
            return Err(Failure::protocol("Invalid request", detail));
        }
        _ if deleted && (is_durable(frame) || !is_topic) => {
            let detail = "auto-delete: what is kept here does not end with its last subscriber";
            return Err(Failure::unsupported(detail));
        }
        _ => {}
    }
    if frame.get("x-queue-name").is_some() && !(is_topic && is_durable(frame)) {
        let detail =
            "x-queue-name: only durable subscriptions to /topic/… are named; use /group/<group>/<topic>";
        return Err(Failure::unsupported(detail));
    }
    Ok(())
}

fn is_durable(frame: &Frame) -> bool {
    ["durable", "persistent"].iter().any(|name| frame.get(name).is_some_and(|value| value == "true"))
}

fn named(parts: &[&ByteString]) -> Result<GroupName, Failure> {
    let escaped = parts.iter().map(|part| percent_encode(part.as_bytes(), ESCAPED).to_string());
    let name = escaped.collect::<Vec<_>>().join("_");
    Ok(GroupName::new(shorten(format!("{GROUP}{name}"), MAX_GROUP))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Command;
    use bytes::Bytes;

    fn frame(headers: &[(&str, &str)]) -> Frame {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Frame { command: Command::Subscribe, headers, body: Bytes::new() }
    }

    fn name(headers: &[(&str, &str)], client: Option<&str>) -> String {
        let client = client.map(ByteString::from);
        group(&frame(headers), client.as_ref()).unwrap().unwrap().to_string()
    }

    #[test]
    fn every_spelling_has_its_group() {
        assert_eq!(name(&[("activemq.subscriptionName", "d.1")], Some("c")), "STOMP_D_c_d%2E1");
        assert_eq!(name(&[("durable-subscription-name", "d")], Some("c")), "STOMP_D_c_d");
        assert_eq!(name(&[("durable", "true"), ("id", "d")], None), "STOMP_D_d");
        assert_eq!(name(&[("persistent", "true"), ("id", "d"), ("x-queue-name", "q")], None), "STOMP_D_q");
        assert_eq!(group(&frame(&[("id", "d"), ("durable", "false")]), None), Ok(None));
        assert!(group(&frame(&[("activemq.subscriptionName", "d")]), None).is_err(), "no client-id");
        assert!(group(&frame(&[("durable", "true")]), None).is_err(), "no id");
    }

    #[test]
    fn names_do_not_meet_by_chance() {
        let (long, other) = ("x".repeat(300), "x".repeat(301));
        let names = [
            name(&[("activemq.subscriptionName", "c")], Some("a_b")),
            name(&[("activemq.subscriptionName", "b_c")], Some("a")),
            name(&[("durable", "true"), ("id", "a_b_c")], None),
            name(&[("durable", "true"), ("id", &long)], None),
            name(&[("durable", "true"), ("id", &other)], None),
        ];
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| name.len() <= MAX_GROUP));
    }
}
