//! A broker in memory behind one front-end, in a runtime whose clock jumps over every wait.

use sluice_broker::Broker;
use sluice_net::{Connection, Drain, Protocol};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// Streams go on as long as the client stays; by the jumping clock this is over at once.
const LONG_ENOUGH: Duration = Duration::from_secs(300);

/// See the module.
pub struct World {
    runtime: Runtime,
    listener: TcpListener,
    front_end: Arc<dyn Protocol>,
}

impl World {
    /// A new broker and the front-end to it.
    pub fn new<P: Protocol>(front_end: impl FnOnce(Broker) -> Arc<P>) -> Self {
        Self::on(Broker::in_memory, front_end)
    }

    /// The same with another broker, made where there is a runtime.
    pub fn on<P: Protocol>(
        broker: impl FnOnce() -> Broker,
        front_end: impl FnOnce(Broker) -> Arc<P>,
    ) -> Self {
        // Rust's own start of a program does this; under libFuzzer's, writing to a client that left would end us.
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let runtime =
            Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let front_end = runtime.block_on(async { front_end(broker()) });
        Self { runtime, listener, front_end }
    }

    /// One connection that says these bytes and then nothing more; what begins the answer.
    pub fn converse(&self, bytes: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            let address = self.listener.local_addr().expect("an address");
            let (client, accepted) = tokio::join!(TcpStream::connect(address), self.listener.accept());
            let (mut client, (served, _)) = (client.expect("connects"), accepted.expect("accepts"));
            let connection = Connection::plain(served).expect("a plain connection");
            let serving = tokio::spawn(Arc::clone(&self.front_end).serve(connection, Drain::new()));
            let talk = async {
                // It may close before it has read all; that is its right.
                let _ = client.write_all(bytes).await;
                let _ = client.shutdown().await;
                let (mut sink, mut start) = ([0; 16 * 1024], Vec::new());
                while let Ok(n @ 1..) = client.read(&mut sink).await {
                    if start.is_empty() {
                        start.extend_from_slice(&sink[..n]);
                    }
                }
                start
            };
            let start = tokio::time::timeout(LONG_ENOUGH, talk).await;
            drop(client);
            // A panic in the served task ends the process, because the build aborts on panic.
            let _ = tokio::time::timeout(LONG_ENOUGH, serving)
                .await
                .expect("a connection whose client left ends");
            start.unwrap_or_default()
        })
    }
}
