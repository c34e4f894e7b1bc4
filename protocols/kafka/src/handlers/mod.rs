//! One file per request: a decoded request in, a response out.
//!
//! A handler never sees the socket; it calls verbs of the broker and says what became of them in Kafka's codes.

mod api_versions;
mod metadata;

pub(crate) use api_versions::too_new;

use crate::api::{Api, api};
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};

/// The rows of the table of APIs, except those of consumer groups.
pub(crate) const APIS: &[Api] = &[
    api!(MetadataRequest, 0..=13, "[10+:u s] 4+:b 8-10:b 8+:b", metadata::metadata),
    api!(ApiVersionsRequest, 0..=4, "3+:s 3+:s", api_versions::api_versions),
];
