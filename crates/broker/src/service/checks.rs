//! Asking for the outcome of transactions that nobody has ended.
//!
//! The one idea to know: there are two ways to ask. A client that says it produces as the group is told at once, by an
//! event; whoever comes for the group's checks gets those for which no such client was there. Either way counts as one
//! check, and the next comes after the interval, to another instance.

use super::{Broker, Inner};
use crate::TransactionCheck;
use crate::core::record::Record;
use crate::core::state::Core;
use crate::core::transactions::Half;
use sluice_auth::{Action, Resource, Session};
use sluice_model::{Error, ErrorKind, GroupName, Millis, Result, TopicName};
use sluice_store::Durability;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Halves looked at between two looks at everything else.
const AT_ONCE: usize = 64;
/// A half that is not readable yet, or a full disk, is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// The longest sleep towards a due time: a wall clock that is set forward is noticed after at most this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Broker {
    /// Asks for the outcomes that are due now: what [`Broker::run`] does at their times. For those who drive the clock
    /// themselves.
    ///
    /// # Errors
    /// What the log says; the checks stay due.
    pub async fn check_due(&self) -> Result<()> {
        self.0.by_itself().check_due().await.map(drop)
    }

    /// The checks of a group that are due and for which no connected producer was there, waiting for the first. Each is
    /// handed out once, and comes again after the interval while nobody decides. Permit: Pub on each message's topic;
    /// those of others are not shown.
    ///
    /// # Errors
    /// What the log says.
    pub async fn receive_checks(
        &self,
        session: &Session,
        group: &GroupName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<TransactionCheck>> {
        let inner = self.0.by_itself(); // each check is given only under a permit for its topic
        if max == 0 {
            return Err(Error::invalid("a receive asks for at least one check"));
        }
        let deadline = Instant::now() + wait.min(inner.config.max_wait.0);
        loop {
            // Registered before looking, so that nothing comes unseen.
            let mut come = pin!(inner.asking.notified());
            come.as_mut().enable();
            let taken = inner.take_checks(session, group, max.min(inner.config.max_fetch))?;
            if !taken.is_empty() {
                return inner.read_checks(taken).await;
            }
            if Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            let _ = timeout_at(deadline, come).await;
        }
    }
}

impl Inner {
    pub(super) async fn check_transactions(&self) {
        loop {
            let sooner = self.check_sooner.notified();
            let nap = match self.check_due().await {
                Ok(Some(due)) => {
                    Duration::from_millis(due.saturating_sub(self.clock.now())).min(LONGEST_SLEEP)
                }
                Ok(None) => LONGEST_SLEEP * 60,
                Err(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::Unavailable) => TRY_AGAIN,
                Err(e) => {
                    tracing::error!(error = ?e, "the outcome of a transaction could not be asked for");
                    TRY_AGAIN
                }
            };
            tokio::select! {
                () = sleep(nap) => {}
                () = sooner => {}
            }
        }
    }

    /// Asks what is due. Returns when the next one is.
    pub(super) async fn check_due(&self) -> Result<Option<Millis>> {
        loop {
            let now = self.clock.now();
            let due = self.core.lock().transactions.due(now, AT_ONCE);
            if due.is_empty() {
                let core = self.core.lock();
                self.counts.halves.set(core.transactions.len() as f64);
                return Ok(core.transactions.next_due());
            }
            for half in due {
                if self.is_hopeless(&half, now) {
                    self.give_up(&half).await?;
                } else {
                    self.ask_producer(&half, now)?;
                }
            }
        }
    }

    fn latest(&self, half: &Half) -> Millis {
        half.prepared.saturating_add(self.config.max_half_age.as_millis())
    }

    fn is_hopeless(&self, half: &Half, now: Millis) -> bool {
        half.checks >= self.tuned().max_checks || now >= self.latest(half)
    }

    /// Tells a connected producer of the group; without one, the half waits for whoever comes.
    fn ask_producer(&self, half: &Half, now: Millis) -> Result<()> {
        let (connections, topic) = {
            let core = self.core.lock();
            let owner = core.catalog.owner(half.target()).map(|(topic, _)| topic.name.clone());
            (core.members.producers(&half.group), owner)
        };
        // Another one each time: an instance that does not answer must not be the only one that is asked.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let count = connections.len().max(1);
        let in_turn = (0..connections.len()).filter_map(|i| connections.get((turn + i) % count));
        let mailbox = {
            let clients = self.clients.lock();
            let mut mailboxes = in_turn.filter_map(|connection| clients.get(connection));
            mailboxes
                .find(|mailbox| mailbox.takes_checks(|session| self.may_check(session, topic.as_ref())))
                .cloned()
        };
        let mut core = self.core.lock();
        let Some(mailbox) = mailbox else {
            core.transactions.ask(half.lsn, self.latest(half));
            drop(core);
            self.asking.notify_waiters();
            return Ok(());
        };
        self.record_asked(&mut core, &[half], now)?;
        drop(core);
        mailbox.check(half.lsn);
        Ok(())
    }

    fn may_check(&self, session: &Session, topic: Option<&TopicName>) -> bool {
        topic.is_some_and(|topic| self.auth.may(session, Action::Pub, Resource::Topic(topic)))
    }

    fn record_asked(&self, core: &mut Core, halves: &[&Half], now: Millis) -> Result<()> {
        let next = now.saturating_add(self.tuned().check_interval.as_millis());
        let asked = halves.iter().map(|half| Record::Asked { lsn: half.lsn, checks: half.checks + 1, next });
        // A check that a power cut forgets is made once more.
        let _ = self.record(core, &asked.collect::<Vec<_>>(), Durability::Async)?;
        self.counts.checks.increment(halves.len() as u64);
        self.check_sooner.notify_one();
        Ok(())
    }

    fn take_checks(&self, session: &Session, group: &GroupName, max: usize) -> Result<Vec<Half>> {
        let now = self.clock.now();
        let mut core = self.core.lock();
        let may = |half: &&Half| {
            let owner = core.catalog.owner(half.target());
            self.may_check(session, owner.map(|(topic, _)| &topic.name))
        };
        let taken: Vec<Half> = core.transactions.asking(group).filter(may).take(max).cloned().collect();
        if !taken.is_empty() {
            self.record_asked(&mut core, &taken.iter().collect::<Vec<_>>(), now)?;
        }
        Ok(taken)
    }

    async fn read_checks(&self, halves: Vec<Half>) -> Result<Vec<TransactionCheck>> {
        let mut checks = Vec::with_capacity(halves.len());
        for half in halves {
            checks.push(self.question(&half, half.checks + 1).await?);
        }
        Ok(checks)
    }

    async fn question(&self, half: &Half, checks: u32) -> Result<TransactionCheck> {
        let message = self.half_message(half).await?;
        Ok(TransactionCheck { transaction: half.lsn, group: half.group.clone(), checks, message })
    }

    /// The question about a half that a client is told of; nothing when it has ended meanwhile.
    pub(super) async fn check_for(&self, transaction: u64) -> Option<TransactionCheck> {
        let half = self.core.lock().transactions.get(transaction).cloned()?;
        match self.question(&half, half.checks).await {
            Ok(check) => Some(check),
            Err(error) => {
                tracing::warn!(transaction, error = ?error, "a half message could not be read for its check");
                None
            }
        }
    }
}
