//! POP: consuming under lease (200050), settling (200051, 200151, 200053), looking (200052), and who shall consume so
//! (400 to 402 in `pop/mode.rs`). `pop/notice.rs` tells whether there is something to pop.
//!
//! The one idea to know: a pop is the broker's own receive, and what clients call the check point is a text that they bring
//! back as it is. Its eight words are what stock brokers write there; the ninth is the receipt. A client that makes the
//! text anew, or settles many at once, leaves the ninth out: then the delivery is looked up (`popped.rs`).

mod mode;
mod notice;

pub(super) use mode::{all as modes, assignment, set as set_mode};
pub(super) use notice::{notification, polling};

use super::pull::condition;
use super::{Answer, Call, Result};
use crate::codes::response::*;
use crate::convert::add_properties;
use crate::errors::Failure;
use crate::popped::Delivery;
use crate::properties::{PropertyList, name};
use crate::record::Records;
use crate::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sluice_broker::{Lease, PullRequest, ReceiveRequest, StartAt};
use sluice_model::{
    Delivered, Error, ErrorKind, Filter, GroupName, QueueId, ReceiptHandle, StoredMessage, TopicName,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most messages of one pop, as stock brokers have it.
const MAX_MESSAGES: usize = 32;
/// Places in one batch of acknowledgements, those between its messages counted: more than pops of 32 spread over.
const MAX_ACKS: usize = 100_000;
/// The place of the receipt among the words of a check point.
const RECEIPT: usize = 8;
/// What stands in a check point for the queue of a stock broker's own bookkeeping.
const REVIVE_QUEUE: i32 = 0;
/// Any queue.
const ANY_QUEUE: i32 = -1;

/// 200050: leases messages to a consumer.
pub(super) fn pop(call: Call) -> Answer {
    match Pop::read(&call) {
        Ok(pop) => Answer::later(deliver(call, pop)),
        Err(failure) => Answer::Ready(failure.into()),
    }
}

/// What a pop asks for.
struct Pop {
    group: GroupName,
    topic: TopicName,
    filter: Filter,
    max: usize,
    invisible: Duration,
    wait: Duration,
    in_order: bool,
    start: StartAt,
}

impl Pop {
    fn read(call: &Call) -> Result<Self> {
        let queue: i32 = call.number("queueId")?;
        if queue != ANY_QUEUE {
            return Err(Failure::invalid("a pop takes from any queue here: queueId must be -1"));
        }
        let max: i32 = call.number("maxMsgNums")?;
        let max = usize::try_from(max).ok().filter(|max| (1..=MAX_MESSAGES).contains(max));
        let max = max.ok_or_else(|| Failure::invalid(format!("maxMsgNums must be 1 to {MAX_MESSAGES}")))?;
        let text = |name: &str| call.frame.ext.get(name).map(|text| &text[..]).unwrap_or_default();
        let expression = Some(text("exp")).filter(|exp| !exp.is_empty()).unwrap_or("*");
        let millis = |n: i64| Duration::from_millis(u64::try_from(n).unwrap_or(0));
        Ok(Self {
            group: call.group("consumerGroup")?,
            topic: call.topic("topic")?,
            filter: condition(&call.node.broker, text("expType"), expression)?,
            max,
            invisible: millis(call.number("invisibleTime")?),
            wait: millis(call.number("pollTime")?),
            in_order: text("order").eq_ignore_ascii_case("true"),
            start: if call.optional("initMode")? == Some(0) { StartAt::Earliest } else { StartAt::Latest },
        })
    }
}

async fn deliver(call: Call, pop: Pop) -> Result<Response> {
    start_young(&call, &pop)?;
    let broker = &call.node.broker;
    let request = ReceiveRequest {
        group: &pop.group,
        topic: &pop.topic,
        filter: &pop.filter,
        max: pop.max,
        lease: if pop.in_order { Lease::InOrder(pop.invisible) } else { Lease::For(pop.invisible) },
        wait: pop.wait,
        start: pop.start,
        create: None,
    };
    let max_bytes = call.node.config.max_pull_size.bytes();
    let waiting = call.node.waiting.enter(&pop.group, &pop.topic);
    // A receive that is given up leases nothing.
    let got = tokio::select! {
        got = broker.receive_up_to(&call.session, &request, max_bytes) => got?,
        () = call.link.closing() => Vec::new(),
    };
    drop(waiting);
    let now = broker.now();
    let response = match got.is_empty() {
        true => Response::with_code(POLLING_TIMEOUT, "no message within the time"),
        false => Response::with_code(SUCCESS, "FOUND"),
    };
    let mut response = response
        .field("popTime", now)
        .field("invisibleTime", pop.invisible.as_millis() as u64)
        .field("reviveQid", REVIVE_QUEUE)
        .field("restNum", 0);
    if !got.is_empty() {
        call.node.got.add(got.len() as u64, now);
        call.node.rates.add(&pop.group, &pop.topic, got.len(), now);
        let (starts, offsets) = places(&got);
        // Each message has its check point already; without these fields clients would write one of their own over it.
        response = response.field("startOffsetInfo", starts).field("msgOffsetInfo", offsets);
    }
    let host = call.link.here.host;
    let mut records = Records::with_room_for(got.iter().map(|delivered| &delivered.message));
    for delivered in got {
        let (shown, list) = shown(&call, &pop, delivered, now);
        records.push(&shown, &list, host);
    }
    response.body = records.into_parts();
    Ok(response)
}

/// What is delivered from where: `retry queue first` and `retry queue offset,offset`, with semicolons between queues.
fn places(got: &[Delivered]) -> (String, String) {
    let mut queues: BTreeMap<(u8, u32), BTreeSet<u64>> = BTreeMap::new();
    for delivered in got {
        let stored = &delivered.message;
        queues.entry((retry_mark(stored), stored.queue.0)).or_default().insert(stored.offset);
    }
    let (mut starts, mut offsets) = (Vec::new(), Vec::new());
    for ((retry, queue), of_queue) in &queues {
        let texts: Vec<String> = of_queue.iter().map(u64::to_string).collect();
        starts.push(format!("{retry} {queue} {}", texts.first().map(String::as_str).unwrap_or_default()));
        offsets.push(format!("{retry} {queue} {}", texts.join(",")));
    }
    (starts.join(";"), offsets.join(";"))
}

/// 1 for what comes from the group's retries.
fn retry_mark(stored: &StoredMessage) -> u8 {
    u8::from(stored.topic.retry_group().is_some())
}

/// A group that is new on a young topic starts at its beginning, as one that pulls does.
fn start_young(call: &Call, pop: &Pop) -> Result<()> {
    if pop.start == StartAt::Earliest {
        return Ok(());
    }
    let broker = &call.node.broker;
    let view = broker.topic(&call.session, &pop.topic)?;
    for (queue, (min, end)) in (0..).zip(view.bounds) {
        let queue = QueueId(queue);
        let known = match broker.committed(&call.session, &pop.group, &pop.topic, queue) {
            Ok(known) => known.is_some(),
            Err(error) if error.kind() == ErrorKind::GroupNotFound => false,
            Err(error) => return Err(error.into()),
        };
        if !known && min == 0 && end < call.node.config.young_queue {
            // Written in order with what the receive writes, so nobody waits for it.
            drop(broker.commit_offset(&call.session, &pop.group, &pop.topic, queue, 0)?);
        }
    }
    Ok(())
}

/// A delivery as clients see it: under its own topic, and with the check point that settles it.
fn shown(call: &Call, pop: &Pop, delivered: Delivered, now: u64) -> (StoredMessage, PropertyList) {
    let (receipt, attempt) = (delivered.receipt, delivered.attempt);
    let mut stored = delivered.message;
    let retry = retry_mark(&stored);
    let (queue, offset) = (stored.queue, stored.offset);
    let invisible = delivered.invisible_until.saturating_sub(now);
    let broker = &call.node.marks.broker.name;
    let point = format!(
        "{offset} {now} {invisible} {REVIVE_QUEUE} {retry} {broker} {} {offset} {}",
        queue.0,
        receipt.as_str()
    );
    let delivery =
        Delivery { group: pop.group.clone(), topic: pop.topic.clone(), retry: retry != 0, queue, offset };
    call.node.popped.remember(delivery, receipt, delivered.invisible_until, now);
    stored.message.attempt = attempt.saturating_sub(1);
    let mut list = PropertyList::with_capacity(512 + stored.message.headers.encoded().len());
    list.push(name::POP_CK, &point);
    let list = add_properties(list, &stored, &call.node.marks, call.link.here.host);
    stored.topic = pop.topic.clone();
    (stored, list)
}

/// 200051: a message is consumed.
pub(super) async fn ack(call: Call) -> Result<Response> {
    let receipt = receipt(&call)?;
    match call.node.broker.ack(&call.session, &receipt) {
        Ok(promise) => promise.await?,
        Err(error) => let_be(Err(error))?,
    }
    if let Ok(delivery) = named(&call) {
        call.node.popped.forget(&delivery, &receipt);
    }
    Ok(Response::success())
}

/// What is settled already, or whose lease has ended, is let be: the client can do nothing about it, and if it was not
/// consumed it comes again.
fn let_be(acked: Result<(), Error>) -> Result<()> {
    match acked {
        Err(error) if error.kind() == ErrorKind::ReceiptExpired => Ok(()),
        other => Ok(other?),
    }
}

/// The receipt that a request for one delivery brings, or that its place leads to.
fn receipt(call: &Call) -> Result<ReceiptHandle> {
    let words: Vec<&str> = call.text("extraInfo")?.split(' ').collect();
    if let Some(receipt) = words.get(RECEIPT) {
        return Ok(ReceiptHandle::from(*receipt));
    }
    let delivery = named(call)?;
    may_name_places(call, &delivery.topic)?;
    call.node.popped.find(&delivery).ok_or_else(unknown)
}

/// The delivery that a request names by its place.
fn named(call: &Call) -> Result<Delivery> {
    let retry = call.text("extraInfo")?.split(' ').nth(4).is_some_and(|retry| retry != "0");
    let group = call.group("consumerGroup")?;
    let topic = TopicName::new(original(call.text("topic")?, &group, retry))?;
    Ok(Delivery { topic, retry, queue: call.queue()?, offset: call.number("offset")?, group })
}

/// Whoever brings a receipt was given the delivery. A place can be guessed, so only those who may see the topic name one.
fn may_name_places(call: &Call, topic: &TopicName) -> Result<()> {
    match call.node.broker.topic(&call.session, topic) {
        Err(error) if error.kind() != ErrorKind::TopicNotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// For a retry clients say the name that a stock broker's retry topic has, which ends with the topic's own.
fn original(topic: &str, group: &GroupName, retry: bool) -> String {
    let rest = topic.strip_prefix("%RETRY%").and_then(|rest| rest.strip_prefix(group.as_str()));
    let name = rest.and_then(|rest| rest.strip_prefix(['_', '+'])).filter(|_| retry);
    name.unwrap_or(topic).to_owned()
}

fn unknown() -> Failure {
    Failure::new(NO_MESSAGE, "this message is not leased to the group")
}

#[derive(Deserialize)]
struct Acks {
    #[serde(default)]
    acks: Vec<AckOf>,
}

/// Deliveries of one pop from one queue: offsets from `so` on, a bit each.
#[derive(Deserialize)]
struct AckOf {
    c: String,
    t: String,
    #[serde(default)]
    r: String,
    q: u32,
    so: u64,
    b: String,
}

/// 200151: several messages are consumed. What is not leased is passed over.
pub(super) async fn ack_many(call: Call) -> Result<Response> {
    let acks: Acks = call.body()?;
    if acks.acks.is_empty() {
        return Err(Failure::new(NO_MESSAGE, "there is nothing to acknowledge"));
    }
    let (mut deliveries, mut receipts) = (Vec::new(), Vec::new());
    let mut looked_at = 0;
    for ack in acks.acks {
        let bits = STANDARD.decode(&ack.b).map_err(|_| Failure::invalid("b is not base64"))?;
        let (group, topic) = (GroupName::new(ack.c)?, TopicName::new(ack.t)?);
        may_name_places(&call, &topic)?;
        looked_at += bits.len() * 8;
        if looked_at > MAX_ACKS {
            return Err(Failure::invalid(format!("at most {MAX_ACKS} places in one request")));
        }
        let places =
            (0..).zip(&bits).flat_map(|(at, byte)| (0..8).map(move |bit| (at * 8 + bit, byte >> bit & 1)));
        for (at, _) in places.filter(|(_, set)| *set == 1) {
            let delivery = Delivery {
                group: group.clone(),
                topic: topic.clone(),
                retry: ack.r != "0" && !ack.r.is_empty(),
                queue: QueueId(ack.q),
                offset: ack.so.saturating_add(at),
            };
            if let Some(receipt) = call.node.popped.find(&delivery) {
                deliveries.push(delivery);
                receipts.push(receipt);
            }
        }
    }
    let outcomes = call.node.broker.ack_all(&call.session, &receipts)?.await?;
    for (outcome, (delivery, receipt)) in outcomes.into_iter().zip(deliveries.iter().zip(&receipts)) {
        let_be(outcome)?;
        call.node.popped.forget(delivery, receipt);
    }
    Ok(Response::success())
}

/// 200053: a message comes again after another time than its lease.
pub(super) async fn change_invisible(call: Call) -> Result<Response> {
    let invisible: u64 = call.number("invisibleTime")?;
    let receipt = receipt(&call)?;
    let broker = &call.node.broker;
    let now = broker.now();
    let extended = broker.change_invisible(&call.session, &receipt, Duration::from_millis(invisible));
    let extended = extended.map_err(|error| match error.kind() {
        ErrorKind::ReceiptExpired => unknown(),
        _ => error.into(),
    })?;
    let extended = extended.await?;
    let group = call.group("consumerGroup")?;
    let words: Vec<&str> = call.text("extraInfo")?.split(' ').collect();
    let retry = words.get(4).is_some_and(|retry| *retry != "0");
    let topic = TopicName::new(original(call.text("topic")?, &group, retry))?;
    let delivery = Delivery { group, topic, retry, queue: call.queue()?, offset: call.number("offset")? };
    call.node.popped.remember(delivery, extended.receipt, extended.until, now);
    Ok(Response::success()
        .field("popTime", now)
        .field("invisibleTime", invisible)
        .field("reviveQid", REVIVE_QUEUE))
}

/// 200052: what the group would get next, without leasing it; what others have leased among it.
pub(super) async fn peek(call: Call) -> Result<Response> {
    let (group, topic) = (call.group("consumerGroup")?, call.topic("topic")?);
    let max = call.number::<i32>("maxMsgNums")?.clamp(1, MAX_MESSAGES as i32) as usize;
    let wanted: i32 = call.number("queueId")?;
    let broker = &call.node.broker;
    let view = broker.topic(&call.session, &topic)?;
    let (host, filter) = (call.link.here.host, Filter::tags("*")?);
    let (mut records, mut count) = (Records::default(), 0);
    for (queue, (min, _)) in (0..).zip(&view.bounds) {
        if count == max || (wanted != ANY_QUEUE && i64::from(wanted) != i64::from(queue)) {
            continue;
        }
        let offset = match broker.committed(&call.session, &group, &topic, QueueId(queue)) {
            Ok(committed) => committed.unwrap_or(*min),
            Err(error) if error.kind() == ErrorKind::GroupNotFound => *min,
            Err(error) => return Err(error.into()),
        };
        let request = PullRequest {
            topic: &topic,
            queue: QueueId(queue),
            offset,
            max: max - count,
            max_bytes: call.node.config.max_pull_size.bytes(),
            filter: &filter,
            group: None,
            wait: Duration::ZERO,
        };
        for stored in broker.pull(&call.session, &request).await?.messages {
            count += 1;
            records.push(&stored, &crate::convert::to_properties(&stored, &call.node.marks, host), host);
        }
    }
    let code = if count == 0 { (PULL_NOT_FOUND, "NO_MESSAGE") } else { (SUCCESS, "FOUND") };
    let mut response = Response::with_code(code.0, code.1)
        .field("popTime", 0)
        .field("invisibleTime", 0)
        .field("reviveQid", 0)
        .field("restNum", 0);
    response.body = records.into_parts();
    Ok(response)
}
