//! The one service: about thirty verbs, the same for every wire.
//!
//! Every verb has the same body: ask for the permit, go through the [`gate`] with it, call the rule, count. A verb that
//! forgot to ask does not compile. A request that spans topics is split at the edge: a permit always speaks of one
//! resource.
//!
//! | file | verbs |
//! |---|---|
//! | `produce` | send, check_send, work |
//! | `recall` | recall |
//! | `redrive` | dead_letters, redrive |
//! | `truncate` | truncate; retention of one topic |
//! | `once` | send_once |
//! | `sequenced` | send_sequenced, producer_id |
//! | `packed` | pull_packed; batches that are sent and kept as their producer packed them |
//! | `producers` | name_producer, join_transaction, promise_offsets, decide_transaction, named_producers, senders, unsettled_offsets |
//! | `transactions` | prepare, end_transaction, transactions |
//! | `checks` | receive_checks, check_due; what asks producers for outcomes |
//! | `receive` | holder, receive, receive_up_to |
//! | `settle` | ack, nack, release, change_invisible, dead_letter |
//! | `read` | pull, message_at, cursor, poll; `grown` | grown; `born` | born_at |
//! | `find` | find |
//! | `trace` | trace |
//! | `retry` | send_back |
//! | `offsets` | commit_offset, set_offsets, committed, bounds, whole_bounds, offset_at, progress, reset_offsets |
//! | `coordinated` | coordinate, check_consume, commit_offsets, committed_offsets, forget_offsets |
//! | `groups` | client (join, leave, events), members, subscription, queue locks |
//! | `admin` | topics, groups, access |
//! | `access` | users, user, roles, policies; put_user, delete_user, put_role, delete_role, delete_policies, count_policies, check_access |
//! | `connections` | connections, close_connection |
//! | `scrub` | damages; what looks for them |
//! | `sessions` | session_ended; [`SessionWatch`] |
//! | `tune` | tune: settings that change at run time |
//! | `verbs` | their names, for whoever must not forget one |
//! | `fire`, `far` | what runs by itself for delayed messages and halves |
//! | `duties` | what else runs by itself: checkpoints, retention, silent members |

mod access;
mod admin;
mod born;
mod checks;
mod connections;
mod coordinated;
mod crowd;
mod duties;
mod far;
mod fifo;
mod find;
mod fire;
mod gate;
mod groups;
mod grown;
mod log;
mod offsets;
mod once;
mod open;
mod packed;
mod produce;
mod producers;
mod read;
mod recall;
mod receive;
mod redrive;
mod retry;
mod scrub;
mod sequenced;
mod sessions;
mod settle;
mod trace;
mod transactions;
mod truncate;
mod tune;
mod verbs;

pub use born::BornAt;
pub use connections::{ConnectionList, ConnectionView};
pub use coordinated::Coordinated;
pub use duties::CheckpointUnderWay;
pub use groups::{Client, ClientEvent};
pub use read::Cursor;
pub use receive::Holder;
pub use scrub::{DamageView, LostView};
pub use sessions::SessionWatch;
pub use verbs::Verb;

use self::gate::Gate;
use crate::arrivals::Arrivals;
use crate::core::spans::SharedSpans;
use crate::core::state::Core;
use crate::counts::Counts;
use crate::filters::Filters;
use crate::ids::Ids;
use crate::packed::{BatchIds, Formats};
use crate::{Config, Tuned};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest as _, Sha256};
use sluice_auth::{Auth, Credentials, Session};
use sluice_model::{Clock, Dialect, Filter, Millis, Result};
use sluice_store::Log;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use tokio::sync::Notify;

/// The broker: a cheap handle to the one service. Clone it freely.
#[derive(Clone)]
pub struct Broker(Gate);

pub(crate) struct Inner {
    /// What is certain, message by message: see `stable` and `packed`.
    log: Arc<dyn Log>,
    /// The same with batches as they are stored, and with the ends of transactions: see `packed`.
    packed: Arc<dyn Log>,
    /// Everything, for who asks for that, with batches as they are stored.
    whole: Arc<dyn Log>,
    /// What of it transactions took.
    spans: Arc<SharedSpans>,
    auth: Arc<Auth>,
    clock: Arc<dyn Clock>,
    config: Config,
    /// Of the configuration, what may have changed since. Locked for a copy only.
    tuned: RwLock<Tuned>,
    /// Held for moments only, never across an await. Appends of state are made under it, so that the log has them in
    /// the order in which they are applied. Nothing else is locked while it is held, except inside the log.
    core: Mutex<Core>,
    clients: Mutex<groups::Clients>,
    arrivals: Arc<Arrivals>,
    /// Told when the next timer is due sooner than before.
    sooner: Notify,
    /// Told when so many delayed messages are in memory that they are to be put aside.
    many_timers: Notify,
    /// How many there are, for who sends them.
    crowd: Arc<crowd::Crowd>,
    /// Told when a half message may have to be asked about sooner than before.
    check_sooner: Notify,
    /// Told when a transaction's time is up sooner than before.
    overdue_sooner: Notify,
    /// Told when half messages ask for whoever comes for them.
    asking: Notify,
    /// Told when the log has grown past `next_checkpoint`.
    checkpoint_wanted: Notify,
    next_checkpoint: AtomicU64,
    /// Where the log ended when it was opened.
    opened_at: sluice_store::Lsn,
    filters: Filters,
    ids: Ids,
    batch_ids: BatchIds,
    /// What batches in the log mean.
    formats: Formats,
    connections: connections::Connections,
    born: born::BornTimes,
    counts: Counts,
    next_number: AtomicU64,
    next_producer: AtomicU32,
    turn: AtomicU32,
    failed: Arc<AtomicBool>,
}

impl Broker {
    /// The settings.
    pub fn config(&self) -> &Config {
        &self.0.by_itself().config
    }

    /// Now, by the broker's clock, in milliseconds since the Unix epoch.
    pub fn now(&self) -> Millis {
        self.0.by_itself().clock.now()
    }

    /// Proves an identity. A password that must be hashed is checked where blocking is allowed.
    ///
    /// # Errors
    /// `Unauthenticated` when the credentials are not right.
    pub async fn login(&self, credentials: Credentials<'_>, peer: SocketAddr) -> Result<Session> {
        let Credentials::Password { user, password } = credentials else {
            return self.0.by_itself().auth.login(credentials, peer);
        };
        if !self.0.by_itself().auth.is_costly(&credentials) {
            return self.0.by_itself().auth.login(credentials, peer);
        }
        let (auth, user, password) =
            (Arc::clone(&self.0.by_itself().auth), user.to_owned(), password.to_owned());
        log::blocking(move || auth.login(Credentials::Password { user: &user, password: &password }, peer))
            .await
    }

    /// Like [`Broker::login`] where nothing may wait: for signatures, tokens, and no credentials at all. A password
    /// that must be hashed blocks the caller.
    ///
    /// # Errors
    /// `Unauthenticated` when the credentials are not right.
    pub fn login_now(&self, credentials: Credentials<'_>, peer: SocketAddr) -> Result<Session> {
        self.0.by_itself().auth.login(credentials, peer)
    }

    /// An SQL expression as a filter. Expressions that many ask for are parsed once.
    ///
    /// # Errors
    /// `InvalidArgument`, with the column of the fault, for what is no expression.
    pub fn sql_filter(&self, expression: &str, dialect: Dialect) -> Result<Filter> {
        self.0.by_itself().filters.parsed(expression, dialect).map(Filter::Sql) // nobody's data: no permit
    }

    /// What this store is called among all stores, for wires whose clients want to know: for ever the same, and made of
    /// a secret that it does not give away.
    pub fn store_id(&self) -> [u8; 16] {
        let key = self.0.by_itself().core.lock().receipt_key.secret(); // nobody's data: no permit
        let digest = Sha256::new().chain_update(b"store id").chain_update(key).finalize();
        let mut id = [0; 16];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        id
    }

    /// True while requests are served; false once the log has failed.
    pub fn is_ready(&self) -> bool {
        !self.0.by_itself().failed.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// True while messages are accepted (the disk is not full).
    pub fn accepts_messages(&self) -> bool {
        self.0.by_itself().log.space().accepts_messages
    }

    /// Deliveries that consumers hold under lease, of all groups together.
    pub fn leases_out(&self) -> usize {
        crate::core::window::all_leased()
    }

    /// The name of the access mode, for those who show it.
    pub fn auth(&self) -> &Auth {
        &self.0.by_itself().auth
    }
}
