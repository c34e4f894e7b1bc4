//! [`UnpackedLog`]: the log as the broker's rules see it, message by message, however they are packed.
//!
//! What is large is taken apart where blocking is allowed: such a read is [`Read::Cold`], as one from the disk is.

use super::cache::Cache;
use super::head::{Head, id_to_find};
use super::place::split;
use super::{Formats, Unpacked};
use sluice_model::{Message, Offset, Result, tag_hash};
use sluice_store::{
    Batch, Content, Entry, Found, Log, LogQueue, Lsn, Read, ReadLimits, Search, SearchBy, pass_on, record,
};
use std::sync::Arc;

/// What is taken apart in place in one read: a fraction of a millisecond's work.
const IN_PLACE: usize = 64 << 10;
/// What a record costs beside its payload, wherever it lies.
const RECORD: usize = 64;

/// See the module.
pub(crate) struct UnpackedLog {
    log: Arc<dyn Log>,
    unpacker: Arc<Unpacker>,
}

/// Takes batches apart.
struct Unpacker {
    formats: Formats,
    cache: Cache,
}

/// What a batch's entry says beside the batch.
struct Opened {
    head: Head<'static>,
    batch: Arc<dyn Unpacked>,
}

impl UnpackedLog {
    pub(crate) fn new(log: Arc<dyn Log>, formats: Formats) -> Self {
        Self { log, unpacker: Arc::new(Unpacker { formats, cache: Cache::default() }) }
    }
}

impl Unpacker {
    /// Takes a batch apart; nothing for what is none, or of a format that nobody has brought.
    fn open(&self, entry: &Entry) -> Result<Option<Opened>> {
        let Content::Batch { encoding, head, bytes } = &entry.content else { return Ok(None) };
        let Some(format) = self.formats.of(*encoding) else { return Ok(None) };
        let head = Head::decode(head)?;
        let batch = match self.cache.get(entry.lsn) {
            Some(batch) => batch,
            None => {
                let batch: Arc<dyn Unpacked> = format.unpack(bytes, head.size)?.into();
                self.cache.put(entry.lsn, &batch);
                batch
            }
        };
        Ok(Some(Opened { head, batch }))
    }

    /// The bytes that would have to be unpacked to take all of these apart.
    fn work(&self, batch: &Batch) -> usize {
        let each = batch.entries.iter().map(|entry| match &entry.content {
            Content::Batch { head, .. } if self.cache.get(entry.lsn).is_none() => {
                Head::decode(head).map_or(0, |head| head.size)
            }
            _ => 0,
        });
        each.sum()
    }

    /// What a read found, message by message, from an offset on and within its limits.
    fn unpack(&self, found: Batch, from: Offset, limits: &Limits) -> Result<Batch> {
        let mut taken = Taken { entries: Vec::with_capacity(found.entries.len()), bytes: 0 };
        let mut examined = 0;
        for entry in found.entries {
            let Some(opened) = self.open(&entry)? else {
                if taken.is_full(limits) {
                    return Ok(Batch { next: entry.offset, entries: taken.entries });
                }
                taken.push(entry);
                continue;
            };
            let skipped = u16::try_from(from.saturating_sub(entry.offset)).unwrap_or(u16::MAX);
            for number in skipped..entry.count {
                let offset = entry.offset + Offset::from(number);
                if taken.is_full(limits) || examined >= limits.max_examined {
                    return Ok(Batch { next: offset, entries: taken.entries });
                }
                examined += 1;
                let message = opened.message(&entry, number)?;
                if limits.passes(&message) {
                    taken.push(one_of(&entry, number, message));
                }
            }
        }
        Ok(Batch { entries: taken.entries, next: found.next })
    }
}

impl Opened {
    fn message(&self, entry: &Entry, number: u16) -> Result<Message> {
        let message = self.batch.message(usize::from(number)).ok_or_else(|| {
            let what = format!("queue {} offset {}: message {number}", entry.queue.0, entry.offset);
            sluice_model::Error::new(sluice_model::ErrorKind::Corrupt, "a stored batch is damaged")
                .with_source(what)
        })?;
        let provenance = sluice_model::Provenance {
            principal: (*self.head.principal).into(),
            peer: self.head.peer,
            ..message.provenance
        };
        let born = if message.born == 0 { entry.stored } else { message.born };
        Ok(Message { id: self.head.id.of(number), born, provenance, ..message })
    }
}

/// One message of a batch as an entry.
fn one_of(entry: &Entry, number: u16, message: Message) -> Entry {
    Entry {
        offset: entry.offset + Offset::from(number),
        count: 1,
        index: number,
        size: (RECORD + record::max_len(&message)) as u32,
        content: Content::Message(Box::new(message)),
        ..*entry
    }
}

/// What has been taken.
struct Taken {
    entries: Vec<Entry>,
    bytes: usize,
}

impl Taken {
    fn is_full(&self, limits: &Limits) -> bool {
        self.entries.len() >= limits.max_count || (!self.entries.is_empty() && self.bytes >= limits.max_bytes)
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.size as usize;
        self.entries.push(entry);
    }
}

/// [`ReadLimits`] that a later read can take along.
struct Limits {
    max_count: usize,
    max_bytes: usize,
    max_examined: usize,
    tag_hashes: Option<Vec<u32>>,
}

impl Limits {
    fn of(limits: &ReadLimits<'_>) -> Self {
        Self {
            max_count: limits.max_count.max(1),
            max_bytes: limits.max_bytes,
            max_examined: limits.max_examined.max(1),
            tag_hashes: limits.tag_hashes.map(<[u32]>::to_vec),
        }
    }

    fn passes(&self, message: &Message) -> bool {
        let hash = || message.tag.as_deref().map_or(0, tag_hash);
        self.tag_hashes.as_ref().is_none_or(|hashes| hashes.contains(&hash()))
    }
}

fn has_batches(batch: &Batch) -> bool {
    batch.entries.iter().any(|entry| matches!(entry.content, Content::Batch { .. }))
}

/// Messages found in batches, in the place of the batches.
struct Finds<'a> {
    search: &'a Search<'a>,
    found: Found,
}

impl Finds<'_> {
    /// Takes what was found, newest first. A search that goes on in the middle of a batch begins `1 + n` bytes behind where
    /// that lies, for the `n` messages that are left; one byte behind it, for all.
    fn take(&mut self, log: &UnpackedLog, entries: Vec<Entry>) -> Result<()> {
        for entry in entries {
            let opened = log.unpacker.open(&entry)?;
            let left = match (&opened, self.search.before.saturating_sub(entry.lsn)) {
                (Some(_), behind @ 2..) if behind < u64::from(entry.size) => (behind - 1) as u16,
                _ => entry.count,
            };
            if self.is_full() {
                let behind = if left == entry.count { 1 } else { 1 + Lsn::from(left) };
                self.found.next = Some(entry.lsn + behind);
                return Ok(());
            }
            let Some(opened) = opened else {
                self.found.entries.push(entry);
                continue;
            };
            // What was cut off in front is there no longer.
            let cut = log.bounds(entry.queue).min.saturating_sub(entry.offset);
            for number in (u16::try_from(cut).unwrap_or(left)..left).rev() {
                let behind = Lsn::from(number) + 2;
                // Where there is no room to say how many are left, none are.
                if self.is_full() && behind < Lsn::from(entry.size) {
                    self.found.next = Some(entry.lsn + behind);
                    return Ok(());
                }
                let message = opened.message(&entry, number)?;
                if is_meant(&message, self.search) {
                    self.found.entries.push(one_of(&entry, number, message));
                }
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.found.entries.len() >= self.search.max_count.max(1)
    }
}

fn is_meant(message: &Message, search: &Search<'_>) -> bool {
    message.id == search.word
        || (search.by == SearchBy::KeyOrId && message.keys.iter().any(|key| key == search.word))
}

/// Two answers of the log as one: newest first, and as far as both have come.
fn merged(mut first: Found, second: Found) -> Found {
    first.entries.extend(second.entries);
    first.entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.lsn));
    first.entries.dedup_by_key(|entry| entry.lsn);
    first.next = first.next.max(second.next);
    if let Some(next) = first.next {
        first.entries.retain(|entry| entry.lsn >= next);
    }
    first
}

impl Log for UnpackedLog {
    fn read(&self, queue: LogQueue, from: Offset, limits: &ReadLimits<'_>) -> Result<Read> {
        let read = self.log.read(queue, from, limits)?;
        let unpacker = Arc::clone(&self.unpacker);
        let limits = match &read {
            Read::Ready(batch) if !has_batches(batch) => return Ok(read),
            _ => Limits::of(limits),
        };
        Ok(match read {
            Read::Ready(batch) if unpacker.work(&batch) <= IN_PLACE => {
                Read::Ready(unpacker.unpack(batch, from, &limits)?)
            }
            Read::Ready(batch) => Read::Cold(Box::new(move || unpacker.unpack(batch, from, &limits))),
            Read::Cold(read) => Read::Cold(Box::new(move || unpacker.unpack(read()?, from, &limits))),
        })
    }

    /// By a message's locator.
    fn read_at(&self, locator: Lsn) -> Result<Option<Entry>> {
        let (lsn, number) = split(locator, self.log.end());
        let Some(entry) = self.log.read_at(lsn)? else { return Ok(None) };
        match self.unpacker.open(&entry)? {
            None => Ok((number == 0).then_some(entry)),
            Some(opened) => {
                let offset = entry.offset + Offset::from(number);
                let there = number < entry.count && offset >= self.log.bounds(entry.queue).min;
                let message = there.then(|| opened.message(&entry, number)).transpose()?;
                Ok(message.map(|message| one_of(&entry, number, message)))
            }
        }
    }

    fn find(&self, search: &Search<'_>) -> Result<Found> {
        let mut found = self.log.find(search)?;
        if let Some(word) = id_to_find(search.word).filter(|word| word != search.word) {
            found = merged(found, self.log.find(&Search { word: &word, by: SearchBy::Id, ..*search })?);
        }
        let Found { entries, next } = found;
        let mut finds = Finds { search, found: Found { entries: Vec::with_capacity(entries.len()), next } };
        finds.take(self, entries)?;
        Ok(finds.found)
    }

    pass_on!(log:
        append, end, bounds, next_offset, offset_at, offset_keeping, size, maybe_born, states, listen,
        forget, cut, replay, checkpoint, write_checkpoint, trim, buckets, space, scrub, damages,
        listen_to_damage, committer, failed, close);
}
