//! One connection: hyper speaks HTTP/1.1 or HTTP/2 on it, the router answers, a drain ends it well.

use crate::app::App;
use crate::call::Caller;
use crate::errors::{Code, Problem};
use crate::identity::Identity;
use crate::router::Router;
use crate::timed::{Activity, Serving, Timed};
use crate::websocket::Handover;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sluice_net::{Connection, Drain};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

pub(crate) type Io = TokioIo<Box<Timed<Connection>>>;

/// How many headers hyper takes when it is not told.
const HYPER_HEADERS: usize = 100;
/// The smallest read buffer that hyper takes.
const MIN_BUFFER: usize = 8 << 10;
/// A connection whose user may not have it any longer gets so long to take what it was being answered.
const REVOKED_FAREWELL: Duration = Duration::from_millis(500);
/// How often an HTTP/2 client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

pub(crate) async fn serve(app: &Arc<App>, router: &Arc<Router>, conn: Connection, drain: Drain) {
    let tracker = TaskTracker::new();
    let caller = Arc::new(Caller {
        peer: conn.peer,
        secure: conn.tls.is_some(),
        certificate: conn.client_cert().map(|der| Bytes::copy_from_slice(der)),
        identity: Arc::new(Identity::of(conn.number())),
        drain: drain.clone(),
        tracker: tracker.clone(),
        handover: Handover::default(),
    });
    let activity = Activity::default();
    let (identity, handover) = (Arc::clone(&caller.identity), caller.handover.clone());
    // In a box, because it is moved again and again on its way into hyper, and every move would keep room for it.
    let mut stream = Box::new(Timed::new(conn, &app.config, activity.clone()));
    let http2 = match stream.speaks_http2().await {
        Ok(http2) => http2,
        Err(error) => return tracing::debug!(%error, "connection ended"),
    };
    let io = TokioIo::new(stream);
    let router = Arc::clone(router);
    // The future is made anew for each request, so that a connection that rests has no room for it.
    let service = service_fn(move |request: Request<Incoming>| {
        let (serving, fault) = (activity.begin(), activity.head_fault());
        // What is left of a body after the answer is no head.
        let request = request.map(|body| Body::new(Received { body, _serving: serving.clone() }));
        Box::pin(answer(Arc::clone(&router), Box::new(request), Arc::clone(&caller), serving, fault))
    });
    if http2 {
        // Few connections speak it, and all would have its room.
        run(Box::pin(http2_builder(app).serve_connection(io, service)).as_mut(), &drain, &identity).await;
    } else {
        run(pin!(http1_builder(app).serve_connection(io, service).with_upgrades()), &drain, &identity).await;
    }
    if let Some(next) = handover.take() {
        next.serve(drain).await;
    }
    tracker.close();
    tracker.wait().await;
}

/// A connection of one version of HTTP.
trait Http: Future<Output = hyper::Result<()>> {
    /// No further requests; those that came are answered.
    fn shut_down(self: Pin<&mut Self>);
}

impl<S> Http for http1::UpgradeableConnection<Io, S>
where
    S: HttpService<Incoming, ResBody = Served, Error = Infallible>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Http for http2::Connection<Io, S, TokioExecutor>
where
    S: HttpService<Incoming, ResBody = Served, Error = Infallible>,
    S::Future: Send + 'static,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

async fn run(mut http: Pin<&mut impl Http>, drain: &Drain, identity: &Identity) {
    let ended = tokio::select! {
        biased;
        ended = http.as_mut() => ended,
        () = drain.signaled() => {
            http.as_mut().shut_down();
            http.as_mut().await
        }
        () = identity.over() => {
            http.as_mut().shut_down();
            timeout(REVOKED_FAREWELL, http.as_mut()).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Hyper's own limit on a head lies above ours, so that what is a little too large gets a proper answer, and what is far
/// too large is cut off.
fn head_limit(app: &App) -> usize {
    let head = app.config.max_header_block.bytes() + app.config.max_request_target.bytes();
    (2 * head).max(MIN_BUFFER)
}

fn http1_builder(app: &App) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(head_limit(app));
    // Hyper's own number takes no memory for each request; it is left alone as long as it lies above ours.
    if app.config.max_headers >= HYPER_HEADERS {
        builder.max_headers(2 * app.config.max_headers);
    }
    builder
}

fn http2_builder(app: &App) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(app.config.max_concurrent_requests)
        .max_header_list_size(u32::try_from(head_limit(app)).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY);
    builder
}

async fn answer(
    router: Arc<Router>,
    request: Box<Request<Body>>,
    caller: Arc<Caller>,
    serving: Serving,
    fault: Option<&'static str>,
) -> Result<http::Response<Served>, Infallible> {
    let response = match fault {
        Some(fault) => Problem::new(Code::BadRequest, fault).closing().respond(None, None),
        None => router.answer(request, caller).await,
    };
    Ok(response.map(|body| Served { body, _serving: serving }))
}

/// A request's body; until it is dropped its request is being served.
struct Received {
    body: Incoming,
    _serving: Serving,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that counts as a request being served until the connection is done with it.
pub(crate) struct Served {
    body: Body,
    _serving: Serving,
}

impl HttpBody for Served {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
