//! The end of a life in which the disk itself was wrong: one bit, or one write at the wrong place.
//!
//! Now something may be lost, but nothing in silence: the log opens with what is right, or says what is damaged; after
//! a repair all is there but what was told as lost, and nothing is there that was not sent.

use crate::lives::same;
use crate::node::{Check, Node, open_broker, open_log};
use crate::people;
use crate::spy::Spy;
use crate::tally;
use sluice_broker::{DamageView, SendRequest, WaitingRuns};
use sluice_model::{Message, QueueId, TopicName};
use sluice_store::doctor::{Seen, inspect, repair};
use sluice_store::sim::SimVfs;
use sluice_store::{Damage, Log, LogQueue, LostOffsets, OpenError, Read, ReadLimits};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECTOR: u64 = 512;
/// Queues of topics are numbered from here on.
const FIRST_QUEUE: u32 = 16;
/// One harm reaches so far: a sector, and the mark behind it.
const NEWEST: u64 = 2 * SECTOR;
/// Writes of which one goes astray, and then some that tell what was there before them.
const WRITES: usize = 8;
/// More are not needed to read everything that there is here.
const LOOKS: usize = 1000;

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
            Ok(log) => {
                self.reads_right(&log, &BTreeMap::new(), false)?;
                self.knows_harm(vfs)?;
            }
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

    /// A broker on what is harmed, if one starts there, finds by itself what the doctor finds, and tells whose it is.
    fn knows_harm(&mut self, vfs: &SimVfs) -> Check {
        let found =
            inspect(&vfs.kill(), Path::new("data"), &mut seeing()).map_err(|error| format!("{error}"))?;
        let vfs = vfs.kill();
        let log =
            open_log(&vfs, &self.clock).map_err(|error| format!("opens once, and not twice: {error}"))?;
        let spy = Arc::new(Spy::new(log));
        let Ok(broker) = open_broker(&vfs, &spy, &self.clock) else { return Ok(()) };
        let Ok(me) = people::login(&broker) else { return Ok(()) };
        let begun = self.now();
        self.looks_at_all(&spy)?;
        self.clock.set(begun);
        let damages = broker.damages(&me).map_err(|error| format!("no damages: {error:?}"))?;
        for (view, raw) in damages.iter().zip(spy.damages()) {
            self.tells_whose(view, &raw)?;
        }
        if damages.len() != spy.damages().len() {
            return Err(format!("of {:?} only {damages:?} is told", spy.damages()));
        }
        let stranger = damages.iter().find(|told| !found.damages.iter().any(|one| one.file == told.file));
        if let Some(told) = stranger {
            return Err(format!("{told:?} is told, and the doctor finds {:?}", found.damages));
        }
        // What is written to is not looked at, but read at each start.
        let newest = vfs.files().into_keys().rfind(|path| path.starts_with("data/log"));
        let sealed = found.damages.iter().filter(|one| Some(&one.file) != newest.as_ref());
        let untold =
            sealed.flat_map(|one| one.lost.iter().map(move |lost| (one, lost))).find(|(one, lost)| {
                !damages.iter().any(|told| {
                    told.file == one.file
                        && told.lost.iter().any(|told| told.from <= lost.from && told.last + 1 >= lost.to)
                })
            });
        self.checked(tally::DAMAGE);
        match untold {
            Some((one, _)) => Err(format!("{one} is not found by the broker, but {damages:?}")),
            None => Ok(()),
        }
    }

    /// Lets time pass until everything that is sealed was read once.
    fn looks_at_all(&self, spy: &Spy) -> Check {
        for _ in 0..LOOKS {
            let looked = spy.scrub().map_err(|error| format!("nothing can be looked at: {error:?}"))?;
            if looked.passes > 0 {
                return Ok(());
            }
            let again = looked.again.ok_or("nobody looks for damage")?;
            self.clock.set(again.max(self.now()));
        }
        Err("looking for damage never ends".to_owned())
    }

    /// Damage by topic and queue is damage by the numbers of the log.
    fn tells_whose(&self, told: &DamageView, raw: &Damage) -> Check {
        let whose = |lost: &LostOffsets| {
            let owner = self.model.owner(lost.queue).map(|(topic, _, id)| (topic.clone(), QueueId(id)));
            (owner, lost.from, lost.to.saturating_sub(1))
        };
        let found = told.lost.iter().map(|lost| (lost.topic.clone().zip(lost.queue), lost.from, lost.last));
        let place = (&told.file, told.position, told.log_position);
        match place == (&raw.file, raw.position, raw.lsn) && found.eq(raw.lost.iter().map(whose)) {
            true => Ok(()),
            false => Err(format!("{raw} is told as {told:?}")),
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
