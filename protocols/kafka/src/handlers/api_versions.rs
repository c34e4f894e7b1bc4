//! ApiVersions: what is offered, in a form that clients of any age read.
//!
//! The one idea to know: a version beyond ours is answered in version 0 with an error and our own range, and the client
//! asks again; a client that cannot fall back has to find its own version among ours. Features are told to Java's clients,
//! which go by them, and to nobody else: librdkafka before 2.2 reads tags wrongly.

use crate::api::{Answer, Fatal, Head, all};
use crate::client::Client;
use crate::codec::{Call, begin_response, finish_response};
use crate::errors::Code;
use bytes::BufMut;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use std::sync::Arc;

/// What Java's clients call themselves.
const JAVA: &str = "apache-kafka-java";
/// What holds in every cluster: groups by the newer protocol (KIP-848), and an epoch for each transaction (KIP-890).
const FEATURES: [(&str, i16); 2] = [("group.version", 1), ("transaction.version", 2)];

pub(crate) async fn api_versions(
    _: Arc<Client>,
    head: Head,
    request: ApiVersionsRequest,
) -> Result<ApiVersionsResponse, Fatal> {
    if head.version >= 3
        && !(is_name(&request.client_software_name) && is_name(&request.client_software_version))
    {
        return Ok(ApiVersionsResponse::default().with_error_code(Code::InvalidRequest.number()));
    }
    let versions = all().map(|api| {
        ApiVersion::default().with_api_key(api.key).with_min_version(api.min).with_max_version(api.max)
    });
    let response = ApiVersionsResponse::default().with_api_keys(versions.collect());
    Ok(match head.version >= 3 && &*request.client_software_name == JAVA {
        true => with_features(response),
        false => response,
    })
}

fn with_features(response: ApiVersionsResponse) -> ApiVersionsResponse {
    // From 1 on, because older clients take a range from 0 on for an error.
    let supported = FEATURES.map(|(name, level)| {
        SupportedFeatureKey::default().with_name(name.into()).with_min_version(1).with_max_version(level)
    });
    let finalized = FEATURES.map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(name.into())
            .with_min_version_level(level)
            .with_max_version_level(level)
    });
    response
        .with_supported_features(supported.into())
        .with_finalized_features(finalized.into())
        .with_finalized_features_epoch(0)
}

/// The answer to a version that we do not know.
pub(crate) fn too_new(call: &Call, max: i16) -> Answer {
    let mut out = begin_response(call.correlation, false, 16);
    out.put_i16(Code::UnsupportedVersion.number());
    out.put_i32(1);
    out.put_i16(ApiKey::ApiVersions as i16);
    out.put_i16(0);
    out.put_i16(max);
    Answer::Respond(finish_response(out, 0).into())
}

/// Letters, digits, dots and dashes, and neither of the latter at an end.
fn is_name(text: &str) -> bool {
    let is_word = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric());
    is_word(text.bytes().next())
        && is_word(text.bytes().next_back())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}
