//! What all connections of this front-end share.

use crate::config::Config;
use crate::mail::PostOffice;
use crate::subscription::Turns;
use sluice_broker::Broker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The broker, the settings, and whose turn it is.
pub(crate) struct Wire {
    pub broker: Broker,
    pub config: Config,
    pub turns: Turns,
    pub post: Arc<PostOffice>,
    /// When this process began to serve, which tells its sessions from those of earlier ones.
    began: u64,
    sessions: AtomicU64,
}

impl Wire {
    pub fn new(broker: Broker, config: Config) -> Self {
        let began = broker.now();
        Self {
            broker,
            config,
            turns: Turns::default(),
            post: Arc::default(),
            began,
            sessions: AtomicU64::new(0),
        }
    }

    /// A name for one more session.
    pub fn session_name(&self) -> String {
        format!("s-{:x}-{:x}", self.began, self.sessions.fetch_add(1, Ordering::Relaxed))
    }
}
