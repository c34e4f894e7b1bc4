//! SUBSCRIBE: what is asked for, checked before anything is started.
//!
//! The one idea to know: the next frame waits until the subscription stands, so that a message sent right behind a
//! SUBSCRIBE to a topic is received.

use super::send;
use crate::client::{Client, required};
use crate::convert;
use crate::destination::{Destination, Role};
use crate::durable;
use crate::errors::Failure;
use crate::frame::{Frame, Version};
use crate::mail::{Address, Slot};
use crate::subscription::{AckMode, GroupSource, Plan, Reading, Source};
use bytestring::ByteString;
use sluice_broker::StartAt;
use sluice_model::{Dialect, Error, Filter, GroupName};
use sluice_net::Outcome;
use std::sync::Arc;
use std::time::Duration;

/// Headers of other brokers that ask for what is not offered, whatever their value.
const REFUSED: [(&str, &str); 2] = [
    ("x-priority", "consumer priorities are not supported"),
    ("activemq.priority", "consumer priorities are not supported"),
];
/// The same, when their value is `true`.
const REFUSED_IF_TRUE: [(&str, &str); 2] = [
    ("exclusive", "exclusive subscriptions are not supported"),
    ("activemq.exclusive", "exclusive subscriptions are not supported"),
];
/// What a topic in the log offers, and a temporary destination does not.
const NO_LOCAL: [&str; 2] = ["no-local", "activemq.noLocal"];
const BROWSER: &str = "browser";
const NOT_OF_MAIL: [&str; 16] = [
    BROWSER,
    "no-local",
    "activemq.noLocal",
    "selector",
    "tag",
    "tags",
    "x-tag",
    "from",
    "x-stream-offset",
    "group",
    "consumer-group",
    "order",
    "durable",
    "persistent",
    "activemq.subscriptionName",
    "durable-subscription-name",
];

pub(super) fn subscribe(client: &mut Client, frame: &Frame) -> Result<Outcome, Failure> {
    let plan = plan(client, frame)?;
    let key = key(plan.id.as_ref(), &plan.destination);
    let stopped = stop_automatic(client, &plan);
    room(client, &key, plan.id.as_ref().unwrap_or(&plan.destination))?;
    let (subscriptions, seat) = client.seat();
    let started = subscriptions.start(key, plan, seat);
    Ok(client.first(frame.get("receipt").cloned(), async move {
        if let Some(stopped) = stopped {
            stopped.await; // what it had not sent is back, in order
        }
        let stands =
            started.ready.await.unwrap_or_else(|_| Err(Error::internal("a subscription ended at its start")));
        stands?;
        let _ = started.go.send(());
        Ok(())
    }))
}

/// A client that subscribes to its temporary queue reads it by itself from now on.
fn stop_automatic(client: &mut Client, plan: &Plan) -> Option<impl Future<Output = ()> + Send + use<>> {
    let known = client
        .subscriptions
        .iter()
        .find(|(_, known)| known.automatic && known.destination == plan.destination);
    let key = known.map(|(key, _)| key.clone())?;
    client.subscriptions.end(&key)
}

/// Whether there is room for another subscription under that key.
pub(super) fn room(client: &Client, key: &ByteString, what: &ByteString) -> Result<(), Failure> {
    if client.subscriptions.get(key).is_some() {
        return Err(Failure::protocol("Duplicate subscription", format!("{what:?} is subscribed already")));
    }
    let max = client.wire.config.max_subscriptions;
    if client.subscriptions.len() >= max {
        let detail = format!("a connection may have at most {max} subscriptions");
        return Err(Failure::protocol("Too many subscriptions", detail));
    }
    Ok(())
}

/// What a subscription without an id is found by; no id can look like it, because none has a NUL.
pub(super) fn key(id: Option<&ByteString>, destination: &str) -> ByteString {
    id.cloned().unwrap_or_else(|| format!("\0{destination}").into())
}

fn plan(client: &mut Client, frame: &Frame) -> Result<Plan, Failure> {
    let destination = required(frame, "destination")?;
    let id = match client.version {
        Version::V10 => frame.get("id").filter(|id| !id.is_empty()),
        Version::V11 | Version::V12 => Some(required(frame, "id")?),
    };
    refuse(frame)?;
    let mode = mode(frame)?;
    let source = match Address::parse(destination) {
        Some(address) => Source::Mail(mail(client, frame, &address?)?),
        None => topic(client, frame, client.destination(destination)?)?,
    };
    Ok(Plan {
        id: id.cloned(),
        destination: destination.clone(),
        mode,
        window: window(client, frame)?,
        ack_timeout: ack_timeout(client, frame, mode)?,
        source,
        automatic: false,
    })
}

fn refuse(frame: &Frame) -> Result<(), Failure> {
    let present = REFUSED.iter().filter(|(name, _)| frame.get(name).is_some());
    let wanted = REFUSED_IF_TRUE.iter().filter(|(name, _)| is_true(frame, name));
    match present.chain(wanted).next() {
        Some((name, why)) => Err(Failure::unsupported(format!("{name}: {why}"))),
        None => Ok(()),
    }
}

fn mail(client: &mut Client, frame: &Frame, address: &Address) -> Result<Arc<Slot>, Failure> {
    if let Some((name, _)) = frame.first_of(&NOT_OF_MAIL) {
        return Err(Failure::unsupported(format!("{name}: a temporary destination has none")));
    }
    if !address.is_own() {
        return Err(Failure::protocol(
            "Access refused",
            "a temporary destination is read by its owner alone",
        ));
    }
    client.mailroom().subscribe(address)
}

fn topic(client: &Client, frame: &Frame, destination: Destination) -> Result<Source, Failure> {
    destination.refuse_wildcards()?;
    durable::refuse(frame, &destination)?;
    let durable = match destination.role {
        Role::Topic => client.durable(frame)?,
        Role::Queue { .. } | Role::Group(_) | Role::Part => None, // what is sent there outlives its subscribers anyway
    };
    let (group, durable) = match (group(client, frame, &destination)?, durable) {
        (None, durable) => (durable.clone(), durable.is_some()),
        (group, _) => (group, false),
    };
    let ordered = match frame.get("order").map(|order| &order[..]) {
        None => false,
        Some("fifo") if group.is_some() => true,
        Some(order) => {
            let detail = format!("order may be fifo, where a group consumes, not {order:?}");
            return Err(Failure::protocol("Invalid request", detail));
        }
    };
    let no_local = NO_LOCAL.iter().any(|name| is_true(frame, name));
    if no_local && !matches!(destination.role, Role::Topic | Role::Part) {
        return Err(Failure::unsupported("no-local: only what is sent to a topic comes back to its sender"));
    }
    let browse = browse(frame, &destination)?;
    let reading = Reading {
        no_local,
        browse,
        filter: filter(client, frame)?,
        start: start(frame, &destination)?,
        create: send::create(client, &destination),
        destination,
    };
    Ok(match group.filter(|_| !browse) {
        Some(name) => Source::Group(reading, GroupSource { name, ordered, durable }),
        None => Source::Cursor(reading),
    })
}

/// Whether this is a look at what waits, of which nothing is taken.
fn browse(frame: &Frame, destination: &Destination) -> Result<bool, Failure> {
    if !is_true(frame, BROWSER) {
        return Ok(false);
    }
    if !matches!(destination.role, Role::Queue { .. } | Role::Group(_)) {
        return Err(Failure::unsupported("browser: what is sent to a topic waits for nobody"));
    }
    if frame.get("ack").is_some_and(|mode| mode != "auto") {
        return Err(Failure::unsupported("browser: what is only looked at cannot be acknowledged"));
    }
    Ok(true)
}

fn is_true(frame: &Frame, name: &str) -> bool {
    frame.get(name).is_some_and(|value| value == "true")
}

/// How long the client may keep a message without acknowledging it.
fn ack_timeout(client: &Client, frame: &Frame, mode: AckMode) -> Result<Option<Duration>, Failure> {
    const NAME: &str = "ack-timeout";
    let Some(text) = frame.get(NAME) else { return Ok(None) };
    if mode == AckMode::Auto {
        let detail = "ack-timeout: in auto mode nothing waits for an ACK";
        return Err(Failure::protocol("Invalid request", detail));
    }
    let (time, max) = (convert::span(NAME, text)?, client.wire.broker.config().max_lease);
    if time.is_zero() || time > max.0 {
        let detail = format!("ack-timeout may be 1ms to {max}, not {text:?}");
        return Err(Failure::protocol("Invalid request", detail));
    }
    Ok(Some(time))
}

fn group(client: &Client, frame: &Frame, destination: &Destination) -> Result<Option<GroupName>, Failure> {
    match (frame.first_of(&["group", "consumer-group"]), &destination.role) {
        (None, _) => Ok(destination.group()?),
        (Some((_, name)), Role::Queue { .. }) => Ok(Some(client.group(name)?)),
        (Some((name, _)), Role::Topic | Role::Group(_) | Role::Part) => {
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

/// Where a new group or a cursor begins.
fn start(frame: &Frame, destination: &Destination) -> Result<StartAt, Failure> {
    match frame.get("from").map(|from| &from[..]) {
        None => elsewhere(frame, destination),
        Some("earliest") => Ok(StartAt::Earliest),
        Some("latest") => Ok(StartAt::Latest),
        Some(text) => text.parse().map(StartAt::Time).map_err(|_| {
            let detail = format!("from must be earliest, latest or milliseconds since 1970, not {text:?}");
            Failure::protocol("Invalid request", detail)
        }),
    }
}

/// The same as RabbitMQ's streams and ActiveMQ say it.
fn elsewhere(frame: &Frame, destination: &Destination) -> Result<StartAt, Failure> {
    let Some(offset) = frame.get("x-stream-offset") else {
        let retroactive = frame.get("activemq.retroactive").is_some_and(|value| value == "true");
        return Ok(match destination.role {
            Role::Topic | Role::Part if !retroactive => StartAt::Latest,
            Role::Topic | Role::Part | Role::Queue { .. } | Role::Group(_) => StartAt::Earliest,
        });
    };
    let seconds = offset.strip_prefix("timestamp=").and_then(|seconds| seconds.parse::<u64>().ok());
    match (&offset[..], seconds.and_then(|seconds| seconds.checked_mul(1000))) {
        ("first", _) => Ok(StartAt::Earliest),
        ("next", _) => Ok(StartAt::Latest),
        (_, Some(milliseconds)) => Ok(StartAt::Time(milliseconds)),
        _ => {
            let detail = format!("x-stream-offset may be first, next or timestamp=<seconds>, not {offset:?}");
            Err(Failure::unsupported(detail))
        }
    }
}

fn window(client: &Client, frame: &Frame) -> Result<usize, Failure> {
    let config = &client.wire.config;
    match frame.first_of(&["consumer-window-size", "consumerWindowSize"]) {
        None => {}
        Some((_, bytes)) if bytes == "0" => return Ok(1), // of bytes: one message at a time
        Some((_, bytes)) if bytes == "-1" => return Ok(config.max_prefetch.max(1)),
        Some((name, _)) => {
            let detail = format!("{name}: windows in bytes are not supported; use prefetch-count");
            return Err(Failure::unsupported(detail));
        }
    }
    let Some((name, text)) = frame.first_of(&["prefetch-count", "activemq.prefetchSize", "prefetch"]) else {
        return Ok(config.default_prefetch.max(1));
    };
    match text.trim().parse::<usize>() {
        Ok(0) if name == "prefetch-count" => Ok(config.max_prefetch.max(1)), // RabbitMQ's word for no limit
        Ok(count) if count <= config.max_prefetch => Ok(count.max(1)),
        _ => {
            let detail = format!("{name} must be a number up to {}, not {text:?}", config.max_prefetch);
            Err(Failure::protocol("Invalid request", detail))
        }
    }
}
