//! The broker's own trace of a message, written as stock clients write theirs.
//!
//! ```text
//! record := Pub ts region group topic id tags keys store-host body-length cost type offset-id success
//!         | SubBefore ts region group request id retries keys
//!         | SubAfter request id cost success keys code ts group
//!         | EndTransaction ts region group topic id tags keys store-host type transaction state from-check
//!         | Recall ts region group topic id success
//! ```
//! Fields are separated by 0x01, records end with 0x02. The one idea to know: readers take the address of who did it from
//! the message around the record, so each delivery is a message of its own. Nothing of this is stored.

use super::TRACE_TOPIC;
use crate::handlers::Call;
use crate::ids::offset_id;
use crate::properties::is_plain;
use sluice_broker::{Trace, TraceEvent, TraceRequest, TraceStep};
use sluice_model::{
    Keys, Message, Millis, Offset, Protocol, Provenance, QueueId, Result, StoredMessage, TopicName,
};
use std::net::SocketAddr;

/// Parts of the log that are looked through for one answer, each 256 MiB: what a client waits for.
const ROUNDS: usize = 4;
/// What readers show for what is not there: stock clients write it so.
const NOTHING: &str = "null";

/// Numbers that readers know.
mod kind {
    pub(super) const NORMAL: u8 = 0;
    pub(super) const HALF: u8 = 1;
    pub(super) const COMMITTED: u8 = 2;
    pub(super) const DELAYED: u8 = 3;
}

/// How a consumption ended, by the numbers that readers know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Success = 0,
    TimedOut = 1,
    Failed = 4,
}

/// The trace of the message with this id, as messages of the trace topic.
pub(super) async fn of(call: &Call, id: &str) -> Result<Vec<StoredMessage>> {
    let mut request = TraceRequest { topic: None, id, after: None };
    let mut trace = call.node.broker.trace(&call.session, &request).await?;
    for _ in 1..ROUNDS {
        let Some(next) = trace.next else { break };
        request.after = Some(next);
        let more = call.node.broker.trace(&call.session, &request).await?;
        trace.events.extend(more.events);
        trace.next = more.next;
        // The first part tells of all copies that there are, the later ones what happened to them.
        trace.events.sort_by_key(|event| event.at);
    }
    let writer = Writer { call, id, trace: &trace, topic: TopicName::new(TRACE_TOPIC)? };
    Ok(writer.messages())
}

struct Writer<'a> {
    call: &'a Call,
    id: &'a str,
    trace: &'a Trace,
    topic: TopicName,
}

impl Writer<'_> {
    fn messages(&self) -> Vec<StoredMessage> {
        let events = &self.trace.events;
        let told = events.iter().enumerate().filter_map(|(n, event)| {
            let (before, rest) = (events.get(..n)?, events.get(n + 1..)?);
            let (text, peer) = self.records(event, before, rest)?;
            Some(self.message(event.at, event.locator, text, peer))
        });
        (0..).zip(told).map(|(offset, message)| StoredMessage { offset, ..message }).collect()
    }

    fn message(&self, at: Millis, locator: u64, text: String, peer: Option<SocketAddr>) -> StoredMessage {
        let message = Message {
            body: Some(text.into()),
            keys: Keys::joined(self.id.to_owned()),
            born: at,
            id: self.id.to_owned().into(),
            provenance: Provenance { peer, ..Provenance::default() },
            ..Message::default()
        };
        let (topic, queue, offset) = (self.topic.clone(), QueueId(0), Offset::default());
        StoredMessage { topic, queue, offset, locator, size: 0, stored: at, message }
    }

    /// What is said of one event, given those before and behind it, and the address of who did it.
    fn records(
        &self,
        event: &TraceEvent,
        before: &[TraceEvent],
        rest: &[TraceEvent],
    ) -> Option<(String, Option<SocketAddr>)> {
        let record = self.trace.messages.iter().find(|message| message.locator == event.locator)?;
        match &event.step {
            TraceStep::Stored if has_waited(before) => None,
            TraceStep::Stored => Some(self.sent(event, record, kind::NORMAL)),
            TraceStep::Delayed { .. } => Some(self.sent(event, record, kind::DELAYED)),
            TraceStep::Prepared => Some(self.sent(event, record, kind::HALF)),
            TraceStep::Committed => Some((self.decided(event, record, "COMMIT_MESSAGE"), None)),
            TraceStep::RolledBack => Some((self.decided(event, record, "ROLLBACK_MESSAGE"), None)),
            TraceStep::GivenUp => Some((self.decided(event, record, "UNKNOW"), None)),
            TraceStep::Recalled => {
                let at = event.at.to_string();
                let fields =
                    ["Recall", &at, self.region(), &who(record), event.topic.as_str(), self.id, "true"];
                Some((line(&fields), None))
            }
            TraceStep::Delivered { attempt, until, taker } => {
                let end = end_of(event, *until, rest, self.call.node.broker.now());
                Some((
                    self.consumed(event, record, attempt.saturating_sub(1), end),
                    taker.as_ref().map(|(_, peer)| *peer),
                ))
            }
            // Queue consumers leave only this, and copies of what they refused.
            TraceStep::OffsetBehind if is_refused(before, event, record.message.attempt) => None,
            TraceStep::OffsetBehind => Some((
                self.consumed(event, record, record.message.attempt, Some((event.at, End::Success))),
                None,
            )),
            // A dead letter that is given to its group again begins at no attempts.
            TraceStep::Retried { attempts: attempts @ 1.., .. } if !is_due_retry(before, event) => {
                Some((self.consumed(event, record, attempts - 1, Some((event.at, End::Failed))), None))
            }
            TraceStep::DeadLettered { .. } if !self.leases(event) => {
                // The try that ended so is counted in the dead letter.
                let before = record.message.attempt.saturating_sub(1);
                Some((self.consumed(event, record, before, Some((event.at, End::Failed))), None))
            }
            _ => None,
        }
    }

    /// The members of the event's group take messages under lease: each delivery is told, and how it ended.
    fn leases(&self, event: &TraceEvent) -> bool {
        let mut own = self.trace.events.iter().filter(|other| other.group == event.group);
        own.any(|other| matches!(other.step, TraceStep::Delivered { .. }))
    }

    fn region(&self) -> &str {
        &self.call.node.marks.region
    }

    fn sent(&self, event: &TraceEvent, record: &StoredMessage, kind: u8) -> (String, Option<SocketAddr>) {
        let message = &record.message;
        let host = self.call.link.here.host;
        let (at, host_text) = (event.at.to_string(), host.to_string());
        let (group, length) = (who(record), message.body_bytes().len().to_string());
        let cost = event.at.saturating_sub(message.born).min(i32::MAX as u64).to_string();
        let (kind, offset_id) = (kind.to_string(), offset_id(host, record.locator));
        let text = line(&[
            "Pub",
            &at,
            self.region(),
            &group,
            event.topic.as_str(),
            self.id,
            message.tag.as_deref().unwrap_or_default(),
            message.keys.as_text(),
            &host_text,
            &length,
            &cost,
            &kind,
            &offset_id,
            "true",
        ]);
        (text, message.provenance.peer)
    }

    fn decided(&self, event: &TraceEvent, record: &StoredMessage, state: &str) -> String {
        let message = &record.message;
        let (at, host) = (event.at.to_string(), self.call.link.here.host.to_string());
        let prepared =
            self.trace.events.iter().find(|e| e.locator == event.locator && e.step == TraceStep::Prepared);
        let group = prepared.and_then(|prepared| prepared.group.as_ref());
        let group = group.map_or_else(|| who(record), ToString::to_string);
        let kind = kind::COMMITTED.to_string();
        line(&[
            "EndTransaction",
            &at,
            self.region(),
            &group,
            event.topic.as_str(),
            self.id,
            message.tag.as_deref().unwrap_or_default(),
            message.keys.as_text(),
            &host,
            &kind,
            self.id,
            state,
            "false",
        ])
    }

    /// A consumption, and its end once it has one.
    fn consumed(
        &self,
        event: &TraceEvent,
        record: &StoredMessage,
        retries: u32,
        end: Option<(Millis, End)>,
    ) -> String {
        let group = event.group.as_ref().map_or("", |group| group.as_str());
        let request = format!("{:016X}-{}", event.locator, event.at);
        let (at, retries, keys) = (event.at.to_string(), retries.to_string(), record.message.keys.as_text());
        let mut text = line(&["SubBefore", &at, self.region(), group, &request, self.id, &retries, keys]);
        if let Some((ended, end)) = end {
            let cost = ended.saturating_sub(event.at).min(i32::MAX as u64).to_string();
            let (success, code) = ((end == End::Success).to_string(), (end as u8).to_string());
            text += &line(&["SubAfter", &request, self.id, &cost, &success, keys, &code, &at, group]);
        }
        text
    }
}

/// It is a message's second record: as it was sent is told by the first.
fn has_waited(before: &[TraceEvent]) -> bool {
    before.iter().any(|other| matches!(other.step, TraceStep::Delayed { .. } | TraceStep::Prepared))
}

/// The group's offset has passed a record that it had refused: since it came to stand before the record there is a copy
/// for another try, or among the dead letters, which tells of it.
fn is_refused(before: &[TraceEvent], behind: &TraceEvent, attempt: u32) -> bool {
    let is_own = |other: &TraceEvent| other.group == behind.group;
    let went_back = |other: &TraceEvent| {
        is_own(other) && other.locator == behind.locator && other.step == TraceStep::OffsetBefore
    };
    let tries = before.rsplit(went_back).next().unwrap_or_default();
    tries.iter().filter(|other| is_own(other) && other.locator > behind.locator).any(|other| {
        match other.step {
            TraceStep::Retried { attempts, .. } => attempts > attempt,
            TraceStep::DeadLettered { .. } => true,
            _ => false,
        }
    })
}

/// Of a retry there are two records: one while it waits, which has told that the try before failed, and this one.
fn is_due_retry(before: &[TraceEvent], event: &TraceEvent) -> bool {
    let TraceStep::Retried { attempts: own, until } = event.step else { return false };
    let waited = |other: &TraceEvent| match other.step {
        TraceStep::Retried { attempts, until } => attempts == own && until > other.at,
        _ => false,
    };
    until <= event.at && before.iter().any(|other| other.group == event.group && waited(other))
}

/// How a delivery ended, if it has.
fn end_of(
    delivery: &TraceEvent,
    until: Option<Millis>,
    rest: &[TraceEvent],
    now: Millis,
) -> Option<(Millis, End)> {
    let mut until = until;
    for event in rest.iter().filter(|event| event.group == delivery.group) {
        let same = event.locator == delivery.locator;
        match &event.step {
            TraceStep::Acknowledged if same => return Some((event.at, End::Success)),
            TraceStep::Returned { .. } if same => return Some((event.at, End::Failed)),
            TraceStep::DeadLettered { .. } => return Some((event.at, End::Failed)),
            TraceStep::Delivered { .. } if same => return Some((event.at, End::TimedOut)),
            TraceStep::Extended { until: later } if same => until = Some(*later),
            _ => {}
        }
    }
    until.filter(|until| *until <= now).map(|until| (until, End::TimedOut))
}

/// Who sent a message, in the place of the producer group, which is not kept: the wire, and the name where there is one.
fn who(record: &StoredMessage) -> String {
    let Provenance { protocol, principal, .. } = &record.message.provenance;
    let wire = match protocol {
        Protocol::Internal => "sluice",
        Protocol::Remoting => "remoting",
        Protocol::Grpc => "grpc",
        Protocol::Http => "http",
        Protocol::Stomp => "stomp",
        Protocol::Kafka => "kafka",
    };
    if principal.is_empty() { wire.to_owned() } else { format!("{wire}:{principal}") }
}

/// One record. Readers cannot do with an empty field at the end, nor with the separators inside.
fn line(fields: &[&str]) -> String {
    let spell = |field: &&str| match *field {
        "" => NOTHING.to_owned(),
        field if is_plain(field) => field.to_owned(),
        field => field.replace(['\u{1}', '\u{2}'], "?"),
    };
    let mut text = fields.iter().map(spell).collect::<Vec<_>>().join("\u{1}");
    text.push('\u{2}');
    text
}
