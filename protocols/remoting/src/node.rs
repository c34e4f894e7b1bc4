//! What every connection of this front-end shares: the broker, who we say we are, and where we say we are.

use crate::clients::Clients;
use crate::config::Config;
use crate::convert::Marks;
use crate::differing::Differing;
use crate::meter::Meter;
use crate::popped::Popped;
use crate::rates::Rates;
use crate::resets::Resets;
use crate::waiting::Waiting;
use bytestring::ByteString;
use sluice_broker::Broker;
use sluice_namesrv::{BrokerIdentity, Queues, RouteTable};
use sluice_net::{Advertised, Asked};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The front-end's shared state.
pub(crate) struct Node {
    pub(crate) broker: Broker,
    pub(crate) config: Config,
    pub(crate) routes: RouteTable,
    pub(crate) marks: Marks,
    pub(crate) started: u64,
    pub(crate) clients: Arc<Clients>,
    pub(crate) resets: Resets,
    pub(crate) differing: Arc<Differing>,
    pub(crate) popped: Popped,
    /// Messages that went out by this wire.
    pub(crate) got: Meter,
    /// The same by group and topic.
    pub(crate) rates: Rates,
    pub(crate) waiting: Waiting,
    /// Routes say that the broker takes no messages: a tool has asked for it.
    pub(crate) write_wiped: AtomicBool,
    advertised: Arc<Advertised>,
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
    pub(crate) fn new(broker: Broker, config: Config, advertised: Arc<Advertised>) -> Self {
        let identity = BrokerIdentity {
            cluster: config.cluster.as_str().into(),
            name: config.broker_name.as_str().into(),
        };
        Self {
            routes: RouteTable::new(identity.clone()),
            marks: Marks::new(identity, config.region.as_str().into()),
            started: broker.now(),
            clients: Arc::default(),
            resets: Resets::default(),
            differing: Arc::default(),
            popped: Popped::default(),
            got: Meter::default(),
            rates: Rates::default(),
            waiting: Waiting::default(),
            write_wiped: AtomicBool::new(false),
            broker,
            config,
            advertised,
        }
    }

    /// The queues of a template topic, see [`RouteTable::template`].
    pub(crate) fn template(&self, topic: &str) -> Option<Queues> {
        self.routes.template(topic, self.broker.tuned().auto_create)
    }

    /// Where this client reaches the broker, at whichever listener it asks.
    pub(crate) fn here(&self, asked: Asked<'_>) -> Here {
        let (host, port) = self.advertised.address(asked);
        match host.parse::<IpAddr>() {
            Ok(ip) => {
                let host = SocketAddr::new(ip, port);
                Here { route: host.to_string().into(), host }
            }
            Err(_) => Here {
                route: format!("{host}:{port}").into(),
                host: SocketAddr::new(asked.local.ip().to_canonical(), port),
            },
        }
    }
}
