//! The headers of a signed request: whatever they say, the answer is a problem document or an answer, and nobody gets in
//! without the secret.
#![no_main]

use metrics_exporter_prometheus::PrometheusBuilder;
use sluice_auth::{AclFile, Auth, Command, Config};
use sluice_broker::Broker;
use sluice_fuzz::World;
use sluice_model::ManualClock;
use sluice_model::units::Span;
use sluice_store::MemoryLog;
use std::cell::RefCell;
use std::sync::Arc;

/// Longer than failures are remembered: whoever fails often is not listened to.
const PAUSE: u64 = 301_000;
const NOW: u64 = 1_700_000_000_000;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    thread_local! {
        static WORLD: RefCell<Option<(World, Arc<ManualClock>)>> = const { RefCell::new(None) };
    }
    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (authorization, rest) = bytes.split_at(at);
    if authorization.iter().chain(rest).any(|byte| *byte == b'\r') {
        return;
    }
    let mut request =
        b"GET /v1/topics?a=b HTTP/1.1\r\nHost: h\r\nX-Amz-Date: 20231114T221320Z\r\nAuthorization: ".to_vec();
    request.extend_from_slice(authorization);
    for line in rest.split(|byte| *byte == b'\n').filter(|line| line.contains(&b':')) {
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(line);
    }
    request.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
    WORLD.with_borrow_mut(|kept| {
        let (world, clock) = kept.get_or_insert_with(|| {
            let clock = Arc::new(ManualClock::new(NOW));
            let metrics = PrometheusBuilder::new().build_recorder().handle();
            let front_end = |broker| Arc::new(sluice_http::Http::new(broker, Default::default(), metrics));
            (World::on(|| guarded(clock.clone()), front_end), clock)
        });
        clock.advance(PAUSE);
        let answer = world.converse(&request);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "let in: {}", String::from_utf8_lossy(&request));
    });
});

fn guarded(clock: Arc<ManualClock>) -> Broker {
    let config = Config { signature_window: Span::secs(u64::from(u32::MAX)), ..Config::default() };
    let auth = Arc::new(Auth::acl(config, clock.clone()).expect("a configuration"));
    let file =
        AclFile::parse("users = [{ name = \"AK\", secret = \"cannot be guessed\", superuser = true }]");
    let change = auth.plan(Command::ReplaceFile(file.expect("a file"))).expect("a change");
    auth.apply(&change);
    Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).expect("a broker")
}
