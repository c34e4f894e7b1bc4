//! LOCK_BATCH_MQ (41) and UNLOCK_BATCH_MQ (42): one orderly consumer per queue.

use super::json::MessageQueue;
use super::{Call, Result};
use crate::errors::Failure;
use crate::response::Response;
use serde::{Deserialize, Serialize};
use sluice_model::{GroupName, QueueId, TopicName};

/// The most queues in one request: as many as a topic may have, several times over.
const MAX_QUEUES: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    consumer_group: String,
    client_id: String,
    #[serde(default)]
    mq_set: Vec<MessageQueue>,
}

#[derive(Debug, Serialize)]
struct Locked {
    #[serde(rename = "lockOKMQSet")]
    queues: Vec<MessageQueue>,
}

pub(super) fn lock(call: &Call) -> Result<Response> {
    let (group, client_id, queues) = read(call)?;
    let locked = call.node.broker.lock_queues(&call.session, &group, &client_id, &queues)?;
    let name = &call.node.marks.broker.name;
    let queues = locked.iter().map(|(topic, queue)| MessageQueue::new(name, topic, *queue)).collect();
    Ok(Response::success().body(super::json::write(&Locked { queues })?))
}

pub(super) fn unlock(call: &Call) -> Result<Response> {
    let (group, client_id, queues) = read(call)?;
    call.node.broker.unlock_queues(&call.session, &group, &client_id, &queues)?;
    Ok(Response::success())
}

type Asked = (GroupName, String, Vec<(TopicName, QueueId)>);

fn read(call: &Call) -> Result<Asked> {
    let request: Request = call.body()?;
    if request.mq_set.len() > MAX_QUEUES {
        return Err(Failure::invalid(format!("at most {MAX_QUEUES} queues are locked at once")));
    }
    let queues = request
        .mq_set
        .into_iter()
        .map(|mq| {
            let queue = u32::try_from(mq.queue_id)
                .map_err(|_| Failure::invalid(format!("there is no queue {}", mq.queue_id)))?;
            Ok((TopicName::new(mq.topic)?, QueueId(queue)))
        })
        .collect::<Result<_>>()?;
    Ok((GroupName::new(request.consumer_group)?, request.client_id, queues))
}
