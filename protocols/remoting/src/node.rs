//! What every connection of this front-end shares: the broker, who we say we are, and where we say we are.

use crate::config::Config;
use crate::convert::Marks;
use bytestring::ByteString;
use sluice_broker::Broker;
use sluice_namesrv::{BrokerIdentity, RouteTable};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// The front-end's shared state.
pub(crate) struct Node {
    pub(crate) broker: Broker,
    pub(crate) config: Config,
    pub(crate) routes: RouteTable,
    pub(crate) marks: Marks,
    pub(crate) started: u64,
    bound: Arc<OnceLock<SocketAddr>>,
}

/// Where one client reaches the broker.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    /// As routes say it.
    pub(crate) route: ByteString,
    /// As ids and records say it, which have room for an address only.
    pub(crate) host: SocketAddr,
}

impl Node {
    pub(crate) fn new(broker: Broker, config: Config, bound: Arc<OnceLock<SocketAddr>>) -> Self {
        let identity = BrokerIdentity {
            cluster: config.cluster.as_str().into(),
            name: config.broker_name.as_str().into(),
        };
        Self {
            routes: RouteTable::new(identity.clone(), broker.config().auto_create),
            marks: Marks { broker: identity, region: config.region.as_str().into() },
            started: broker.now(),
            broker,
            config,
            bound,
        }
    }

    /// The broker's address for a client whose connection has this local address: what the operator says, else the
    /// same interface with the port of the listener for the broker role.
    pub(crate) fn here(&self, local: SocketAddr) -> Here {
        let port = self.bound.get().map_or(local.port(), SocketAddr::port);
        let local = SocketAddr::new(local.ip().to_canonical(), port);
        let Some(advertised) = &self.config.advertise else {
            return Here { route: local.to_string().into(), host: local };
        };
        let host = advertised.parse().unwrap_or_else(|_| {
            let port = advertised.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(port);
            SocketAddr::new(local.ip(), port)
        });
        Here { route: advertised.as_str().into(), host }
    }
}
