//! Waiting for several queues at once, without reading them.

use super::Broker;
use crate::Reach;
use sluice_auth::{Action, Session};
use sluice_model::{Offset, QueueId, Result, TopicName};
use sluice_store::LogQueue;

impl Broker {
    /// Resolves when one of these queues has a message, of those within reach, at its offset or behind it, or is not there
    /// (any more). Permits: Sub or Get on each topic. Cancel-safe.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub async fn grown(
        &self,
        session: &Session,
        places: &[(TopicName, QueueId, Offset)],
        reach: Reach,
    ) -> Result<()> {
        for (topic, ..) in places {
            self.0.topic(session, &[Action::Sub, Action::Get], topic)?;
        }
        let inner = self.0.by_itself(); // the permits were asked for, one for each topic
        let find = || -> Option<Vec<LogQueue>> {
            places
                .iter()
                .map(|(topic, queue, _)| inner.queue_of(topic, *queue).ok().map(|(_, log)| log))
                .collect()
        };
        let Some(queues) = find() else { return Ok(()) };
        let log = match reach {
            Reach::Decided => &inner.log,
            Reach::Everything => &inner.whole,
        };
        // Register first, then look, then wait.
        let waiting = inner.arrivals.wait_on(queues.clone());
        loop {
            let grown = |(queue, (.., offset)): (&LogQueue, &(TopicName, QueueId, Offset))| {
                log.bounds(*queue).next > *offset
            };
            if queues.iter().zip(places).any(grown) {
                return Ok(());
            }
            waiting.arrival().await;
            // A topic that is deleted wakes whoever waits on it, too.
            if find().as_ref() != Some(&queues) {
                return Ok(());
            }
        }
    }
}
