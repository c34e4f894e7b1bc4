//! What a session has to wait for: its own end, and its quota; and how one begins that takes more than a login.
//!
//! A connection that must not outlive its session keeps a [`SessionWatch`]. The one idea to know: nobody looks at
//! sessions again and again; a change of users wakes those that wait, and a token has a timer.

use super::connections::Named;
use super::{Broker, log};
use sluice_auth::{Auth, Cost, Credentials, OverQuota, Place, Proven, SaslExchange, SaslStep, Session};
use sluice_model::{GroupName, Result};
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Its end is by the wall clock: one that is set meanwhile is noticed after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A quota that was raised meanwhile is noticed within this many milliseconds.
const MAX_PAUSE: u64 = 1_000;

impl Broker {
    /// Like [`Broker::login_now`] for one connection that shows its credentials with every request.
    ///
    /// # Errors
    /// `Unauthenticated` when the credentials are not right.
    pub fn login_again(
        &self,
        proven: &mut Proven,
        credentials: Credentials<'_>,
        peer: SocketAddr,
    ) -> Result<Session> {
        self.0.by_itself().auth.login_again(proven, credentials, peer)
    }

    /// Takes a client's token in an exchange that proves an identity; it is over after an error. What hashes a password
    /// is done where blocking is allowed.
    ///
    /// # Errors
    /// `Unauthenticated` when the token is not right, `Throttled` when this source has failed too often.
    pub async fn sasl_step(
        &self,
        exchange: SaslExchange,
        token: &[u8],
        peer: SocketAddr,
    ) -> Result<SaslStep> {
        if !exchange.is_costly() {
            return self.0.by_itself().auth.sasl_step(exchange, token, peer);
        }
        let (auth, token) = (Arc::clone(&self.0.by_itself().auth), token.to_vec());
        log::blocking(move || auth.sasl_step(exchange, &token, peer)).await
    }

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
            if let Some(end) = session.expires() {
                let left = Duration::from_millis(end.saturating_sub(self.now()));
                let _ = tokio::time::timeout(left.min(LOOK_AGAIN), changes.changed()).await;
            } else if changes.changed().await.is_err() {
                // The sender lives as long as the broker: this is its end, and not the session's.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the quotas of the session and of the group let something through, and says how much of `wait` is left; nothing when it is
    /// over before. So a consumer that waits anyway is slowed down without seeing an error.
    ///
    /// # Errors
    /// `Throttled` for one that does not wait.
    pub(super) async fn within_quota(
        &self,
        session: &Session,
        group: Option<&GroupName>,
        wait: Duration,
    ) -> Result<Option<Duration>> {
        let inner = self.0.by_itself(); // the caller has its permit
        let start = Instant::now();
        let deadline = start + wait.min(inner.config.max_wait.0);
        loop {
            let auth = &inner.auth;
            let free = auth
                .charge(session, Cost::default())
                .and_then(|()| group.map_or(Ok(()), |group| auth.charge_group(group)));
            let Err(error) = free else {
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

/// Whose connection this is: waits for the end of the session that the connection acted under last.
#[derive(Default)]
pub struct SessionWatch {
    /// Its number in the list of open connections, when it is there.
    connection: Option<u64>,
    session: Option<Session>,
    /// Among the connections of its user.
    place: Option<Place>,
    /// Among the connections of groups that limit them.
    consumer: Option<Consumer>,
    /// In the list of open connections.
    named: Option<Named>,
    /// One task, which ends with this value.
    waiting: JoinSet<()>,
}

/// A connection that may consume in groups; dropping it ends that.
struct Consumer {
    auth: Arc<Auth>,
    from: SocketAddr,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.auth.gone(self.from);
    }
}

impl SessionWatch {
    /// For the connection with this number: it is listed with the user whose session is followed, see
    /// [`Broker::connections`].
    pub fn of(connection: Option<u64>) -> Self {
        Self { connection, ..Self::default() }
    }

    /// Whether there is something to [`follow`](Self::follow): the session is not the one that is waited for, and not
    /// that of nobody, which has no end.
    pub fn is_news(&self, session: &Session) -> bool {
        !session.is_anonymous() && !self.session.as_ref().is_some_and(|known| known.is_same_proof(session))
    }

    /// Waits for the end of this session from now on, and for that of no earlier one; then calls `over`, once. The
    /// connection counts among those of the session's user as long as it is followed.
    ///
    /// # Errors
    /// `Throttled` when the user has as many connections as it may; the request is to be refused then.
    pub fn follow(
        &mut self,
        broker: &Broker,
        session: &Session,
        over: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let same_user = self.session.as_ref().is_some_and(|known| known.principal() == session.principal());
        if !same_user || self.place.is_none() {
            // Who changes the user gives up the other's place in any case.
            (self.place, self.named) = (None, None);
            let inner = broker.0.by_itself(); // about one's own quota nobody needs a permit
            self.place = inner.auth.connect(session)?;
            self.consumer = Some(Consumer { auth: Arc::clone(&inner.auth), from: session.peer() });
            let users = &inner.connections.users;
            self.named = self.connection.map(|number| users.name(number, session.principal().clone()));
        }
        let (broker, watched) = (broker.clone(), session.clone());
        self.session = Some(session.clone());
        self.waiting = JoinSet::new(); // ends the task of before
        self.waiting.spawn(async move {
            broker.session_ended(&watched).await;
            metrics::counter!("sluice_connections_revoked_total").increment(1);
            tracing::info!(user = %watched.principal(), peer = %watched.peer(), "session over, closing its connection");
            over();
        });
        Ok(())
    }

    /// The session that is waited for.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }
}
