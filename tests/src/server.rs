//! A whole server in this process, on free ports.

use sluice_broker::Broker;
use sluice_server::Server;
use sluice_server::config::Config;
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A running server; dropping it stops it.
pub struct TestServer {
    server: Option<Server>,
    runtime: Runtime,
    data: TempDir,
}

impl TestServer {
    /// Starts with the defaults: open access on loopback, a log in a temporary folder.
    pub fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// Starts with other settings.
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        Self::start_in(data, change)
    }

    /// Starts on a folder that is kept.
    pub fn start_in(data: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { data_dir: data.path().to_owned(), ..Config::default() };
        for listen in [
            &mut config.listen.namesrv,
            &mut config.listen.remoting,
            &mut config.listen.http,
            &mut config.listen.stomp,
            &mut config.listen.kafka,
        ] {
            *listen = "0".parse().expect("a listen value");
        }
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let server = runtime
            .block_on(Server::start(config))
            .unwrap_or_else(|e| panic!("the server does not start: {e}"));
        Self { server: Some(server), runtime, data }
    }

    /// Where a listener is: `namesrv`, `remoting`, `http`, `stomp`, `kafka`.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.server
            .as_ref()
            .and_then(|s| s.address(listener))
            .unwrap_or_else(|| panic!("no listener {listener}"))
    }

    /// The names of the listeners that are open.
    pub fn listeners(&self) -> Vec<&'static str> {
        let names = Config::default().listen.named().map(|(name, _)| name);
        names
            .into_iter()
            .filter(|name| self.server.as_ref().is_some_and(|s| s.address(name).is_some()))
            .collect()
    }

    /// The one service behind every wire.
    pub fn broker(&self) -> &Broker {
        self.server.as_ref().expect("not stopped").broker()
    }

    /// Runs what the server is asked without a wire.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Stops and gives the folder back, to start again on it.
    pub fn stop(mut self) -> TempDir {
        self.shut_down();
        std::mem::replace(&mut self.data, tempfile::tempdir().expect("a temporary folder"))
    }

    fn shut_down(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime
                .block_on(server.shutdown())
                .unwrap_or_else(|e| panic!("the server does not stop: {e}"));
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.shut_down();
        }
    }
}
