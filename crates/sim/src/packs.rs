//! Batches as a producer packs them: the simulation's own encoding, so that the broker knows no more of it than of a wire's;
//! and what those see who take them apart.

use crate::node::{Check, Node, now};
use crate::record::Marker;
use crate::spy::Item;
use crate::tally;
use bytes::Bytes;
use sluice_broker::{BatchFormat, Packed, PackedBatch, PackedPull, PulledPacked, Reach, Unpacked};
use sluice_model::{Error, Message, Millis, Offset, QueueId, Result, TopicName};
use sluice_store::Lsn;
use std::collections::BTreeSet;

/// The encoding's number.
const ENCODING: u8 = 9;
/// At most so many messages at once.
const MANY: usize = 32;

/// See the module.
pub struct Packs;

struct Texts(Vec<String>);

impl BatchFormat for Packs {
    fn encoding(&self) -> u8 {
        ENCODING
    }

    fn unpack(&self, batch: &Bytes, _: usize) -> Result<Box<dyn Unpacked>> {
        let texts = postcard::from_bytes(batch).map_err(Error::internal)?;
        Ok(Box::new(Texts(texts)))
    }
}

impl Unpacked for Texts {
    fn memory(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }

    fn message(&self, number: usize) -> Option<Message> {
        self.0.get(number).map(|text| message(text))
    }
}

fn message(text: &str) -> Message {
    Message { body: Some(Bytes::copy_from_slice(text.as_bytes())), ..Message::default() }
}

/// Packs the bodies of messages.
pub fn pack(messages: &[Message], now: Millis) -> PackedBatch {
    let texts: Vec<String> =
        messages.iter().map(|m| String::from_utf8_lossy(m.body_bytes()).into_owned()).collect();
    let bytes = Bytes::from(postcard::to_stdvec(&texts).unwrap_or_default());
    PackedBatch {
        encoding: ENCODING,
        count: texts.len() as u16,
        size: bytes.len(),
        newest: now,
        keys: Vec::new(),
        bodies: texts.iter().map(String::len).sum(),
        max_body: texts.iter().map(String::len).max().unwrap_or(0),
        max_headers_size: 0,
        max_headers: 0,
        bytes,
    }
}

/// The messages of a packed batch.
pub fn unpack(encoding: u8, bytes: &[u8]) -> Option<Vec<Message>> {
    let texts: Vec<String> = (encoding == ENCODING).then(|| postcard::from_bytes(bytes).ok())??;
    Some(texts.iter().map(|text| message(text)).collect())
}

/// What an entry has for readers: the offset, the locator and the body of each message.
pub fn messages(item: &Item) -> Vec<(Offset, Lsn, Message)> {
    match item {
        Item::Message { offset, lsn, message, .. } => vec![(*offset, *lsn, (**message).clone())],
        Item::Batch { offset, lsn, encoding, bytes, .. } => {
            let all = unpack(*encoding, bytes).unwrap_or_default();
            let each = (0_u64..).zip(all);
            each.map(|(n, message)| (offset + n, locator(*lsn, n), message)).collect()
        }
        Item::State { .. } => Vec::new(),
    }
}

/// What the message of this number in the entry at this position is called.
fn locator(lsn: Lsn, number: u64) -> Lsn {
    lsn | (number & 3) | (number >> 2) << 51
}

impl Node {
    /// What lies in a queue, for who takes batches apart: everything, and what is decided.
    pub fn compare_packed(&mut self, topic: &TopicName, id: QueueId, queue: u32) -> Check {
        for reach in [Reach::Everything, Reach::Decided] {
            let (min, raw) = self.whole_bounds(queue);
            let (stable, end) =
                (self.bounds(queue).1, if reach == Reach::Decided { self.bounds(queue).1 } else { raw });
            let (mut from, mut found) = (min, BTreeSet::new());
            while from < end {
                let request = PackedPull {
                    topic,
                    queue: id,
                    offset: from,
                    reach,
                    max: MANY,
                    max_bytes: usize::MAX,
                    group: None,
                };
                let pulled = now(self.broker.pull_packed(&self.me, &request))?;
                let Some(pulled) = self.found("packed pull", pulled)? else { return Ok(()) };
                if (pulled.min, pulled.stable, pulled.max) != (min, stable, raw) || pulled.next <= from {
                    return Err(format!(
                        "{topic} {id} has the bounds {} {} {}, not {min} {stable} {raw}, and goes on from {from} at {}",
                        pulled.min, pulled.stable, pulled.max, pulled.next
                    ));
                }
                self.part_is_right(queue, from, &pulled, &mut found)?;
                from = pulled.next;
            }
            let messages = self.model.queues.get(&queue).into_iter().flat_map(|all| all.range(min..end));
            let shown =
                messages.filter(|(_, stored)| reach == Reach::Everything || !self.model.is_hidden(stored));
            let marks = self.model.spans.queues.get(&queue).into_iter();
            let marks = marks.flat_map(|here| here.marks.range(min..end)).map(|(offset, _)| *offset);
            let wanted: BTreeSet<Offset> = shown.map(|(offset, _)| *offset).chain(marks).collect();
            found.retain(|offset| *offset >= min);
            if found != wanted {
                return Err(format!("{topic} {id}, {reach:?}: {found:?}, not {wanted:?}"));
            }
        }
        self.checked(tally::PACKED);
        Ok(())
    }

    fn part_is_right(
        &self,
        queue: u32,
        from: Offset,
        pulled: &PulledPacked,
        found: &mut BTreeSet<Offset>,
    ) -> Check {
        let is = |offset: Offset, message: &Message| {
            self.model.message(queue, offset).is_some_and(|stored| stored.is(message))
        };
        for part in &pulled.parts {
            let right = match part {
                Packed::Message(one) => is(one.offset, &one.message),
                Packed::Batch { encoding, offset, count, bytes } => {
                    let messages = unpack(*encoding, bytes).unwrap_or_default();
                    messages.len() == usize::from(*count)
                        && (*offset..).zip(&messages).all(|(offset, message)| is(offset, message))
                }
                Packed::End(end) => {
                    let wanted =
                        self.model.spans.queues.get(&queue).and_then(|here| here.marks.get(&end.offset));
                    let (producer, epoch) = (end.id.number, end.id.epoch);
                    wanted == Some(&Marker { producer, epoch, commit: end.commit })
                }
            };
            if !right || part.end() <= from {
                return Err(format!("queue {queue} from {from} has {part:?}, which is not what was sent"));
            }
            found.extend(part.offset()..part.end());
        }
        let here = self.model.spans.queues.get(&queue).into_iter();
        let aborted = here.flat_map(|here| &here.aborted);
        let wanted: BTreeSet<(Offset, u64)> = aborted
            .filter(|(_, first, marker)| *marker >= from && *first < pulled.next)
            .map(|(producer, first, _)| (*first, *producer))
            .collect();
        let told: BTreeSet<(Offset, u64)> =
            pulled.aborted.iter().map(|aborted| (aborted.first, aborted.producer)).collect();
        if told == wanted {
            Ok(())
        } else {
            Err(format!("queue {queue}: {told:?} are aborted, not {wanted:?}"))
        }
    }
}
