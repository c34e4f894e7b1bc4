//! Requests about groups: fields in, one step on the group or one verb of the broker, fields out.

pub(super) mod admin;
pub(super) mod commit;
pub(super) mod consumers;
pub(super) mod delete;
pub(super) mod fetch;
pub(super) mod find;
pub(super) mod membership;

use super::Refusal;
use crate::access::operations;
use crate::client::Client;
use crate::names;
use kafka_protocol::messages::{GroupId, TopicName as KafkaTopic};
use kafka_protocol::protocol::StrBytes;
use sluice_auth::{Resource, Session};
use sluice_model::GroupName;

/// No error.
const NONE: i16 = 0;

fn session(client: &Client) -> Result<Session, Refusal> {
    client.session().map_err(|_| Refusal::Unauthorized)
}

/// The group that is meant.
fn group(id: &GroupId) -> Result<GroupName, Refusal> {
    names::group(id).ok_or(Refusal::InvalidGroupId)
}

/// The session and the group of a request that a member makes, if it may.
fn member_of(client: &Client, id: &GroupId) -> Result<(Session, GroupName), Refusal> {
    let (session, group) = (session(client)?, group(id)?);
    client.broker().check_consume(&session, &group).map_err(|error| Refusal::from(&error))?;
    Ok((session, group))
}

/// Counts the connection among those that consume in the group, which may be limited.
fn enter(client: &Client, session: &Session, group: &GroupName) -> Result<(), Refusal> {
    client.broker().auth().consume(session, group).map_err(|_| Refusal::GroupFull)
}

/// What the client may do to a group, if it asks and may know of the group.
fn operations(client: &Client, id: &GroupId, asked: bool) -> i32 {
    match group(id) {
        Ok(group) => operations::of(client, Resource::Group(&group), asked),
        Err(_) => operations::of(client, Resource::Cluster, false),
    }
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from(text.into())
}

fn topic(name: impl Into<String>) -> KafkaTopic {
    KafkaTopic(text(name))
}

fn code<T>(result: &Result<T, Refusal>) -> i16 {
    result.as_ref().err().map_or(NONE, Refusal::code)
}

/// What no other member is called.
fn fresh_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

/// Where the client is, as it is shown to operators.
pub(crate) fn host(client: &Client) -> String {
    format!("/{}", client.peer.ip())
}
