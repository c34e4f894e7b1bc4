//! A log in memory: [`MemoryLog`], for tests and for brokers that may forget.
//!
//! It exists so that rules can be tested without a disk, and still sees what a disk does: messages pass through the
//! record codec, entries become readable only when they are "durable", and [`MemoryLog::reopen`] plays a restart.
//! Nothing here survives the process; the log that does is `LocalLog`.

use crate::buckets::{BucketId, Buckets};
use crate::entry::{ALIGN, HEADER};
use crate::index::{IndexEntry, is_timely, select, tag_of};
use crate::keys::{self, search::Collector};
use crate::log::{
    Append, Batch, Bounds, Durability, Entry, Found, Kind, Listener, Log, LogQueue, Lsn, Payload, Placed,
    Places, Read, ReadLimits, Search, SearchBy, Space, StateEntry, Ticket,
};
use crate::record;
use crate::wake::Waiters;
use bytes::Bytes;
use parking_lot::Mutex;
use sluice_model::{Error, ErrorKind, Millis, Offset, Result};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

#[path = "memory_buckets.rs"]
mod memory_buckets;

/// Where the first entry lies: as in a file, behind a header page, so that no entry is at 0.
const START: Lsn = 4096;
/// The largest record, as on disk.
const MAX_ENTRY: usize = 20 << 20;

/// A log in memory. See the module.
pub struct MemoryLog {
    content: Arc<Mutex<Content>>,
    waiters: Arc<Waiters>,
    closed: AtomicBool,
    manual: bool,
    notices: Mutex<Option<mpsc::Sender<Vec<LogQueue>>>>,
}

/// What outlives a handle.
#[derive(Default)]
struct Content {
    entries: VecDeque<Stored>,
    queues: HashMap<u32, Queue, foldhash::fast::RandomState>,
    end: Lsn,
    visible: Lsn,
    checkpoints: Vec<(Lsn, Bytes)>,
    full: bool,
    buckets: BTreeMap<BucketId, Vec<u8>>,
}

#[derive(Clone)]
struct Stored {
    queue: LogQueue,
    kind: Kind,
    encoding: u8,
    index: IndexEntry,
    payload: Bytes,
    end: Lsn,
    /// Where its atomic group begins.
    group: Lsn,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<IndexEntry>,
    min: Offset,
    readable: Offset,
    next: Offset,
    forgotten: bool,
    /// What lies below is hidden.
    floor: Offset,
}

impl Queue {
    fn bounds(&self) -> Bounds {
        Bounds { min: self.min.max(self.floor), next: self.readable.max(self.floor) }
    }

    fn hides(&self, entry: &IndexEntry) -> bool {
        self.forgotten || entry.end() <= self.floor
    }
}

impl MemoryLog {
    /// An empty log whose entries are durable and readable at once.
    pub fn new() -> Self {
        Self::on(Arc::new(Mutex::new(Content { end: START, visible: START, ..Content::default() })), false)
    }

    /// An empty log whose entries become durable and readable only by [`MemoryLog::release`].
    pub fn manual() -> Self {
        Self { manual: true, ..Self::new() }
    }

    fn on(content: Arc<Mutex<Content>>, manual: bool) -> Self {
        let waiters = Waiters::new(content.lock().visible);
        Self { content, waiters, closed: AtomicBool::new(false), manual, notices: Mutex::new(None) }
    }

    /// Makes everything appended so far durable and readable.
    pub fn release(&self) {
        let end = self.content.lock().end;
        self.release_to(end);
    }

    /// Makes everything before `lsn` durable and readable.
    pub fn release_to(&self, lsn: Lsn) {
        let queues = self.content.lock().make_visible(lsn);
        self.waiters.publish(Durability::Sync, lsn);
        self.notify(queues);
        self.waiters.wake_all();
    }

    /// A fresh handle on the same content, as after a restart: what was not yet durable is lost, this handle refuses
    /// further appends, and deleted queues have to be forgotten again.
    pub fn reopen(&self) -> Self {
        self.closed.store(true, Ordering::SeqCst);
        self.waiters.fail("the log was reopened".into());
        self.content.lock().lose_unreleased();
        Self::on(Arc::clone(&self.content), self.manual)
    }

    /// Lets the log fail for good, as a disk does.
    pub fn fail(&self, reason: &str) {
        self.waiters.fail(reason.into());
    }

    /// Plays a full disk: messages are refused, state on reserved space is not.
    pub fn set_full(&self, full: bool) {
        self.content.lock().full = full;
    }

    fn refusal(&self) -> Option<Error> {
        if let Some(error) = self.waiters.failure() {
            return Some(error);
        }
        let closed = self.closed.load(Ordering::SeqCst);
        closed.then(|| Error::new(ErrorKind::Unavailable, "the log is closed"))
    }

    /// Hands the queues to the listener's thread: a listener may take locks that the appending caller holds.
    fn notify(&self, queues: Vec<LogQueue>) {
        if queues.is_empty() {
            return;
        }
        if let Some(notices) = &*self.notices.lock() {
            let _ = notices.send(queues);
        }
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Content {
    fn push(&mut self, append: &Append<'_>, payload: Bytes, group: Lsn) -> Placed {
        let (kind, encoding, count) = shape(&append.payload);
        let size = (HEADER + payload.len()).next_multiple_of(ALIGN as usize);
        let lsn = self.end;
        self.end += size as u64;
        let (tag_hash, opaque) = tag_of(&append.payload);
        let (stored, size) = (append.stored, size as u32);
        let timely = is_timely(&append.payload, stored);
        let mut index = IndexEntry { offset: 0, lsn, stored, size, tag_hash, count, timely, opaque };
        if kind == Kind::Message {
            let queue = self.queues.entry(append.queue.0).or_default();
            index.offset = queue.next;
            queue.next = index.end();
            queue.entries.push_back(index);
        }
        self.entries.push_back(Stored {
            queue: append.queue,
            kind,
            encoding,
            index,
            payload,
            end: self.end,
            group,
        });
        Placed { offset: index.offset, lsn, size }
    }

    fn from(&self, lsn: Lsn) -> impl Iterator<Item = &Stored> {
        let first = self.entries.partition_point(|e| e.index.lsn < lsn);
        self.entries.range(first..)
    }

    /// A readable message of one of the queues of a search that has one of its words.
    fn is_searchable(&self, stored: &Stored, search: &Search<'_>) -> bool {
        // As an index does: what exactly is meant is looked at then.
        let by = SearchBy::KeyOrId;
        let meant = || match stored.encoding {
            record::NATIVE => record::decode(&stored.payload, stored.index.stored)
                .is_ok_and(|message| keys::is_meant(&message, search.word, by)),
            _ => {
                let (mut is_meant, hash) = (false, keys::hash_of(search.word));
                record::each_batch_key(&stored.payload, |key| is_meant |= key == hash);
                is_meant
            }
        };
        stored.kind == Kind::Message
            && stored.end <= self.visible
            && search.queues.is_none_or(|queues| queues.contains(&stored.queue))
            && !self.queues.get(&stored.queue.0).is_some_and(|queue| queue.hides(&stored.index))
            && meant()
    }

    fn at(&self, lsn: Lsn) -> Option<&Stored> {
        self.from(lsn).next().filter(|e| e.index.lsn == lsn && e.end <= self.visible)
    }

    /// The queues that have new readable entries.
    fn make_visible(&mut self, lsn: Lsn) -> Vec<LogQueue> {
        let from = self.visible;
        self.visible = from.max(lsn.min(self.end));
        let first = self.entries.partition_point(|e| e.index.lsn < from);
        let mut queues = Vec::new();
        for entry in self.entries.range(first..) {
            if entry.end > self.visible {
                break;
            }
            if entry.kind == Kind::Message
                && let Some(queue) = self.queues.get_mut(&entry.queue.0)
            {
                queue.readable = entry.index.end();
                queues.push(entry.queue);
            }
        }
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    fn lose_unreleased(&mut self) {
        let visible = self.visible;
        while self.entries.back().is_some_and(|e| e.end > visible) {
            self.entries.pop_back();
        }
        self.end = visible;
        for queue in self.queues.values_mut() {
            queue.forgotten = false;
            queue.floor = 0;
            queue.next = queue.readable;
            while queue.entries.back().is_some_and(|e| e.lsn >= visible) {
                queue.entries.pop_back();
            }
        }
    }

    fn drop_front(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if entry.kind == Kind::Message
            && let Some(queue) = self.queues.get_mut(&entry.queue.0)
        {
            queue.entries.pop_front();
            queue.min = entry.index.end();
        }
    }
}

impl Stored {
    fn entry(&self) -> Result<Entry> {
        Ok(Entry {
            queue: self.queue,
            offset: self.index.offset,
            count: self.index.count,
            index: 0,
            lsn: self.index.lsn,
            size: self.index.size,
            stored: self.index.stored,
            content: record::content(self.kind, self.encoding, self.index.stored, &self.payload)?,
        })
    }
}

/// An entry's kind, encoding and number of offsets.
fn shape(payload: &Payload<'_>) -> (Kind, u8, u16) {
    match payload {
        Payload::Message(_) => (Kind::Message, record::NATIVE, 1),
        Payload::State(_) => (Kind::State, 0, 0),
        Payload::Batch { encoding, count, .. } => (Kind::Message, *encoding, *count),
    }
}

impl Log for MemoryLog {
    fn append(&self, group: &[Append<'_>], durability: Durability) -> Result<Ticket> {
        let payloads = group.iter().map(encode).collect::<Result<Vec<_>>>()?;
        let mut content = self.content.lock();
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        if content.full && group.iter().any(|a| !a.reserved_space) {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        let forgotten = |a: &&Append<'_>| {
            !matches!(a.payload, Payload::State(_))
                && content.queues.get(&a.queue.0).is_some_and(|q| q.forgotten)
        };
        if let Some(append) = group.iter().find(forgotten) {
            return Err(Error::new(ErrorKind::Conflict, format!("queue {} was deleted", append.queue.0)));
        }
        let begin = content.end;
        let each = group.iter().zip(payloads);
        let placed: Places = each.map(|(append, payload)| content.push(append, payload, begin)).collect();
        let end = content.end;
        drop(content);
        if !self.manual {
            self.release_to(end);
        }
        Ok(Ticket { placed, done: self.waiters.done(durability, end) })
    }

    fn end(&self) -> Lsn {
        self.content.lock().end
    }

    fn bounds(&self, queue: LogQueue) -> Bounds {
        let content = self.content.lock();
        let known = content.queues.get(&queue.0).filter(|q| !q.forgotten);
        known.map_or_else(Bounds::default, Queue::bounds)
    }

    fn next_offset(&self, queue: LogQueue) -> Offset {
        self.content.lock().queues.get(&queue.0).map_or(0, |q| q.next)
    }

    fn read(&self, queue: LogQueue, from: Offset, limits: &ReadLimits<'_>) -> Result<Read> {
        let bounds = self.bounds(queue);
        if from < bounds.min || from >= bounds.next {
            let next = from.clamp(bounds.min, bounds.next);
            return Ok(Read::Ready(Batch { entries: Vec::new(), next }));
        }
        let content = self.content.lock();
        let Some(known) = content.queues.get(&queue.0) else { return Ok(Read::Ready(Batch::default())) };
        let first = known.entries.partition_point(|e| e.end() <= from);
        let visible = |e: &IndexEntry| e.lsn < content.visible;
        let chosen = select(known.entries.range(first..).copied().take_while(visible), limits);
        let entries = chosen.entries.iter().filter_map(|e| content.at(e.lsn)).map(Stored::entry);
        Ok(Read::Ready(Batch {
            entries: entries.collect::<Result<_>>()?,
            next: chosen.next.unwrap_or(known.readable),
        }))
    }

    fn read_at(&self, lsn: Lsn) -> Result<Option<Entry>> {
        let content = self.content.lock();
        let hidden = |e: &&Stored| {
            e.kind == Kind::Message && content.queues.get(&e.queue.0).is_some_and(|q| q.hides(&e.index))
        };
        content.at(lsn).filter(|e| !hidden(e)).map(Stored::entry).transpose()
    }

    fn offset_at(&self, queue: LogQueue, time: Millis) -> Result<Offset> {
        let content = self.content.lock();
        let Some(known) = content.queues.get(&queue.0).filter(|q| !q.forgotten) else { return Ok(0) };
        let found = known.entries.iter().find(|e| e.stored >= time && e.lsn < content.visible);
        let bounds = known.bounds();
        Ok(found.map_or(bounds.next, |e| e.offset.max(bounds.min)))
    }

    fn offset_keeping(&self, queue: LogQueue, bytes: u64) -> Result<Offset> {
        let content = self.content.lock();
        let Some(known) = content.queues.get(&queue.0).filter(|q| !q.forgotten) else { return Ok(0) };
        let visible = known.entries.iter().rev().filter(|entry| entry.lsn < content.visible);
        let mut left = bytes;
        let mut first = known.bounds().next;
        for entry in visible {
            match left.checked_sub(u64::from(entry.size)) {
                Some(rest) => (left, first) = (rest, entry.offset),
                None => break,
            }
        }
        Ok(first.max(known.bounds().min))
    }

    fn maybe_born(&self, queue: LogQueue, from: Offset, time: Millis) -> Result<Offset> {
        let content = self.content.lock();
        let Some(known) = content.queues.get(&queue.0).filter(|q| !q.forgotten) else { return Ok(from) };
        let visible = known.entries.iter().take_while(|entry| entry.lsn < content.visible);
        let found = visible.filter(|entry| entry.end() > from).find(|entry| entry.may_be_born(time));
        let bounds = known.bounds();
        Ok(found.map_or(bounds.next, |entry| entry.offset).max(from).max(bounds.min))
    }

    fn find(&self, search: &Search<'_>) -> Result<Found> {
        let content = self.content.lock();
        let mut collector = Collector::new(search);
        for stored in content.entries.iter().rev().filter(|stored| content.is_searchable(stored, search)) {
            if !collector.offer(stored.index.lsn, || stored.entry().map(Some))? {
                break;
            }
        }
        Ok(collector.found)
    }

    fn states(&self, from: Lsn, max_bytes: u64, visit: &mut dyn FnMut(StateEntry<'_>)) -> Result<Lsn> {
        let content = self.content.lock();
        if from > START && from < content.end && content.from(from).next().is_none_or(|s| s.index.lsn != from)
        {
            return Err(Error::invalid(format!("no entry of the log begins at {from}")));
        }
        for stored in content.from(from).take_while(|stored| stored.end <= content.visible) {
            if stored.kind == Kind::State {
                let IndexEntry { lsn, stored: when, .. } = stored.index;
                let group = stored.group.max(from);
                visit(StateEntry { lsn, group, stored: when, bytes: &stored.payload });
            }
            let ends_group = content.from(stored.end).next().is_none_or(|next| next.group != stored.group);
            if ends_group && stored.end.saturating_sub(from) >= max_bytes {
                return Ok(stored.end);
            }
        }
        Ok(from.max(content.visible))
    }

    fn listen(&self, listener: Listener) {
        let (sender, notices) = mpsc::channel::<Vec<LogQueue>>();
        *self.notices.lock() = Some(sender);
        // It ends with the log, which owns the sender.
        let started = thread::Builder::new().name("memory-log".into()).spawn(move || {
            notices.iter().for_each(|queues| listener(&queues));
        });
        if let Err(error) = started {
            self.fail(&format!("no thread for the log's listener: {error}"));
        }
    }

    fn forget(&self, queue: LogQueue) {
        let mut content = self.content.lock();
        let queue = content.queues.entry(queue.0).or_default();
        queue.forgotten = true;
    }

    fn cut(&self, queue: LogQueue, below: Offset) {
        let mut content = self.content.lock();
        let queue = content.queues.entry(queue.0).or_default();
        queue.floor = queue.floor.max(below);
    }

    fn replay(&self, from: Lsn, visit: &mut dyn FnMut(Entry)) -> Result<()> {
        let stored: Vec<Stored> = {
            let content = self.content.lock();
            content.from(from).take_while(|e| e.end <= content.visible).cloned().collect()
        };
        stored.iter().try_for_each(|stored| stored.entry().map(&mut *visit))
    }

    fn checkpoint(&self) -> Result<Option<(Lsn, Bytes)>> {
        Ok(self.content.lock().checkpoints.last().cloned())
    }

    fn write_checkpoint(&self, at: Lsn, state: &[u8]) -> Result<()> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        // A disk would be synced up to there; under manual control this is what "wait until durable" comes to.
        self.release_to(at);
        let mut content = self.content.lock();
        content.checkpoints.push((at, Bytes::copy_from_slice(state)));
        let surplus = content.checkpoints.len().saturating_sub(2);
        content.checkpoints.drain(..surplus);
        Ok(())
    }

    fn trim(&self, older_than: Millis, pinned: Lsn) -> Result<Lsn> {
        let mut content = self.content.lock();
        let checkpointed = match &content.checkpoints[..] {
            [(older, _), _] => *older,
            _ => 0,
        };
        let keep_from = pinned.min(checkpointed).min(content.visible);
        while content.entries.front().is_some_and(|e| e.index.stored < older_than && e.end <= keep_from) {
            content.drop_front();
        }
        Ok(content.entries.front().map_or(content.end, |e| e.index.lsn))
    }

    fn buckets(&self) -> &dyn Buckets {
        self
    }

    fn space(&self) -> Space {
        let content = self.content.lock();
        let first = content.entries.front().map_or(content.end, |e| e.index.lsn);
        Space {
            log_bytes: content.end - first,
            used_per_mille: 0,
            accepts_messages: !content.full,
            tail_limit: u64::MAX,
        }
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = Error> + Send>> {
        Box::pin(self.waiters.failed())
    }

    fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.release();
        *self.notices.lock() = None;
        Ok(())
    }
}

fn encode(append: &Append<'_>) -> Result<Bytes> {
    let len = match &append.payload {
        Payload::Message(message) => record::max_len(message),
        Payload::State(bytes) => bytes.len(),
        Payload::Batch { keys, head, bytes, .. } => record::batch_len(keys, head, bytes),
    };
    if len + HEADER > MAX_ENTRY {
        return Err(record::too_large(len, MAX_ENTRY - HEADER));
    }
    Ok(match &append.payload {
        Payload::Message(message) => {
            let mut out = Vec::with_capacity(len);
            record::encode(message, append.stored, &mut out);
            out.into()
        }
        Payload::State(bytes) => Bytes::copy_from_slice(bytes),
        Payload::Batch { encoding, count, keys, head, bytes, .. } => {
            record::check_batch(*encoding, *count)?;
            let mut out = Vec::with_capacity(len);
            record::encode_batch(keys, head, bytes, &mut out);
            out.into()
        }
    })
}
