//! What a handler sees of the world: the broker, and the client at the other end.

use crate::config::Config;
use crate::errors::Code;
use crate::groups::Groups;
use crate::topic_ids::TopicIds;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sluice_auth::Session;
use sluice_broker::Broker;
use sluice_model::Result;
use sluice_net::Advertised;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What all connections share.
pub(crate) struct Wire {
    pub broker: Broker,
    pub config: Config,
    pub advertised: Arc<Advertised>,
    pub topic_ids: TopicIds,
    pub groups: Groups,
}

impl Wire {
    pub fn new(broker: Broker, config: Config, advertised: Arc<Advertised>) -> Self {
        let groups = Groups::new(broker.clone(), config.groups.clone());
        Self { broker, config, advertised, topic_ids: TopicIds::default(), groups }
    }
}

/// One connection, as its handlers see it.
pub(crate) struct Client {
    pub wire: Arc<Wire>,
    pub peer: SocketAddr,
    /// Where this client reaches the broker, as it will be told.
    pub address: (String, u16),
    /// Who it is, once that is proven.
    session: Mutex<Option<Session>>,
    /// Told when the connection is about to close: waits are cut short.
    closing: CancellationToken,
}

impl Client {
    pub fn new(wire: Arc<Wire>, peer: SocketAddr, address: (String, u16)) -> Self {
        Self { wire, peer, address, session: Mutex::new(None), closing: CancellationToken::new() }
    }

    /// Cuts waits short.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Resolves when the connection is about to close. A handler that waits for long waits for this, too.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// The name of the one-broker cluster: for ever the same for the same store.
    pub fn cluster_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.broker().store_id())
    }

    pub fn broker(&self) -> &Broker {
        &self.wire.broker
    }

    pub fn config(&self) -> &Config {
        &self.wire.config
    }

    /// Who it is.
    ///
    /// # Errors
    /// When nothing is proven yet; no handler that needs it runs before.
    pub fn session(&self) -> Result<Session> {
        let unproven = || sluice_model::Error::new(sluice_model::ErrorKind::Unauthenticated, "log in first");
        self.session.lock().clone().ok_or_else(unproven)
    }

    /// The same with the wire's code.
    pub fn session_or_code(&self) -> std::result::Result<Session, Code> {
        self.session().map_err(|error| Code::of_cluster(&error))
    }

    pub fn has_session(&self) -> bool {
        self.session.lock().is_some()
    }

    pub fn set_session(&self, session: Session) {
        *self.session.lock() = Some(session);
    }
}
