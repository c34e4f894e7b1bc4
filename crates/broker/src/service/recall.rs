//! Taking a delayed message back before it is delivered.

use super::Broker;
use super::produce::permit_send;
use crate::Promise;
use crate::core::record::Record;
use sluice_auth::Session;
use sluice_model::{Error, ErrorKind, Millis, Result, TopicName};
use sluice_store::Durability;

impl Broker {
    /// Takes back a message of this topic that waits for its time: the one that is due then and whose record is at
    /// `locator`, as sending it said. Permit: Pub on the topic.
    ///
    /// # Errors
    /// `MessageNotFound` when no such message waits (any more); `InvalidArgument` for retries, which nobody sent.
    pub fn recall(
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
        let mut core = inner.core.lock();
        let target = core.timers.target(due, locator).and_then(|q| Some((q, core.catalog.owner(q)?)));
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
