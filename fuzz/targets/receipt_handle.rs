//! Receipt handles: no text but one that the broker gave settles anything.
#![no_main]

use sluice_auth::{Credentials, Session};
use sluice_broker::Broker;
use sluice_model::ReceiptHandle;

thread_local! {
    static BROKER: (Broker, Session) = {
        let broker = Broker::in_memory();
        let peer = ([127, 0, 0, 1], 1).into();
        let session = sluice_auth::Auth::open().login(Credentials::Anonymous, peer).expect("open lets everyone in");
        (broker, session)
    };
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    BROKER.with(|(broker, session)| {
        assert!(
            broker.ack(session, &ReceiptHandle::from(text)).is_err(),
            "a made-up handle settled something"
        );
    });
});
