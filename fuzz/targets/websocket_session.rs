//! A whole STOMP connection inside WebSocket messages: their frames, pieces, masks and closing, and what is in them.
#![no_main]

use bytes::Bytes;
use sluice_net::{BoxFuture, Connection, Detect, Drain, Protocol};
use sluice_stomp::Stomp;
use std::sync::Arc;
use std::time::Duration;

/// Behind the handshake, which is HTTP's.
struct OverWebSocket(Arc<Stomp>);

impl Protocol for OverWebSocket {
    fn name(&self) -> &'static str {
        "websocket"
    }

    fn detect(&self, _: &[u8]) -> Detect {
        Detect::Yes
    }

    fn serve(self: Arc<Self>, conn: Connection, drain: Drain) -> BoxFuture<'static, ()> {
        let conn = conn.into_websocket(Bytes::new(), Duration::from_secs(30));
        Arc::clone(&self.0).serve(conn, drain)
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sluice_fuzz::converse(bytes, |broker| OverWebSocket(Arc::new(Stomp::new(broker, Default::default()))));
});
