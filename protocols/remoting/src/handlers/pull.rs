//! PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361): read a queue at an offset, waiting for more when asked.
//!
//! The one idea to know: the answer's code tells the client how to go on. 0 and 20: at once, from `nextBeginOffset`;
//! 19: nothing new (given only after the wait, or clients would spin); 21: the offset is outside the queue, start over.

use super::{Answer, Call, Result};
use crate::codes::response::*;
use crate::convert::add_properties;
use crate::errors::Failure;
use crate::properties::PropertyList;
use crate::record::Records;
use crate::response::Response;
use sluice_broker::{Broker, PullRequest, Pulled};
use sluice_model::{Dialect, Error, Filter, GroupName, Offset, QueueId, TopicName};
use std::time::Duration;

/// Bits of `sysFlag`.
const COMMITS: i32 = 1;
const WAITS: i32 = 2;
const HAS_SUBSCRIPTION: i32 = 4;

/// What a pull asks for.
struct Pull {
    group: GroupName,
    topic: TopicName,
    queue: QueueId,
    offset: Offset,
    max: usize,
    max_bytes: usize,
    filter: Filter,
    wait: Duration,
}

/// The offset that a pull carries along is stored at once: a later UPDATE_CONSUMER_OFFSET must not be undone by an
/// earlier pull.
pub(super) fn handle(call: Call) -> Answer {
    match Pull::read(&call).and_then(|pull| commit(&call, &pull).map(|()| pull)) {
        Ok(pull) => Answer::later(read(call, pull)),
        Err(failure) => Answer::Ready(failure.into()),
    }
}

async fn read(call: Call, pull: Pull) -> Result<Response> {
    let broker = &call.node.broker;
    let request = PullRequest {
        topic: &pull.topic,
        queue: pull.queue,
        offset: pull.offset,
        max: pull.max,
        max_bytes: pull.max_bytes,
        filter: &pull.filter,
        group: Some(&pull.group),
        wait: pull.wait,
    };
    let moved = call.node.resets.next();
    if let Some(offset) = reset(&call, &pull)? {
        return Ok(go_on_at(offset, &broker.bounds(&call.session, &pull.topic, pull.queue)?));
    }
    let pulled = tokio::select! {
        pulled = broker.pull(&call.session, &request) => pulled?,
        // Perhaps it is this group that was moved; others ask again.
        () = moved, if !pull.wait.is_zero() => {
            broker.pull(&call.session, &PullRequest { wait: Duration::ZERO, ..request }).await?
        }
        () = call.link.closing(), if !pull.wait.is_zero() => {
            broker.pull(&call.session, &PullRequest { wait: Duration::ZERO, ..request }).await?
        }
    };
    if let Some(offset) = reset(&call, &pull)? {
        return Ok(go_on_at(offset, &(pulled.min, pulled.max)));
    }
    if !pulled.messages.is_empty() {
        let count = pulled.messages.len();
        call.node.rates.add(&pull.group, &pull.topic, count, call.node.broker.now());
    }
    Ok(answer(&call, pull.offset, &pulled))
}

/// Where this consumer has to go on, when a tool has moved its group.
fn reset(call: &Call, pull: &Pull) -> Result<Option<Offset>> {
    let (resets, now) = (&call.node.resets, call.node.broker.now());
    let place = (pull.group.clone(), pull.topic.clone(), pull.queue);
    if !resets.is_pending(&place, now) {
        return Ok(None);
    }
    // It is told once, so only to one who may read as this group.
    call.node.broker.committed(&call.session, &pull.group, &pull.topic, pull.queue)?;
    Ok(resets.take(&place, now))
}

fn go_on_at(offset: Offset, (min, max): &(Offset, Offset)) -> Response {
    Response::with_code(PULL_OFFSET_MOVED, "OFFSET_RESET")
        .field("suggestWhichBrokerId", 0)
        .field("nextBeginOffset", offset)
        .field("minOffset", *min)
        .field("maxOffset", *max)
}

impl Pull {
    fn read(call: &Call) -> Result<Self> {
        let group = call.group("consumerGroup")?;
        let topic = call.topic("topic")?;
        let flags: i32 = call.number("sysFlag")?;
        let config = &call.node.config;
        let filter = if flags & HAS_SUBSCRIPTION != 0 {
            own_filter(call)?
        } else {
            known_filter(call, &group, &topic)?
        };
        let wait =
            if flags & WAITS != 0 { call.optional::<i64>("suspendTimeoutMillis")?.unwrap_or(0) } else { 0 };
        let asked: usize = call.number::<i32>("maxMsgNums")?.max(1) as usize;
        let max_bytes = call.optional::<i64>("maxMsgBytes")?.filter(|n| *n > 0);
        Ok(Self {
            queue: call.queue()?,
            offset: Offset::try_from(call.number::<i64>("queueOffset")?).unwrap_or(0),
            max: asked.min(config.max_pull_messages),
            max_bytes: max_bytes.map_or(usize::MAX, |n| n as usize).min(config.max_pull_size.bytes()),
            wait: Duration::from_millis(u64::try_from(wait).unwrap_or(0))
                .min(call.node.broker.config().max_wait.0),
            group,
            topic,
            filter,
        })
    }
}

/// The condition that the request itself carries.
fn own_filter(call: &Call) -> Result<Filter> {
    let kind = call.frame.ext.get("expressionType").map(|t| &t[..]).unwrap_or_default();
    let expression = call.frame.ext.get("subscription").map(|s| &s[..]).unwrap_or_default();
    condition(&call.node.broker, kind, expression)
}

/// The condition that heartbeats told: this client's, or else the newest of its group.
fn known_filter(call: &Call, group: &GroupName, topic: &TopicName) -> Result<Filter> {
    let known = match call.link.wants(group, topic) {
        Some(own) => Some(own),
        None => call.node.broker.subscription(&call.session, group, topic)?,
    };
    let Some(known) = known else {
        return Err(Failure::new(SUBSCRIPTION_NOT_EXIST, "the consumer's subscription not exist"));
    };
    match call.optional::<i64>("subVersion")? {
        Some(asked) if known.version < asked => {
            Err(Failure::new(SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest"))
        }
        _ => Ok(known.filter),
    }
}

/// A condition as clients write it. An unnamed kind is one of tags.
pub(super) fn condition(broker: &Broker, kind: &str, expression: &str) -> Result<Filter> {
    let parsed = if is_tag_expression(kind) {
        Filter::tags(expression)
    } else if kind.eq_ignore_ascii_case("SQL92") {
        broker.sql_filter(expression, Dialect::RocketMq)
    } else {
        Err(Error::invalid(format!("{kind:?} is no kind of expression; there are TAG and SQL92")))
    };
    parsed.map_err(|error| Failure::new(SUBSCRIPTION_PARSE_FAILED, error.message()))
}

fn is_tag_expression(kind: &str) -> bool {
    kind.is_empty() || kind.eq_ignore_ascii_case("TAG")
}

/// Stores the offset that the request carries along, if it is progress: one that a client carried when it stopped may
/// arrive after its last word, and must not take that back. Stock brokers take it as it comes.
fn commit(call: &Call, pull: &Pull) -> Result<()> {
    if call.number::<i32>("sysFlag")? & COMMITS == 0 {
        return Ok(());
    }
    let Ok(offset) = Offset::try_from(call.number::<i64>("commitOffset")?) else { return Ok(()) };
    let broker = &call.node.broker;
    let place = (pull.group.clone(), pull.topic.clone(), pull.queue);
    if call.node.resets.is_pending(&place, broker.now()) {
        return Ok(());
    }
    if broker
        .committed(&call.session, &pull.group, &pull.topic, pull.queue)?
        .is_some_and(|known| known >= offset)
    {
        return Ok(());
    }
    // The pull's answer does not wait for it: a lost offset is told again with the next pull.
    drop(broker.commit_offset(&call.session, &pull.group, &pull.topic, pull.queue, offset)?);
    Ok(())
}

fn answer(call: &Call, asked: Offset, pulled: &Pulled) -> Response {
    let (code, status, next) = outcome(asked, pulled);
    let mut response = Response::with_code(code, status)
        .field("suggestWhichBrokerId", 0)
        .field("nextBeginOffset", next)
        .field("minOffset", pulled.min)
        .field("maxOffset", pulled.max);
    if !pulled.messages.is_empty() {
        call.node.got.add(pulled.messages.len() as u64, call.node.broker.now());
    }
    let host = call.link.here.host;
    let mut records = Records::with_room_for(pulled.messages.iter());
    let mut list = PropertyList::default();
    for stored in &pulled.messages {
        list = add_properties(list.cleared(), stored, &call.node.marks, host);
        records.push(stored, &list, host);
    }
    response.body = records.into_parts();
    response
}

/// What became of reading at `asked`: the code, its name, and where to read on.
fn outcome(asked: Offset, pulled: &Pulled) -> (i32, &'static str, Offset) {
    let Pulled { messages, next, min, max } = pulled;
    if !messages.is_empty() {
        (SUCCESS, "FOUND", *next)
    } else if *max == 0 && asked == 0 {
        (PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", 0)
    } else if *max == 0 {
        (PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE", 0)
    } else if asked < *min {
        (PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", *min)
    } else if asked > *max {
        (PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", *max)
    } else if *next > asked {
        (PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE", *next)
    } else {
        (PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(asked: Offset, next: Offset, min: Offset, max: Offset) -> (i32, Offset) {
        let (code, _, next) = outcome(asked, &Pulled { messages: Vec::new(), next, min, max });
        (code, next)
    }

    #[test]
    fn an_empty_pull_tells_how_to_go_on() {
        assert_eq!(at(0, 0, 0, 0), (19, 0));
        assert_eq!(at(5, 0, 0, 0), (21, 0));
        assert_eq!(at(2, 5, 5, 9), (21, 5));
        assert_eq!(at(12, 9, 5, 9), (21, 9));
        assert_eq!(at(9, 9, 5, 9), (19, 9));
        assert_eq!(at(6, 9, 5, 9), (20, 9));
    }
}
