//! How many requests there were at a path, and how long they took.
//!
//! Looking a metric up by its labels costs more than counting, so what was looked up once is kept.

use crate::app::App;
use http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, gauge};
use std::sync::OnceLock;
use std::time::Duration;

const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Of one path of the route table.
pub(crate) struct Counts {
    route: &'static str,
    requests: [[OnceLock<Counter>; CLASSES.len()]; METHODS.len()],
    seconds: OnceLock<Histogram>,
}

impl Counts {
    pub fn new(route: &'static str) -> Self {
        Self { route, requests: Default::default(), seconds: OnceLock::new() }
    }

    pub fn count(&self, method: &Method, status: StatusCode, took: Duration) {
        let route = self.route;
        let method = place(method);
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        if let Some(requests) = self.requests.get(method).and_then(|classes| classes.get(class)) {
            let labels = (METHODS.get(method), CLASSES.get(class));
            let look_up = || match labels {
                (Some(method), Some(class)) => {
                    counter!("sluice_http_requests_total", "route" => route, "method" => *method, "status" => *class)
                }
                _ => Counter::noop(),
            };
            requests.get_or_init(look_up).increment(1);
        }
        let seconds =
            self.seconds.get_or_init(|| metrics::histogram!("sluice_http_request_seconds", "route" => route));
        seconds.record(took.as_secs_f64());
    }
}

/// Where a method is among [`METHODS`].
fn place(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::POST => 1,
        Method::PUT => 2,
        Method::PATCH => 3,
        Method::DELETE => 4,
        Method::HEAD => 5,
        Method::OPTIONS => 6,
        _ => METHODS.len() - 1,
    }
}

const WAITING: &str = "sluice_http_waiting";
const IN_FLIGHT: &str = "sluice_http_in_flight";
const STREAMS: &str = "sluice_http_streams";
const LEASES: &str = "sluice_leases_out";
const TOO_LARGE: &str = "sluice_http_bodies_too_large_total";
const PROBLEMS: &str = "sluice_http_problems_total";

/// Says what the numbers mean.
pub(crate) fn describe() {
    describe_gauge!(WAITING, "Long polls and streams that are open");
    describe_gauge!(IN_FLIGHT, "Requests that are being answered, the one that asks included");
    describe_gauge!(STREAMS, "Streams that are open, by their form");
    describe_gauge!(LEASES, "Deliveries that consumers of any wire hold under lease");
    describe_counter!(TOO_LARGE, "Requests refused because their body was too large, or became so unpacked");
    describe_counter!(PROBLEMS, "Refusals by the code of their problem document");
}

/// Tells what is counted elsewhere, in cheaper ways than this.
pub(crate) fn sample(app: &App) {
    gauge!(IN_FLIGHT).set(app.requests_in_flight() as f64);
    gauge!(LEASES).set(app.broker.leases_out() as f64);
}

/// A body was refused.
pub(crate) fn too_large() {
    counter!(TOO_LARGE).increment(1);
}

/// A request was refused.
pub(crate) fn problem(code: &'static str) {
    counter!(PROBLEMS, "code" => code).increment(1);
}

/// One stream; dropping it counts it off.
pub(crate) struct OpenStream(Gauge);

impl OpenStream {
    pub fn of(form: &'static str) -> Self {
        let streams = gauge!(STREAMS, "form" => form);
        streams.increment(1.0);
        Self(streams)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
