//! What all connections of this front-end share.

use crate::config::Config;
use crate::frame::Command;
use crate::mail::PostOffice;
use crate::subscription::Turns;
use metrics::Counter;
use sluice_broker::Broker;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The broker, the settings, and whose turn it is.
pub(crate) struct Wire {
    pub broker: Broker,
    pub config: Config,
    pub turns: Turns,
    pub post: Arc<PostOffice>,
    /// When this process began to serve, which tells its sessions from those of earlier ones.
    began: u64,
    sessions: AtomicU64,
    frames: Frames,
}

/// Counts what the specification forbids and stock clients do all the same.
pub(crate) fn tolerated(what: &'static str) {
    metrics::counter!("sluice_stomp_tolerated_total", "what" => what).increment(1);
}

/// How many frames there were, by command. Looking a counter up by its label costs more than counting, so what was looked
/// up once is kept.
#[derive(Default)]
pub(crate) struct Frames([OnceLock<Counter>; Command::COUNT]);

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
            frames: Frames::default(),
        }
    }

    /// Counts a frame of a logged-in client.
    pub fn count(&self, command: Command) {
        let look_up = || metrics::counter!("sluice_stomp_frames_total", "command" => command.as_str());
        if let Some(counter) = self.frames.0.get(command as usize) {
            counter.get_or_init(look_up).increment(1);
        }
    }

    /// A name for one more session.
    pub fn session_name(&self) -> String {
        format!("s-{:x}-{:x}", self.began, self.sessions.fetch_add(1, Ordering::Relaxed))
    }
}
