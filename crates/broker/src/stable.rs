//! [`StableLog`]: the log as everybody sees it who does not ask for more, without what a transaction may still take back.
//!
//! It exists so that no reader can forget the rule: the broker reads through this one, and what is not decided, what was
//! aborted, and the markers between are not there. The one idea to know: a queue ends, for its readers, before the oldest
//! open transaction; behind that its offsets have holes, as where a filter lets nothing pass.
//!
//! What is where is in [`spans`](crate::core::spans). Who reads everything (a Kafka consumer that says so) asks the log
//! below.

use crate::core::spans::{SharedSpans, is_marker};
use sluice_model::{Millis, Offset, Result};
use sluice_store::{Batch, Bounds, Entry, Found, Log, LogQueue, Lsn, Read, ReadLimits, Search, pass_on};
use std::sync::Arc;

/// See the module.
pub(crate) struct StableLog {
    log: Arc<dyn Log>,
    spans: Arc<SharedSpans>,
    /// The ends of transactions are shown, for a wire that has them.
    ends: bool,
}

impl StableLog {
    pub(crate) fn new(log: Arc<dyn Log>, spans: Arc<SharedSpans>) -> Self {
        Self { log, spans, ends: false }
    }

    /// The same with the ends of transactions.
    pub(crate) fn with_ends(log: Arc<dyn Log>, spans: Arc<SharedSpans>) -> Self {
        Self { log, spans, ends: true }
    }

    /// Whether an entry that was found may be shown.
    fn shows(&self, entry: &Entry) -> bool {
        let decided = self.spans.read().is_none_or(|spans| {
            entry.offset < spans.stable(entry.queue, self.log.bounds(entry.queue))
                && spans.hidden_until(entry.queue, entry.offset).is_none()
        });
        decided && (self.ends || !is_marker(entry))
    }
}

/// What of a batch may be shown.
fn visible(log: &dyn Log, spans: &SharedSpans, ends: bool, queue: LogQueue, mut batch: Batch) -> Batch {
    batch.entries.retain(|entry| ends || !is_marker(entry));
    if let Some(spans) = spans.read() {
        let stable = spans.stable(queue, log.bounds(queue));
        let decided =
            |entry: &Entry| entry.offset < stable && spans.hidden_until(queue, entry.offset).is_none();
        batch.entries.retain(decided);
        batch.next = batch.next.min(stable);
    }
    batch
}

impl Log for StableLog {
    fn bounds(&self, queue: LogQueue) -> Bounds {
        match self.spans.read() {
            Some(spans) => {
                let bounds = self.log.bounds(queue);
                Bounds { next: spans.stable(queue, bounds), ..bounds }
            }
            None => self.log.bounds(queue),
        }
    }

    fn read(&self, queue: LogQueue, from: Offset, limits: &ReadLimits<'_>) -> Result<Read> {
        let mut begin = from;
        if let Some(spans) = self.spans.read() {
            let bounds = self.log.bounds(queue);
            let stable = spans.stable(queue, bounds);
            if from >= stable && stable < bounds.next {
                return Ok(Read::Ready(Batch { entries: Vec::new(), next: stable }));
            }
            begin = spans.hidden_until(queue, from).unwrap_or(from);
        }
        Ok(match self.log.read(queue, begin, limits)? {
            Read::Ready(batch) => Read::Ready(visible(&*self.log, &self.spans, self.ends, queue, batch)),
            Read::Cold(read) => {
                let (log, spans, ends) = (Arc::clone(&self.log), Arc::clone(&self.spans), self.ends);
                Read::Cold(Box::new(move || read().map(|batch| visible(&*log, &spans, ends, queue, batch))))
            }
        })
    }

    fn read_at(&self, lsn: Lsn) -> Result<Option<Entry>> {
        Ok(self.log.read_at(lsn)?.filter(|entry| self.shows(entry)))
    }

    fn offset_at(&self, queue: LogQueue, time: Millis) -> Result<Offset> {
        let offset = self.log.offset_at(queue, time)?;
        Ok(offset.min(self.bounds(queue).next))
    }

    fn offset_keeping(&self, queue: LogQueue, bytes: u64) -> Result<Offset> {
        let offset = self.log.offset_keeping(queue, bytes)?;
        Ok(offset.min(self.bounds(queue).next))
    }

    fn maybe_born(&self, queue: LogQueue, from: Offset, time: Millis) -> Result<Offset> {
        let offset = self.log.maybe_born(queue, from, time)?;
        Ok(offset.min(self.bounds(queue).next))
    }

    fn find(&self, search: &Search<'_>) -> Result<Found> {
        let mut found = self.log.find(search)?;
        found.entries.retain(|entry| self.shows(entry));
        Ok(found)
    }

    pass_on!(log:
        append, end, next_offset, size, states, listen, forget, cut, replay, checkpoint,
        write_checkpoint, trim, buckets, space, scrub, damages, listen_to_damage, committer, failed,
        close);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_store::MemoryLog;
    use sluice_store::suite::{CASES, Subject};

    struct Decided {
        log: Arc<MemoryLog>,
        spans: Arc<SharedSpans>,
    }

    impl Subject for Decided {
        fn log(&self) -> Arc<dyn Log> {
            Arc::new(StableLog::new(self.log.clone(), Arc::clone(&self.spans)))
        }

        fn restart(&mut self) {
            self.log.close().unwrap();
            self.log = Arc::new(self.log.reopen());
        }
    }

    #[test]
    fn a_log_of_what_is_decided_is_as_any_other_where_there_are_no_transactions() {
        for elsewhere in [false, true] {
            for (_, case) in CASES {
                let mut log = Decided { log: Arc::new(MemoryLog::new()), spans: Arc::default() };
                if elsewhere {
                    log.spans.write().stored(LogQueue(u32::MAX), 1, 0, 1);
                }
                case(&mut log);
            }
        }
    }
}
