//! Conditional requests on settings: who changes what another has changed meanwhile is told so.
//!
//! The one idea to know: an entity tag is a digest of what an answer shows of the settings, without what changes by itself
//! (offsets, members). A condition is checked against the answer that a GET would give, and changes over HTTP take turns,
//! so that none comes in between. Other wires do not take part in the turns.

use crate::body::RequestBody;
use crate::call::Call;
use crate::errors::{Code, Problem};
use crate::params::Query;
use crate::routes::Route;
use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What has tags: its whole content is in what is shown. A user's is not: secrets are never shown.
const TAGGED: [&str; 4] =
    ["/v1/topics/{topic}", "/v1/groups/{group}", "/v1/groups/{group}/quota", "/v1/roles/{role}"];
/// Members of these answers that change without anybody changing a setting.
const BY_THEMSELVES: [&str; 4] = ["messages", "offsets", "members", "topics"];
/// Settings are small.
const MAX_ANSWER: usize = 1 << 20;

/// True for calls that take `If-Match` and `If-None-Match`.
pub(crate) fn is_tagged(route: &Route) -> bool {
    // What a POST does there is done to something within.
    TAGGED.contains(&route.path) && route.method != Method::POST
}

/// Runs a call of a tagged resource under its conditions. `get` shows the resource.
pub(crate) async fn run(
    route: &'static Route,
    get: &'static Route,
    mut call: Call,
) -> Result<Response, Problem> {
    let headers = call.headers.clone();
    if route.method == Method::GET {
        let response = tagged((route.handler)(call).await?).await?;
        return not_modified(&headers, response);
    }
    // Read before the turn begins, so that a slow sender does not hold up the others.
    let limit = call.app.config.max_json_body.bytes();
    let body = call.body.read(limit, Code::BodyTooLarge).await?;
    call.body.put_back(body);
    let app = call.app.clone();
    let _turn = app.changes.acquire().await;
    check(&headers, get, &call).await?;
    tagged((route.handler)(call).await?).await
}

/// Refuses what a condition forbids.
async fn check(headers: &HeaderMap, get: &'static Route, call: &Call) -> Result<(), Problem> {
    let (wanted, unwanted) = (headers.get(header::IF_MATCH), headers.get(header::IF_NONE_MATCH));
    if wanted.is_none() && unwanted.is_none() {
        return Ok(());
    }
    let shown = Call {
        app: call.app.clone(),
        session: call.session.clone(),
        caller: call.caller.clone(),
        path: call.path.clone(),
        namespace: call.namespace.clone(),
        query: Query::default(),
        headers: HeaderMap::new(),
        plain: true,
        body: RequestBody::new(
            Body::empty(),
            &HeaderMap::new(),
            call.app.clone(),
            call.caller.tracker.clone(),
        ),
    };
    let current = match (get.handler)(shown).await {
        Ok(response) => tag_of(&tagged(response).await?),
        Err(problem) if problem.code().status() == StatusCode::NOT_FOUND => None,
        Err(problem) => return Err(problem),
    };
    for condition in [wanted, unwanted].into_iter().flatten() {
        lists(condition, "", true)?;
    }
    let failed = |why: &str| Err(Problem::new(Code::PreconditionFailed, why));
    match (wanted, &current) {
        (Some(_), None) => return failed("If-Match: there is nothing here yet"),
        (Some(wanted), Some(tag)) if !lists(wanted, tag, false)? => {
            return failed("If-Match: it was changed meanwhile; get it again");
        }
        _ => {}
    }
    match (unwanted, &current) {
        (Some(unwanted), Some(tag)) if lists(unwanted, tag, true)? => failed("If-None-Match: it is there"),
        _ => Ok(()),
    }
}

/// Adds the tag of what an answer shows.
async fn tagged(response: Response) -> Result<Response, Problem> {
    if !response.status().is_success() || response.status() == StatusCode::NO_CONTENT {
        return Ok(response);
    }
    let internal = |error| Problem::from(sluice_model::Error::internal(error));
    let (mut head, body) = response.into_parts();
    let bytes = to_bytes(body, MAX_ANSWER).await.map_err(internal)?;
    if let Ok(Value::Object(mut shown)) = serde_json::from_slice(&bytes) {
        shown.retain(|name, _| !BY_THEMSELVES.contains(&name.as_str()));
        let digest: [u8; 32] = Sha256::digest(Value::Object(shown).to_string()).into();
        let tag = format!("\"{}\"", hex::encode(digest.iter().take(8).copied().collect::<Vec<_>>()));
        head.headers.extend(HeaderValue::from_str(&tag).map(|tag| (header::ETAG, tag)));
    }
    Ok(Response::from_parts(head, bytes.into()))
}

fn tag_of(response: &Response) -> Option<String> {
    response.headers().get(header::ETAG)?.to_str().ok().map(str::to_owned)
}

/// 304 for who has what is shown already.
fn not_modified(headers: &HeaderMap, response: Response) -> Result<Response, Problem> {
    let known = headers.get(header::IF_NONE_MATCH).zip(tag_of(&response));
    match known {
        Some((known, tag)) if lists(known, &tag, true)? => {
            let mut answer = StatusCode::NOT_MODIFIED.into_response();
            answer.headers_mut().extend(HeaderValue::from_str(&tag).map(|tag| (header::ETAG, tag)));
            Ok(answer)
        }
        _ => Ok(response),
    }
}

/// Whether a list of tags has this one; a weak one counts only where the comparison is weak.
fn lists(list: &HeaderValue, tag: &str, weak: bool) -> Result<bool, Problem> {
    let wrong =
        || Problem::new(Code::BadRequest, "a condition is * or a list of entity tags, each in quotes");
    let text = list.to_str().map_err(|_| wrong())?;
    if text == "*" {
        return Ok(true);
    }
    let mut found = false;
    for listed in text.split(',').map(str::trim) {
        let strong = listed.strip_prefix("W/").unwrap_or(listed);
        let inner = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        if !inner.is_some_and(|inner| inner.bytes().all(|b| b == b'!' || (b'#'..=b'~').contains(&b))) {
            return Err(wrong());
        }
        found |= if weak { strong == tag } else { listed == tag };
    }
    Ok(found)
}
