//! Letting messages go before their time: by an administrator, or because a topic keeps them for less long.
//!
//! What is cut off is gone for readers at once and for good; its space on the disk comes back with the segments that it
//! lies in, as the log is shared. Groups whose place was cut off go on at the new beginning.

use super::{Broker, Inner};
use crate::core::catalog::Topic;
use crate::core::record::Record;
use crate::{StartAt, Truncated};
use sluice_auth::{Action, Session};
use sluice_model::units::Span;
use sluice_model::{Error, ErrorKind, Offset, QueueId, Result, TopicName};
use sluice_store::{Done, Durability, LogQueue};
use std::sync::Arc;

impl Broker {
    /// Lets go what a topic holds before `to`; with `dry_run` it only says what that is. Permit: Delete on the topic.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub async fn truncate(
        &self,
        session: &Session,
        topic: &TopicName,
        to: StartAt,
        dry_run: bool,
    ) -> Result<Vec<Truncated>> {
        let permit = self.0.topic(session, &[Action::Delete], topic)?;
        let inner = self.0.under(&permit);
        let topic = inner.topic_of(topic)?;
        let cuts = inner.cuts(&topic, to).await?;
        if !dry_run && let Some(done) = inner.cut(&topic.name, &cuts)? {
            done.await?;
        }
        let told = topic.each_queue().zip(cuts);
        Ok(told.map(|((queue, _), cut)| Truncated { queue, begin: cut.begin, until: cut.until }).collect())
    }

    /// Lets go what one queue holds before `below`, or all that can be read; where it begins then. Permit: Delete on the
    /// topic.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a queue that the topic has not; `OffsetOutOfRange` behind the queue's end.
    pub async fn truncate_queue(
        &self,
        session: &Session,
        topic: &TopicName,
        queue: QueueId,
        below: Option<Offset>,
    ) -> Result<Offset> {
        let permit = self.0.topic(session, &[Action::Delete], topic)?;
        let inner = self.0.under(&permit);
        let (topic, log) = inner.queue_of(topic, queue)?;
        let bounds = inner.log.bounds(log);
        let until = below.unwrap_or(bounds.next);
        if until > bounds.next {
            return Err(Error::new(
                ErrorKind::OffsetOutOfRange,
                "the offset lies behind the end of the queue",
            ));
        }
        let cut = Cut { queue: log, begin: bounds.min, until: until.max(bounds.min) };
        let begin = cut.until;
        if let Some(done) = inner.cut(&topic.name, &[cut])? {
            done.await?;
        }
        Ok(begin)
    }
}

/// What goes of one queue.
struct Cut {
    queue: LogQueue,
    begin: Offset,
    until: Offset,
}

impl Inner {
    async fn cuts(self: &Arc<Self>, topic: &Topic, to: StartAt) -> Result<Vec<Cut>> {
        let (rules, queues) = (Arc::clone(self), topic.queues.clone());
        super::log::blocking(move || {
            let cut = |queue| {
                let begin = rules.log.bounds(queue).min;
                Ok(Cut { queue, begin, until: rules.start_of(queue, to)?.max(begin) })
            };
            queues.into_iter().map(cut).collect()
        })
        .await
    }

    /// Nothing when there is nothing to let go.
    fn cut(&self, name: &TopicName, cuts: &[Cut]) -> Result<Option<Done>> {
        let mut core = self.core.lock();
        // The topic may have been deleted meanwhile, and its queues with it.
        let owned = |cut: &&Cut| core.catalog.owner(cut.queue).is_some_and(|(topic, _)| topic.name == *name);
        let cuts = cuts.iter().filter(|cut| cut.until > cut.begin).filter(owned);
        let records: Vec<_> = cuts.map(|cut| Record::Cut { queue: cut.queue.0, below: cut.until }).collect();
        if records.is_empty() {
            return Ok(None);
        }
        let ticket = self.record(&mut core, &records, Durability::Sync)?;
        tracing::info!(topic = %name, "the front of a topic was cut off");
        Ok(Some(ticket.done))
    }

    /// Lets go what topics keep no longer that have a retention of their own; when one of them keeps the log for longer
    /// than usual, what the others keep no longer.
    pub(super) async fn retain(self: &Arc<Self>) {
        let usual = self.tuned().retention;
        let (topics, longer) = {
            let core = self.core.lock();
            let all = core.catalog.topics();
            let longer = all.values().any(|topic| topic.spec.retention().is_some_and(|own| own.0 > usual.0));
            let own = |topic: &&Arc<Topic>| {
                longer || topic.spec.retention().is_some() || topic.spec.retention_size().is_some()
            };
            (all.values().filter(own).cloned().collect::<Vec<_>>(), longer)
        };
        for topic in topics {
            let retention = topic.spec.retention().or(longer.then_some(usual));
            if let Err(error) = self.retain_of(&topic, retention).await {
                tracing::warn!(topic = %topic.name, ?error, "a topic keeps its messages longer than it should");
            }
        }
    }

    async fn retain_of(self: &Arc<Self>, topic: &Topic, retention: Option<Span>) -> Result<()> {
        let mut cuts = Vec::new();
        if let Some(retention) = retention {
            let before = self.clock.now().saturating_sub(retention.as_millis());
            cuts.extend(self.cuts(topic, StartAt::Time(before)).await?);
        }
        if let Some(size) = topic.spec.retention_size() {
            cuts.extend(self.cuts_of_size(topic, size.0).await?);
        }
        match self.cut(&topic.name, &cuts)? {
            Some(done) => done.await,
            None => Ok(()),
        }
    }

    /// What goes of each queue so that it keeps so many bytes.
    async fn cuts_of_size(self: &Arc<Self>, topic: &Topic, bytes: u64) -> Result<Vec<Cut>> {
        let (log, queues) = (Arc::clone(&self.log), topic.queues.clone());
        super::log::blocking(move || {
            let cut = |queue| {
                let begin = log.bounds(queue).min;
                Ok(Cut { queue, begin, until: log.offset_keeping(queue, bytes)?.max(begin) })
            };
            queues.into_iter().map(cut).collect()
        })
        .await
    }
}
