//! Whether there is something to pop: NOTIFICATION (200054), which waits for it, and POLLING_INFO (200055), which tells how
//! many wait.
//!
//! The one idea to know: a pop that waits is a receive that waits, so nobody needs to be told; this is for those who keep
//! the waiting apart from the taking, as stock proxies do.

use super::super::pull::condition;
use super::super::{Call, Result};
use super::ANY_QUEUE;
use crate::errors::Failure;
use crate::response::Response;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sluice_broker::PullRequest;
use sluice_model::{ErrorKind, Filter, GroupName, Millis, Offset, QueueId, TopicName};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How often one that waits looks for what came back: the end of a lease is no arrival.
const LOOK: Duration = Duration::from_secs(1);

/// A place in a queue.
type At = (TopicName, QueueId, Offset);

struct Asked {
    group: GroupName,
    topic: TopicName,
    queue: i32,
    filter: Filter,
    wait: Duration,
}

impl Asked {
    fn read(call: &Call) -> Result<Self> {
        let text = |name: &str| call.frame.ext.get(name).map(|text| &text[..]).unwrap_or_default();
        let expression = Some(text("exp")).filter(|exp| !exp.is_empty()).unwrap_or("*");
        // The time counts from when the request was made, by the client's clock; clocks differ, so no more than it says.
        let wait = Duration::from_millis(u64::try_from(call.number::<i64>("pollTime")?).unwrap_or(0));
        Ok(Self {
            group: call.group("consumerGroup")?,
            topic: call.topic("topic")?,
            queue: call.optional("queueId")?.unwrap_or(ANY_QUEUE),
            filter: condition(&call.node.broker, text("expType"), expression)?,
            wait: wait.min(call.node.broker.config().max_wait.0),
        })
    }
}

/// 200054: waits until the group could pop something.
pub(in super::super) async fn notification(call: Call) -> Result<Response> {
    let asked = Asked::read(&call)?;
    let _waiting = call.node.waiting.enter(&asked.group, &asked.topic);
    let deadline = Instant::now() + asked.wait;
    let has = loop {
        let places = places(&call, &asked)?;
        if has_message(&call, &asked, &places, Duration::ZERO).await? {
            break true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break false;
        }
        let has = tokio::select! {
            has = has_message(&call, &asked, &places, left.min(LOOK)) => has?,
            () = call.link.closing() => break false,
        };
        if has {
            break true;
        }
    };
    Ok(Response::success().field("hasMsg", if has { "true" } else { "false" }).field("pollingFull", "false"))
}

/// The places from which the group would be given something next, in the topic and in its retries.
fn places(call: &Call, asked: &Asked) -> Result<Vec<At>> {
    let broker = &call.node.broker;
    let progress = match broker.progress(&call.session, &asked.group, None) {
        Ok(progress) => progress,
        Err(error) if error.kind() == ErrorKind::GroupNotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let next: HashMap<(&TopicName, QueueId), Offset> =
        progress.iter().map(|p| ((&p.topic, p.queue), p.committed + p.in_flight as u64)).collect();
    let mut places = Vec::new();
    for topic in [asked.topic.clone(), asked.group.retry_topic()] {
        let view = match broker.topic(&call.session, &topic) {
            Ok(view) => view,
            // Nothing failed yet, or the retries are not this one's to see.
            Err(_) if topic != asked.topic => continue,
            Err(error) => return Err(error.into()),
        };
        for (queue, (min, _)) in (0..).zip(&view.bounds) {
            if asked.queue == ANY_QUEUE || topic != asked.topic || i64::from(asked.queue) == i64::from(queue)
            {
                let at = next.get(&(&topic, QueueId(queue))).copied().unwrap_or(*min).max(*min);
                places.push((topic.clone(), QueueId(queue), at));
            }
        }
    }
    Ok(places)
}

/// Whether one of these places has a message, within some time.
async fn has_message(call: &Call, asked: &Asked, places: &[At], wait: Duration) -> Result<bool> {
    let look = |(topic, queue, offset): &At| {
        let (topic, queue, offset) = (topic.clone(), *queue, *offset);
        async move {
            let request = PullRequest {
                topic: &topic,
                queue,
                offset,
                max: 1,
                max_bytes: 1,
                filter: &asked.filter,
                group: None,
                wait,
            };
            Ok::<_, Failure>(!call.node.broker.pull(&call.session, &request).await?.messages.is_empty())
        }
    };
    let mut looks: FuturesUnordered<_> = places.iter().map(look).collect();
    while let Some(has) = looks.next().await {
        if has? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// 200055: how many requests wait for messages of a topic on behalf of a group.
pub(in super::super) fn polling(call: &Call) -> Result<Response> {
    let (group, topic) = (call.group("consumerGroup")?, call.topic("topic")?);
    call.node.broker.topic(&call.session, &topic)?;
    Ok(Response::success().field("pollingNum", call.node.waiting.count(&group, &topic) as Millis))
}
