//! How a request of this protocol is let in, and its body taken: every step has an error name of its own.
//!
//! The order is the cloud's: the header `Authorization`, its shape, the date, the clock, the key, the signature, and
//! only then the body, whose digest may be part of what was signed.

use super::faults::{Code, Fault};
use crate::app::App;
use crate::auth::{mq, single};
use crate::body::RequestBody;
use crate::call::Caller;
use crate::errors;
use crate::forwarded;
use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;
use sluice_auth::Session;
use sluice_model::ErrorKind;

const SHAPE: &str = "the Authorization header is not like MQ AccessKeyId:Signature";
const HINT: &str = "there is no Authorization header; this path is the cloud's MQ HTTP protocol, for curl there is /v1 (see /openapi.json)";

/// Proves who asks.
pub(super) fn login(app: &App, head: &Parts, caller: &Caller) -> Result<Session, Fault> {
    if !head.headers.contains_key(AUTHORIZATION) {
        return Err(Fault::new(Code::MissingAuthorizationHeader, HINT));
    }
    let malformed = || Fault::new(Code::InvalidAuthorizationHeader, SHAPE);
    let text = single(&head.headers, AUTHORIZATION.as_str()).ok().flatten().ok_or_else(malformed)?;
    let claim = text.strip_prefix("MQ ").and_then(|rest| mq::Claim::read(rest.trim()).ok());
    let claim = claim.ok_or_else(malformed)?;
    if mq::is_temporary(&head.headers) {
        return Err(Fault::new(Code::AccessDenied, mq::TEMPORARY));
    }
    if !head.headers.contains_key(DATE) {
        return Err(Fault::new(Code::MissingDateHeader, "there is no Date header"));
    }
    let signed_at = mq::signed_at(&head.headers)
        .map_err(|problem| Fault::new(Code::InvalidDateHeader, problem.detail()))?;
    let texts =
        mq::texts(head).map_err(|problem| Fault::new(Code::SignatureDoesNotMatch, problem.detail()))?;
    let peer = forwarded::client(app, &head.headers, caller.peer);
    let session = app.broker.login_now(claim.credentials(&texts, signed_at), peer);
    session.map_err(|error| {
        if error.kind() == ErrorKind::Unauthenticated {
            metrics::counter!("sluice_http_logins_refused_total").increment(1);
        }
        error.into()
    })
}

/// The body of a request that was let in, once its digest is found right. The memory it takes is `body`'s.
pub(super) async fn read_body(app: &App, head: &Parts, body: &mut RequestBody) -> Result<Bytes, Fault> {
    let digest = mq::has_digest(&head.headers);
    if head.method == Method::GET && !digest {
        return Ok(Bytes::new());
    }
    let bytes = body.read(app.config.mq.max_body.bytes(), errors::Code::BodyTooLarge).await?;
    if digest {
        mq::check_digest(&head.headers, &bytes)
            .map_err(|problem| Fault::new(Code::InvalidDigest, problem.detail()))?;
    }
    Ok(bytes)
}
