//! Where numbers are kept between two scrapes of `/metrics`.
//!
//! The facade knows one recorder for the whole process, so servers that share a process (in tests) share their numbers.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Seconds; from a reply out of memory to a client that waits for messages.
const BUCKETS: [f64; 12] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 30.0];
/// Recorded samples are folded into their buckets at least so often, whether anybody scrapes or not.
const FOLD_EVERY: Duration = Duration::from_secs(60);

/// Installs the recorder, once in a process, and returns its handle.
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new();
            // Fails only for an empty list; summaries would do as well.
            let builder = builder.set_buckets(&BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed; /metrics stays empty");
            }
            handle
        })
        .clone()
}

/// Keeps memory bounded when nobody scrapes. Runs until it is dropped.
pub async fn fold(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(FOLD_EVERY).await;
        handle.run_upkeep();
    }
}
