//! What a consumer wrote beside an offset that it committed, and when.
//!
//! The one idea to know: a note speaks of one offset. Once the group's place on the queue is another (whoever moved it,
//! over whichever wire), the note is about nothing and is not shown.

use serde::{Deserialize, Serialize};
use sluice_model::{Millis, Offset};
use sluice_store::LogQueue;
use std::collections::HashMap;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// What it speaks of.
    pub(crate) offset: Offset,
    /// The epoch that the consumer read the last message in, if it said so.
    pub(crate) epoch: Option<i32>,
    pub(crate) text: String,
    /// When it was written, or the group went idle after it.
    pub(crate) at: Millis,
}

/// All notes, by group and queue.
#[derive(Debug, Default)]
pub(crate) struct Notes(HashMap<(u32, LogQueue), Note, foldhash::fast::RandomState>);

/// What a checkpoint keeps.
pub(crate) type SavedNotes = Vec<(u32, u32, Note)>;

impl Notes {
    pub(crate) fn put(&mut self, group: u32, queue: LogQueue, note: Note) {
        self.0.insert((group, queue), note);
    }

    /// The note on an offset, if the last one speaks of it.
    pub(crate) fn on(&self, group: u32, queue: LogQueue, offset: Offset) -> Option<&Note> {
        self.0.get(&(group, queue)).filter(|note| note.offset == offset)
    }

    /// The group has gone idle: what it wrote counts from now.
    pub(crate) fn idle(&mut self, group: u32, at: Millis) {
        for ((_, _), note) in self.0.iter_mut().filter(|((of, _), _)| *of == group) {
            note.at = note.at.max(at);
        }
    }

    pub(crate) fn remove(&mut self, group: u32, queue: LogQueue) {
        self.0.remove(&(group, queue));
    }

    /// Topics with these queues are gone.
    pub(crate) fn forget(&mut self, queues: &[LogQueue]) {
        self.0.retain(|(_, queue), _| !queues.contains(queue));
    }

    /// The groups that wrote notes, and when each did last.
    pub(crate) fn last_written(&self) -> HashMap<u32, Millis> {
        let mut last = HashMap::new();
        for ((group, _), note) in &self.0 {
            let at = last.entry(*group).or_insert(note.at);
            *at = note.at.max(*at);
        }
        last
    }

    pub(crate) fn save(&self) -> SavedNotes {
        let mut saved: SavedNotes =
            self.0.iter().map(|((group, queue), note)| (*group, queue.0, note.clone())).collect();
        // The same in every run of a simulation.
        saved.sort_unstable_by_key(|(group, queue, _)| (*group, *queue));
        saved
    }

    pub(crate) fn restore(saved: SavedNotes) -> Self {
        Self(saved.into_iter().map(|(group, queue, note)| ((group, LogQueue(queue)), note)).collect())
    }
}
