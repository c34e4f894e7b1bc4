//! The messages of a topic that have a tag (12 with `indexType=T`), newest first.
//!
//! The one idea to know: tags are in the index of a queue, so nothing is indexed once more for this; the queues are
//! walked back from the end of the time asked for, with the tag as the filter of ordinary reads.

use super::super::{Call, Result};
use super::Query;
use sluice_broker::PullRequest;
use sluice_model::{Filter, Offset, QueueId, StoredMessage};
use std::time::Duration;

/// Messages looked at in one step, and steps of one request: 256,000 messages, shared by the topic's queues.
const STEP: u64 = 1000;
const STEPS: usize = 256;

pub(super) async fn find(call: &Call, query: &Query) -> Result<Vec<StoredMessage>> {
    let broker = &call.node.broker;
    let view = broker.topic(&call.session, &query.topic)?;
    let filter = Filter::tags(&query.key)?;
    let max = query.max.min(broker.config().max_fetch);
    let steps = (STEPS / view.bounds.len().max(1)).max(1);
    let mut found = Vec::new();
    for (queue, (min, end)) in (0..).zip(&view.bounds) {
        found.extend(of_queue(call, query, &filter, QueueId(queue), (*min, *end), (max, steps)).await?);
    }
    found.sort_by_key(|message| std::cmp::Reverse(message.locator));
    found.truncate(max);
    let mut room = broker.config().max_fetch_size.bytes();
    let fits = |message: &StoredMessage| {
        let size = message.message.body_bytes().len();
        let first = room == broker.config().max_fetch_size.bytes();
        let fits = first || size <= room;
        room = room.saturating_sub(size.max(1));
        fits
    };
    let fitting: Vec<bool> = found.iter().map(fits).collect();
    let count = fitting.iter().take_while(|fits| **fits).count();
    found.truncate(count);
    Ok(found)
}

/// The newest messages of one queue that pass, at most `max`, looking back so many steps.
async fn of_queue(
    call: &Call,
    query: &Query,
    filter: &Filter,
    queue: QueueId,
    (min, end): (Offset, Offset),
    (max, steps): (usize, usize),
) -> Result<Vec<StoredMessage>> {
    let (broker, topic) = (&call.node.broker, &query.topic);
    let at = async |time: u64| broker.offset_at(&call.session, topic, queue, time).await;
    let first = at(query.from).await?.max(min);
    let mut upto = match query.to.checked_add(1).filter(|after| *after <= broker.now()) {
        Some(after) => at(after).await?.min(end),
        None => end,
    };
    let mut found = Vec::new();
    for _ in 0..steps {
        if upto <= first || found.len() >= max {
            break;
        }
        let start = upto.saturating_sub(STEP).max(first);
        let mut passed = between(call, query, filter, queue, start, upto).await?;
        passed.append(&mut found);
        found = passed;
        upto = start;
    }
    let surplus = found.len().saturating_sub(max);
    found.drain(..surplus);
    Ok(found)
}

/// What passes of one stretch of a queue.
async fn between(
    call: &Call,
    query: &Query,
    filter: &Filter,
    queue: QueueId,
    start: Offset,
    end: Offset,
) -> Result<Vec<StoredMessage>> {
    let broker = &call.node.broker;
    let (mut offset, mut found) = (start, Vec::new());
    while offset < end {
        let request = PullRequest {
            topic: &query.topic,
            queue,
            offset,
            max: (end - offset).min(STEP) as usize,
            max_bytes: broker.config().max_fetch_size.bytes(),
            filter,
            group: None,
            wait: Duration::ZERO,
        };
        let pulled = broker.pull(&call.session, &request).await?;
        let wanted = |m: &StoredMessage| {
            m.offset < end
                && (query.from..=query.to).contains(&m.stored)
                && query.before.is_none_or(|before| m.locator < before)
        };
        found.extend(pulled.messages.into_iter().filter(wanted));
        if pulled.next <= offset {
            break;
        }
        offset = pulled.next;
    }
    Ok(found)
}
