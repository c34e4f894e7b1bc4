//! Producers that number their batches: what is sent again is stored once, what comes too early or of an earlier epoch
//! not at all, in any life.

use crate::model::Model;
use crate::node::{Asked, Check, Node};
use crate::packs;
use crate::record::Numbered;
use crate::spy::Group;
use crate::tally;
use crate::verbs::number_of;
use sluice_broker::{PartOf, Sequence, SequenceRefusal, SequencedRequest, SequencedSent};
use sluice_model::{ErrorKind, Message, Millis, Offset, QueueId, Result, TopicName};

/// Producers at most.
const PRODUCERS: usize = 3;
/// Batches of each that are known.
const KEPT: usize = 5;

/// A batch that was stored.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    pub epoch: u16,
    pub first: u32,
    pub count: u32,
    pub offset: Offset,
    /// When it was stored.
    pub at: Millis,
}

impl Batch {
    /// The number that comes next.
    pub fn next(&self) -> u32 {
        self.first + self.count
    }
}

/// What is to become of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Stored,
    Again(Offset),
    OldEpoch,
    Gap,
}

/// A batch that was sent: what was said, what was appended, and the numbers of its messages.
pub struct SentBatch {
    pub outcome: Result<SequencedSent>,
    pub groups: Vec<Group>,
    pub numbers: Vec<u64>,
}

impl Model {
    /// What a producer has in a queue of one epoch.
    pub fn batches(&self, queue: u32, producer: u64, epoch: u16) -> Vec<Batch> {
        let all = self.numbered.get(&(queue, producer)).into_iter().flatten();
        all.filter(|batch| batch.epoch == epoch).copied().collect()
    }

    /// What the rules say about a batch.
    pub fn judge(&self, queue: u32, batch: &Numbered) -> Verdict {
        let Numbered { producer, epoch, first, count } = *batch;
        let newest = self.numbered.get(&(queue, producer)).and_then(|batches| batches.last());
        if newest.is_some_and(|newest| epoch < newest.epoch) {
            return Verdict::OldEpoch;
        }
        let own = self.batches(queue, producer, epoch);
        let again = own.iter().rev().take(KEPT).find(|batch| (batch.first, batch.count) == (first, count));
        match (again, own.last()) {
            (Some(again), _) => Verdict::Again(again.offset),
            // A producer that is not known here may begin anywhere.
            (None, _) if newest.is_none() => Verdict::Stored,
            (None, last) if last.map_or(0, Batch::next) == first => Verdict::Stored,
            _ => Verdict::Gap,
        }
    }
}

impl Node {
    /// Some producer sends a batch: the next one, one of before, or a wrong one.
    pub fn some_numbered(&mut self, topic: &TopicName) -> Check {
        if self.producers.len() < PRODUCERS {
            self.producers.push((self.broker.producer_id(), 0));
        }
        let n = self.dice.below(self.producers.len() as u64) as usize;
        let Some((producer, newest)) = self.producers.get(n).copied() else { return Ok(()) };
        let Some(queue) = self.first_queue(topic) else { return Ok(()) };
        let epoch = match self.dice.below(12) {
            0 => newest.saturating_sub(1),
            1 => newest + 1,
            _ => newest,
        };
        let own = self.model.batches(queue, producer, epoch);
        let next = own.last().map_or(0, Batch::next);
        let (first, count) = match self.dice.below(8) {
            0 => (next + 1 + self.dice.below(3) as u32, 1),
            1..3 if !own.is_empty() => {
                let batch = own[own.len() - 1 - self.dice.below(own.len().min(7) as u64) as usize];
                (batch.first, batch.count)
            }
            _ => (next, 1 + self.dice.below(3) as u32),
        };
        if let Some(known) = self.producers.get_mut(n) {
            known.1 = epoch.max(newest);
        }
        let batch = Numbered { producer, epoch, first, count };
        let wanted = self.model.judge(queue, &batch);
        let sent = self.send_batch(topic, batch, None, &Asked::default())?;
        self.trace.note(format_args!("numbered {producer} {epoch} {first}+{count} {wanted:?}"));
        self.checked(tally::NUMBERED);
        match sent.outcome {
            Ok(outcome) => self.became(&batch, outcome, &sent.groups, sent.numbers, &wanted),
            Err(error) => self.refused("send numbered", &error, &[ErrorKind::TopicNotFound]),
        }
    }

    /// Sends new messages under these numbers, packed or one by one.
    pub fn send_batch(
        &mut self,
        topic: &TopicName,
        batch: Numbered,
        transaction: Option<PartOf>,
        asked: &Asked<'_>,
    ) -> Check<SentBatch> {
        let Numbered { producer, epoch, first, count } = batch;
        let messages: Vec<Message> =
            (0..count).map(|_| Message { deliver_at: None, ..self.message() }).collect();
        let numbers: Vec<u64> = messages.iter().map(number_of).collect();
        if topic.as_str() == crate::steps::BRIEF {
            self.doomed.extend(&numbers);
        }
        let packed = self.dice.coin().then(|| packs::pack(&messages, self.now()));
        let request = SequencedRequest {
            topic: topic.clone(),
            queue: QueueId(0),
            messages: if packed.is_some() { Vec::new() } else { messages },
            packed,
            sequence: Some(Sequence { producer, epoch, first }),
            transaction,
            durability: None,
        };
        let outcome = self.broker.send_sequenced(&self.me.clone(), request);
        let groups = self.absorb(asked)?;
        Ok(SentBatch { outcome, groups, numbers })
    }

    /// What the broker made of a batch is what the rules say; `numbers` are acknowledged with it.
    pub fn became(
        &mut self,
        batch: &Numbered,
        outcome: SequencedSent,
        groups: &[Group],
        numbers: Vec<u64>,
        wanted: &Verdict,
    ) -> Check {
        let found = match outcome {
            SequencedSent::First(promise) => {
                self.promised(promise, groups, numbers);
                Verdict::Stored
            }
            SequencedSent::Again(offset) => Verdict::Again(offset),
            SequencedSent::Refused(SequenceRefusal::OldEpoch) => Verdict::OldEpoch,
            SequencedSent::Refused(SequenceRefusal::Gap) => Verdict::Gap,
        };
        match found == *wanted {
            true => Ok(()),
            false => Err(format!("{batch:?} is {found:?}, not {wanted:?}")),
        }
    }
}
