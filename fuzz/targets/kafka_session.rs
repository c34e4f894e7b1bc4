//! A whole Kafka connection: headers, arrays of every encoding, batches, logins, groups.
#![no_main]

use sluice_kafka::Kafka;
use sluice_net::Advertised;
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sluice_fuzz::converse(bytes, |broker| {
        let advertised = Advertised::new(None, None).expect("nothing is advertised");
        Kafka::new(broker, Default::default(), Arc::new(advertised))
    });
});
