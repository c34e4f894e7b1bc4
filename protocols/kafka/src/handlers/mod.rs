//! One file per request: a decoded request in, a response out.
//!
//! A handler never sees the socket; it calls verbs of the broker and says what became of them in Kafka's codes.

mod api_versions;
mod broker_settings;
mod cluster;
mod configs;
mod fetch;
mod fetched;
mod leader_epoch;
mod list_offsets;
mod log_dirs;
mod metadata;
mod produce;
mod sasl;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
mod topics;

pub(crate) use api_versions::too_new;
pub(crate) use sasl::{Sasl, raw_token};

use crate::api::{Api, api};
use crate::errors::Code;
use crate::shape::Shape;
use kafka_protocol::messages::{
    AlterConfigsRequest, ApiKey, ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeLogDirsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest,
    ListOffsetsRequest, ListPartitionReassignmentsRequest, MetadataRequest, OffsetForLeaderEpochRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest,
};
use sluice_model::QueueId;

/// The rows of the table of APIs, except those of consumer groups.
pub(crate) static APIS: [Api; 20] = [
    Api {
        key: ApiKey::Produce as i16,
        min: 0,
        max: 12,
        shape: Shape::new("s h i [-12:s 13+:u [i y]]"),
        run: produce::produce,
    },
    Api {
        key: ApiKey::Fetch as i16,
        min: 4,
        max: 17,
        shape: Shape::new(
            "-14:i i i i b 7+:i 7+:i [-12:s 13+:u [i 9+:i l 12+:i 5+:l i]] 7+:[-12:s 13+:u [i]] 11+:s",
        ),
        run: fetch::fetch,
    },
    api!(ListOffsetsRequest, 1..=10, "i 2+:b [s [i 4+:i l]] 10+:i", list_offsets::list_offsets),
    api!(MetadataRequest, 0..=13, "[10+:u s] 4+:b 8-10:b 8+:b *", metadata::metadata),
    api!(SaslHandshakeRequest, 0..=1, "s", sasl::handshake),
    api!(ApiVersionsRequest, 0..=4, "3+:s 3+:s", api_versions::api_versions),
    api!(CreateTopicsRequest, 2..=7, "[s i h [i [i]] [s s]] i b", topics::create),
    api!(DeleteTopicsRequest, 1..=6, "6+:[s u] -5:[s] i", topics::delete),
    api!(DeleteRecordsRequest, 0..=2, "[s [i l]] i", topics::delete_records),
    api!(OffsetForLeaderEpochRequest, 2..=4, "3+:i [s [i i i]]", leader_epoch::offset_for_leader_epoch),
    api!(DescribeConfigsRequest, 1..=4, "[b s [s]] b 3+:b", configs::describe),
    api!(AlterConfigsRequest, 0..=2, "[b s [s s]] b", configs::alter_all),
    api!(SaslAuthenticateRequest, 0..=2, "y", sasl::authenticate_frame),
    api!(CreatePartitionsRequest, 0..=3, "[s i [[i]]] i b", topics::create_partitions),
    api!(IncrementalAlterConfigsRequest, 0..=1, "[b s [s b s]] b", configs::alter_some),
    api!(DescribeClusterRequest, 0..=2, "b 1+:b 2+:b", cluster::describe_cluster),
    api!(DescribeLogDirsRequest, 1..=4, "[s [i]]", log_dirs::describe),
    api!(ElectLeadersRequest, 0..=2, "1+:b [s [i]] i", cluster::elect_leaders),
    api!(ListPartitionReassignmentsRequest, 0..=0, "i [s [i]]", cluster::list_reassignments),
    api!(ListConfigResourcesRequest, 0..=1, "1+:[b]", cluster::list_config_resources),
];

/// The epoch of a leader that never changes.
const LEADER_EPOCH: i32 = 0;
/// "I do not know which."
const ANY_EPOCH: i32 = -1;

/// Refuses who knows of another epoch of the leader than there is.
fn same_epoch(epoch: i32) -> Result<(), Code> {
    match epoch {
        ANY_EPOCH | LEADER_EPOCH => Ok(()),
        epoch if epoch < LEADER_EPOCH => Err(Code::FencedLeaderEpoch),
        _ => Err(Code::UnknownLeaderEpoch),
    }
}

pub(crate) fn partition(index: i32) -> Result<QueueId, Code> {
    u32::try_from(index).map(QueueId).map_err(|_| Code::UnknownTopicOrPartition)
}
