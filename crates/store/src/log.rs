//! The seam between the rules and the disk: [`Log`], and the few types it speaks.
//!
//! It is all that differs between one machine and many. Every log passes `store::suite`.

use crate::buckets::Buckets;
use crate::error::Damage;
pub use crate::keys::hash_of as word_hash;
pub use crate::wake::Done;
use bytes::Bytes;
use sluice_model::{Message, Millis, Offset, Result};
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

/// A queue's number in the log. The broker maps (topic, queue) to it; numbers are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogQueue(pub u32);

/// A byte position in the endless log: what [`sluice_model::StoredMessage::locator`] carries.
pub type Lsn = u64;

/// What an entry is. `State` entries are opaque to the store and are handed back in order at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message that consumers of its queue can read.
    Message,
    /// Something the broker must remember: a catalog change, an offset, a lease, a fired timer.
    State,
}

/// What an entry carries.
#[derive(Debug, Clone)]
pub enum Payload<'a> {
    /// A message, encoded by `record`.
    Message(&'a Message),
    /// Bytes that only the broker understands. A state entry takes no offset and no place in an index.
    State(&'a [u8]),
    /// A batch of several messages kept as the producer sent it, covering `count` offsets. `encoding` (2 and up) names
    /// the format; the store never looks inside, so it is told what its indexes need to know.
    Batch {
        /// The format, 2 and up.
        encoding: u8,
        /// How many offsets it covers, at least 1.
        count: u16,
        /// When the youngest of its messages was made.
        newest: Millis,
        /// By which words its messages are found: see [`word_hash`].
        keys: &'a [u64],
        /// What the broker says of the batch.
        head: &'a [u8],
        /// The batch itself.
        bytes: &'a [u8],
    },
}

/// One entry to append. Entries given together form an atomic group: after a crash all of them are there, or none.
#[derive(Debug, Clone)]
pub struct Append<'a> {
    /// The queue it belongs to; ignored for state.
    pub queue: LogQueue,
    /// Its content.
    pub payload: Payload<'a>,
    /// When it is stored, by the broker's clock.
    pub stored: Millis,
    /// Set when state has to survive even a full disk: acknowledgements, offsets, deletions.
    pub reserved_space: bool,
}

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// Written to the operating system: survives the end of the process. Synced at the latest 100 ms or 4 MiB later.
    Async,
    /// On the disk: survives a power cut.
    #[default]
    Sync,
}

/// Where an entry went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its first offset in its queue (0 for state).
    pub offset: Offset,
    /// Its record's position.
    pub lsn: Lsn,
    /// The size of its record.
    pub size: u32,
}

/// The promise of an append: where its entries are, and a future that resolves when they are safe.
///
/// Positions are known at once. Dropping the ticket does not undo the append.
#[must_use = "an append may be acknowledged only when its ticket resolves"]
pub struct Ticket {
    /// One place for each entry, in order.
    pub placed: Places,
    /// Resolves when the durability asked for holds. An error means that the log has failed for good and that the
    /// outcome is unknown.
    pub done: Done,
}

/// The places of a group's entries, in order; nearly always one, which needs no allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places(PlacesInner);

#[derive(Debug, Clone, PartialEq, Eq)]
enum PlacesInner {
    One([Placed; 1]),
    Many(Vec<Placed>),
}

impl Deref for Places {
    type Target = [Placed];

    fn deref(&self) -> &[Placed] {
        match &self.0 {
            PlacesInner::One(one) => one,
            PlacesInner::Many(many) => many,
        }
    }
}

impl FromIterator<Placed> for Places {
    fn from_iter<I: IntoIterator<Item = Placed>>(places: I) -> Self {
        let mut places = places.into_iter();
        match (places.next(), places.next()) {
            (Some(one), None) => Self(PlacesInner::One([one])),
            (first, second) => {
                Self(PlacesInner::Many(first.into_iter().chain(second).chain(places).collect()))
            }
        }
    }
}

/// How much to read.
#[derive(Debug, Clone)]
pub struct ReadLimits<'a> {
    /// At most so many offsets: a batch counts as many times as it has messages, and the one that goes beyond is the last.
    pub max_count: usize,
    /// At most so many bytes of records; one entry is always returned.
    pub max_bytes: usize,
    /// Examine at most so many index entries when a filter skips some.
    pub max_examined: usize,
    /// Only entries whose tag hash is among these (false positives are possible), or all.
    pub tag_hashes: Option<&'a [u32]>,
}

/// An entry as read back. Its bytes have passed their checksum.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its queue.
    pub queue: LogQueue,
    /// Its first offset.
    pub offset: Offset,
    /// How many offsets it covers: 1, or more for a batch.
    pub count: u16,
    /// Which message of its batch it is, when it was unpacked from one; the store itself never does that.
    pub index: u16,
    /// Its record's position.
    pub lsn: Lsn,
    /// The size of its record.
    pub size: u32,
    /// When it was stored.
    pub stored: Millis,
    /// Its content.
    pub content: Content,
}

/// The content of an entry as read back.
#[derive(Debug, Clone)]
pub enum Content {
    /// A message.
    Message(Box<Message>),
    /// The broker's own.
    State(Bytes),
    /// A batch as the producer sent it.
    Batch {
        /// The format, 2 and up.
        encoding: u8,
        /// What the broker said of the batch.
        head: Bytes,
        /// The batch itself.
        bytes: Bytes,
    },
}

/// What a read found.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The entries, by rising offset.
    pub entries: Vec<Entry>,
    /// The offset after the last one examined: where to read on, also when a filter let nothing pass.
    pub next: Offset,
}

/// The outcome of a read.
pub enum Read {
    /// Answered from memory.
    Ready(Batch),
    /// The bytes are on disk: call this where blocking is allowed.
    Cold(Box<dyn FnOnce() -> Result<Batch> + Send>),
}

/// The offsets that a queue holds: `min` is the first readable one, `next` the one after the last readable one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The first offset that has not been trimmed.
    pub min: Offset,
    /// The offset that the next visible message will have.
    pub next: Offset,
}

/// Which of a message's words a search means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchBy {
    /// The message's id.
    Id,
    /// One of the message's keys, or its id.
    KeyOrId,
}

/// A search for messages by a word, newest first.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The word, exactly.
    pub word: &'a str,
    /// What it has to be of the message.
    pub by: SearchBy,
    /// Only messages of these queues, or of all.
    pub queues: Option<&'a [LogQueue]>,
    /// Only messages stored at this time or later.
    pub from: Millis,
    /// Only messages stored at this time or earlier.
    pub to: Millis,
    /// Only records that begin before this position: [`Found::next`] of the search before, or [`Lsn::MAX`].
    pub before: Lsn,
    /// At most so many messages.
    pub max_count: usize,
    /// No further message once there are so many bytes of records.
    pub max_bytes: usize,
    /// Read at most so many records, also of messages that turn out not to be meant.
    pub max_examined: usize,
}

/// What a search found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The messages, newest first.
    pub entries: Vec<Entry>,
    /// Where to search on; nothing when everything there is has been searched.
    pub next: Option<Lsn>,
}

/// A state entry as [`Log::states`] shows it.
#[derive(Debug, Clone, Copy)]
pub struct StateEntry<'a> {
    /// Its record's position.
    pub lsn: Lsn,
    /// The same of the first entry seen of its atomic group.
    pub group: Lsn,
    /// When it was stored.
    pub stored: Millis,
    /// The broker's own bytes.
    pub bytes: &'a [u8],
}

/// What a look at what is stored came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Bytes that were read.
    pub bytes: u64,
    /// 1 when with them everything has been read once.
    pub passes: u64,
    /// When to call again; nothing when there is never anything to do.
    pub again: Option<Millis>,
}

/// Told of damage that was not known before, on the thread that came upon it. It must be quick, and must not call the log.
pub type DamageListener = Arc<dyn Fn(&Damage) + Send + Sync>;

/// How full the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of log kept.
    pub log_bytes: u64,
    /// How full the file system is, in per mille.
    pub used_per_mille: u16,
    /// False when messages are refused.
    pub accepts_messages: bool,
    /// How many bytes of its newest entries it keeps in memory at the most, at present.
    pub tail_limit: u64,
}

/// Called on the log's thread after each commit with the queues that have new readable entries. It must be quick, and
/// must not take a lock that is held around [`Log::write_checkpoint`] or [`Log::close`]: both wait for that thread.
pub type Listener = Arc<dyn Fn(&[LogQueue]) + Send + Sync>;

/// An append-only log of atomic groups.
pub trait Log: Send + Sync + 'static {
    /// Appends one atomic group. Positions are assigned before this returns, in call order; it never blocks on I/O
    /// beyond a bounded queue of unwritten bytes.
    ///
    /// # Errors
    /// `StorageFull` when messages are refused; `TooLarge` for an entry over the limit; `Throttled` when too many bytes
    /// wait to be written; `Unavailable` when the log has failed or is closed. After an error nothing was appended.
    fn append(&self, group: &[Append<'_>], durability: Durability) -> Result<Ticket>;

    /// The position after the last assigned entry.
    fn end(&self) -> Lsn;

    /// The readable offsets of a queue; an unknown queue has none.
    fn bounds(&self, queue: LogQueue) -> Bounds;

    /// The offset that the next append to this queue will get, visible or not.
    fn next_offset(&self, queue: LogQueue) -> Offset;

    /// Reads entries of a queue from an offset on. An offset outside the bounds gives an empty batch whose `next` is the
    /// nearest bound.
    ///
    /// # Errors
    /// `Corrupt` when stored bytes fail their checksum (never an empty answer in its place).
    fn read(&self, queue: LogQueue, from: Offset, limits: &ReadLimits<'_>) -> Result<Read>;

    /// The same for who reads all of a queue once, in the background: of what is read nothing is kept in memory, and
    /// nothing for it. May block on the disk.
    ///
    /// # Errors
    /// As for [`Log::read`].
    fn read_through(&self, queue: LogQueue, from: Offset, limits: &ReadLimits<'_>) -> Result<Batch> {
        match self.read(queue, from, limits)? {
            Read::Ready(batch) => Ok(batch),
            Read::Cold(read) => read(),
        }
    }

    /// Reads the entry whose record starts at `lsn`, or nothing when there is none (any more) or it is not yet readable.
    /// May block on the disk.
    ///
    /// # Errors
    /// `Corrupt`, as for [`Log::read`].
    fn read_at(&self, lsn: Lsn) -> Result<Option<Entry>>;

    /// The first offset whose store time is `time` or later; the queue's end when there is none.
    /// May block on the disk.
    fn offset_at(&self, queue: LogQueue, time: Millis) -> Result<Offset>;

    /// The first offset from which on a queue's entries take at most so many bytes of records.
    /// May block on the disk.
    ///
    /// # Errors
    /// `Corrupt`, as for [`Log::read`].
    fn offset_keeping(&self, queue: LogQueue, bytes: u64) -> Result<Offset>;

    /// The bytes of records that a queue's entries take; of those that were cut off, it may count what is still there.
    /// May block on the disk.
    ///
    /// # Errors
    /// `Corrupt`, as for [`Log::read`].
    fn size(&self, queue: LogQueue) -> Result<u64> {
        // The least that keeps all of it.
        let begin = self.bounds(queue).min;
        let (mut low, mut high) = (0, u64::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.offset_keeping(queue, middle)? <= begin {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        Ok(low)
    }

    /// The first offset from `from` on whose message may have been made at `time` or later; the queue's end when there is
    /// none. What lies before it was made earlier for certain. May block on the disk.
    ///
    /// # Errors
    /// `Corrupt`, as for [`Log::read`].
    fn maybe_born(&self, _queue: LogQueue, from: Offset, _time: Millis) -> Result<Offset> {
        Ok(from)
    }

    /// Finds messages by their id or by one of their keys, newest first. A batch that has a key of the word's hash is
    /// among what is found as it is: who can look inside tells whether it is meant. May block on the disk.
    ///
    /// # Errors
    /// `Corrupt`, as for [`Log::read`].
    fn find(&self, search: &Search<'_>) -> Result<Found>;

    /// Hands the readable state entries from `from` on to `visit`, in log order, until about `max_bytes` of log have been
    /// looked at. Returns the position where it ended: everything before was seen. Blocks on the disk.
    ///
    /// # Errors
    /// `InvalidArgument` when no entry begins at `from`; `Corrupt`, as for [`Log::read`].
    fn states(&self, from: Lsn, max_bytes: u64, visit: &mut dyn FnMut(StateEntry<'_>)) -> Result<Lsn>;

    /// Registers the one listener for new readable entries.
    fn listen(&self, listener: Listener);

    /// Forgets a deleted topic's queue: its entries become unreadable, its number is never used again.
    fn forget(&self, queue: LogQueue);

    /// Hides for good what a queue holds below an offset, at most all that is readable now. The space comes back with
    /// the parts of the log. Like a deleted queue it has to be told again after a start.
    fn cut(&self, queue: LogQueue, below: Offset);

    /// Hands every state entry and every message entry's header from `from` on to `visit`, in log order. Used at start,
    /// before anything else. `Content::Message` is given complete.
    ///
    /// # Errors
    /// `Corrupt` when bytes before acknowledged data are damaged.
    fn replay(&self, from: Lsn, visit: &mut dyn FnMut(Entry)) -> Result<()>;

    /// The newest checkpoint: the position up to which it tells everything, and its content.
    fn checkpoint(&self) -> Result<Option<(Lsn, Bytes)>>;

    /// Stores a checkpoint that tells everything before `at`. May block on the disk: it first waits until the log is
    /// durable up to `at`. Keeps the newest two.
    fn write_checkpoint(&self, at: Lsn, state: &[u8]) -> Result<()>;

    /// Deletes sealed parts of the log that hold only entries stored before `older_than` and lie wholly before `pinned`
    /// and before the older checkpoint. Returns the first position kept.
    fn trim(&self, older_than: Millis, pinned: Lsn) -> Result<Lsn>;

    /// Where messages lie that wait for a time far ahead.
    fn buckets(&self) -> &dyn Buckets;

    /// How full the disk is.
    fn space(&self) -> Space;

    /// Reads again a little of what is finished, when it is time for that, and looks whether it is as it was written. What
    /// is not is told to the listener and in [`Log::damages`]. Blocks on the disk.
    ///
    /// # Errors
    /// `Unavailable` when the disk cannot be read.
    fn scrub(&self) -> Result<Scrubbed> {
        Ok(Scrubbed::default())
    }

    /// What is known to be damaged, by reading or by [`Log::scrub`], in the order in which it was found.
    fn damages(&self) -> Vec<Damage> {
        Vec::new()
    }

    /// Registers the one listener for damage.
    fn listen_to_damage(&self, _listener: DamageListener) {}

    /// A task for a thread that runs tasks and appends: it commits on that thread, after its other tasks have had their
    /// turn, what they appended, so that no other thread need be woken. It never ends by itself. Each such thread may have
    /// one. Nothing when this log has no use for it. A thread that runs it must not block on a [`Ticket`].
    fn committer(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        None
    }

    /// Resolves when the log has failed for good, with the reason.
    fn failed(&self) -> Pin<Box<dyn Future<Output = sluice_model::Error> + Send>>;

    /// Writes and syncs what waits, marks a clean end, and refuses further appends. Blocks.
    fn close(&self) -> Result<()>;
}
