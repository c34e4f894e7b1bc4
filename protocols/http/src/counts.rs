//! How many requests there were at a path, and how long they took.
//!
//! Looking a metric up by its labels costs more than counting, so what was looked up once is kept.

use http::{Method, StatusCode};
use metrics::{Counter, Histogram};
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
        let (route, other) = (self.route, METHODS.len() - 1);
        let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(other);
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        if let Some(requests) = self.requests.get(method).and_then(|classes| classes.get(class)) {
            let labels = (METHODS.get(method), CLASSES.get(class));
            let look_up = || match labels {
                (Some(method), Some(class)) => {
                    metrics::counter!("sluice_http_requests_total", "route" => route, "method" => *method, "status" => *class)
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
