//! Everything that listens, together: reactors, limits, TLS and the way to stop.
//!
//! The order of a start matters: addresses are bound before anything runs (so that a taken port is found out at
//! once), they are known before front-ends are built (which advertise them), and only then is anything accepted. Hence
//! [`Network::bind`] first and [`BoundListener::serve`] later.
//!
//! What happens to one accepted socket is `accept.rs`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::Acceptor;
use crate::counts;
use crate::limits::Limits;
use crate::tls::Tls;
use crate::turns::Turns;
use crate::{Config, Drain, Error, ListenAddr, OpenConnections, Protocol, Reactors, TlsConfig};

/// The network side of a running server.
#[derive(Clone)]
pub struct Network {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) reactors: Reactors,
    pub(crate) tls: Option<Tls>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) handshakes: Turns,
    pub(crate) drain: Drain,
    /// Ends connections that did not finish within the grace.
    pub(crate) abort: CancellationToken,
    /// Counts acceptors and connections.
    pub(crate) tasks: TaskTracker,
}

/// A listener with its real address, not accepting yet.
pub struct BoundListener {
    name: &'static str,
    address: SocketAddr,
    socket: TcpListener,
    network: Network,
}

impl Network {
    /// Starts the reactors and reads the TLS files.
    pub fn start(config: &Config, tls: &TlsConfig) -> Result<Self, Error> {
        counts::describe();
        let shared = Shared {
            tls: Tls::load(tls)?,
            reactors: Reactors::start(config.reactors)?,
            limits: Limits::new(config.max_connections, config.max_connections_per_ip),
            handshakes: Turns::new(config.max_handshakes, config.max_handshakes_per_ip),
            drain: Drain::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
            config: config.clone(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Binds an address; `None` when it is off. `name` labels logs and metrics.
    pub fn bind(&self, name: &'static str, at: &ListenAddr) -> Result<Option<BoundListener>, Error> {
        let resolved = at.resolve();
        let addresses =
            resolved.map_err(|source| Error::Resolve { listener: name, address: at.to_string(), source })?;
        let mut refused = None;
        for address in addresses {
            match open_socket(address, self.shared.config.backlog) {
                Ok((socket, address)) => {
                    return Ok(Some(BoundListener { name, address, socket, network: self.clone() }));
                }
                Err(source) => refused = Some(source),
            }
        }
        match refused {
            Some(source) => Err(Error::Bind { listener: name, address: at.to_string(), source }),
            None => Ok(None),
        }
    }

    /// The threads that carry connections.
    pub fn reactors(&self) -> &Reactors {
        &self.shared.reactors
    }

    /// The signal that connections hold; also for tasks of a front-end that belong to no connection.
    pub fn drain(&self) -> &Drain {
        &self.shared.drain
    }

    /// The list of the connections that are open.
    pub fn open_connections(&self) -> OpenConnections {
        OpenConnections(Arc::clone(&self.shared.limits))
    }

    /// Whether listeners take TLS.
    pub fn has_tls(&self) -> bool {
        self.shared.tls.is_some()
    }

    /// Reads the TLS files again now. On an error the old certificates stay in use.
    pub fn reload_tls(&self) -> Result<(), Error> {
        self.shared.tls.as_ref().map_or(Ok(()), Tls::reload)
    }

    /// Stops accepting, lets connections finish within `grace`, then cuts the rest off. Returns how many were cut off.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        let shared = &self.shared;
        shared.tasks.close();
        shared.drain.start();
        let late = match timeout(grace, shared.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => shared.tasks.len(),
        };
        shared.abort.cancel();
        shared.tasks.wait().await;
        late
    }
}

impl BoundListener {
    /// The real address; never port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name that it was bound with.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Begins to accept. With several protocols the first that says `Yes` to the first bytes gets the connection.
    pub fn serve(self, protocols: Vec<Arc<dyn Protocol>>) -> Result<(), Error> {
        let Self { name, address, socket, network } = self;
        let acceptor = Acceptor::new(name, protocols, network.clone());
        acceptor.start(socket).map_err(|source| Error::Accept { address, source })
    }
}

fn open_socket(address: SocketAddr, backlog: u32) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?; // a restart must not wait for the old connections' TIME_WAIT
    socket.bind(&address.into())?;
    socket.listen(backlog.min(i32::MAX as u32) as i32)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}
