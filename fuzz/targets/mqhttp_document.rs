//! The XML documents and property strings of the cloud's HTTP clients: whatever they say, the answer is XML of the same
//! protocol, and what was taken comes out again as XML that can be parsed.
//!
//! The first byte chooses the request, the rest is its body.
#![no_main]

use metrics_exporter_prometheus::PrometheusBuilder;
use sluice_broker::Broker;
use sluice_fuzz::World;
use std::cell::RefCell;
use std::sync::Arc;

/// So many inputs meet the same broker, which keeps what they publish.
const INPUTS_PER_WORLD: u32 = 200;
const REQUESTS: [&str; 4] = [
    "POST /topics/t/messages",
    "DELETE /topics/t/messages?consumer=g",
    "DELETE /topics/t/messages?consumer=g&trans=commit",
    "POST /topics/t/messages?ns=MQ_INST_1",
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    thread_local! {
        static WORLD: RefCell<Option<(World, u32)>> = const { RefCell::new(None) };
    }
    let Some((choice, body)) = bytes.split_first() else { return };
    let request = REQUESTS[usize::from(*choice) % REQUESTS.len()];
    WORLD.with_borrow_mut(|kept| {
        let (world, used) = kept.take().unwrap_or_else(|| (world(), 0));
        let answer = ask(&world, request, body);
        assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
        if answer.starts_with("HTTP/1.1 201") {
            let consume = match request.split_once('?') {
                Some((_, instance)) => format!("GET /topics/t/messages?consumer=g&{instance}"),
                None => "GET /topics/t/messages?consumer=g".to_owned(),
            };
            // A half or delayed one is not to be had yet.
            let again = ask(&world, &consume, b"");
            assert!(
                again.starts_with("HTTP/1.1 200") || again.contains("<Code>MessageNotExist</Code>"),
                "{again}"
            );
        }
        if used < INPUTS_PER_WORLD {
            *kept = Some((world, used + 1));
        }
    });
});

fn world() -> World {
    World::on(Broker::in_memory, |broker| {
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        Arc::new(sluice_http::Http::new(broker, Default::default(), metrics))
    })
}

/// Without users nothing is proven, but the headers must be there.
fn ask(world: &World, line: &str, body: &[u8]) -> String {
    let mut request = format!(
        "{line} HTTP/1.1\r\nHost: h\r\nAuthorization: MQ a:AAAA\r\nDate: Tue, 06 Jan 2026 08:00:00 GMT\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    String::from_utf8_lossy(&world.converse(&request)).into_owned()
}
