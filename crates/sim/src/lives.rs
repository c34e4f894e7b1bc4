//! The node's lives: how one ends, and what has to be there when the next one begins.
//!
//! The one idea to know: the log is one sequence, so what a crash leaves is described by one position. Everything with
//! an end up to it is there, nothing behind it is; and it may not lie before what was acknowledged or shown.

use crate::connected::Connections;
use crate::members::Live;
use crate::model::Model;
use crate::node::{Asked, Check, Node, open_broker, open_log};
use crate::people;
use crate::spy::{Item, Spy};
use crate::tally;
use sluice_store::{Entry, LocalLog, Log, Lsn};
use std::sync::Arc;

/// How the world was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// In order.
    Close,
    /// The process ends; the system's cache stays.
    Kill,
    /// The power fails.
    PowerCut(u64),
}

impl Node {
    /// Ends the node, starts it again, and checks what it knows.
    pub fn crash(&mut self, crash: Crash) -> Check {
        self.tally.crashes += 1;
        self.fault(match crash {
            Crash::Close => tally::CLOSED,
            Crash::Kill => tally::KILLED,
            Crash::PowerCut(_) => tally::POWER_CUT,
        });
        self.trace.note(format_args!("{crash:?} at {}", self.spy.end()));
        self.answered()?;
        self.is_ready_until_it_fails()?;
        self.trimmed = self.trimmed.max(self.spy.trimmed_before());
        self.latest = self.now();
        let everything = self.spy.end();
        let closed = crash == Crash::Close && !self.is_down() && self.close()?;
        let floor = match crash {
            _ if closed => self.history.last().map_or(0, |group| group.end),
            Crash::Close | Crash::Kill => self.floor_kill,
            Crash::PowerCut(_) => self.floor_power,
        };
        self.vfs = match crash {
            Crash::PowerCut(seed) => self.vfs.power_cut(seed),
            Crash::Close | Crash::Kill => self.vfs.restart(),
        };
        (self.is_full, self.was_full, self.was_unreadable) = (false, false, false);
        self.vfs.set_capacity(1 << 40);
        self.pending.clear();
        self.waits.clear();
        self.receipts.clear();
        let (log, power_failed) = self.reopen()?;
        let floor = if power_failed && !closed { floor.min(self.floor_power) } else { floor };
        let mut found = Vec::new();
        log.replay(0, &mut |entry| found.push(entry)).map_err(|e| format!("no replay: {e:?}"))?;
        let told = log.checkpoint().map_err(|e| format!("no checkpoint: {e:?}"))?.map_or(0, |(at, _)| at);
        let end = found.last().map_or(0, |entry| entry.lsn + u64::from(entry.size)).max(told);
        self.survived(end, floor, everything)?;
        self.once.retain(|once| once.end <= end);
        self.waiting.retain(|(_, _, lsn)| *lsn < end);
        self.replayed(&found)?;
        self.begin(log)
    }

    fn close(&mut self) -> Check<bool> {
        self.holders.clear();
        self.absorb(&self.all_held())?;
        self.live.clear();
        self.absorb(&Asked::default())?;
        let closed = self.broker.close();
        self.absorb(&Asked::default())?;
        match closed {
            Ok(()) => Ok(true),
            Err(_) if self.is_down() || self.is_full || self.was_full || self.was_unreadable => Ok(false),
            Err(error) => Err(format!("closing fails: {error:?}")),
        }
    }

    /// Opens the log; a start may be cut short as well. Says whether the power failed before one had come to its end.
    fn reopen(&mut self) -> Check<(LocalLog, bool)> {
        let (mut opened, mut power_failed) = (false, false);
        for _ in 0..self.dice.below(3) {
            self.vfs.stop_at(1 + self.dice.below(40));
            match open_log(&self.vfs, &self.clock) {
                Ok(log) => {
                    opened = true;
                    drop(log);
                }
                Err(_) if self.vfs.has_stopped() => {}
                Err(error) => return Err(format!("the log does not open: {error}")),
            }
            self.tally.crashes += 1;
            self.fault(tally::STOPPED_AT_START);
            let seed = self.dice.number();
            let cut = self.dice.coin();
            power_failed |= cut && !opened;
            self.trace.note(format_args!("stopped while opening, {cut}"));
            self.vfs = if cut { self.vfs.power_cut(seed) } else { self.vfs.restart() };
        }
        let log =
            open_log(&self.vfs, &self.clock).map_err(|error| format!("the log does not open: {error}"))?;
        Ok((log, power_failed))
    }

    /// The log goes up to `end`: nothing acknowledged may be missing, and no group may be there in part.
    fn survived(&mut self, end: Lsn, floor: Lsn, everything: Lsn) -> Check {
        self.trace.note(format_args!("survived up to {end}, at least {floor}, of {everything}"));
        self.checked(tally::NOTHING_LOST);
        if end < floor {
            return Err(format!("the log ends at {end}, but everything up to {floor} was acknowledged"));
        }
        if let Some(group) = self.history.iter().find(|group| group.begin < end && end < group.end) {
            return Err(format!("the log ends at {end}, within the group {} to {}", group.begin, group.end));
        }
        self.history.retain(|group| group.end <= end);
        self.acked.retain(|_, group| *group <= end);
        // Whatever a start has found stays.
        (self.floor_kill, self.floor_power) = (end, end);
        self.model = Model::fold(&self.history);
        Ok(())
    }

    fn begin(&mut self, log: LocalLog) -> Check {
        self.spy = Arc::new(Spy::new(log));
        self.holders.clear();
        // What the old process still does reaches nobody any more.
        self.live = Live::default();
        self.cursors.clear();
        self.guests.clear();
        self.signers.clear();
        self.checkpoint = None;
        self.next_holder = 1;
        self.broker = open_broker(&self.vfs, &self.spy, &self.clock)
            .map_err(|e| format!("the broker does not open: {e:?}"))?;
        self.connections = Connections::of(&self.broker);
        self.me = people::login(&self.broker)?;
        if self.broker.store_id() != self.store_id {
            return Err("the store is called otherwise than before".to_owned());
        }
        self.absorb(&Asked::default())?;
        self.compare()
    }

    /// The log's entries are those that were appended, in order, and only old ones are missing.
    fn replayed(&mut self, found: &[Entry]) -> Check {
        let first = found.first().map_or(Lsn::MAX, |entry| entry.lsn);
        let mut left = found.iter();
        for group in &self.history {
            for item in &group.items {
                let lsn = item.lsn();
                if lsn < first {
                    if group.stored >= self.trimmed {
                        return Err(format!("the entry at {lsn} is gone before its time"));
                    }
                    continue;
                }
                let same = left.next().is_some_and(|entry| same(item, entry));
                if !same {
                    return Err(format!("the entry at {lsn} does not come back as it was"));
                }
            }
        }
        self.checked(tally::NOTHING_INVENTED);
        match left.next() {
            Some(entry) => Err(format!("the entry at {} is invented", entry.lsn)),
            None => Ok(()),
        }
    }
}

/// Whether an entry is what was appended.
pub fn same(item: &Item, entry: &sluice_store::Entry) -> bool {
    match (item, &entry.content) {
        (Item::State { lsn, bytes }, sluice_store::Content::State(found)) => {
            *lsn == entry.lsn && bytes == found
        }
        (Item::Message { queue, offset, lsn, message, .. }, sluice_store::Content::Message(found)) => {
            (*lsn, *queue, *offset) == (entry.lsn, entry.queue.0, entry.offset) && message == found
        }
        (
            Item::Batch { queue, offset, lsn, count, encoding, head, bytes, .. },
            sluice_store::Content::Batch { encoding: e, head: h, bytes: b },
        ) => {
            let place = (entry.lsn, entry.queue.0, entry.offset, entry.count);
            (*lsn, *queue, *offset, *count) == place && (encoding, head, bytes) == (e, h, b)
        }
        _ => false,
    }
}
