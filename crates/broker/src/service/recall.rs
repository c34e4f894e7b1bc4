//! Taking a delayed message back before it is delivered.

use super::log::blocking;
use super::produce::permit_send;
use super::{Broker, Inner};
use crate::Promise;
use crate::core::record::Record;
use crate::core::timers::Timer;
use sluice_auth::Session;
use sluice_model::{Error, ErrorKind, Millis, Result, TopicName};
use sluice_store::{Durability, Window};
use std::sync::Arc;

impl Broker {
    /// Takes back a message of this topic that waits for its time: the one that is due then and whose record is at
    /// `locator`, as sending it said. Permit: Pub on the topic.
    ///
    /// # Errors
    /// `MessageNotFound` when no such message waits (any more); `InvalidArgument` for retries, which nobody sent.
    pub async fn recall(
        &self,
        session: &Session,
        topic: &TopicName,
        due: Millis,
        locator: u64,
    ) -> Result<Promise<()>> {
        let permit = permit_send(&self.0, session, topic)?;
        let inner = self.0.under(&permit);
        if topic.retry_group().is_some() || topic.dead_letter_group().is_some() {
            return Err(Error::invalid("retries and dead letters cannot be recalled"));
        }
        let aside = inner.aside(due, locator).await?;
        let mut core = inner.core.lock();
        if aside.is_some() && core.timers.taken_back() >= inner.config.max_recalled {
            return Err(Error::new(ErrorKind::Throttled, "too many waiting messages have been taken back"));
        }
        // It may have fired, or have been taken back, meanwhile.
        let aside = aside.filter(|timer| core.timers.waits(timer)).map(|timer| timer.target);
        let target =
            core.timers.target(due, locator).or(aside).and_then(|q| Some((q, core.catalog.owner(q)?)));
        let Some(target) = target.filter(|(_, (owner, _))| owner.name == *topic).map(|(queue, _)| queue.0)
        else {
            let text = "no such message waits for its time; it may have been delivered";
            return Err(Error::new(ErrorKind::MessageNotFound, text));
        };
        let recalled = Record::Recalled { due, lsn: locator, target };
        let ticket = inner.record(&mut core, &[recalled], Durability::Sync)?;
        inner.counts.recalled.increment(1);
        Ok(Promise::new(ticket.done, ()))
    }
}

impl Inner {
    /// A message that was put aside, as its bucket knows it.
    pub(super) async fn aside(&self, due: Millis, lsn: u64) -> Result<Option<Timer>> {
        let place = self.core.lock().timers.place(due, lsn);
        let (Some((bucket, run)), Some(before)) = (place, lsn.checked_sub(1)) else { return Ok(None) };
        let log = Arc::clone(&self.log);
        let cells = blocking(move || {
            let window = Window { after: Some((due, before)), until: due.saturating_add(1) };
            let mut cells = Vec::new();
            log.buckets().cells(bucket, run, window, 1, &mut cells).map(|()| cells)
        });
        let cell = cells.await?.first().copied().filter(|cell| (cell.due, cell.lsn) == (due, lsn));
        Ok(cell.map(|cell| Timer { due, lsn, target: cell.queue, aside: Some((bucket, cell)) }))
    }
}
