//! The end of a life in which the disk itself was wrong: one bit, or one write at the wrong place.
//!
//! Now something may be lost, but nothing in silence: the log opens with what is right, or says what is damaged; after
//! a repair all is there but what was told as lost, and nothing is there that was not sent.

use crate::lives::same;
use crate::node::{Check, Node, open_log};
use crate::tally;
use sluice_broker::{SendRequest, WaitingRuns};
use sluice_model::{Message, TopicName};
use sluice_store::doctor::{Seen, inspect, repair};
use sluice_store::sim::SimVfs;
use sluice_store::{Log, LogQueue, OpenError, Read, ReadLimits};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SECTOR: u64 = 512;
/// Queues of topics are numbered from here on.
const FIRST_QUEUE: u32 = 16;
/// One harm reaches so far: a sector, and the mark behind it.
const NEWEST: u64 = 2 * SECTOR;
/// Writes of which one goes astray, and then some that tell what was there before them.
const WRITES: usize = 8;

/// Which delayed messages wait in files of their own.
fn seeing() -> impl FnMut(Seen<'_>) {
    let mut runs = WaitingRuns::default();
    move |seen| match seen {
        Seen::Checkpoint(at, state) => runs.checkpoint(at, state),
        Seen::State(at, record) => runs.record(at, record),
        Seen::End(tell) => std::mem::take(&mut runs).runs().for_each(tell),
    }
}

impl Node {
    /// Harms a file of the log after a crash that lost nothing, and looks what becomes of it.
    pub fn be_harmed(&mut self) -> Check {
        self.commit()?;
        self.spy.log.be_quiet();
        self.answered()?;
        if self.dice.below(3) == 0 {
            return self.be_misdirected();
        }
        let vfs = self.vfs.kill();
        let files: Vec<(PathBuf, u64)> = vfs
            .files()
            .into_iter()
            .filter(|(path, _)| path.starts_with("data/log") || path.starts_with("data/timer"))
            .map(|(path, bytes)| (path, bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64))
            .collect();
        let Some((path, used)) = files.get(self.dice.below(files.len() as u64) as usize).cloned() else {
            return Ok(());
        };
        let at = self.dice.below(used.max(1)) as usize;
        let from = (self.dice.below(used.max(1)) / SECTOR * SECTOR) as usize;
        let (stray, bit) = (self.dice.coin(), self.dice.below(8));
        self.trace.note(format_args!("harm to {} at {at}, stray {stray}", path.display()));
        self.fault(if stray { tally::MISPLACED_SECTOR } else { tally::FLIPPED_BIT });
        vfs.edit(&path, |bytes| {
            let to = at / SECTOR as usize * SECTOR as usize;
            if stray && to.max(from) + SECTOR as usize <= bytes.len() {
                bytes.copy_within(from..from + SECTOR as usize, to);
            } else if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        });
        self.tells_harm(&vfs, Some(&path))
    }

    /// The disk puts one of several writes at a wrong place; when the power has failed, everybody sees that.
    fn be_misdirected(&mut self) -> Check {
        let by = (1 + self.dice.below(64) as i64) * SECTOR as i64;
        self.vfs.stray(1 + self.dice.below(4), if self.dice.coin() { by } else { -by });
        for _ in 0..WRITES {
            let message = Message { deliver_at: None, ..self.message() };
            let topic = TopicName::new("orders").map_err(|error| format!("{error:?}"))?;
            self.send(SendRequest::one(topic, message))?;
            while self.spy.log.keep_files() {}
            self.commit()?;
        }
        self.spy.log.be_quiet();
        self.answered()?;
        let seed = self.dice.number();
        self.vfs = self.vfs.power_cut(seed);
        self.trace.note(format_args!("a write went astray"));
        self.tells_harm(&self.vfs.clone(), None)
    }

    /// What is harmed is told, repaired as far as it goes, and what is left is right. In `file` the harm is, if that is known.
    fn tells_harm(&mut self, vfs: &SimVfs, file: Option<&Path>) -> Check {
        match open_log(&vfs.kill(), &self.clock) {
            Ok(log) => self.reads_right(&log, &BTreeMap::new(), false)?,
            Err(OpenError::Damaged(_)) => {}
            Err(error) => return Err(format!("harm makes opening fail: {error}")),
        }
        self.trace.note(format_args!("repair"));
        let repaired =
            repair(vfs, Path::new("data"), &mut seeing()).map_err(|error| format!("no repair: {error}"))?;
        if let Some(damage) = repaired.after.damages.first() {
            return Err(format!("a repair leaves damage: {damage}"));
        }
        let mut lost: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        for range in repaired.before.damages.iter().flat_map(|damage| &damage.lost) {
            lost.entry(range.queue).or_default().push((range.from, range.to));
        }
        let log = open_log(vfs, &self.clock).map_err(|error| format!("repaired, but: {error}"))?;
        // Where an entry's header is gone too, only its place can be told.
        self.places = repaired
            .before
            .damages
            .iter()
            .filter_map(|d| d.lsn.filter(|_| file.is_none_or(|file| d.file == file)))
            .collect();
        self.reads_right(&log, &lost, true)?;
        log.close().map_err(|error| format!("repaired, but not closed: {error:?}"))?;
        drop(log);
        let after = inspect(vfs, Path::new("data"), &mut seeing()).map_err(|error| format!("{error}"))?;
        match after.damages.first() {
            Some(damage) => Err(format!("damage comes back: {damage}")),
            None => Ok(()),
        }
    }

    /// Every message is read as it was sent, or told as damaged, or was told as lost.
    fn reads_right(
        &mut self,
        log: &impl Log,
        lost: &BTreeMap<u32, Vec<(u64, u64)>>,
        repaired: bool,
    ) -> Check {
        for item in self.everything().flat_map(|group| &group.items) {
            let (Some((queue, offsets)), lsn) = (item.place(), item.lsn()) else { continue };
            let (queue, offset) = (&queue, &offsets.start);
            // Where a deleted topic's queue ends is remembered no longer than its messages are.
            if *queue >= FIRST_QUEUE && self.model.owner(*queue).is_none() {
                continue;
            }
            let bounds = log.bounds(LogQueue(*queue));
            let told = lost
                .get(queue)
                .is_some_and(|ranges| ranges.iter().any(|(from, to)| (*from..*to).contains(offset)));
            if *offset < bounds.min || told {
                continue;
            }
            let limits =
                ReadLimits { max_count: 1, max_bytes: usize::MAX, max_examined: 1, tag_hashes: None };
            let read = log.read(LogQueue(*queue), *offset, &limits).and_then(|read| match read {
                Read::Ready(batch) => Ok(batch),
                Read::Cold(read) => read(),
            });
            let place = format!("offset {offset} of queue {queue}");
            match read {
                Err(error) if repaired => return Err(format!("{place} after a repair: {error:?}")),
                Err(_) => {}
                Ok(batch) => match batch.entries.iter().find(|entry| entry.offset == *offset) {
                    Some(entry) if same(item, entry) => {}
                    Some(_) => return Err(format!("{place} is read as another message")),
                    // What nothing behind it knows of looks like a torn end.
                    None if lsn + NEWEST > self.spy.end() => {}
                    None if self.places.iter().any(|from| *from <= lsn) => {}
                    None => {
                        return Err(format!(
                            "{place} is missing, and nobody says so: {repaired} {lsn} {}",
                            self.spy.end()
                        ));
                    }
                },
            }
        }
        self.checked(tally::DAMAGE);
        Ok(())
    }
}
