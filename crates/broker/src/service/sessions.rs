//! What a session has to wait for: its own end, and its quota.

use super::Broker;
use sluice_auth::{Cost, OverQuota, Session};
use sluice_model::Result;
use std::error::Error as _;
use std::time::Duration;
use tokio::time::Instant;

/// A token's end is looked at this often even if the wall clock is set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A quota that was raised meanwhile is noticed within this many milliseconds.
const MAX_PAUSE: u64 = 1_000;

impl Broker {
    /// Resolves when the session is over: its user was deleted or disabled, what it was opened with changed or removed,
    /// or its token has expired. The connection should be closed then. Cancel-safe.
    pub async fn session_ended(&self, session: &Session) {
        let auth = &self.0.by_itself().auth; // about one's own session nobody needs a permit
        let mut changes = auth.changes();
        loop {
            changes.mark_unchanged();
            if auth.revoked(session) {
                return;
            }
            if session.expires().is_some() {
                let _ = tokio::time::timeout(LOOK_AGAIN, changes.changed()).await;
            } else if changes.changed().await.is_err() {
                // The sender lives as long as the broker: this is its end, and not the session's.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the session's quotas let something through, and says how much of `wait` is left; nothing when it is
    /// over before. So a consumer that waits anyway is slowed down without seeing an error.
    ///
    /// # Errors
    /// `Throttled` for one that does not wait.
    pub(super) async fn within_quota(&self, session: &Session, wait: Duration) -> Result<Option<Duration>> {
        let inner = self.0.by_itself(); // the caller has its permit
        let start = Instant::now();
        let deadline = start + wait.min(inner.config.max_wait.0);
        loop {
            let Err(error) = inner.auth.charge(session, Cost::default()) else {
                return Ok(Some(wait.saturating_sub(start.elapsed())));
            };
            let over = error.source().and_then(|source| source.downcast_ref::<OverQuota>()).copied();
            let Some(over) = over.filter(|_| !wait.is_zero()) else { return Err(error) };
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let again = Instant::now() + Duration::from_millis(over.retry_after.min(MAX_PAUSE));
            tokio::time::sleep_until(again.min(deadline)).await;
        }
    }
}
