//! Dead letters: looking at them, and giving them to their group again.
//!
//! A redriven letter goes to the group's retry topic, so that this group alone gets it once more, with all its attempts;
//! other groups have long had the message. The copy and the mark that the letter is done with are one atomic step for
//! some letters at a time: whatever happens between two steps, each letter is redriven once, and asking again goes on
//! with those that are left.

use super::log::{Item, blocking, stored};
use super::offsets::unknown_group;
use super::retry::REASON;
use super::{Broker, Inner};
use crate::core::catalog::Topic;
use crate::core::record::Record;
use crate::{RedriveRequest, Redriven};
use sluice_auth::{Action, Session};
use sluice_model::{Error, GroupName, Message, Offset, QueueId, Result, StoredMessage};
use sluice_store::{Durability, LogQueue, ReadLimits, Search, SearchBy};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Letters of one step: few enough to be one record group of the log.
const AT_ONCE: usize = 64;
/// And their bytes, but one letter in any case.
const BYTES_AT_ONCE: usize = 4 << 20;
/// How often one message can have died in a group, as far as it is looked for by its id.
const DEATHS: usize = 64;

/// A dead letter and where it rests.
struct Letter {
    queue: LogQueue,
    message: StoredMessage,
}

impl Broker {
    /// A group's dead letters that were not redriven, oldest first within each queue, from these offsets on; and the
    /// offsets to go on at. Permit: Sub or Get on the group.
    ///
    /// # Errors
    /// `GroupNotFound`; `Corrupt` when stored bytes are damaged.
    pub async fn dead_letters(
        &self,
        session: &Session,
        group: &GroupName,
        mut from: Vec<Offset>,
        max: usize,
    ) -> Result<(Vec<StoredMessage>, Vec<Offset>)> {
        let permit = self.0.group(session, &[Action::Sub, Action::Get], group)?;
        let inner = self.0.under(&permit);
        let Some(topic) = inner.dead_letter_topic(group)? else { return Ok((Vec::new(), from)) };
        from.resize(topic.queues.len().max(from.len()), 0);
        let mut letters = Vec::new();
        for ((id, queue), at) in topic.each_queue().zip(&mut from) {
            let end = inner.log.bounds(queue).next;
            while letters.len() < max && *at < end {
                let (found, next) = inner.letters(&topic, (id, queue), *at, max - letters.len()).await?;
                letters.extend(found.into_iter().map(|letter| letter.message));
                *at = next;
            }
        }
        inner.counts.pulled.increment(letters.len() as u64);
        Ok((letters, from))
    }

    /// Gives dead letters to their group again: those with these ids, or all, at most `limit`. With `dry_run` it only
    /// counts them. Permit: Update on the group, or Sub.
    ///
    /// # Errors
    /// `GroupNotFound`; what the log says, with what was redriven until then done.
    pub async fn redrive(&self, session: &Session, request: &RedriveRequest<'_>) -> Result<Redriven> {
        let permit = self.0.group(session, &[Action::Update, Action::Sub], request.group)?;
        let inner = self.0.under(&permit);
        let Some(topic) = inner.dead_letter_topic(request.group)? else {
            let missing = request.ids.map(<[String]>::to_vec).unwrap_or_default();
            return Ok(Redriven { missing, ..Redriven::default() });
        };
        match request.ids {
            Some(ids) => inner.redrive_some(request, &topic, ids).await,
            None => inner.redrive_all(request, &topic).await,
        }
    }
}

impl Inner {
    /// The topic where a group's dead letters rest, once there are any.
    fn dead_letter_topic(&self, group: &GroupName) -> Result<Option<Arc<Topic>>> {
        let core = self.core.lock();
        core.catalog.group(group).ok_or_else(|| unknown_group(group))?;
        Ok(core.catalog.topic(&group.dead_letter_topic()).cloned())
    }

    /// Letters from an offset on that were not redriven, and where to go on.
    async fn letters(
        &self,
        topic: &Topic,
        (id, queue): (QueueId, LogQueue),
        from: Offset,
        max: usize,
    ) -> Result<(Vec<Letter>, Offset)> {
        let skipped = self.core.lock().marks.redriven(queue, from);
        if let Some(end) = skipped {
            return Ok((Vec::new(), end));
        }
        let limits = ReadLimits {
            max_count: max.clamp(1, AT_ONCE),
            max_bytes: BYTES_AT_ONCE,
            max_examined: AT_ONCE,
            tag_hashes: None,
        };
        let batch = self.read(queue, from, &limits).await?;
        let messages = batch.entries.into_iter().map(|entry| stored(topic, id, entry));
        let mut letters = Vec::new();
        for message in messages {
            letters.push(Letter { queue, message: message? });
        }
        let core = self.core.lock();
        letters.retain(|letter| core.marks.redriven(queue, letter.message.offset).is_none());
        Ok((letters, batch.next))
    }

    async fn redrive_all(&self, request: &RedriveRequest<'_>, topic: &Topic) -> Result<Redriven> {
        let mut done = Redriven::default();
        for (id, queue) in topic.each_queue() {
            let bounds = self.log.bounds(queue);
            let mut at = bounds.min;
            while at < bounds.next {
                let left = request.limit.saturating_sub(done.redriven);
                if left == 0 {
                    done.more = true;
                    return Ok(done);
                }
                let (letters, next) = self.letters(topic, (id, queue), at, left).await?;
                done.redriven += self.redrive_step(request, letters).await?;
                at = next;
            }
        }
        Ok(done)
    }

    async fn redrive_some(
        &self,
        request: &RedriveRequest<'_>,
        topic: &Topic,
        ids: &[String],
    ) -> Result<Redriven> {
        let mut done = Redriven::default();
        for id in ids.iter().collect::<BTreeSet<_>>() {
            if done.redriven >= request.limit {
                done.more = true;
                break;
            }
            let letters = self.letters_of(topic, id).await?;
            match self.redrive_step(request, letters).await? {
                0 => done.missing.push(id.clone()),
                count => done.redriven += count,
            }
        }
        Ok(done)
    }

    /// The letters of one message that were not redriven.
    async fn letters_of(&self, topic: &Topic, id: &str) -> Result<Vec<Letter>> {
        if id.is_empty() {
            return Err(Error::invalid("a dead letter is named by its message id, and this one is empty"));
        }
        let (log, queues, word) = (Arc::clone(&self.log), topic.queues.clone(), id.to_owned());
        let found = blocking(move || {
            log.find(&Search {
                word: &word,
                by: SearchBy::Id,
                queues: Some(&queues),
                from: 0,
                to: u64::MAX,
                before: u64::MAX,
                max_count: DEATHS,
                max_bytes: BYTES_AT_ONCE,
                max_examined: DEATHS * 4,
            })
        });
        let found = found.await?;
        let core = self.core.lock();
        let mut letters = Vec::new();
        for entry in found.entries {
            let Some((id, queue)) = topic.each_queue().find(|(_, queue)| *queue == entry.queue) else {
                continue;
            };
            if core.marks.redriven(queue, entry.offset).is_none() {
                letters.push(Letter { queue, message: stored(topic, id, entry)? });
            }
        }
        Ok(letters)
    }

    /// One step: these letters go to their group's retry topic, and are marked. How many there were.
    async fn redrive_step(&self, request: &RedriveRequest<'_>, mut letters: Vec<Letter>) -> Result<usize> {
        // What somebody else put here never failed anywhere, and would be delivered for no topic.
        letters.retain(|letter| letter.message.message.origin.is_some());
        if letters.is_empty() || request.dry_run {
            return Ok(letters.len());
        }
        let (count, done) = {
            let mut core = self.core.lock();
            let group = core.catalog.group(request.group).cloned();
            let group = group.ok_or_else(|| unknown_group(request.group))?;
            // Another redrive may have been faster.
            letters.retain(|letter| core.marks.redriven(letter.queue, letter.message.offset).is_none());
            if letters.is_empty() {
                return Ok(0);
            }
            let retry = self.make_topic(&mut core, &group.name.retry_topic(), 1)?;
            let target =
                retry.log_queue(QueueId(0)).ok_or_else(|| Error::internal("a topic without queues"))?;
            let copies: Vec<Message> = letters.iter().map(|letter| alive(&letter.message)).collect();
            let marks: Vec<Record> = letters.iter().map(Letter::mark).collect();
            let items = marks.iter().map(Item::Record);
            let items: Vec<_> = items.chain(copies.iter().map(|copy| Item::Message(target, copy))).collect();
            let ticket = self.append(&items, self.clock.now(), Durability::Sync, true)?;
            for (mark, letter) in marks.iter().zip(&letters) {
                let effects = core.apply(mark);
                self.carry_out(effects);
                let min = self.log.bounds(letter.queue).min;
                core.marks.trim(letter.queue, min);
            }
            (letters.len(), ticket.done)
        };
        done.await?;
        self.counts.redriven.increment(count as u64);
        Ok(count)
    }
}

impl Letter {
    fn mark(&self) -> Record {
        let offset = self.message.offset;
        Record::Redriven { queue: self.queue.0, from: offset, to: offset + 1 }
    }
}

/// A letter as a message that has not failed yet.
fn alive(letter: &StoredMessage) -> Message {
    let mut copy = letter.message.clone();
    copy.headers = copy.headers.without(&[REASON]).build();
    copy.attempt = 0;
    copy.deliver_at = None;
    copy
}
