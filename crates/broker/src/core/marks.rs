//! What of a queue is shown no longer: what was cut off its front, and dead letters that went to their group again.
//!
//! The log keeps both until their segments go; here is noted that they do not count. What is marked one by one is kept
//! as ranges, so that a queue of dead letters that were all sent again costs one entry.

use serde::{Deserialize, Serialize};
use sluice_model::Offset;
use sluice_store::LogQueue;
use std::collections::{BTreeMap, HashMap};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    floors: HashMap<LogQueue, Offset, foldhash::fast::RandomState>,
    redriven: HashMap<LogQueue, BTreeMap<Offset, Offset>, foldhash::fast::RandomState>,
}

/// What a checkpoint keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SavedMarks {
    floors: Vec<(u32, Offset)>,
    redriven: Vec<(u32, Vec<(Offset, Offset)>)>,
}

impl Marks {
    /// What lies below an offset is cut off.
    pub(crate) fn cut(&mut self, queue: LogQueue, below: Offset) {
        let floor = self.floors.entry(queue).or_default();
        *floor = below.max(*floor);
    }

    /// Every queue that was cut, and where it begins since.
    pub(crate) fn floors(&self) -> impl Iterator<Item = (LogQueue, Offset)> + '_ {
        self.floors.iter().map(|(queue, below)| (*queue, *below))
    }

    /// Dead letters from one offset to another, which is not among them, went to their group again.
    pub(crate) fn redrive(&mut self, queue: LogQueue, from: Offset, to: Offset) {
        let ranges = self.redriven.entry(queue).or_default();
        let (mut from, mut to) = (from, to);
        // Those that touch become one.
        while let Some((start, end)) = ranges.range(..=to).next_back().map(|(start, end)| (*start, *end)) {
            if end < from {
                break;
            }
            ranges.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        ranges.insert(from, to);
    }

    /// The end of the range of redriven dead letters that an offset lies in, if it does.
    pub(crate) fn redriven(&self, queue: LogQueue, offset: Offset) -> Option<Offset> {
        let (_, end) = self.redriven.get(&queue)?.range(..=offset).next_back()?;
        (offset < *end).then_some(*end)
    }

    /// Lets go what the log no longer has.
    pub(crate) fn trim(&mut self, queue: LogQueue, min: Offset) {
        if let Some(ranges) = self.redriven.get_mut(&queue) {
            ranges.retain(|_, end| *end > min);
        }
    }

    /// Topics with these queues are gone.
    pub(crate) fn forget(&mut self, queues: &[LogQueue]) {
        for queue in queues {
            self.floors.remove(queue);
            self.redriven.remove(queue);
        }
    }

    pub(crate) fn save(&self) -> SavedMarks {
        let ranges = |ranges: &BTreeMap<Offset, Offset>| ranges.iter().map(|(a, b)| (*a, *b)).collect();
        let mut saved = SavedMarks {
            floors: self.floors.iter().map(|(queue, below)| (queue.0, *below)).collect(),
            redriven: self.redriven.iter().map(|(queue, own)| (queue.0, ranges(own))).collect(),
        };
        // The same in every run of a simulation.
        saved.floors.sort_unstable();
        saved.redriven.sort_unstable();
        saved
    }

    pub(crate) fn restore(saved: SavedMarks) -> Self {
        let redriven = saved.redriven.into_iter();
        Self {
            floors: saved.floors.into_iter().map(|(queue, below)| (LogQueue(queue), below)).collect(),
            redriven: redriven.map(|(queue, own)| (LogQueue(queue), own.into_iter().collect())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: LogQueue = LogQueue(16);

    fn ranges(marks: &Marks) -> Vec<(Offset, Offset)> {
        marks.redriven[&Q].iter().map(|(a, b)| (*a, *b)).collect()
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut marks = Marks::default();
        for (from, to) in [(10, 11), (5, 6), (12, 13), (11, 12), (0, 5)] {
            marks.redrive(Q, from, to);
        }
        assert_eq!(ranges(&marks), [(0, 6), (10, 13)]);
        assert_eq!((marks.redriven(Q, 5), marks.redriven(Q, 6)), (Some(6), None));
        assert_eq!((marks.redriven(Q, 9), marks.redriven(Q, 12)), (None, Some(13)));
        marks.redrive(Q, 3, 20);
        assert_eq!(ranges(&marks), [(0, 20)]);
        marks.trim(Q, 20);
        assert!(ranges(&marks).is_empty());
    }

    #[test]
    fn a_checkpoint_keeps_them() {
        let mut marks = Marks::default();
        marks.redrive(Q, 1, 3);
        marks.cut(Q, 7);
        marks.cut(Q, 5);
        let marks = Marks::restore(marks.save());
        assert_eq!((marks.redriven(Q, 2), marks.floors().collect::<Vec<_>>()), (Some(3), vec![(Q, 7)]));
    }
}
