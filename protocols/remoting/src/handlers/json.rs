//! JSON as stock clients and tools write and read it.
//!
//! The one idea to know: a map whose keys are queues is written with objects as keys, which is no JSON, because that is
//! the only form that every client reads. So those maps are written by hand, around values that serde writes.

use super::Result;
use crate::errors::Failure;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de};
use sluice_model::{QueueId, TopicName};
use std::fmt::Display;
use std::str::FromStr;

/// A queue's full name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageQueue {
    #[serde(default)]
    pub(super) broker_name: String,
    #[serde(deserialize_with = "number")]
    pub(super) queue_id: i32,
    pub(super) topic: String,
}

impl MessageQueue {
    pub(super) fn new(broker_name: &str, topic: &TopicName, queue: QueueId) -> Self {
        Self {
            broker_name: broker_name.to_owned(),
            queue_id: i32::try_from(queue.0).unwrap_or(i32::MAX),
            topic: topic.to_string(),
        }
    }
}

/// A list of topic names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TopicList<'a> {
    pub(super) topic_list: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) broker_addr: Option<&'a str>,
}

/// How tools see whether a table has changed. Tables are always sent whole here, so it only has to differ.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataVersion {
    pub(super) counter: u64,
    pub(super) state_version: u64,
    pub(super) timestamp: u64,
}

/// A constant of one of the clients' enumerations.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Constant {
    Name(String),
    /// Its place among the others of its kind, counted from 0.
    Place(u32),
}

impl Default for Constant {
    fn default() -> Self {
        Self::Name(String::new())
    }
}

impl Constant {
    pub(super) fn is(&self, name: &str, place: u32) -> bool {
        match self {
            Self::Name(own) => own.eq_ignore_ascii_case(name),
            Self::Place(own) => *own == place,
        }
    }
}

/// A number, in quotes or not.
pub(super) fn number<'de, D, N>(from: D) -> std::result::Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: Deserialize<'de> + FromStr<Err: Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<N> {
        Plain(N),
        Quoted(String),
    }
    match Written::deserialize(from)? {
        Written::Plain(number) => Ok(number),
        Written::Quoted(text) => text.trim().parse().map_err(de::Error::custom),
    }
}

pub(super) fn write<T: Serialize>(value: &T) -> Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|e| Failure::from(sluice_model::Error::internal(e)))
}

/// A map from queues to values, in the form with objects as keys.
pub(super) fn queue_map<T: Serialize>(entries: impl Iterator<Item = (MessageQueue, T)>) -> Result<String> {
    let mut out = String::from("{");
    for (at, (queue, value)) in entries.enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&text(&queue)?);
        out.push(':');
        out.push_str(&text(&value)?);
    }
    out.push('}');
    Ok(out)
}

fn text<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Failure::from(sluice_model::Error::internal(e)))
}
