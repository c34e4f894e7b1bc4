//! SUBSCRIBE: what is asked for, checked before anything is started.
//!
//! The one idea to know: the next frame waits until the subscription stands, so that a message sent right behind a
//! SUBSCRIBE to a topic is received.

use super::send;
use crate::client::{Client, required};
use crate::destination::{Destination, Role};
use crate::errors::Failure;
use crate::frame::{Frame, Version};
use crate::subscription::{AckMode, Plan};
use bytestring::ByteString;
use sluice_broker::StartAt;
use sluice_model::{Dialect, Error, Filter, GroupName};
use sluice_net::Outcome;

/// Headers of other brokers that ask for what is not offered, whatever their value.
const REFUSED: [(&str, &str); 8] = [
    ("activemq.subscriptionName", "durable subscriptions are not supported; use /group/<group>/<topic>"),
    ("durable-subscription-name", "durable subscriptions are not supported; use /group/<group>/<topic>"),
    ("x-queue-name", "named queues are not supported; use /group/<group>/<topic>"),
    ("x-stream-offset", "offsets are not supported; use the header from"),
    ("x-priority", "consumer priorities are not supported"),
    ("activemq.priority", "consumer priorities are not supported"),
    ("ack-timeout", "acknowledgement timeouts are not supported"),
    ("order", "ordered subscriptions are not supported"),
];
/// The same, when their value is `true`.
const REFUSED_IF_TRUE: [(&str, &str); 6] = [
    ("browser", "browsing is not supported"),
    ("no-local", "no-local is not supported"),
    ("activemq.noLocal", "no-local is not supported"),
    ("exclusive", "exclusive subscriptions are not supported"),
    ("activemq.exclusive", "exclusive subscriptions are not supported"),
    ("activemq.retroactive", "retroactive subscriptions are not supported; use the header from"),
];

pub(super) fn subscribe(client: &mut Client, frame: &Frame) -> Result<Outcome, Failure> {
    let plan = plan(client, frame)?;
    let key = key(plan.id.as_ref(), &plan.destination.text);
    if client.subscriptions.get(&key).is_some() {
        let what = plan.id.as_ref().unwrap_or(&plan.destination.text);
        return Err(Failure::protocol("Duplicate subscription", format!("{what:?} is subscribed already")));
    }
    let max = client.wire.config.max_subscriptions;
    if client.subscriptions.len() >= max {
        let detail = format!("a connection may have at most {max} subscriptions");
        return Err(Failure::protocol("Too many subscriptions", detail));
    }
    let (subscriptions, seat) = client.seat();
    let started = subscriptions.start(key, plan, seat);
    Ok(client.first(frame.get("receipt").cloned(), async move {
        let stands =
            started.ready.await.unwrap_or_else(|_| Err(Error::internal("a subscription ended at its start")));
        stands?;
        let _ = started.go.send(());
        Ok(())
    }))
}

/// What a subscription without an id is found by; no id can look like it, because none has a NUL.
pub(super) fn key(id: Option<&ByteString>, destination: &str) -> ByteString {
    id.cloned().unwrap_or_else(|| format!("\0{destination}").into())
}

fn plan(client: &Client, frame: &Frame) -> Result<Plan, Failure> {
    let destination = Destination::parse(required(frame, "destination")?)?;
    let id = match client.version {
        Version::V10 => frame.get("id").filter(|id| !id.is_empty()),
        Version::V11 | Version::V12 => Some(required(frame, "id")?),
    };
    refuse(frame, &destination)?;
    Ok(Plan {
        id: id.cloned(),
        group: group(frame, &destination)?,
        mode: mode(frame)?,
        filter: filter(client, frame)?,
        start: start(frame, &destination)?,
        window: window(client, frame)?,
        create: send::create(client, &destination),
        destination,
    })
}

fn refuse(frame: &Frame, destination: &Destination) -> Result<(), Failure> {
    destination.refuse_wildcards()?;
    let present = REFUSED.iter().filter(|(name, _)| frame.get(name).is_some());
    let wanted = REFUSED_IF_TRUE.iter().filter(|(name, _)| frame.get(name).is_some_and(|v| v == "true"));
    if let Some((name, why)) = present.chain(wanted).next() {
        return Err(Failure::unsupported(format!("{name}: {why}")));
    }
    // A queue's messages outlive its subscribers anyway; a topic's do not.
    let durable = ["durable", "persistent"].iter().any(|name| frame.get(name).is_some_and(|v| v == "true"));
    if durable && destination.role == Role::Topic {
        let detail = "durable subscriptions are not supported; use /group/<group>/<topic>";
        return Err(Failure::unsupported(detail));
    }
    Ok(())
}

fn group(frame: &Frame, destination: &Destination) -> Result<Option<GroupName>, Failure> {
    match (frame.first_of(&["group", "consumer-group"]), &destination.role) {
        (None, _) => Ok(destination.group()?),
        (Some((_, name)), Role::Queue { .. }) => Ok(Some(GroupName::new(name.clone())?)),
        (Some((name, _)), Role::Topic | Role::Group(_)) => {
            let detail = format!("{name}: a group is named with /queue/<topic> or /group/<group>/<topic>");
            Err(Failure::protocol("Invalid request", detail))
        }
    }
}

/// What ActiveMQ wants before a selector to compare texts that look like numbers as numbers; here it is so anyway.
const CONVERT: &str = "convert_string_expressions:";

fn filter(client: &Client, frame: &Frame) -> Result<Filter, Failure> {
    let tag = frame.first_of(&["tag", "tags", "x-tag"]);
    // An empty selector selects everything, as in JMS.
    match frame.get("selector").map(|text| text.trim()).filter(|text| !text.is_empty()) {
        None => Ok(Filter::tags(tag.map_or("", |(_, tag)| tag))?),
        Some(_) if tag.is_some() => {
            let detail = "give a selector or a tag, not both; a selector may test the tag, as in tag = 'a'";
            Err(Failure::protocol("Invalid request", detail))
        }
        Some(text) => {
            let text = text.strip_prefix(CONVERT).unwrap_or(text);
            let parsed = client.wire.broker.sql_filter(text, Dialect::Jms);
            parsed.map_err(|error| Failure::protocol("Invalid selector", error.message().to_owned()))
        }
    }
}

fn mode(frame: &Frame) -> Result<AckMode, Failure> {
    match frame.get("ack").map(|mode| &mode[..]) {
        None | Some("auto") => Ok(AckMode::Auto),
        Some("client") => Ok(AckMode::Client),
        Some("client-individual") => Ok(AckMode::Individual),
        Some(other) => {
            let detail = format!("ack must be auto, client or client-individual, not {other:?}");
            Err(Failure::protocol("Invalid ack mode", detail))
        }
    }
}

fn start(frame: &Frame, destination: &Destination) -> Result<StartAt, Failure> {
    match frame.get("from").map(|from| &from[..]) {
        None if destination.role == Role::Topic => Ok(StartAt::Latest),
        None | Some("earliest") => Ok(StartAt::Earliest),
        Some("latest") => Ok(StartAt::Latest),
        Some(text) => text.parse().map(StartAt::Time).map_err(|_| {
            let detail = format!("from must be earliest, latest or milliseconds since 1970, not {text:?}");
            Failure::protocol("Invalid request", detail)
        }),
    }
}

fn window(client: &Client, frame: &Frame) -> Result<usize, Failure> {
    let config = &client.wire.config;
    match frame.first_of(&["consumer-window-size", "consumerWindowSize"]) {
        None => {}
        Some((_, bytes)) if bytes == "0" => return Ok(1), // of bytes: one message at a time
        Some((name, _)) => {
            let detail = format!("{name}: windows in bytes are not supported; use prefetch-count");
            return Err(Failure::unsupported(detail));
        }
    }
    let Some((name, text)) = frame.first_of(&["prefetch-count", "activemq.prefetchSize"]) else {
        return Ok(config.default_prefetch.max(1));
    };
    match text.trim().parse::<usize>() {
        Ok(count) if count <= config.max_prefetch => Ok(count.max(1)),
        _ => {
            let detail = format!("{name} must be a number up to {}, not {text:?}", config.max_prefetch);
            Err(Failure::protocol("Invalid request", detail))
        }
    }
}
