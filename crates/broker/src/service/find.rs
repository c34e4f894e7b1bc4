//! Finding messages by a word: their id, or one of their keys.

use super::Broker;
use super::log::{blocking, stored};
use super::produce::cost_of;
use crate::{FindRequest, Found};
use sluice_auth::{Action, Cost, Session};
use sluice_model::{Error, Result};
use sluice_store::{LogQueue, Search};
use std::sync::Arc;

/// Records read for one search, also of messages that turn out not to be meant (stored at another time, another word of
/// the same hash): half a second of a cold disk. Where it ended, the next search goes on.
const MAX_EXAMINED: usize = 4096;

impl Broker {
    /// Finds messages of a topic by their id or one of their keys, newest first. A delayed message is found once it has
    /// been delivered to its queue, a half message when its transaction has been committed. Permit: Sub or Get on the
    /// topic.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for an empty word; `Throttled` over a quota; `Corrupt` when stored bytes are
    /// damaged.
    pub async fn find(&self, session: &Session, request: &FindRequest<'_>) -> Result<Found> {
        let permit = self.0.topic(session, &[Action::Sub, Action::Get], request.topic)?;
        let inner = self.0.under(&permit);
        let _place = inner.auth.begin(session, None)?;
        inner.auth.charge(session, Cost::default())?;
        if request.word.is_empty() {
            return Err(Error::invalid("messages are searched for by an id or a key, and this one is empty"));
        }
        let topic = inner.topic_of(request.topic)?;
        topic.check_readable()?;
        let (log, queues, word) = (Arc::clone(&inner.log), topic.queues.clone(), request.word.to_owned());
        let FindRequest { by, from, to, .. } = *request;
        let before = request.after.unwrap_or(u64::MAX);
        let max_count = request.max.clamp(1, inner.config.max_fetch);
        let max_bytes = inner.config.max_fetch_size.bytes();
        let found = blocking(move || {
            let (word, queues) = (word.as_str(), Some(queues.as_slice()));
            let max_examined = MAX_EXAMINED;
            log.find(&Search { word, by, queues, from, to, before, max_count, max_bytes, max_examined })
        });
        let found = found.await?;
        let owner = |queue: LogQueue| topic.each_queue().find(|(_, log)| *log == queue).map(|(id, _)| id);
        let messages = found.entries.into_iter().filter_map(|entry| Some((owner(entry.queue)?, entry)));
        let messages: Vec<_> =
            messages.map(|(queue, entry)| stored(&topic, queue, entry)).collect::<Result<_>>()?;
        inner.counts.pulled.increment(messages.len() as u64);
        inner.auth.debit(session, cost_of(messages.iter().map(|stored| &stored.message)));
        Ok(Found { messages, next: found.next })
    }
}
