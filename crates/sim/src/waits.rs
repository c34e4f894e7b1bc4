//! Who waits for several queues at once, and when the messages of a queue were made.

use crate::node::{Check, Node, now, poll};
use crate::tally;
use sluice_broker::{BornAt, Reach};
use sluice_model::{Millis, Offset, QueueId, Result, TopicName};
use std::future::Future;
use std::pin::Pin;

/// How many wait at once, at most.
const WAITING: usize = 4;

/// Somebody who waits.
pub struct Waiting {
    places: Vec<(TopicName, QueueId, Offset)>,
    /// What the first queues of these topics were when it began.
    queues: Vec<Option<u32>>,
    reach: Reach,
    done: Pin<Box<dyn Future<Output = Result<()>>>>,
}

impl Node {
    /// Somebody begins to wait for one topic or two.
    pub fn some_wait(&mut self, topics: Vec<TopicName>) -> Check {
        if self.waits.len() >= WAITING {
            let n = self.dice.below(WAITING as u64) as usize;
            drop(self.waits.swap_remove(n));
        }
        let reach = if self.dice.coin() { Reach::Decided } else { Reach::Everything };
        let queues: Vec<Option<u32>> = topics.iter().map(|topic| self.first_queue(topic)).collect();
        let offsets: Vec<Offset> = queues
            .iter()
            .map(|queue| queue.map_or(0, |queue| self.end_in(queue, reach) + self.dice.below(4) / 3))
            .collect();
        let each = topics.into_iter().zip(offsets);
        let places: Vec<_> = each.map(|(topic, offset)| (topic, QueueId(0), offset)).collect();
        let (broker, me, told) = (self.broker.clone(), self.me.clone(), places.clone());
        let done = Box::pin(async move { broker.grown(&me, &told, reach).await });
        self.waits.push(Waiting { places, queues, reach, done });
        self.woken()
    }

    fn end_in(&self, queue: u32, reach: Reach) -> Offset {
        match reach {
            Reach::Decided => self.bounds(queue).1,
            Reach::Everything => self.whole_bounds(queue).1,
        }
    }

    /// Those have been woken for whom there is something, and nobody else.
    pub fn woken(&mut self) -> Check {
        for mut waiting in std::mem::take(&mut self.waits) {
            let woken = poll(waiting.done.as_mut());
            let (has, may_see) = (self.has_grown(&waiting, true), self.has_grown(&waiting, false));
            match woken {
                None if has => return Err(format!("who waits for {:?} is not woken", waiting.places)),
                None => self.waits.push(waiting),
                Some(Ok(())) if !may_see => {
                    return Err(format!("who waits for {:?} is woken for nothing", waiting.places));
                }
                Some(Ok(())) => self.checked(tally::WOKEN),
                Some(Err(error)) => self.refused("wait", &error, &[])?,
            }
        }
        Ok(())
    }

    /// Whether somebody waits no longer: a queue is gone, or has something. That what was there is kept no longer wakes
    /// nobody, but who looks may find that the queue begins behind the offset.
    fn has_grown(&self, waiting: &Waiting, by_messages: bool) -> bool {
        waiting.places.iter().zip(&waiting.queues).any(|((topic, _, offset), queue)| {
            let Some(queue) = queue.filter(|_| self.first_queue(topic) == *queue) else { return true };
            let end = match (waiting.reach, by_messages) {
                (Reach::Decided, true) => self.model.stable(queue, self.whole_bounds(queue).1),
                (reach, _) => self.end_in(queue, reach),
            };
            end > *offset
        })
    }

    /// A time of making leads to the first message of that time or later, the newest to the first of the newest.
    pub fn some_birth(&mut self, topic: &TopicName) -> Check {
        self.can_read();
        self.commit()?;
        let Some(queue) = self.first_queue(topic).filter(|_| !self.is_down()) else { return Ok(()) };
        let time = self.now().saturating_sub(self.dice.below(120_000));
        let at = if self.dice.below(3) == 0 { BornAt::Newest } else { BornAt::From(time) };
        let found = now(self.broker.born_at(&self.me, topic, QueueId(0), at))?;
        let Some(found) = self.found("message by the time of its making", found)? else { return Ok(()) };
        let (min, next) = self.bounds(queue);
        let messages = self.model.queues.get(&queue).into_iter().flat_map(|all| all.range(min..next));
        let births: Vec<(Offset, Millis)> = messages
            .filter(|(_, stored)| !self.model.is_hidden(stored))
            .map(|(offset, stored)| {
                (*offset, if stored.packed { stored.stored } else { stored.message.born })
            })
            .collect();
        let newest = births.iter().map(|(_, born)| *born).max();
        let since = match at {
            BornAt::From(time) => Some(time),
            BornAt::Newest => newest,
        };
        let wanted = births.iter().find(|(_, born)| since.is_some_and(|since| *born >= since)).copied();
        self.trace.note(format_args!("born {topic} {at:?} {found:?}"));
        self.checked(tally::FOUND);
        match found == wanted {
            true => Ok(()),
            false => Err(format!("{topic} {at:?} is {found:?}, not {wanted:?}")),
        }
    }
}
