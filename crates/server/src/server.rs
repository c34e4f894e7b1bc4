//! One running server.
//!
//! The order of a start is the order of what can go wrong: addresses first (a taken port is found out at once), then
//! the log (which may have to recover), then users, then front-ends; only then is anything accepted. The order of a
//! stop is the reverse.

use std::net::SocketAddr;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use sluice_auth::{Auth, DataKey, Mode};
use sluice_broker::Broker;
use sluice_http::Http;
use sluice_kafka::Kafka;
use sluice_model::{Clock, SystemClock};
use sluice_net::{BoundListener, ListenAddr, Network, Protocol, raise_descriptor_limit};
use sluice_remoting::Remoting;
use sluice_stomp::Stomp;
use sluice_store::{LocalLog, Log};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{self, AccessFile};
use crate::config::Config;
use crate::connections;
use crate::failure::Failure;
use crate::recorder;

/// Of the grace; what remains is for the log, whose flush must not wait for a client that does not read.
const CLIENTS_SHARE: f64 = 0.9;

/// Where STOMP is spoken over WebSocket on the HTTP port: as in RabbitMQ, as in ActiveMQ, and below each what SockJS
/// clients use without its own framing.
const WEBSOCKET_PATHS: &[&str] = &["/ws", "/stomp", "/ws/websocket", "/stomp/websocket"];

/// In the data folder: the key that signing secrets in the log are sealed with.
pub(crate) const DATA_KEY_FILE: &str = "secrets.key";

/// A server that accepts clients.
pub struct Server {
    config: Config,
    network: Network,
    broker: Broker,
    access_file: Option<Arc<AccessFile>>,
    addresses: Vec<(&'static str, SocketAddr)>,
    /// What the server does by itself, and how it is ended.
    duties: TaskTracker,
    stop_duties: CancellationToken,
}

impl Server {
    /// Starts on the log in `data_dir`.
    pub async fn start(config: Config) -> Result<Self, Failure> {
        let (dir, store) = (config.data_dir.clone(), config.store.clone());
        let acl = config.auth.mode == Mode::Acl;
        let open = move || {
            let log = LocalLog::open(&dir, store, Arc::new(SystemClock))?;
            let key = acl.then(|| DataKey::open_or_create(&dir.join(DATA_KEY_FILE))).transpose()?;
            Ok((Arc::new(log) as Arc<dyn Log>, key))
        };
        Self::start_with(config, open).await
    }

    /// Starts on another log: in memory, for tests.
    pub async fn start_on(config: Config, log: Arc<dyn Log>) -> Result<Self, Failure> {
        Self::start_with(config, move || Ok((log, None))).await
    }

    async fn start_with(
        config: Config,
        open_log: impl FnOnce() -> Result<(Arc<dyn Log>, Option<DataKey>), Failure> + Send + 'static,
    ) -> Result<Self, Failure> {
        config.check()?;
        raise_descriptor_limit();
        let metrics = recorder::install();
        let network = Network::start(&config.net, &config.tls)?;
        let listeners = bind(&config, &network)?;
        let (auth, broker, log) = open_broker(&config, open_log).await?;
        commit_on_reactors(&network, &*log);
        broker.set_connections(connections::list(network.open_connections(), broker.now()));
        let server = Self {
            access_file: config.auth.file.clone().map(|path| Arc::new(AccessFile::new(path))),
            addresses: addresses(&listeners),
            duties: TaskTracker::new(),
            stop_duties: CancellationToken::new(),
            config,
            network,
            broker,
        };
        server.prepare_access(&auth).await?;
        server.start_duties(&metrics, auth);
        server.serve(listeners, metrics)?;
        tracing::info!(data_dir = %server.config.data_dir.display(), "started");
        Ok(server)
    }
}

/// What a client can find running.
impl Server {
    /// The real address of a listener by its name: `http`, `stomp`, …
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(known, _)| *known == name).map(|(_, address)| *address)
    }

    /// The line that tells scripts where everything listens.
    pub fn ready_line(&self) -> String {
        let mut line = "sluice ready".to_owned();
        for (name, address) in &self.addresses {
            line.push_str(&format!(" {name}={address}"));
        }
        line
    }

    /// The one service that every front-end calls.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }
}

/// The life after the start.
impl Server {
    /// Resolves when the log has failed for good.
    pub async fn failed(&self) -> sluice_model::Error {
        self.broker.failed().await
    }

    /// Reads certificates, users and policies again. What cannot be used leaves the old in force.
    pub async fn reload(&self) {
        match self.network.reload_tls() {
            Ok(()) => tracing::info!("tls files read again"),
            Err(error) => tracing::error!(%error, "tls files cannot be used; the old ones stay"),
        }
        if let Some(file) = &self.access_file {
            file.apply_again(&self.broker).await;
        }
    }

    /// Stops accepting, answers what is in flight, flushes, marks the end clean.
    pub async fn shutdown(self) -> Result<(), Failure> {
        let grace = self.config.shutdown.grace.0;
        tracing::info!("stopping");
        let late = self.network.shutdown(grace.mul_f64(CLIENTS_SHARE)).await;
        if late > 0 {
            tracing::warn!(connections = late, "connections did not finish in time and were cut off");
        }
        self.stop_duties.cancel();
        self.duties.close();
        self.duties.wait().await;
        let closed = blocking(move || {
            let closed = self.broker.close();
            self.network.reactors().stop();
            closed
        });
        closed.await??;
        tracing::info!("stopped");
        Ok(())
    }
}

/// The steps of a start.
impl Server {
    async fn prepare_access(&self, auth: &Auth) -> Result<(), Failure> {
        for listener in self.config.exposed_listeners() {
            tracing::warn!(
                listener,
                "anyone who reaches this listener can read and write everything (auth.mode = open)"
            );
        }
        if let Some(file) = &self.access_file {
            file.apply(&self.broker).await?;
        }
        access::ensure_administrator(auth, &self.broker).await
    }

    fn start_duties(&self, metrics: &PrometheusHandle, auth: Arc<Auth>) {
        let broker = self.broker.clone();
        self.start_duty(async move { broker.run().await });
        self.start_duty(recorder::fold(metrics.clone()));
        self.start_duty(async move { auth.keep_keys_fresh().await });
        if let Some(file) = &self.access_file {
            self.start_duty(Arc::clone(file).watch(self.broker.clone()));
        }
    }

    fn start_duty(&self, duty: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop_duties.clone();
        let until_stopped = async move {
            stop.run_until_cancelled(duty).await;
        };
        self.network.reactors().spawn_on_any(self.duties.track_future(until_stopped));
    }

    /// The one place that names every protocol.
    fn serve(&self, listeners: Vec<BoundListener>, metrics: PrometheusHandle) -> Result<(), Failure> {
        let advertised = Arc::new(self.config.advertise.remoting()?);
        if let Some(address) = self.address("remoting").or(self.address("all")) {
            advertised.set_port(address.port());
        }
        let broker = || self.broker.clone();
        let remoting: Arc<dyn Protocol> =
            Arc::new(Remoting::new(broker(), self.config.remoting.clone(), advertised));
        let http = Http::new(broker(), self.config.http.clone(), metrics).with_commit(env!("BUILD_COMMIT"));
        let stomp: Arc<dyn Protocol> = Arc::new(Stomp::new(broker(), self.config.stomp.clone()));
        let kafka = self.kafka()?;
        self.start_duty(kafka.duty());
        let kafka: Arc<dyn Protocol> = Arc::new(kafka);
        let numbers: Arc<dyn Protocol> = Arc::new(http.metrics_only());
        let http: Arc<dyn Protocol> = Arc::new(http.with_websocket(WEBSOCKET_PATHS, Arc::clone(&stomp)));
        for listener in listeners {
            let protocols = match listener.name() {
                "namesrv" | "remoting" => vec![Arc::clone(&remoting)],
                "http" => vec![Arc::clone(&http)],
                "stomp" => vec![Arc::clone(&stomp)],
                "kafka" => vec![Arc::clone(&kafka)],
                "metrics" => vec![Arc::clone(&numbers)],
                // Kafka before RocketMQ: both begin with a length, and its own rule is the narrower one.
                _ => [&kafka, &remoting, &http, &stomp].map(Arc::clone).to_vec(),
            };
            listener.serve(protocols)?;
        }
        Ok(())
    }

    fn kafka(&self) -> Result<Kafka, Failure> {
        let advertised = Arc::new(self.config.advertise.kafka()?);
        if let Some(address) = self.address("kafka").or(self.address("all")) {
            advertised.set_port(address.port());
        }
        Ok(Kafka::new(self.broker.clone(), self.config.kafka.clone(), advertised))
    }
}

/// Where each listener accepts; of two with one name, the first is the one that is told.
fn addresses(listeners: &[BoundListener]) -> Vec<(&'static str, SocketAddr)> {
    let mut addresses: Vec<(&'static str, SocketAddr)> = Vec::new();
    for listener in listeners {
        if addresses.iter().all(|(known, _)| *known != listener.name()) {
            addresses.push((listener.name(), listener.address()));
        }
    }
    addresses
}

fn bind(config: &Config, network: &Network) -> Result<Vec<BoundListener>, Failure> {
    let mut listeners = Vec::new();
    for (name, at) in config.listen.named() {
        listeners.extend(network.bind(name, at)?);
    }
    // Under the same name, so that whatever is said of the first holds for it.
    listeners.extend(bind_vip(config, network));
    Ok(listeners)
}

/// The second listener of the RocketMQ broker, where clients with `vipChannelEnabled` look for it. Nobody is told of it, and
/// most never look; so it is no fault when something else has that port.
fn bind_vip(config: &Config, network: &Network) -> Option<BoundListener> {
    let ListenAddr::At { host, port } = &config.listen.remoting else { return None };
    let port = port.checked_sub(2).filter(|port| config.remoting.vip_port && *port > 0)?;
    let at = ListenAddr::At { host: host.clone(), port };
    network.bind("remoting", &at).unwrap_or_else(|error| {
        tracing::warn!(%error, "no listener for clients with vipChannelEnabled");
        None
    })
}

async fn open_broker(
    config: &Config,
    open_log: impl FnOnce() -> Result<(Arc<dyn Log>, Option<DataKey>), Failure> + Send + 'static,
) -> Result<(Arc<Auth>, Broker, Arc<dyn Log>), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let auth = match config.auth.mode {
        Mode::Open => Auth::open(),
        Mode::Acl => Auth::acl(config.auth.clone(), Arc::clone(&clock))?,
    };
    let rules = config.broker_rules();
    let opened = blocking(move || -> Result<_, Failure> {
        let (log, key) = open_log()?;
        let auth = Arc::new(match key {
            Some(key) => auth.with_data_key(key),
            None => auth,
        });
        Ok((Arc::clone(&auth), Broker::open(Arc::clone(&log), auth, clock, rules)?, log))
    });
    opened.await?
}

/// Each reactor commits what little is sent over it: the log's thread could only take turns with it.
fn commit_on_reactors(network: &Network, log: &dyn Log) {
    network.reactors().spawn_on_each(|_| {
        let committer = log.committer();
        async move {
            if let Some(committer) = committer {
                committer.await;
            }
        }
    });
}

/// Disk work, off the threads that carry connections.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::Unexpected(error.to_string()))
}
