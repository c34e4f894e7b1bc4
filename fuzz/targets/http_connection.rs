//! A whole HTTP connection: parameters, JSON bodies, message headers, receipt handles, resume tokens.
#![no_main]

use metrics_exporter_prometheus::PrometheusBuilder;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sluice_fuzz::converse(bytes, |broker| {
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        sluice_http::Http::new(broker, Default::default(), metrics)
    });
});
