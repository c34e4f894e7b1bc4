//! How long a session lasts: what a connection loop waits on beside its socket.

use super::Broker;
use sluice_auth::Session;
use std::time::Duration;

/// A token's end is looked at this often even if the wall clock is set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
}
