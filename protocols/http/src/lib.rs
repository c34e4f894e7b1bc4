//! The HTTP front-end: publish, receive and look after Sluice with curl.
//!
//! It exists so that one line of curl does one useful thing, without a client library and without state on a
//! connection. The one idea to know: the route table in `routes` makes the router, checks the query parameters and
//! writes `/openapi.json`; a handler is a function from a [`call::Call`] to an answer.
//!
//! Rules live in the broker, sockets in `sluice-net`. What comes from where:
//!
//! - `connection` — one connection: HTTP/1.1 and HTTP/2, time limits, drain
//! - `detect` — are these first bytes HTTP?; `head_watch`, `chunk_watch` — heads that could be read in two ways
//! - `router` — the checks around every request; `plain` — which requests need few of them; `routes` — the table; `openapi` — the same table as a document
//! - `websocket` — requests that turn their connection over to another wire
//! - `identity` — whose connection it is, and that it ends with them
//! - `forwarded` — who asks behind trusted proxies; `namespace` — names within one
//! - `page` — lists in pages
//! - `call`, `params`, `moment`, `json`, `body`, `auth` — what a handler is given, and how strictly it is read
//! - `convert` — wire message to model message and back
//! - `coding`, `compress`, `shape` — bodies packed and unpacked, JSON as the caller likes it; `staged` — how they pass through
//! - `openmetrics` — metrics for those who ask for that format
//! - `cors`, `etag`, `replies` — pages of other origins, conditions on settings, calls that wait for a reply
//! - `attempts` — answers that may be asked for again
//! - `handlers` — one file per resource; `sse`, `resume`, `stream_credit`, `lease_guard` — what streams need
//! - `mqhttp` — the cloud's own HTTP protocol, on the same port
//! - `counts` — requests by path, method and outcome
//! - `errors` — problem documents, and the match from error kinds to codes

mod app;
mod attempts;
mod auth;
mod body;
mod call;
mod chunk_watch;
mod coding;
mod compress;
mod config;
mod connection;
mod convert;
mod cors;
mod counts;
mod detect;
mod errors;
mod etag;
mod forwarded;
mod handlers;
mod head_watch;
mod identity;
mod json;
mod lease_guard;
mod moment;
mod mqhttp;
mod namespace;
mod openapi;
mod openmetrics;
mod page;
mod params;
mod patch;
mod plain;
mod replies;
mod resume;
mod router;
mod routes;
mod shape;
mod sse;
mod staged;
mod stream_credit;
mod timed;
mod websocket;

pub use config::Config;
pub use mqhttp::MqConfig;
pub use websocket::AllowedOrigin;

use app::App;
use bytes::Bytes;
use errors::{Code, Problem};
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use router::Router;
use sluice_broker::Broker;
use sluice_net::{Connection, Detect, Drain, Protocol};
use std::sync::Arc;
use websocket::Mounted;

/// The front-end; one value serves every connection.
pub struct Http {
    app: Arc<App>,
    router: Arc<Router>,
}

impl Http {
    /// A front-end for `broker` that shows `metrics`.
    pub fn new(broker: Broker, config: Config, metrics: PrometheusHandle) -> Self {
        let app = App::new(broker, config, metrics);
        Self { router: Arc::new(Router::new(&app)), app }
    }

    /// Names the commit that the program was built from, for `/v1/version`.
    pub fn with_commit(self, commit: &'static str) -> Self {
        self.app.commit.get_or_init(|| commit);
        self
    }

    /// Lets connections to these paths become WebSockets that carry another wire.
    pub fn with_websocket(self, paths: &'static [&'static str], wire: Arc<dyn Protocol>) -> Self {
        self.app.websocket.get_or_init(|| Mounted { paths, wire });
        self
    }

    /// The same front-end with nothing but health and metrics, for a port of its own.
    pub fn metrics_only(&self) -> Self {
        Self { app: Arc::clone(&self.app), router: Arc::new(Router::metrics_only(&self.app)) }
    }

    /// Answers one request without a connection: for tests.
    pub async fn answer(&self, request: http::Request<axum::body::Body>) -> axum::response::Response {
        self.router.answer(Box::new(request), Arc::default()).await
    }
}

impl Protocol for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn detect(&self, prefix: &[u8]) -> Detect {
        detect::detect(prefix)
    }

    fn alpn(&self) -> &[&'static [u8]] {
        &[b"h2", b"http/1.1"]
    }

    fn serve(self: Arc<Self>, conn: Connection, drain: Drain) -> BoxFuture<'static, ()> {
        Box::pin(async move { connection::serve(&self.app, &self.router, conn, drain).await })
    }

    fn plain_refused(&self) -> Option<Bytes> {
        let problem = Problem::new(Code::BadRequest, "this port takes TLS only: use https");
        Some(problem.on_the_wire().into())
    }
}
