//! Damage in what is stored: looked for when nobody asks, and told by topic, queue and offsets.
//!
//! It exists because the log knows numbers of queues, and an operator wants to know whose messages are gone. The one idea
//! to know: the log finds (its scrubber, or whoever reads), keeps what it found and tells it once; here it gets its names.
//! When and how fast there is looked is the log's business (`store.scrub_interval`, `store.scrub_rate`).

use super::log::blocking;
use super::{Broker, Inner};
use crate::core::state::Core;
use crate::queue_names::own_name;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;
use sluice_auth::{Action, Session};
use sluice_model::{Offset, QueueId, Result, TopicName};
use sluice_store::{Damage, Log, LogQueue, LostWaiting};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// The longest sleep towards the next look: a wall clock that is set forward is noticed after at most this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);
/// After a disk could not be read, it is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// Files of delayed messages are read again at so many bytes a millisecond, as the log is by default.
const WAITING_RATE: u64 = 8 << 10;

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamageView {
    /// The file.
    pub file: PathBuf,
    /// The first byte in it that is not readable.
    pub position: u64,
    /// The same as a position in the log, where it is one.
    pub log_position: Option<u64>,
    /// What was found.
    pub what: String,
    /// Whose messages are not readable any more, as far as that is known.
    pub lost: Vec<LostView>,
}

/// Messages that are not readable any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostView {
    /// Their topic; nothing for the broker's own queues, and for deleted topics.
    pub topic: Option<TopicName>,
    /// Their queue in it.
    pub queue: Option<QueueId>,
    /// What they belong to, in words.
    pub of: String,
    /// The first.
    pub from: Offset,
    /// The last.
    pub last: Offset,
}

impl Broker {
    /// What is known to be damaged of what is stored, in the order in which it was found. Permit: Get on the cluster.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn damages(&self, session: &Session) -> Result<Vec<DamageView>> {
        let permit = self.0.cluster(session, &[Action::Get])?;
        let inner = self.0.under(&permit);
        Ok(inner.log.damages().iter().map(|damage| inner.damage_view(damage)).collect())
    }
}

/// Damage that was found and is not logged yet.
#[derive(Default)]
struct News {
    found: Mutex<Vec<Damage>>,
    some: Notify,
}

impl Inner {
    /// Looks for damage when it is time, and logs what anybody comes upon. Runs until it is dropped.
    pub(super) async fn scrub(&self) {
        describe_counter!(
            "sluice_store_scrubbed_bytes_total",
            "Stored bytes that were read again to find damage"
        );
        describe_counter!("sluice_store_scrub_passes_total", "Looks at everything stored");
        describe_gauge!("sluice_store_damaged_places", "Places of stored data that are known to be damaged");
        gauge!("sluice_store_damaged_places").set(0.0);
        let news = Arc::new(News::default());
        let for_log = Arc::clone(&news);
        self.log.listen_to_damage(Arc::new(move |damage| {
            for_log.found.lock().push(damage.clone());
            for_log.some.notify_one();
        }));
        tokio::join!(self.tell_news(&news), self.look_for_damage());
    }

    async fn tell_news(&self, news: &News) {
        loop {
            news.some.notified().await;
            gauge!("sluice_store_damaged_places").set(self.log.damages().len() as f64);
            for damage in std::mem::take(&mut *news.found.lock()) {
                let DamageView { file, position, log_position, what, lost } = self.damage_view(&damage);
                let lost: Vec<String> =
                    lost.iter().map(|l| format!("{}, offsets {} to {}", l.of, l.from, l.last)).collect();
                let (file, lost) = (file.display(), lost.join("; "));
                tracing::error!(%file, position, log_position, what, lost, "messages on disk are damaged");
            }
        }
    }

    async fn look_for_damage(&self) {
        loop {
            let log: Arc<dyn Log> = Arc::clone(&self.log);
            let nap = match blocking(move || log.scrub()).await {
                Ok(scrubbed) => {
                    counter!("sluice_store_scrubbed_bytes_total").increment(scrubbed.bytes);
                    if scrubbed.passes > 0 {
                        self.look_at_waiting().await;
                    }
                    counter!("sluice_store_scrub_passes_total").increment(scrubbed.passes);
                    let Some(again) = scrubbed.again else { return };
                    Duration::from_millis(again.saturating_sub(self.clock.now())).min(LONGEST_SLEEP)
                }
                Err(error) => {
                    tracing::warn!(?error, "what is stored could not be read again");
                    AGAIN
                }
            };
            sleep(nap).await;
        }
    }

    /// At the end of a pass the files of delayed messages have their turn, run by run.
    async fn look_at_waiting(&self) {
        let runs = self.core.lock().timers.runs();
        for run in runs {
            if !self.core.lock().timers.has_bucket(run.bucket) {
                continue; // all of it has fired meanwhile
            }
            let log: Arc<dyn Log> = Arc::clone(&self.log);
            match blocking(move || log.buckets().check(&run)).await {
                Ok(bytes) => {
                    counter!("sluice_store_scrubbed_bytes_total").increment(bytes);
                    sleep(Duration::from_millis(bytes / WAITING_RATE)).await;
                }
                Err(error) => tracing::warn!(?error, "delayed messages could not be read again"),
            }
        }
    }

    /// Delayed messages that are lost, in words.
    fn waiting_view(core: &Core, lost: &LostWaiting) -> String {
        let LostWaiting { queue, count, from, to } = *lost;
        let owner = queue.and_then(|queue| core.catalog.owner(LogQueue(queue)));
        let of = owner.map_or_else(
            || "of topics that are not known any more".to_owned(),
            |(topic, queue)| format!("for topic {}, queue {queue}", topic.name),
        );
        format!("; lost: {count} delayed {of}, due from {from} to {to}")
    }

    fn damage_view(&self, damage: &Damage) -> DamageView {
        let core = self.core.lock();
        let waiting = damage.waiting.iter().map(|lost| Self::waiting_view(&core, lost));
        let what = std::iter::once(damage.what.clone()).chain(waiting).collect();
        let lost = damage.lost.iter().map(|lost| {
            let owner = core.catalog.owner(LogQueue(lost.queue));
            let owner = owner.map(|(topic, queue)| (topic.name.clone(), queue));
            LostView {
                of: match &owner {
                    Some((topic, queue)) => format!("topic {topic}, queue {queue}"),
                    None => own_name(lost.queue),
                },
                queue: owner.as_ref().map(|(_, queue)| *queue),
                topic: owner.map(|(topic, _)| topic),
                from: lost.from,
                last: lost.to.saturating_sub(1),
            }
        });
        DamageView {
            file: damage.file.clone(),
            position: damage.position,
            log_position: damage.lsn,
            what,
            lost: lost.collect(),
        }
    }
}
