//! What every log has to pass: one conformance suite, run against each of them.
//!
//! It exists so that the rules above can be tested on a log in memory and be right on a disk. The one idea to know: a
//! [`Subject`] makes a log and restarts it; the cases know nothing else of it but that a megabyte fills several of its
//! segments. Crashes, damage and full disks are not
//! here: they need a disk, see the tests of `LocalLog`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a failed case has to panic")]

use crate::{
    Append, Aside, Batch, Bounds, BucketId, Content, Durability, Entry, Log, LogQueue, Payload, Placed, Read,
    ReadLimits, Run, Ticket, Window, record, word_hash,
};
use bytes::Bytes;
use parking_lot::Mutex;
use sluice_model::{ErrorKind, Headers, Keys, Message, Millis, Offset, tag_hash};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

mod searches;

pub use searches::search;

/// A log under test.
pub trait Subject {
    /// The log as it is now.
    fn log(&self) -> Arc<dyn Log>;
    /// Closes the log in order and opens it again.
    fn restart(&mut self);
}

/// A case and its name.
pub type Case = (&'static str, fn(&mut dyn Subject));

/// The cases.
pub const CASES: &[Case] = &[
    ("offsets are contiguous in call order", offsets_are_contiguous_in_call_order),
    ("a message comes back whole", a_message_comes_back_whole),
    ("a group is placed together", a_group_is_placed_together),
    ("a done append is readable and was announced", a_done_append_is_readable_and_was_announced),
    ("reads keep their limits", reads_keep_their_limits),
    ("reads outside the bounds lead to the nearest", reads_outside_the_bounds_lead_to_the_nearest),
    ("tag filters skip and make progress", tag_filters_skip_and_make_progress),
    ("a batch covers its offsets", a_batch_covers_its_offsets),
    (
        "a batch is cut in two, and hidden when all of it is",
        a_batch_is_cut_in_two_and_hidden_when_all_of_it_is,
    ),
    (
        "what may be as young as asked is told from what is older",
        what_may_be_as_young_as_asked_is_told_from_what_is_older,
    ),
    ("an entry is found by its position", an_entry_is_found_by_its_position),
    ("an offset is found by its time", an_offset_is_found_by_its_time),
    ("an offset is found by what is to be kept", an_offset_is_found_by_what_is_to_be_kept),
    ("messages are found by their words", searches::messages_are_found_by_their_words),
    ("a search keeps its limits and goes on", searches::a_search_keeps_its_limits_and_goes_on),
    ("what is not kept or not safe is not found", searches::what_is_not_kept_is_not_found),
    ("states are shown in order", searches::states_are_shown_in_order),
    ("a forgotten queue is gone", a_forgotten_queue_is_gone),
    ("what is cut off is gone", what_is_cut_off_is_gone),
    ("replay tells everything in order", replay_tells_everything_in_order),
    ("the newest checkpoint comes back", the_newest_checkpoint_comes_back),
    ("trimming keeps what it must", trimming_keeps_what_it_must),
    ("a restart keeps everything", a_restart_keeps_everything),
    ("offsets go on after everything was trimmed", offsets_go_on_after_everything_was_trimmed),
    ("appenders at once do not disturb each other", appenders_at_once_do_not_disturb_each_other),
    ("too large entries and wrong batches are refused", too_large_entries_and_wrong_batches_are_refused),
    ("what is put aside comes back by time", what_is_put_aside_comes_back_by_time),
    ("a closed log refuses", a_closed_log_refuses),
];

/// Runs every case on a log of its own.
pub fn run(make: impl Fn() -> Box<dyn Subject>) {
    for (name, case) in CASES {
        // Shown with a failure, so that it is known which case it was.
        println!("case: {name}");
        case(&mut *make());
    }
}

/// Everything.
pub const ALL: ReadLimits<'static> =
    ReadLimits { max_count: usize::MAX, max_bytes: usize::MAX, max_examined: usize::MAX, tag_hashes: None };

/// A message with this body.
pub fn message(body: &str) -> Message {
    Message { body: Some(Bytes::copy_from_slice(body.as_bytes())), ..Message::default() }
}

/// A message with this body that is found by what comes before the body's colon, as its id and as a key.
pub fn named(body: &str) -> Message {
    let name = body.split(':').next().unwrap_or_default();
    Message { id: name.to_owned().into(), keys: Keys::joined(format!("all {name}")), ..message(body) }
}

/// An append of a message, stored at `stored`.
pub fn append(queue: u32, message: &Message, stored: Millis) -> Append<'_> {
    Append { queue: LogQueue(queue), payload: Payload::Message(message), stored, reserved_space: false }
}

/// An append of state, on reserved space.
pub fn state(bytes: &[u8]) -> Append<'_> {
    Append { queue: LogQueue(0), payload: Payload::State(bytes), stored: 1, reserved_space: true }
}

/// Appends one message and waits for it.
pub fn send(log: &dyn Log, queue: u32, body: &str, stored: Millis) -> Placed {
    let ticket = patiently(log, &[append(queue, &message(body), stored)], Durability::Sync);
    let placed = ticket.placed[0];
    ticket.done.wait().unwrap();
    placed
}

/// Appends a group, again while the log says that it is too fast: small segments are full before the next is ready.
pub fn patiently(log: &dyn Log, group: &[Append<'_>], durability: Durability) -> Ticket {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match log.append(group, durability) {
            Err(error) if error.kind() == ErrorKind::Throttled && Instant::now() < deadline => {
                thread::yield_now()
            }
            outcome => return outcome.unwrap(),
        }
    }
}

/// Reads, from the disk when it must.
pub fn read(log: &dyn Log, queue: u32, from: Offset, limits: &ReadLimits<'_>) -> Batch {
    match log.read(LogQueue(queue), from, limits).unwrap() {
        Read::Ready(batch) => batch,
        Read::Cold(read) => read().unwrap(),
    }
}

/// Reads a queue to its end.
pub fn read_all(log: &dyn Log, queue: u32) -> Vec<Entry> {
    let bounds = log.bounds(LogQueue(queue));
    let mut entries = Vec::new();
    let mut at = bounds.min;
    while at < bounds.next {
        let batch = read(log, queue, at, &ALL);
        assert!(batch.next > at, "a read inside the bounds makes progress");
        entries.extend(batch.entries);
        at = batch.next;
    }
    entries
}

/// The body of a message entry, or a batch, as text.
pub fn body(entry: &Entry) -> String {
    match &entry.content {
        Content::Message(message) => String::from_utf8(message.body_bytes().to_vec()).unwrap(),
        Content::Batch { bytes, .. } => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("not a message: {other:?}"),
    }
}

fn bodies(log: &dyn Log, queue: u32) -> Vec<String> {
    read_all(log, queue).iter().map(body).collect()
}

fn offsets_are_contiguous_in_call_order(subject: &mut dyn Subject) {
    let log = subject.log();
    let mut tickets = Vec::new();
    let mut end = 0;
    for n in 0..300u64 {
        let queue = (n % 3) as u32;
        assert_eq!(log.next_offset(LogQueue(queue)), n / 3);
        let body = format!("message {n}");
        let ticket = log.append(&[append(queue, &message(&body), n)], Durability::Sync).unwrap();
        assert_eq!(ticket.placed[0].offset, n / 3);
        assert!(ticket.placed[0].lsn >= end, "positions rise");
        end = ticket.placed[0].lsn + u64::from(ticket.placed[0].size);
        assert_eq!(log.end(), end);
        tickets.push(ticket);
    }
    tickets.into_iter().for_each(|ticket: Ticket| ticket.done.wait().unwrap());
    for queue in 0..3 {
        let entries = read_all(&*log, queue);
        let offsets: Vec<Offset> = entries.iter().map(|e| e.offset).collect();
        assert_eq!(offsets, (0..100).collect::<Vec<_>>());
        for (n, entry) in entries.iter().enumerate() {
            assert_eq!(body(entry), format!("message {}", n * 3 + queue as usize));
            assert_eq!(entry.stored, (n * 3 + queue as usize) as u64);
            assert_eq!((entry.queue, entry.count), (LogQueue(queue), 1));
        }
    }
}

fn a_message_comes_back_whole(subject: &mut dyn Subject) {
    let log = subject.log();
    let mut headers = Headers::builder();
    headers.push("a", Some(&[0, 255])).unwrap().push("a", None).unwrap();
    let sent = Message {
        body: None,
        key: Some(Bytes::from_static(&[0, 1])),
        tag: Some("tag".into()),
        headers: headers.build(),
        born: 12,
        deliver_at: Some(99),
        id: "id".into(),
        flag: -3,
        attempt: 2,
        ..Message::default()
    };
    log.append(&[append(5, &sent, 77)], Durability::Sync).unwrap().done.wait().unwrap();
    for _ in 0..2 {
        let entries = read_all(&*subject.log(), 5);
        assert_eq!(entries[0].stored, 77);
        assert!(matches!(&entries[0].content, Content::Message(m) if **m == sent));
        subject.restart();
    }
}

fn a_group_is_placed_together(subject: &mut dyn Subject) {
    let log = subject.log();
    let (one, two) = (message("one"), message("two"));
    let group = [append(1, &one, 1), state(b"state"), append(2, &two, 1), append(1, &two, 1)];
    let ticket = log.append(&group, Durability::Sync).unwrap();
    let placed = ticket.placed.to_vec();
    ticket.done.wait().unwrap();
    let offsets: Vec<Offset> = placed.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, [0, 0, 0, 1]);
    for pair in placed.windows(2) {
        assert_eq!(pair[0].lsn + u64::from(pair[0].size), pair[1].lsn, "nothing comes in between");
    }
    assert_eq!(bodies(&*log, 1), ["one", "two"]);
    assert_eq!(bodies(&*log, 2), ["two"]);
    let empty = log.append(&[], Durability::Sync).unwrap();
    assert!(empty.placed.is_empty());
    empty.done.wait().unwrap();
}

fn a_done_append_is_readable_and_was_announced(subject: &mut dyn Subject) {
    let log = subject.log();
    let seen = Arc::new(Mutex::new(BTreeMap::<u32, usize>::new()));
    let sink = Arc::clone(&seen);
    log.listen(Arc::new(move |queues| {
        let mut seen = sink.lock();
        queues.iter().for_each(|queue| *seen.entry(queue.0).or_default() += 1);
    }));
    let (a, b) = (message("a"), message("b"));
    let group = [append(1, &a, 1), append(1, &b, 1), append(2, &a, 1), state(b"s")];
    for durability in [Durability::Sync, Durability::Async] {
        log.append(&group, durability).unwrap().done.wait().unwrap();
    }
    assert_eq!(log.bounds(LogQueue(1)).next, 4);
    assert_eq!(log.bounds(LogQueue(2)).next, 2);
    let deadline = Instant::now() + Duration::from_secs(10);
    while *seen.lock() != BTreeMap::from([(1, 2), (2, 2)]) {
        assert!(Instant::now() < deadline, "announced: {:?}", seen.lock());
        thread::yield_now();
    }
}

fn reads_keep_their_limits(subject: &mut dyn Subject) {
    let log = subject.log();
    let sizes: Vec<u32> = (0..50).map(|n| send(&*log, 1, &format!("{n:04}"), 1).size).collect();
    let size = sizes[0] as usize;
    let batch = read(&*log, 1, 10, &ReadLimits { max_count: 7, ..ALL });
    assert_eq!((batch.entries.len(), batch.entries[0].offset, batch.next), (7, 10, 17));
    let batch = read(&*log, 1, 10, &ReadLimits { max_bytes: size * 3 + 1, ..ALL });
    assert_eq!((batch.entries.len(), batch.next), (3, 13));
    let batch = read(&*log, 1, 10, &ReadLimits { max_bytes: 0, ..ALL });
    assert_eq!((batch.entries.len(), batch.next), (1, 11), "one entry is always returned");
    assert_eq!(read(&*log, 1, 0, &ALL).next, 50);
}

fn reads_outside_the_bounds_lead_to_the_nearest(subject: &mut dyn Subject) {
    let log = subject.log();
    let unknown = read(&*log, 9, 5, &ALL);
    assert_eq!((unknown.entries.len(), unknown.next), (0, 0));
    send(&*log, 1, "a", 1);
    for from in [1, 2, u64::MAX] {
        let behind = read(&*log, 1, from, &ALL);
        assert_eq!((behind.entries.len(), behind.next), (0, 1));
    }
}

fn tag_filters_skip_and_make_progress(subject: &mut dyn Subject) {
    let log = subject.log();
    for n in 0..200 {
        let tag = (n % 4 != 0).then(|| format!("t{}", n % 4).into());
        let sent = Message { tag, ..message(&n.to_string()) };
        drop(log.append(&[append(1, &sent, 1)], Durability::Sync).unwrap());
    }
    log.append(&[], Durability::Sync).unwrap().done.wait().unwrap();
    let wanted = [tag_hash("t1"), tag_hash("t3")];
    for restarted in [false, true] {
        let log = subject.log();
        let batch = read(&*log, 1, 0, &ReadLimits { tag_hashes: Some(&wanted), ..ALL });
        let found: Vec<Offset> = batch.entries.iter().map(|e| e.offset).collect();
        assert_eq!(found, (0..200).filter(|n| n % 2 == 1).collect::<Vec<_>>(), "restarted: {restarted}");
        let none = [tag_hash("t0")];
        let limits = ReadLimits { tag_hashes: Some(&none), max_examined: 30, ..ALL };
        let batch = read(&*log, 1, 100, &limits);
        assert_eq!((batch.entries.len(), batch.next), (0, 130), "restarted: {restarted}");
        subject.restart();
    }
}

fn a_batch_covers_its_offsets(subject: &mut dyn Subject) {
    let log = subject.log();
    send(&*log, 1, "before", 1);
    let placed = send_batch(&*log, 1, 5, "five", 2);
    assert_eq!(placed.offset, 1);
    assert_eq!(send(&*log, 1, "after", 3).offset, 6);
    for _ in 0..2 {
        let log = subject.log();
        for from in 1..6 {
            let found = read(&*log, 1, from, &ReadLimits { max_count: 1, tag_hashes: Some(&[1]), ..ALL });
            assert_eq!((found.entries[0].offset, found.entries[0].count, found.next), (1, 5, 6), "{from}");
            let Content::Batch { encoding: 2, head, bytes } = &found.entries[0].content else {
                panic!("{:?}", found.entries[0].content);
            };
            assert_eq!((&head[..], &bytes[..]), (&b"head"[..], &b"five"[..]));
        }
        // A read counts offsets, and takes a batch whole.
        for (max_count, next) in [(1, 1), (2, 6), (6, 6), (7, 7)] {
            let found = read(&*log, 1, 0, &ReadLimits { max_count, ..ALL });
            assert_eq!(found.next, next, "{max_count}");
        }
        assert_eq!(log.find(&searches::search("word")).unwrap().entries[0].lsn, placed.lsn);
        assert!(log.find(&searches::search("other")).unwrap().entries.is_empty());
        subject.restart();
    }
}

/// Appends a batch that is found by "word".
fn send_batch(log: &dyn Log, queue: u32, count: u16, bytes: &str, newest: Millis) -> Placed {
    let keys = [word_hash("word")];
    let bytes = bytes.as_bytes();
    let payload = Payload::Batch { encoding: 2, count, newest, keys: &keys, head: b"head", bytes };
    let batch = Append { queue: LogQueue(queue), payload, stored: 2, reserved_space: false };
    let ticket = patiently(log, &[batch], Durability::Sync);
    ticket.done.wait().unwrap();
    ticket.placed[0]
}

fn a_batch_is_cut_in_two_and_hidden_when_all_of_it_is(subject: &mut dyn Subject) {
    let log = subject.log();
    let (first, second) = (send_batch(&*log, 1, 10, "a", 2), send_batch(&*log, 1, 10, "b", 2));
    for _ in 0..2 {
        let log = subject.log();
        log.cut(LogQueue(1), 4);
        assert_eq!(log.bounds(LogQueue(1)), Bounds { min: 4, next: 20 });
        let found = read(&*log, 1, 4, &ALL);
        assert_eq!(found.entries.iter().map(|e| e.offset).collect::<Vec<_>>(), [0, 10]);
        assert!(log.read_at(first.lsn).unwrap().is_some());
        log.cut(LogQueue(1), 10);
        assert!(log.read_at(first.lsn).unwrap().is_none());
        assert!(log.read_at(second.lsn).unwrap().is_some());
        assert_eq!(read(&*log, 1, 10, &ALL).entries.len(), 1);
        subject.restart();
    }
}

fn what_may_be_as_young_as_asked_is_told_from_what_is_older(subject: &mut dyn Subject) {
    let log = subject.log();
    let filler = "x".repeat(4000); // so that several segments are filled
    let made = |born| Message { born, ..message(&filler) };
    let at = |born, stored| {
        patiently(&*log, &[append(1, &made(born), stored)], Durability::Sync).done.wait().unwrap();
    };
    (0..100).for_each(|n| at(n * 10_000, n * 10_000));
    at(9_000_000, 1_000_000); // by a clock that is far ahead
    (101..200).for_each(|n| at(n * 10_000, n * 10_000));
    send_batch(&*log, 1, 3, "young", 9_000_000);
    for restarted in [false, true] {
        let log = subject.log();
        let maybe = |from, time| log.maybe_born(LogQueue(1), from, time).unwrap();
        assert_eq!(maybe(0, 500_000), 50, "restarted: {restarted}");
        assert_eq!(maybe(60, 500_000), 60);
        assert_eq!(maybe(0, 999_000), 100);
        assert_eq!(maybe(0, 1_500_000), 100, "the one that is ahead");
        assert_eq!(maybe(101, 1_500_000), 150);
        assert_eq!(maybe(101, 8_000_000), 200, "the batch");
        assert_eq!(maybe(202, 8_000_000), 202, "within it");
        assert_eq!(maybe(203, 0), 203, "the end");
        subject.restart();
    }
}

fn an_entry_is_found_by_its_position(subject: &mut dyn Subject) {
    let log = subject.log();
    let placed: Vec<Placed> = (0..20).map(|n| send(&*log, 1, &n.to_string(), 1)).collect();
    for _ in 0..2 {
        let log = subject.log();
        for (n, placed) in placed.iter().enumerate() {
            let entry = log.read_at(placed.lsn).unwrap().unwrap();
            assert_eq!((body(&entry), entry.offset, entry.size), (n.to_string(), n as u64, placed.size));
        }
        for nothing in [0, 1, placed[3].lsn + 8, placed[3].lsn + 1, log.end(), u64::MAX - 7] {
            assert!(log.read_at(nothing).unwrap().is_none(), "{nothing}");
        }
        subject.restart();
    }
}

fn an_offset_is_found_by_what_is_to_be_kept(subject: &mut dyn Subject) {
    let log = subject.log();
    let body = "x".repeat(20_000);
    let mut sizes = Vec::new();
    for n in 0..120 {
        // Others lie between them.
        send(&*log, 2, &body, n);
        sizes.push(u64::from(send(&*log, 1, &body[..(n as usize + 1) * 100], n).size));
    }
    drop(log);
    for _ in 0..2 {
        // Twice: what was summed up is remembered.
        for kept in [0, 1, 2, 60, 119, 120, 119, 3].into_iter().chain([120; 2]) {
            let log = subject.log();
            let bytes: u64 = sizes[120 - kept..].iter().sum();
            let wanted = 120 - kept as u64;
            assert_eq!(log.offset_keeping(LogQueue(1), bytes).unwrap(), wanted, "{kept}");
            assert_eq!(log.offset_keeping(LogQueue(1), bytes + 1).unwrap(), wanted, "{kept}");
            if kept > 0 {
                assert_eq!(log.offset_keeping(LogQueue(1), bytes - 1).unwrap(), wanted + 1, "{kept}");
            }
        }
        assert_eq!(subject.log().offset_keeping(LogQueue(9), 5).unwrap(), 0);
        let of_both = [1, 9].map(|queue| subject.log().size(LogQueue(queue)).unwrap());
        assert_eq!(of_both, [sizes.iter().sum(), 0]);
        subject.restart();
    }
    let log = subject.log();
    log.cut(LogQueue(1), 100);
    assert_eq!(log.offset_keeping(LogQueue(1), u64::MAX).unwrap(), 100);
}

fn an_offset_is_found_by_its_time(subject: &mut dyn Subject) {
    let log = subject.log();
    for stored in [10, 20, 20, 30] {
        send(&*log, 1, "x", stored);
    }
    for _ in 0..2 {
        let found: Vec<Offset> =
            [0, 10, 11, 20, 21, 31].map(|t| subject.log().offset_at(LogQueue(1), t).unwrap()).into();
        assert_eq!(found, [0, 0, 1, 1, 3, 4]);
        assert_eq!(subject.log().offset_at(LogQueue(9), 5).unwrap(), 0);
        subject.restart();
    }
    // A clock that is set back does not hide anything.
    for stored in [90, 40, 95] {
        send(&*subject.log(), 2, "x", stored);
    }
    for _ in 0..2 {
        let found: Vec<Offset> =
            [50, 91, 96].map(|t| subject.log().offset_at(LogQueue(2), t).unwrap()).into();
        assert_eq!(found, [0, 2, 3]);
        subject.restart();
    }
}

fn a_forgotten_queue_is_gone(subject: &mut dyn Subject) {
    let log = subject.log();
    let lsn = send(&*log, 1, "gone", 1).lsn;
    send(&*log, 2, "stays", 1);
    log.forget(LogQueue(1));
    assert_eq!(log.bounds(LogQueue(1)), crate::Bounds::default());
    assert!(read(&*log, 1, 0, &ALL).entries.is_empty());
    assert!(log.read_at(lsn).unwrap().is_none());
    let refused = log.append(&[append(1, &message("never"), 1)], Durability::Sync);
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::Conflict));
    assert_eq!(bodies(&*log, 2), ["stays"]);
}

fn what_is_cut_off_is_gone(subject: &mut dyn Subject) {
    let log = subject.log();
    let first = send(&*log, 1, "first", 1).lsn;
    send(&*log, 1, "second", 2);
    let third = send(&*log, 1, "third", 3).lsn;
    send(&*log, 2, "other", 3);
    log.cut(LogQueue(1), 2);
    for log in [log, {
        subject.restart();
        let log = subject.log();
        log.cut(LogQueue(1), 2);
        log
    }] {
        assert_eq!(log.bounds(LogQueue(1)), crate::Bounds { min: 2, next: 3 });
        assert_eq!(bodies(&*log, 1), ["third"]);
        assert_eq!(bodies(&*log, 2), ["other"]);
        assert_eq!(read(&*log, 1, 0, &ALL).next, 2);
        assert!(log.read_at(first).unwrap().is_none() && log.read_at(third).unwrap().is_some());
        assert_eq!(log.offset_at(LogQueue(1), 0).unwrap(), 2);
        log.cut(LogQueue(1), 1);
        assert_eq!(log.bounds(LogQueue(1)).min, 2, "nothing comes back");
    }
    let log = subject.log();
    log.cut(LogQueue(1), 3);
    assert_eq!(log.bounds(LogQueue(1)), crate::Bounds { min: 3, next: 3 });
    assert!(bodies(&*log, 1).is_empty());
    assert_eq!(send(&*log, 1, "fourth", 4).offset, 3);
    assert_eq!(bodies(&*log, 1), ["fourth"]);
}

fn replayed(log: &dyn Log, from: u64) -> Vec<String> {
    let mut seen = Vec::new();
    let mut last = 0;
    log.replay(from, &mut |entry| {
        assert!(entry.lsn >= from.max(last), "in the order of the log");
        last = entry.lsn + 1;
        seen.push(match &entry.content {
            Content::State(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => body(&entry),
        });
    })
    .unwrap();
    seen
}

fn replay_tells_everything_in_order(subject: &mut dyn Subject) {
    let log = subject.log();
    send(&*log, 1, "a", 1);
    log.append(&[state(b"b")], Durability::Sync).unwrap().done.wait().unwrap();
    let middle = log.end();
    let c = message("c");
    log.append(&[state(b"d"), append(2, &c, 1)], Durability::Sync).unwrap().done.wait().unwrap();
    for _ in 0..3 {
        assert_eq!(replayed(&*subject.log(), 0), ["a", "b", "d", "c"]);
        assert_eq!(replayed(&*subject.log(), middle), ["d", "c"]);
        subject.restart();
    }
    send(&*subject.log(), 1, "e", 1);
    assert_eq!(replayed(&*subject.log(), middle), ["d", "c", "e"]);
}

fn the_newest_checkpoint_comes_back(subject: &mut dyn Subject) {
    assert!(subject.log().checkpoint().unwrap().is_none());
    for n in 0..4 {
        let log = subject.log();
        send(&*log, 1, "x", 1);
        let at = log.end();
        let text = format!("state {n}");
        log.write_checkpoint(at, text.as_bytes()).unwrap();
        assert_eq!(log.checkpoint().unwrap(), Some((at, Bytes::from(text.clone()))));
        subject.restart();
        assert_eq!(subject.log().checkpoint().unwrap(), Some((at, Bytes::from(text))));
    }
}

/// Enough to fill several of the small segments that tests use.
fn fill(log: &dyn Log, count: usize) -> Vec<Placed> {
    let filler = "x".repeat(4000);
    (0..count).map(|n| send(log, 1, &format!("{n:06}{filler}"), n as u64)).collect()
}

fn trimming_keeps_what_it_must(subject: &mut dyn Subject) {
    let log = subject.log();
    let placed = fill(&*log, 300);
    log.trim(u64::MAX, u64::MAX).unwrap();
    assert_eq!(log.bounds(LogQueue(1)).min, 0, "without two checkpoints everything is kept");
    log.write_checkpoint(placed[200].lsn, b"older").unwrap();
    log.write_checkpoint(log.end(), b"newer").unwrap();
    log.trim(0, u64::MAX).unwrap();
    assert_eq!(log.bounds(LogQueue(1)).min, 0, "what is not old enough is kept");
    log.trim(u64::MAX, placed[100].lsn).unwrap();
    let min = log.bounds(LogQueue(1)).min;
    assert!(min <= 100, "what is pinned is kept");
    let kept = log.trim(u64::MAX, u64::MAX).unwrap();
    let later = log.bounds(LogQueue(1)).min;
    assert!((min..=200).contains(&later), "what the older checkpoint does not tell is kept");
    assert!(later > 0, "something went");
    assert!(kept <= placed[later as usize].lsn);
    for _ in 0..2 {
        let log = subject.log();
        assert_eq!(log.bounds(LogQueue(1)), crate::Bounds { min: later, next: 300 });
        let offsets: Vec<Offset> = read_all(&*log, 1).iter().map(|e| e.offset).collect();
        assert_eq!(offsets, (later..300).collect::<Vec<_>>());
        assert_eq!(read(&*log, 1, 0, &ALL).next, later);
        subject.restart();
    }
}

fn a_restart_keeps_everything(subject: &mut dyn Subject) {
    let mut sent = Vec::new();
    for round in 0..4 {
        for n in 0..30 {
            let text = format!("round {round} message {n}");
            assert_eq!(send(&*subject.log(), 1, &text, 1).offset, sent.len() as u64);
            sent.push(text);
        }
        subject.restart();
        assert_eq!(bodies(&*subject.log(), 1), sent);
        assert_eq!(subject.log().next_offset(LogQueue(1)), sent.len() as u64);
    }
}

fn offsets_go_on_after_everything_was_trimmed(subject: &mut dyn Subject) {
    let log = subject.log();
    send(&*log, 7, "early", 0);
    fill(&*log, 200);
    for checkpoint in [log.end() - 8, log.end()] {
        log.write_checkpoint(checkpoint, b"").unwrap();
    }
    log.trim(u64::MAX, u64::MAX).unwrap();
    drop(log);
    subject.restart();
    let bounds = subject.log().bounds(LogQueue(7));
    assert_eq!(bounds, crate::Bounds { min: 1, next: 1 });
    assert_eq!(send(&*subject.log(), 7, "late", 1).offset, 1);
    assert_eq!(bodies(&*subject.log(), 7), ["late"]);
}

fn appenders_at_once_do_not_disturb_each_other(subject: &mut dyn Subject) {
    let log = subject.log();
    thread::scope(|scope| {
        for appender in 0..8u32 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..100 {
                    send(&**log, appender % 3, &format!("{appender} {n:03}"), 1);
                }
            });
        }
    });
    let mut seen = 0;
    for queue in 0..3 {
        let entries = read_all(&*log, queue);
        let offsets: Vec<Offset> = entries.iter().map(|e| e.offset).collect();
        assert_eq!(offsets, (0..entries.len() as u64).collect::<Vec<_>>());
        let mut last = BTreeMap::<String, String>::new();
        for text in entries.iter().map(body) {
            let (appender, n) = text.split_once(' ').unwrap();
            let before = last.insert(appender.into(), n.into());
            assert!(before.is_none_or(|before| *before < *n), "each appender's messages keep their order");
        }
        seen += entries.len();
    }
    assert_eq!(seen, 800);
}

fn too_large_entries_and_wrong_batches_are_refused(subject: &mut dyn Subject) {
    let log = subject.log();
    let large = message(&"x".repeat(21 << 20));
    let refused = log.append(&[append(1, &message("small"), 1), append(1, &large, 1)], Durability::Sync);
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::TooLarge));
    for (encoding, count) in [(2, 0), (1, 3), (0, 3)] {
        let payload = Payload::Batch { encoding, count, newest: 0, keys: &[], head: b"", bytes: b"" };
        let batch = Append { queue: LogQueue(1), payload, stored: 1, reserved_space: false };
        let refused = log.append(&[batch], Durability::Sync);
        assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::InvalidArgument));
    }
    assert_eq!(log.next_offset(LogQueue(1)), 0, "after an error nothing was appended");
}

fn what_is_put_aside_comes_back_by_time(subject: &mut dyn Subject) {
    let bucket = BucketId { start: 100, made: 4096 };
    let encoded = |body: &str| {
        let mut bytes = Vec::new();
        record::encode(&message(body), 0, &mut bytes);
        bytes
    };
    let [a, b, c] = ["a", "b", "c"].map(encoded);
    let aside = |due, lsn, message| Aside { due, lsn, queue: LogQueue(7), message };
    let log = subject.log();
    assert!(log.buckets().list().unwrap().is_empty());
    let behind = log.buckets().put(bucket, 0, &mut [aside(120, 16, &b), aside(110, 8, &a)]).unwrap();
    // A crash may leave a run that nobody knows of: the next one takes its place.
    log.buckets().put(bucket, behind, &mut [aside(150, 24, &b)]).unwrap();
    log.buckets().put(bucket, behind, &mut [aside(115, 32, &c)]).unwrap();
    drop(log);
    for _ in 0..2 {
        let log = subject.log();
        let buckets = log.buckets();
        assert_eq!(buckets.list().unwrap(), [bucket]);
        let whole = Window { after: None, until: Millis::MAX };
        let mut cells = Vec::new();
        for run in [Run { at: 0, count: 2 }, Run { at: behind, count: 1 }] {
            assert_eq!(buckets.count(bucket, run, whole).unwrap(), run.count);
            buckets.cells(bucket, run, whole, 9, &mut cells).unwrap();
        }
        let keys: Vec<_> = cells.iter().map(|cell| (cell.due, cell.lsn, cell.queue.0)).collect();
        assert_eq!(keys, [(110, 8, 7), (120, 16, 7), (115, 32, 7)]);
        let messages = buckets.messages(bucket, &cells).unwrap();
        let bodies: Vec<_> = messages.into_iter().map(|m| m.unwrap().body_or_empty()).collect();
        assert_eq!(bodies, ["a", "b", "c"]);
        let other = Run { at: behind, count: 2 };
        assert_eq!(buckets.count(bucket, other, whole).unwrap_err().kind(), ErrorKind::Corrupt);
        subject.restart();
    }
    let log = subject.log();
    log.buckets().remove(bucket).unwrap();
    log.buckets().remove(bucket).unwrap();
    assert!(log.buckets().list().unwrap().is_empty());
}

fn a_closed_log_refuses(subject: &mut dyn Subject) {
    let log = subject.log();
    let ticket = log.append(&[append(1, &message("last"), 1)], Durability::Sync).unwrap();
    log.close().unwrap();
    ticket.done.wait().unwrap();
    let refused = log.append(&[append(1, &message("late"), 1)], Durability::Sync);
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::Unavailable));
    assert_eq!(log.write_checkpoint(0, b"").err().map(|e| e.kind()), Some(ErrorKind::Unavailable));
    drop(log);
    subject.restart();
    assert_eq!(bodies(&*subject.log(), 1), ["last"]);
}
