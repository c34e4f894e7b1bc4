//! From a request to its handler, and from every failure on the way to a problem document.
//!
//! Paths are found by matchit, filled from the route table. Around it lies the edge: checks that hold for every request
//! (sizes, encodings, what this version does not offer), a request id, counting, and the net that catches a panic.
//! There is no layer and no extension in between: a request costs what it needs.

use crate::app::App;
use crate::auth;
use crate::body::RequestBody;
use crate::call::{Call, Caller};
use crate::coding::Coding;
use crate::compress;
use crate::cors::Origin;
use crate::counts::Counts;
use crate::errors::{Code, Problem};
use crate::etag;
use crate::handlers::once;
use crate::mqhttp;
use crate::namespace;
use crate::params::{self, Query, check_percent};
use crate::plain;
use crate::routes::{HEALTH_AND_METRICS, NAMESPACE_PARAMETER, Route, by_path};
use crate::shape::Shape;
use crate::websocket;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use http_body::Body as _;
use matchit::{Match, Params};
use percent_encoding::percent_decode_str;
use sluice_net::Protocol;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NAMESPACE: HeaderName = HeaderName::from_static("x-mq-namespace");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// The longest request id that is taken over from the caller.
const MAX_REQUEST_ID: usize = 128;

/// Headers that ask for something this version does not do; ignoring them would be a wrong answer.
const NOT_OFFERED: [HeaderName; 2] =
    [header::IF_UNMODIFIED_SINCE, HeaderName::from_static("x-mq-transaction")];

/// The whole interface.
pub(crate) struct Router {
    app: Arc<App>,
    paths: matchit::Router<Methods>,
    /// Requests of the cloud's protocol.
    mq: Counts,
    /// Requests that no path was found for.
    elsewhere: Counts,
    /// Nothing but health and metrics is here: not the cloud's protocol, and no WebSocket.
    bare: bool,
}

type Found<'r, 'p> = Match<'r, 'p, &'r Methods>;

/// What can be done at one path.
struct Methods {
    routes: Vec<&'static Route>,
    allow: String,
    counts: Counts,
}

impl Router {
    pub fn new(app: &Arc<App>) -> Self {
        Self::of(app, false)
    }

    /// What a port of its own for metrics has.
    pub fn metrics_only(app: &Arc<App>) -> Self {
        Self::of(app, true)
    }

    fn of(app: &Arc<App>, bare: bool) -> Self {
        let mut paths = matchit::Router::new();
        for (path, routes) in
            by_path().into_iter().filter(|(path, _)| !bare || HEALTH_AND_METRICS.contains(path))
        {
            if let Err(error) = paths.insert(path, Methods::new(path, routes)) {
                tracing::error!(path, %error, "a route cannot be reached");
            }
        }
        Self {
            app: Arc::clone(app),
            paths,
            mq: Counts::new(mqhttp::ROUTE),
            elsewhere: Counts::new("other"),
            bare,
        }
    }

    /// Answers one request.
    ///
    /// The request is in a box because it is handed from future to future, each of which would keep room for it.
    pub async fn answer(&self, request: Box<Request<Body>>, caller: Arc<Caller>) -> Response {
        let started = Instant::now();
        let _in_flight = self.app.in_flight();
        let connection = Arc::clone(&caller);
        // A copy: the request's own path keeps the whole buffer that the request lies in.
        let path = request.uri().path().to_owned();
        let (method, version) = (request.method().clone(), request.version());
        let (counts, mut response) = if mqhttp::is_ours(&path) && !self.bare {
            (&self.mq, Box::pin(mqhttp::answer(&self.app, *request, caller)).await)
        } else {
            let found = self.paths.at(&path).ok();
            let response = self.at(found.as_ref(), &path, request, caller, started).await;
            (found.map_or(&self.elsewhere, |found| &found.value.counts), response)
        };
        if method == Method::HEAD {
            response = without_body(response);
        }
        if version == Version::HTTP_2 {
            response.headers_mut().remove(header::CONNECTION);
        } else if connection.drain.is_draining() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        counts.count(&method, response.status(), started.elapsed());
        response
    }

    /// What holds for every request of our own interface.
    async fn at(
        &self,
        found: Option<&Found<'_, '_>>,
        path: &str,
        request: Box<Request<Body>>,
        caller: Arc<Caller>,
        started: Instant,
    ) -> Response {
        let plain = plain::is_plain(request.headers());
        let headers = Some(request.headers()).filter(|_| !plain);
        let request_id = headers.and_then(request_id).unwrap_or_else(|| self.app.request_id());
        let is_head = request.method() == Method::HEAD;
        let accept: Vec<HeaderValue> = headers.map_or_else(Vec::new, |headers| {
            headers.get_all(header::ACCEPT_ENCODING).iter().cloned().collect()
        });
        let mut shape = Shape::default();
        let (origin, checked) = self.check(&request, plain);
        let answer = match checked {
            Err(problem) => Err(problem),
            Ok(Some(preflight)) => Ok(preflight),
            // Made in place: a future that is moved once more is copied, and kept twice.
            Ok(None) => AssertUnwindSafe(self.run(found, request, plain, caller, &mut shape))
                .catch_unwind()
                .await
                .unwrap_or_else(|_| {
                    tracing::error!(path, request_id, "a handler panicked");
                    Err(Problem::new(Code::Internal, "internal error"))
                }),
        };
        let response = answer.unwrap_or_else(|problem| problem.respond(Some(path), Some(&request_id)));
        let mut response = shape.apply(response);
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(request_id)) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        if shape.timed {
            let took = format!("total;dur={:.3}", started.elapsed().as_secs_f64() * 1e3);
            response.headers_mut().extend(HeaderValue::from_str(&took).map(|took| (SERVER_TIMING, took)));
        }
        origin.mark(&self.app, &mut response);
        compress::answer(&accept, is_head, response)
    }

    /// Where a request comes from, and what is wrong with it, or the answer to a browser that asks first.
    fn check(&self, request: &Request<Body>, plain: bool) -> (Origin, Result<Option<Response>, Problem>) {
        if plain {
            return (Origin::Own, check(&self.app, request, plain).map(|()| None));
        }
        // A WebSocket has a list of origins of its own.
        let origin = match self.websocket_at(request.uri().path()) {
            Some(_) => Ok(Origin::Own),
            None => Origin::of(&self.app, request),
        };
        let checked = check(&self.app, request, plain);
        match origin {
            Ok(origin) => {
                let checked = checked.and_then(|()| origin.preflight(request).transpose());
                (origin, checked)
            }
            Err(refused) => (Origin::Own, checked.and(Err(refused))),
        }
    }

    fn websocket_at(&self, path: &str) -> Option<&Arc<dyn Protocol>> {
        self.app.websocket_at(path).filter(|_| !self.bare)
    }

    async fn run(
        &self,
        found: Option<&Found<'_, '_>>,
        request: Box<Request<Body>>,
        plain: bool,
        caller: Arc<Caller>,
        shape: &mut Shape,
    ) -> Result<Response, Problem> {
        let Some(Match { value: methods, params }) = found else {
            return match self.websocket_at(request.uri().path()) {
                Some(wire) => websocket::handshake(&self.app, wire, *request, &caller),
                None => {
                    let detail = format!("there is nothing at {:?}; see /openapi.json", request.uri().path());
                    Err(Problem::new(Code::NotFound, detail))
                }
            };
        };
        let Some(route) = methods.route(request.method()) else {
            return methods.without_route(request.method());
        };
        // In a box, because it is done when the handler begins to wait, and its room would stay.
        let call =
            Box::pin(call(Arc::clone(&self.app), route, decode(params)?, request, (plain, caller))).await?;
        *shape = Shape::of(&call.query)?;
        match Route::getting(route.path).filter(|_| etag::is_tagged(route)) {
            Some(get) => Box::pin(etag::run(route, get, call)).await,
            None => (route.handler)(call).await,
        }
    }
}

impl Methods {
    fn new(path: &'static str, routes: Vec<&'static Route>) -> Self {
        let mut allow = vec![Method::OPTIONS.as_str()];
        for route in &routes {
            allow.push(route.method.as_str());
            if route.method == Method::GET {
                allow.push(Method::HEAD.as_str());
            }
        }
        allow.sort_unstable();
        Self { routes, allow: allow.join(", "), counts: Counts::new(path) }
    }

    fn route(&self, method: &Method) -> Option<&'static Route> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.routes.iter().copied().find(|route| route.method == *method)
    }

    fn without_route(&self, method: &Method) -> Result<Response, Problem> {
        if *method == Method::OPTIONS {
            return Ok((StatusCode::NO_CONTENT, [(header::ALLOW, &self.allow)]).into_response());
        }
        let detail = format!("{method} is not among {}", self.allow);
        Err(Problem::new(Code::MethodNotAllowed, detail).header(header::ALLOW, &self.allow))
    }
}

/// The variable parts of a path.
fn decode(params: &Params<'_, '_>) -> Result<Vec<String>, Problem> {
    let decoded = params.iter().map(|(_, part)| match part.contains('%') {
        true => percent_decode_str(part).decode_utf8().map(String::from),
        false => Ok(part.to_owned()),
    });
    decoded.collect::<Result<_, _>>().map_err(|_| Problem::new(Code::BadRequest, "the path is not UTF-8"))
}

async fn call(
    app: Arc<App>,
    route: &'static Route,
    path: Vec<String>,
    request: Box<Request<Body>>,
    (plain, caller): (bool, Arc<Caller>),
) -> Result<Call, Problem> {
    let (parts, body) = request.into_parts();
    let mut body = RequestBody::new(body, &parts.headers, Arc::clone(&app), caller.tracker.clone());
    // Who asks comes first: a stranger learns nothing of what a call takes.
    let session = match route.is_open(&app.config) {
        true => None,
        false => Some(auth::login(&app, &parts, &mut body, &caller, route.takes_token()).await?),
    };
    if let Some(session) = &session {
        caller.identity.acts_as(&app.broker, session)?;
    }
    if !plain {
        check_offered(route, &parts.headers)?;
    }
    let query = match parts.uri.query() {
        None => Query::default(),
        Some(query) => {
            let allowed: Vec<&str> = route.parameters().map(|p| p.name).collect();
            Query::parse(query, &allowed)?
        }
    };
    let namespace = match plain && query.is_empty() {
        true => Box::default(),
        false => namespace_of(route, &query, &parts.headers)?,
    };
    if !plain
        && let Some(coding) = Coding::of_request(&parts.headers)?
        && !query.flag("keepEncoding")?.unwrap_or(false)
    {
        body.decode(coding)?;
    }
    Ok(Call { app, session, caller, path, query, headers: parts.headers, plain, body, namespace })
}

/// What this call has no use for must not be asked of it.
fn check_offered(route: &Route, headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(once::IDEMPOTENCY_KEY) && !route.takes_key() {
        return Err(Problem::new(Code::Unsupported, "this call takes no Idempotency-Key"));
    }
    let conditional = [header::IF_MATCH, header::IF_NONE_MATCH];
    match conditional.iter().find(|name| headers.contains_key(*name)) {
        Some(name) if !etag::is_tagged(route) => {
            Err(Problem::new(Code::Unsupported, format!("this call has no entity tags for {name}")))
        }
        _ => Ok(()),
    }
}

/// What the names of a call are within, as its query or a header says.
fn namespace_of(route: &Route, query: &Query, headers: &HeaderMap) -> Result<Box<str>, Problem> {
    let in_query = query.get(NAMESPACE_PARAMETER)?;
    let in_header = headers.get(NAMESPACE);
    let Some(text) = in_query.or(in_header.and_then(|value| value.to_str().ok())) else {
        return match in_header {
            None => Ok(Box::default()),
            Some(_) => Err(params::invalid("X-MQ-Namespace", namespace::WRONG)),
        };
    };
    if in_query.is_some() && in_header.is_some() {
        return Err(params::invalid(NAMESPACE_PARAMETER, "it is given as header X-MQ-Namespace too"));
    }
    if in_header.is_some() && !route.takes_namespace() {
        return Err(Problem::new(Code::Unsupported, "this call has no names that a namespace could be for"));
    }
    // An empty one is the default: names as they are.
    match text.is_empty() || namespace::is_valid(text) {
        true => Ok(text.into()),
        false => Err(params::invalid(NAMESPACE_PARAMETER, namespace::WRONG)),
    }
}

/// An answer to HEAD: all but the body, whose length is told.
fn without_body(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(head, Body::empty())
}

/// The caller's own request id, when it is one that can stand in logs and headers.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let sane = (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    sane.then(|| id.to_owned())
}

fn check(app: &App, request: &Request<Body>, plain: bool) -> Result<(), Problem> {
    check_sizes(app, request.uri(), request.headers())?;
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        let detail = format!("{} is not offered", request.method());
        return Err(Problem::new(Code::MethodNotAllowed, detail)
            .header(header::ALLOW, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
            .closing());
    }
    if !plain {
        check_transfer(request.headers())?;
    }
    check_percent(request.uri().path())?;
    if plain {
        return Ok(());
    }
    for name in &NOT_OFFERED {
        if request.headers().contains_key(name) {
            let detail = format!("the header {:?} is not offered by this version", name.as_str());
            return Err(Problem::new(Code::Unsupported, detail));
        }
    }
    Coding::of_request(request.headers()).map(drop)
}

/// Chunks are the only transfer coding, and exclude a length.
pub(crate) fn check_transfer(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    let is_plain = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    match is_plain && !headers.contains_key(header::CONTENT_LENGTH) {
        true => Ok(()),
        false => {
            let detail = "Transfer-Encoding is chunked and nothing else, without a Content-Length";
            Err(Problem::new(Code::BadRequest, detail).closing())
        }
    }
}

pub(crate) fn check_sizes(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let target = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    let limit = app.config.max_request_target.bytes();
    if target > limit {
        let detail = format!("the request target is longer than {limit} bytes");
        return Err(Problem::new(Code::UriTooLong, detail).with("limit", limit as u64).closing());
    }
    // Each line has a colon, a blank and a line end besides name and value.
    let block: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let limit = app.config.max_header_block.bytes();
    if block > limit {
        let detail = format!("the request headers have more than {limit} bytes");
        return Err(Problem::new(Code::HeadersTooLarge, detail).with("limit", limit as u64).closing());
    }
    let limit = app.config.max_headers;
    if headers.len() > limit {
        let detail = format!("there are more than {limit} request headers");
        return Err(Problem::new(Code::HeadersTooLarge, detail).with("limit", limit as u64).closing());
    }
    Ok(())
}

/// Whether a page of that origin came from the address that it asks now.
pub(crate) fn is_same_origin(origin: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str().as_bytes()));
    let authority = origin.split_once("://").map(|(_, authority)| authority.as_bytes());
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use sluice_broker::Broker;

    /// What the futures of a long poll may take together: ten thousand clients wait at once.
    const ROOM: usize = 4 << 10;

    #[tokio::test]
    async fn who_waits_takes_little_room() {
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let app = App::new(Broker::in_memory(), Config::default(), metrics);
        let router = Router::new(&app);
        let path = "/v1/groups/g/receive";
        let request =
            || Box::new(Request::post(format!("{path}?topic=t&wait=60s")).body(Body::empty()).unwrap());
        let outer = router.answer(request(), Arc::default());
        let found = router.paths.at(path).unwrap();
        let route = found.value.route(&Method::POST).unwrap();
        let path = vec!["g".to_owned()];
        let call = call(Arc::clone(&app), route, path, request(), (true, Arc::default())).await.unwrap();
        let inner = (route.handler)(call);
        let (outer, inner) = (size_of_val(&outer), size_of_val(&*inner));
        assert!(outer + inner <= ROOM, "{outer} bytes at the edge, {inner} in the handler");
    }
}
