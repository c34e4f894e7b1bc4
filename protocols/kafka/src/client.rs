//! What a handler sees of the world: the broker, and the client at the other end.

use crate::config::Config;
use crate::counts::Counts;
use crate::errors::Code;
use crate::groups::Groups;
use crate::handlers::Sasl;
use crate::topic_ids::TopicIds;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sluice_auth::{Cost, OverQuota, Session};
use sluice_broker::{Broker, SessionWatch};
use sluice_model::{GroupName, Result};
use sluice_net::{Advertised, Asked, Connection, Outbox};
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a request of somebody over a quota is held who did not wait as told: clients give up after 30 s.
const MAX_HOLD: Duration = Duration::from_secs(10);
/// A quota that was raised meanwhile is noticed within this time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What all connections share.
pub(crate) struct Wire {
    pub broker: Broker,
    pub config: Config,
    pub advertised: Arc<Advertised>,
    pub topic_ids: TopicIds,
    pub groups: Groups,
    pub counts: Counts,
    /// Whose turn it is to change permissions and quotas, which is a look and then a change.
    pub access: tokio::sync::Mutex<()>,
}

impl Wire {
    pub fn new(broker: Broker, config: Config, advertised: Arc<Advertised>) -> Self {
        let groups = Groups::new(broker.clone(), config.groups.clone());
        let access = tokio::sync::Mutex::default();
        let (topic_ids, counts) = (TopicIds::default(), Counts::new());
        Self { broker, config, advertised, topic_ids, groups, counts, access }
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
    /// Where its login stands.
    pub sasl: Mutex<Sasl>,
    /// The connection ends with the session it was opened with.
    watch: Mutex<SessionWatch>,
    out: OnceLock<Outbox>,
    /// Held by the request whose batches are being looked at and stored: the next one follows it.
    pub produce_turn: tokio::sync::Mutex<()>,
    /// It closes once what was asked so far is answered.
    ending: AtomicBool,
    /// Told when the connection is about to close: waits are cut short.
    closing: CancellationToken,
}

impl Client {
    /// The client at the other end of a connection.
    pub fn of(wire: Arc<Wire>, conn: &Connection) -> Self {
        let address = wire.advertised.address(Asked::from(conn));
        Self { watch: Mutex::new(SessionWatch::of(conn.number())), ..Self::new(wire, conn.peer, address) }
    }

    pub fn new(wire: Arc<Wire>, peer: SocketAddr, address: (String, u16)) -> Self {
        Self {
            wire,
            peer,
            address,
            session: Mutex::new(None),
            sasl: Mutex::default(),
            watch: Mutex::default(),
            out: OnceLock::new(),
            produce_turn: tokio::sync::Mutex::default(),
            ending: AtomicBool::new(false),
            closing: CancellationToken::new(),
        }
    }

    /// The connection is open, and this is how to end it from elsewhere.
    pub fn opened(&self, out: &Outbox) {
        let _ = self.out.set(out.clone());
    }

    /// Has the connection end when the session does.
    ///
    /// # Errors
    /// When its user has too many connections.
    pub fn follow(&self, session: &Session) -> Result<()> {
        let mut watch = self.watch.lock();
        match (watch.is_news(session), self.out.get().cloned()) {
            (true, Some(out)) => watch.follow(self.broker(), session, move || out.revoke()),
            _ => Ok(()),
        }
    }

    /// For how many milliseconds this client should ask for nothing more, because its user or a role of it is over a
    /// quota; what responses say as `throttle_time_ms`.
    pub fn throttle_ms(&self) -> i32 {
        let charge = |session: Session| self.broker().auth().charge(&session, Cost::default());
        self.session().map_or(0, |session| until_free(charge(session)))
    }

    /// The same for what all consumers of a group receive.
    pub fn throttle_ms_of(&self, group: &GroupName) -> i32 {
        until_free(self.broker().auth().charge_group(group))
    }

    /// Waits until its quotas let this client go on, or for so long as it can be held.
    pub async fn within_quota(&self) {
        let end = Instant::now() + MAX_HOLD;
        while !self.is_closing() && Instant::now() < end {
            let Ok(left @ 1..) = u64::try_from(self.throttle_ms()) else { return };
            let again = Instant::now() + Duration::from_millis(left).min(LOOK_AGAIN);
            let _ = timeout_at(again.min(end), self.closing()).await; // an error means that it is time
        }
    }

    /// Closes the connection behind the answer to this request.
    pub fn end_after_answer(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub fn ends_after_answer(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Whether the connection is about to close.
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
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

/// The milliseconds until a quota is no longer used up; 0 when it is not.
fn until_free(charged: Result<()>) -> i32 {
    let Err(error) = charged else { return 0 };
    let over = error.source().and_then(|source| source.downcast_ref::<OverQuota>());
    over.map_or(0, |over| i32::try_from(over.retry_after).unwrap_or(i32::MAX))
}
