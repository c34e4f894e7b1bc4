//! A whole connection of the remoting wire: frames, fields, properties, batches, and every handler's reading of them.
#![no_main]

use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sluice_fuzz::converse(bytes, |broker| {
        sluice_remoting::Remoting::new(
            broker,
            Default::default(),
            Arc::new(sluice_net::Advertised::default()),
        )
    });
});
