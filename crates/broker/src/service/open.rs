//! Opening the service on a log, and closing it.

use super::connections::Connections;
use super::gate::Gate;
use super::{Broker, Inner};
use crate::arrivals::Arrivals;
use crate::core::catalog::{HALF_QUEUE, TIMER_QUEUE};
use crate::core::once::{Digest, First, Limits};
use crate::core::record::Record;
use crate::core::sequences::{self, Numbered};
use crate::core::spans::Marker;
use crate::core::state::Core;
use crate::core::transactions::Half;
use crate::counts::Counts;
use crate::filters::Filters;
use crate::ids::Ids;
use crate::packed::{BatchIds, Formats, UnpackedLog};
use crate::stable::StableLog;
use crate::{Chance, Config, Tuned};
use parking_lot::{Mutex, RwLock};
use sluice_auth::Auth;
use sluice_model::{Clock, GroupName, Millis, Result, SystemClock};
use sluice_store::{Content, Durability, Entry, Log, LogQueue, MemoryLog};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use tokio::sync::Notify;

impl Broker {
    /// Opens the service on a log: loads the newest checkpoint and replays what follows it.
    ///
    /// # Errors
    /// `Corrupt` when the log or the checkpoint cannot be read; nothing is changed then.
    pub fn open(log: Arc<dyn Log>, auth: Arc<Auth>, clock: Arc<dyn Clock>, config: Config) -> Result<Self> {
        Self::open_by(Chance::new(), log, auth, clock, config)
    }

    /// The same, with what is otherwise left to chance: for those who have to repeat a run, byte for byte.
    ///
    /// # Errors
    /// As for [`Broker::open`].
    pub fn open_by(
        chance: Chance,
        log: Arc<dyn Log>,
        auth: Arc<Auth>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Result<Self> {
        let mut core = rebuild(&*log, &auth, &config)?;
        let random = chance.start;
        let first_start = core.boot() == 0;
        let mut records = vec![Record::Boot { number: core.boot() + 1 }];
        if first_start {
            records.push(Record::ReceiptKey(chance.receipt_key));
        }
        let whole = log;
        let packed: Arc<dyn Log> =
            Arc::new(StableLog::with_ends(Arc::clone(&whole), Arc::clone(&core.spans)));
        let decided = Arc::new(StableLog::new(Arc::clone(&whole), Arc::clone(&core.spans)));
        let formats = Formats::default();
        let log: Arc<dyn Log> = Arc::new(UnpackedLog::new(decided, formats.clone()));
        let arrivals = Arc::new(Arrivals::default());
        let for_log = Arc::clone(&arrivals);
        log.listen(Arc::new(move |queues| for_log.arrived(queues)));
        let filters = Filters::new(config.max_kept_filters);
        let opened_at = log.end();
        let next_checkpoint = log.end().saturating_add(config.checkpoint_bytes.0);
        let inner = Inner {
            log,
            packed,
            whole,
            spans: Arc::clone(&core.spans),
            formats,
            batch_ids: BatchIds::new(random),
            auth,
            clock,
            tuned: RwLock::new(Tuned::of(&config)),
            config,
            core: Mutex::new(Core::default()),
            clients: Mutex::default(),
            arrivals,
            sooner: Notify::new(),
            many_timers: Notify::new(),
            crowd: Arc::default(),
            check_sooner: Notify::new(),
            asking: Notify::new(),
            overdue_sooner: Notify::new(),
            checkpoint_wanted: Notify::new(),
            next_checkpoint: AtomicU64::new(next_checkpoint),
            opened_at,
            filters,
            ids: Ids::new(random),
            connections: Connections::default(),
            born: Default::default(),
            counts: Counts::new(),
            next_number: AtomicU64::new(1),
            next_producer: AtomicU32::new(0),
            turn: AtomicU32::new(0),
            failed: Arc::new(AtomicBool::new(false)),
        };
        remove_orphans(&*inner.log, &core);
        let _ = inner.record(&mut core, &records, Durability::Sync)?;
        inner.retune(&core.tuned);
        *inner.core.lock() = core;
        Ok(Self(Gate::new(inner)))
    }

    /// A broker on a log in memory with open access and the machine's clock: for tests.
    #[allow(clippy::expect_used, reason = "an empty memory log always opens")]
    pub fn in_memory() -> Self {
        let log = Arc::new(MemoryLog::new());
        Self::open(log, Arc::new(Auth::open()), Arc::new(SystemClock), Config::default())
            .expect("an empty log opens")
    }

    /// Writes a checkpoint and closes the log. Blocks.
    ///
    /// # Errors
    /// What the log says; then the end is not marked clean, and the next start replays.
    pub fn close(&self) -> Result<()> {
        let checkpoint = self.0.by_itself().write_checkpoint();
        self.0.by_itself().log.close()?;
        checkpoint
    }

    /// Resolves when the log has failed for good: nothing more can be promised.
    pub async fn failed(&self) -> sluice_model::Error {
        let inner = self.0.by_itself();
        let error = inner.log.failed().await;
        inner.failed.store(true, std::sync::atomic::Ordering::Relaxed);
        error
    }
}

/// Deletes what a crash has left behind: files of delayed messages that were not yet, or are no longer, in use.
fn remove_orphans(log: &dyn Log, core: &Core) {
    let buckets = log.buckets();
    let removed = buckets.list().and_then(|all| {
        let orphans = all.into_iter().filter(|bucket| !core.timers.has_bucket(*bucket));
        orphans.map(|bucket| buckets.remove(bucket)).collect::<Result<Vec<()>>>()
    });
    if let Err(error) = removed {
        tracing::warn!(?error, "files of delayed messages that are not needed could not be deleted");
    }
}

fn rebuild(log: &dyn Log, auth: &Auth, config: &Config) -> Result<Core> {
    let (from, mut core) = match log.checkpoint()? {
        Some((at, bytes)) => {
            let (core, access) = Core::load(&bytes)?;
            access.iter().for_each(|change| auth.apply(change));
            core.marks.floors().for_each(|(queue, below)| log.cut(queue, below));
            (at, core)
        }
        None => (0, Core::default()),
    };
    let producers =
        sequences::Limits { producers: config.max_producers, window: config.producer_window.as_millis() };
    core.sequences.limit(producers);
    core.once.limit(Limits { messages: config.max_once, window: config.once_window.as_millis() });
    let mut replay = Replay {
        core: &mut core,
        auth,
        log,
        delayed: None,
        prepared: None,
        carried: None,
        once: None,
        numbered: None,
        failure: None,
    };
    log.replay(from, &mut |entry| replay.visit(entry))?;
    replay.failure.map_or(Ok(()), Err)?;
    auth.check_secrets()?;
    Ok(core)
}

/// Applies entries of the log in order.
struct Replay<'a> {
    core: &'a mut Core,
    auth: &'a Auth,
    log: &'a dyn Log,
    /// A [`Record::Delayed`] whose message is the next entry.
    delayed: Option<(Millis, LogQueue)>,
    /// A [`Record::Prepared`] whose message is the next entry.
    prepared: Option<(u32, GroupName, Millis)>,
    /// A [`Record::Carried`] whose message is the next entry.
    carried: Option<u64>,
    /// A [`Record::Once`] and those of its messages that have come.
    once: Option<SentOnce>,
    /// A [`Record::Numbered`] whose first message is the next entry.
    numbered: Option<(LogQueue, Numbered)>,
    failure: Option<sluice_model::Error>,
}

struct SentOnce {
    key: Digest,
    content: Digest,
    messages: u32,
    come: Vec<First>,
}

impl Replay<'_> {
    /// The next message of a key.
    fn one_of(&mut self, entry: &Entry, id: &str, waits: Option<(Millis, LogQueue)>) {
        let Some(once) = &mut self.once else { return };
        once.come.push(First {
            id: id.into(),
            target: waits.map_or(entry.queue, |(_, target)| target).0,
            offset: entry.offset,
            lsn: entry.lsn,
            due: waits.map(|(due, _)| due),
        });
        if once.come.len() == once.messages as usize
            && let Some(once) = self.once.take()
        {
            self.core.sent_once(once.key, once.content, entry.stored, once.come);
        }
    }

    fn visit(&mut self, entry: Entry) {
        if self.failure.is_some() {
            return;
        }
        match &entry.content {
            Content::State(bytes) => match Record::decode(bytes) {
                Ok(Record::Delayed { target, due }) => self.delayed = Some((due, LogQueue(target))),
                Ok(Record::Prepared { target, group, check_at }) => {
                    self.prepared = Some((target, group, check_at));
                }
                Ok(Record::Carried { lsn }) => self.carried = Some(lsn),
                Ok(Record::Once { key, content, messages }) => {
                    self.once = Some(SentOnce { key, content, messages, come: Vec::new() });
                }
                Ok(Record::Numbered { queue, batch }) => self.numbered = Some((LogQueue(queue), batch)),
                Ok(record) => {
                    self.core.at_time(entry.stored);
                    let effects = self.core.apply(&record);
                    effects.access.iter().for_each(|change| self.auth.apply(change));
                    effects.forgotten.iter().for_each(|queue| self.log.forget(*queue));
                    effects.cut.iter().for_each(|(queue, below)| self.log.cut(*queue, *below));
                }
                Err(e) => self.failure = Some(e),
            },
            Content::Message(message) if entry.queue == TIMER_QUEUE => {
                let waits = self.delayed.take();
                if let Some((due, target)) = waits {
                    self.core.delayed(due, entry.lsn, target);
                }
                self.one_of(&entry, &message.id.text(), waits);
            }
            Content::Message(message) if entry.queue == HALF_QUEUE => {
                if let Some(lsn) = self.carried.take() {
                    self.core.transactions.carried(lsn, entry.lsn, entry.stored);
                } else if let Some((target, group, next_check)) = self.prepared.take() {
                    self.core.transactions.prepared(Half {
                        lsn: entry.lsn,
                        offset: entry.offset,
                        target,
                        group,
                        id: message.id.to_string(),
                        prepared: entry.stored,
                        checks: 0,
                        next_check,
                    });
                }
            }
            Content::Message(message) => {
                if let Some((queue, batch)) = self.numbered.take_if(|(queue, _)| *queue == entry.queue) {
                    numbered(self.core, queue, &batch, &entry);
                }
                self.one_of(&entry, &message.id.text(), None);
            }
            Content::Batch { .. } => {
                if let Some((queue, batch)) = self.numbered.take_if(|(queue, _)| *queue == entry.queue) {
                    numbered(self.core, queue, &batch, &entry);
                }
                if let Some(marker) = Marker::of(&entry) {
                    self.core.spans.write().marked(entry.queue, &marker, entry.offset);
                }
            }
        }
    }
}

/// A batch that its producer numbers is in its queue.
fn numbered(core: &mut Core, queue: LogQueue, batch: &Numbered, entry: &Entry) {
    let spans = core.is_part(queue, batch).then(|| Arc::clone(&core.spans));
    let mut spans = spans.as_ref().map(|spans| spans.write());
    core.numbered(queue, batch, entry.offset, entry.stored, spans.as_deref_mut());
}
