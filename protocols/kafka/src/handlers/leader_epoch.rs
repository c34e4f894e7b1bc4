//! OffsetForLeaderEpoch: where an epoch of the leader ended. There is one epoch, and it has not ended.

use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::handlers::{partition, same_epoch};
use crate::names;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use std::sync::Arc;

pub(crate) async fn offset_for_leader_epoch(
    client: Arc<Client>,
    _: Head,
    request: OffsetForLeaderEpochRequest,
) -> Result<OffsetForLeaderEpochResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let end = |topic: &str, index, current, asked: i32| {
        same_epoch(current)?;
        let name = names::topic(topic).ok_or(Code::InvalidTopic)?;
        let bounds = client.broker().whole_bounds(&session, &name, partition(index)?);
        let end = bounds.map_err(|error| Code::of_partition(&error))?.end;
        // An epoch that there was not yet, or never was, ended nowhere.
        Ok(if asked == 0 { (0, end as i64) } else { (-1, -1) })
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let told = EpochEndOffset::default().with_partition(asked.partition);
            match end(&topic.topic, asked.partition, asked.current_leader_epoch, asked.leader_epoch) {
                Ok((epoch, offset)) => told.with_leader_epoch(epoch).with_end_offset(offset),
                Err(code) => told.with_error_code(Code::number(code)),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    Ok(OffsetForLeaderEpochResponse::default().with_topics(topics.collect()))
}
