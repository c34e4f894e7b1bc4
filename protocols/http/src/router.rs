//! From a request to its handler, and from every failure on the way to a problem document.
//!
//! The router is axum's, filled from the route table. Around it lies the edge: checks that hold for every request
//! (sizes, encodings, what this version does not offer), a request id, counting, and the net that catches a panic.

use crate::app::App;
use crate::auth;
use crate::body::RequestBody;
use crate::call::{Call, Caller};
use crate::coding::Coding;
use crate::compress;
use crate::cors::Origin;
use crate::errors::{Code, Problem};
use crate::etag;
use crate::handlers::once;
use crate::mqhttp;
use crate::params::{Query, check_percent};
use crate::routes::{Route, by_path};
use crate::shape::Shape;
use crate::websocket;
use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use futures_util::FutureExt;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use sluice_net::Protocol;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id that is taken over from the caller.
const MAX_REQUEST_ID: usize = 128;

/// Headers that ask for something this version does not do; ignoring them would be a wrong answer.
const NOT_OFFERED: [&str; 2] = ["if-unmodified-since", "x-mq-transaction"];

/// What the edge knows and a handler's answer needs.
#[derive(Clone)]
struct Edge {
    request_id: String,
    path: String,
}

/// The route that answered, for the counters.
#[derive(Clone, Copy)]
pub(crate) struct Label(pub &'static str);

/// The whole interface as one service.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, routes) in by_path() {
        router = router.route(path, method_router(app, &routes));
    }
    if let Some(mounted) = app.websocket.get() {
        for path in mounted.paths {
            router = router.route(path, websocket_router(app, &mounted.wire));
        }
    }
    router
        .fallback(|request: Request| async move {
            let path = request.uri().path().to_owned();
            refuse(
                &request,
                Problem::new(Code::NotFound, format!("there is nothing at {path:?}; see /openapi.json")),
            )
        })
        .layer(from_fn_with_state(Arc::clone(app), edge))
        .layer(from_fn_with_state(Arc::clone(app), mqhttp::front))
}

fn websocket_router(app: &Arc<App>, wire: &Arc<dyn Protocol>) -> MethodRouter {
    let (app, wire) = (Arc::clone(app), Arc::clone(wire));
    axum::routing::any(move |request: Request| async move {
        let edge = request.extensions().get::<Edge>().cloned();
        websocket::handshake(&app, &wire, request).unwrap_or_else(|problem| {
            problem
                .respond(edge.as_ref().map(|e| e.path.as_str()), edge.as_ref().map(|e| e.request_id.as_str()))
        })
    })
}

fn method_router(app: &Arc<App>, routes: &[&'static Route]) -> MethodRouter {
    let mut methods = MethodRouter::new();
    let mut allow = vec![Method::OPTIONS];
    for route in routes.iter().copied() {
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
        let app = Arc::clone(app);
        methods = methods.on(filter, move |request: Request| run(app, route, request));
        allow.push(route.method.clone());
        if route.method == Method::GET {
            allow.push(Method::HEAD);
        }
    }
    allow.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    let allow = allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    methods.fallback(move |request: Request| async move {
        if request.method() == Method::OPTIONS {
            return (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]).into_response();
        }
        let detail = format!("{} is not among {allow}", request.method());
        refuse(&request, Problem::new(Code::MethodNotAllowed, detail).header(header::ALLOW, &allow))
    })
}

fn refuse(request: &Request, problem: Problem) -> Response {
    let edge = request.extensions().get::<Edge>();
    problem.respond(edge.map(|e| e.path.as_str()), edge.map(|e| e.request_id.as_str()))
}

/// Runs one route: its parameters, the login, the handler.
async fn run(app: Arc<App>, route: &'static Route, request: Request) -> Response {
    let edge = request.extensions().get::<Edge>().cloned();
    let mut shape = Shape::default();
    let answer = match call(app, route, request).await {
        Ok(call) => {
            shape = Shape::of(&call.query).unwrap_or_default();
            match Route::getting(route.path).filter(|_| etag::is_tagged(route)) {
                Some(get) => etag::run(route, get, call).await,
                None => (route.handler)(call).await,
            }
        }
        Err(problem) => Err(problem),
    };
    let mut response = answer.unwrap_or_else(|problem| {
        problem.respond(edge.as_ref().map(|e| e.path.as_str()), edge.as_ref().map(|e| e.request_id.as_str()))
    });
    response.extensions_mut().insert(Label(route.path));
    shape.apply(response)
}

async fn call(app: Arc<App>, route: &'static Route, request: Request) -> Result<Call, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = parts.extensions.remove::<Caller>().unwrap_or_default();
    let mut body = RequestBody::new(body, &parts.headers, Arc::clone(&app), caller.tracker.clone());
    let path = RawPathParams::from_request_parts(&mut parts, &())
        .await
        .map_err(|_| Problem::new(Code::BadRequest, "the path is not UTF-8"))?
        .iter()
        .map(|(_, value)| value.to_owned())
        .collect();
    // Who asks comes first: a stranger learns nothing of what a call takes.
    let session = match route.public {
        true => None,
        false => Some(auth::login(&app, &parts, &mut body, &caller).await?),
    };
    if let Some(session) = &session {
        caller.identity.acts_as(&app.broker, session)?;
    }
    if parts.headers.contains_key(once::IDEMPOTENCY_KEY) && !route.takes_key() {
        return Err(Problem::new(Code::Unsupported, "this call takes no Idempotency-Key"));
    }
    let conditional = [header::IF_MATCH, header::IF_NONE_MATCH];
    if let Some(name) = conditional.iter().find(|name| parts.headers.contains_key(*name))
        && !etag::is_tagged(route)
    {
        return Err(Problem::new(Code::Unsupported, format!("this call has no entity tags for {name}")));
    }
    let allowed: Vec<&str> = route.parameters().map(|p| p.name).collect();
    let query = Query::parse(parts.uri.query().unwrap_or_default(), &allowed)?;
    Shape::of(&query)?;
    if let Some(coding) = Coding::of_request(&parts.headers)?
        && !query.flag("keepEncoding")?.unwrap_or(false)
    {
        body.decode(coding)?;
    }
    Ok(Call { app, session, caller, path, query, headers: parts.headers, body })
}

/// What holds for every request.
async fn edge(
    axum::extract::State(app): axum::extract::State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let version = request.version();
    let request_id = request_id(request.headers()).unwrap_or_else(|| app.request_id());
    let edge = Edge { request_id: request_id.clone(), path: request.uri().path().to_owned() };
    request.extensions_mut().insert(edge.clone());
    // A WebSocket has a list of its own.
    let origin = match app.is_websocket(request.uri().path()) {
        true => Ok(Origin::Own),
        false => Origin::of(&app, &request),
    };
    let (origin, refused) = match origin {
        Ok(origin) => (origin, None),
        Err(problem) => (Origin::Own, Some(problem)),
    };
    let checked = check(&app, &request).and_then(|()| refused.map_or(Ok(()), Err));
    let accept: Vec<HeaderValue> =
        request.headers().get_all(header::ACCEPT_ENCODING).iter().cloned().collect();
    let mut response = match checked.and_then(|()| origin.preflight(&request).transpose()) {
        Err(problem) => problem.respond(Some(&edge.path), Some(&request_id)),
        Ok(Some(preflight)) => preflight,
        Ok(None) => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(%method, path = edge.path, request_id, "a handler panicked");
            Problem::new(Code::Internal, "internal error").respond(Some(&edge.path), Some(&request_id))
        }),
    };
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if version == Version::HTTP_2 {
        response.headers_mut().remove(header::CONNECTION);
    }
    origin.mark(&app, &mut response);
    count(&method, &response, started);
    compress::answer(&accept, method == Method::HEAD, response)
}

pub(crate) fn count(method: &Method, response: &Response, started: Instant) {
    let route = response.extensions().get::<Label>().map_or("other", |label| label.0);
    let class = match response.status().as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    metrics::counter!("sluice_http_requests_total", "route" => route, "method" => method, "status" => class)
        .increment(1);
    metrics::histogram!("sluice_http_request_seconds", "route" => route)
        .record(started.elapsed().as_secs_f64());
}

/// The caller's own request id, when it is one that can stand in logs and headers.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let sane = (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    sane.then(|| id.to_owned())
}

fn check(app: &App, request: &Request) -> Result<(), Problem> {
    check_sizes(app, request.uri(), request.headers())?;
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        let detail = format!("{} is not offered", request.method());
        return Err(Problem::new(Code::MethodNotAllowed, detail)
            .header(header::ALLOW, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
            .closing());
    }
    check_coding(request.headers())?;
    check_percent(request.uri().path())?;
    for name in NOT_OFFERED {
        if request.headers().contains_key(name) {
            let detail = format!("the header {name:?} is not offered by this version");
            return Err(Problem::new(Code::Unsupported, detail));
        }
    }
    Coding::of_request(request.headers()).map(drop)
}

/// Chunks are the only transfer coding, and exclude a length.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
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
