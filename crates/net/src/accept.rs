//! From the listening socket to a served connection.
//!
//! Whatever goes wrong with one client, or with all of them at once, the acceptor goes on. The one idea to know: it
//! only counts and deals out; everything that waits for a client (sniffing, handshake) happens in the connection's own
//! task, on the reactor where it stays.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::greet::{self, Greeted};
use crate::limits::Admission;
use crate::log_gate::LogGate;
use crate::network::Shared;
use crate::{Drain, Network, Protocol};

/// After an accept error that will not go away at once (no descriptors left): short enough to be back in time.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A connection that is closed on request gets so long to finish what is in flight.
const FAREWELL: Duration = Duration::from_secs(2);

/// One listener's side of all its connections.
pub(crate) struct Acceptor {
    pub(crate) name: &'static str,
    pub(crate) protocols: Vec<Arc<dyn Protocol>>,
    /// All ALPN names of the protocols, in their order.
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) network: Arc<Shared>,
    /// Plain bytes are refused.
    pub(crate) tls_required: bool,
    pub(crate) gate: LogGate,
}

impl Acceptor {
    pub(crate) fn new(name: &'static str, protocols: Vec<Arc<dyn Protocol>>, network: Network) -> Self {
        let alpn = protocols.iter().flat_map(|p| p.alpn()).map(|name| name.to_vec()).collect();
        let network = network.shared;
        let tls_required = network.tls.as_ref().is_some_and(|tls| tls.is_required(name));
        Self { name, protocols, alpn, network, tls_required, gate: LogGate::default() }
    }

    pub(crate) fn start(self, socket: std::net::TcpListener) -> io::Result<()> {
        let network = Arc::clone(&self.network);
        let reactor = network.reactors.next().ok_or(io::ErrorKind::NotFound)?;
        let listener = {
            let _inside = reactor.enter();
            TcpListener::from_std(socket)?
        };
        reactor.spawn(network.tasks.track_future(Arc::new(self).accept_until_drain(listener)));
        Ok(())
    }

    async fn accept_until_drain(self: Arc<Self>, listener: TcpListener) {
        let drain = self.network.drain.clone();
        tokio::select! {
            () = self.accept_all(listener) => {}
            () = drain.signaled() => {}
        }
    }

    async fn accept_all(self: &Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => self.admit(socket, peer),
                Err(error) if concerns_one_client(&error) => {}
                Err(error) => {
                    self.count_refused("accept_error");
                    if self.gate.opens() {
                        tracing::error!(listener = self.name, %error, "cannot accept connections; trying again");
                    }
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let open = metrics::gauge!("sluice_net_connections", "listener" => self.name);
        match self.network.limits.admit(peer, self.name, &self.network.drain, open) {
            Ok(admission) => {
                metrics::counter!("sluice_net_accepted_total", "listener" => self.name).increment(1);
                self.deal(socket, peer, admission);
            }
            Err(refused) => {
                self.count_refused(refused.reason());
                if self.gate.opens() {
                    tracing::warn!(listener = self.name, %peer, limit = refused.reason(), "connection refused");
                }
            }
        }
    }

    pub(crate) fn count_refused(&self, reason: &'static str) {
        metrics::counter!("sluice_net_refused_total", "listener" => self.name, "reason" => reason)
            .increment(1);
    }

    /// Hands the socket to the reactor whose turn it is.
    fn deal(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr, admission: Admission) {
        let reactors = &self.network.reactors;
        if reactors.count() == 1 {
            tokio::spawn(self.connection(Ok(socket), peer, admission));
            return;
        }
        let Some(reactor) = reactors.next() else { return };
        // Leaves this reactor's poller; joins the other's when its task first runs there.
        let socket = socket.into_std();
        let acceptor = Arc::clone(self);
        reactor.spawn(async move {
            acceptor.connection(socket.and_then(TcpStream::from_std), peer, admission).await;
        });
    }

    fn connection(
        self: &Arc<Self>,
        socket: io::Result<TcpStream>,
        peer: SocketAddr,
        admission: Admission,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Entering a span costs at every turn, so it is for those who want to know much; what is told to all names the peer.
        let span = tracing::debug_span!("connection", listener = self.name, %peer);
        let acceptor = Arc::clone(self);
        let network = Arc::clone(&self.network);
        let served = async move {
            let own = admission.drain().clone();
            let (all, abort) = (acceptor.network.drain.clone(), acceptor.network.abort.clone());
            tokio::select! {
                biased; // both are polled at every turn, and the order is as good as any
                () = acceptor.serve(socket, peer, admission) => {}
                why = outstayed(&own, &all, &abort) => tracing::debug!("connection cut off {why}"),
            }
        };
        network.tasks.track_future(served.instrument(span))
    }

    async fn serve(self: Arc<Self>, socket: io::Result<TcpStream>, peer: SocketAddr, admission: Admission) {
        let drain = admission.drain().clone();
        let greeting = Box::pin(greet::greet(&self, socket, peer, admission));
        let greeted = tokio::select! {
            greeted = greeting => greeted,
            () = drain.signaled() => return, // it has asked for nothing yet
        };
        match greeted {
            Ok(Greeted { protocol, conn }) => protocol.serve(conn, drain).await,
            Err(failed) => failed.report(&self),
        }
    }
}

/// Resolves when a connection that was told to end has not done so in time, and says who told it.
async fn outstayed(own: &Drain, all: &Drain, abort: &CancellationToken) -> &'static str {
    own.signaled().await; // so is it when all are
    if all.is_draining() {
        abort.cancelled().await;
        return "at shutdown";
    }
    tokio::select! {
        () = sleep(FAREWELL) => "on request",
        () = abort.cancelled() => "at shutdown",
    }
}

/// Errors of `accept` that speak of the one connection which has gone meanwhile, and not of us.
fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut | WouldBlock
    )
}
