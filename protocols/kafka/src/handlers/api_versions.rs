//! ApiVersions: what is offered, in a form that clients of any age read.
//!
//! The one idea to know: a version beyond ours is answered in version 0 with an error and our own range, and the client
//! asks again; a client that cannot fall back has to find its own version among ours. No tags are sent: librdkafka before
//! 2.2 reads them wrongly.

use crate::api::{Answer, Fatal, Head, all};
use crate::client::Client;
use crate::codec::{Call, begin_response, finish_response};
use crate::errors::Code;
use bytes::BufMut;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use std::sync::Arc;

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
    Ok(ApiVersionsResponse::default().with_api_keys(versions.collect()))
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
