//! Searching the log on disk for messages by a word: see [`crate::Log::find`].
//!
//! Segments are looked through from the newest to the oldest, those aside whose times do not fit; in each the candidates
//! from the end, so that what is found comes newest first and a search can go on where it ended.

use super::sealed::KeyReader;
use super::{Chunks, Key, hash_of, is_meant};
use crate::log::{Content, Entry, Found, Lsn, Search};
use crate::read::{corrupt_index, read_known, unreadable};
use crate::shared::{Known, Shared};
use crate::vfs::VfsFile;
use sluice_model::Result;
use std::io;
use std::sync::Arc;

/// See the module.
pub(crate) fn find(shared: &Shared, search: &Search<'_>) -> Result<Found> {
    // In this order: what is sealed in between is in both.
    let mut live = shared.staging.lock().keys.all();
    let segments: Vec<(Lsn, Known)> =
        shared.segments.read().iter().map(|(start, known)| (*start, known.clone())).collect();
    let mut queues: Option<Vec<u32>> = search.queues.map(|queues| queues.iter().map(|q| q.0).collect());
    queues.iter_mut().for_each(|queues| queues.sort_unstable());
    let mut hunt = Hunt { shared, search, queues, collector: Collector::new(search) };
    for (start, known) in segments.into_iter().rev().filter(|(start, _)| *start < search.before) {
        let keys = live.iter().position(|(of, _)| *of == start).map(|n| live.swap_remove(n).1);
        let goes_on = match (keys, &known.footer) {
            (Some(keys), _) => hunt.among_live(start, &keys)?,
            (None, Some(footer)) if footer.max_stored < search.from || footer.min_stored > search.to => true,
            (None, Some(_)) => hunt.among_sealed(start, &known)?,
            (None, None) => true, // nothing with a word is in it
        };
        if !goes_on {
            break;
        }
    }
    Ok(hunt.collector.found)
}

struct Hunt<'a> {
    shared: &'a Shared,
    search: &'a Search<'a>,
    queues: Option<Vec<u32>>,
    collector: Collector<'a>,
}

impl Hunt<'_> {
    fn among_live(&mut self, start: Lsn, keys: &Chunks) -> Result<bool> {
        let hash = hash_of(self.search.word);
        for key in keys.iter().rev().flat_map(|chunk| chunk.iter().rev()) {
            if key.hash == hash && !self.consider(start, *key)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn among_sealed(&mut self, start: Lsn, known: &Known) -> Result<bool> {
        let Some(footer) = &known.footer else { return Ok(true) };
        let file: Arc<dyn VfsFile> = match known.segment.file(&*self.shared.vfs) {
            // Retention has taken it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            file => file.map_err(unreadable)?,
        };
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => {
                let bad = super::sealed::bad_page(&*file, footer.keys());
                let at = bad.ok().flatten().unwrap_or(footer.keys().at);
                corrupt_index(self.shared, &known.segment, at, &error)
            }
            _ => unreadable(error),
        };
        let hash = hash_of(self.search.word);
        let mut reader = KeyReader::new(&*file, footer.keys());
        if !reader.may_have(hash).map_err(failed)? {
            return Ok(true);
        }
        let before = u32::try_from(self.search.before - start).unwrap_or(u32::MAX);
        let mut n = reader.less_than(Key { hash, at: before, queue: 0 }).map_err(failed)?;
        while n > 0 {
            n -= 1;
            let Some(key) = reader.key(n).map_err(failed)?.filter(|key| key.hash == hash) else { break };
            if !self.consider(start, key)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks at what may be meant. False when the search ends here.
    fn consider(&mut self, start: Lsn, key: Key) -> Result<bool> {
        let wanted = self.queues.as_ref().is_none_or(|queues| queues.binary_search(&key.queue).is_ok());
        let lsn = start + u64::from(key.at);
        if wanted { self.collector.offer(lsn, || read_known(self.shared, lsn)) } else { Ok(true) }
    }
}

/// What a search has found so far, and whether it may go on: the same rules for every log.
pub(crate) struct Collector<'a> {
    search: &'a Search<'a>,
    examined: usize,
    bytes: usize,
    pub found: Found,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(search: &'a Search<'a>) -> Self {
        Self { search, examined: 0, bytes: 0, found: Found::default() }
    }

    /// Takes the message at a position, if it is meant and not found before. Positions only go down. False when the
    /// search ends before it.
    pub(crate) fn offer(&mut self, lsn: Lsn, read: impl FnOnce() -> Result<Option<Entry>>) -> Result<bool> {
        let search = self.search;
        if lsn >= search.before || self.found.entries.last().is_some_and(|last| last.lsn == lsn) {
            return Ok(true);
        }
        let full = self.examined >= search.max_examined.max(1)
            || self.found.entries.len() >= search.max_count.max(1)
            || self.bytes >= search.max_bytes.max(1);
        if full {
            self.found.next = Some(lsn + 1);
            return Ok(false);
        }
        self.examined += 1;
        let Some(entry) = read()? else { return Ok(true) };
        let is_meant = match &entry.content {
            Content::Message(message) => is_meant(message, search.word, search.by),
            Content::Batch { .. } => true,
            Content::State(_) => false,
        };
        if (search.from..=search.to).contains(&entry.stored) && is_meant {
            self.bytes += entry.size as usize;
            self.found.entries.push(entry);
        }
        Ok(true)
    }
}
