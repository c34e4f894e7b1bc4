//! A whole STOMP connection: frames, destinations, subscriptions, transactions, heart-beats.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sluice_fuzz::converse(bytes, |broker| sluice_stomp::Stomp::new(broker, Default::default()));
});
