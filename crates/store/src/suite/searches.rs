//! Searching by a word, and looking through the states: the same answers from memory, from open and from sealed segments.

use super::{Subject, append, body, fill, message, patiently, state};
use crate::{Durability, Log, LogQueue, Lsn, Placed, Search, SearchBy, StateEntry};
use sluice_model::{ErrorKind, Keys, Message, Millis};

/// A search for everything with a word.
pub fn search(word: &str) -> Search<'_> {
    Search {
        word,
        by: SearchBy::KeyOrId,
        queues: None,
        from: 0,
        to: Millis::MAX,
        before: Lsn::MAX,
        max_count: usize::MAX,
        max_bytes: usize::MAX,
        max_examined: usize::MAX,
    }
}

fn found(log: &dyn Log, search: &Search<'_>) -> Vec<String> {
    let found = log.find(search).unwrap();
    assert_eq!(found.next, None, "everything was searched");
    found.entries.iter().map(body).collect()
}

/// Appends a message with an id and keys.
fn send_as(log: &dyn Log, queue: u32, text: &str, (id, keys): (&str, &str), stored: Millis) -> Placed {
    let sent = Message { id: id.to_owned().into(), keys: Keys::joined(keys.to_owned()), ..message(text) };
    let ticket = patiently(log, &[append(queue, &sent, stored)], Durability::Sync);
    let placed = ticket.placed[0];
    ticket.done.wait().unwrap();
    placed
}

pub(super) fn messages_are_found_by_their_words(subject: &mut dyn Subject) {
    for round in 0..3 {
        let log = subject.log();
        let at = 1000 * round;
        send_as(&*log, 1, &format!("a{round}"), ("same", "k1 k2"), at);
        // Several segments lie between.
        fill(&*log, 90);
        send_as(&*log, 2, &format!("b{round}"), ("same", "k2"), at + 1);
        send_as(&*log, 3, &format!("c{round}"), ("other", "same"), at + 2);
        send_as(&*log, 3, &format!("d{round}"), ("", " k3  k3 "), at + 3);
        subject.restart();
    }
    let log = subject.log();
    let all = |word| found(&*log, &search(word));
    assert_eq!(all("k1"), ["a2", "a1", "a0"], "newest first");
    assert_eq!(all("k2"), ["b2", "a2", "b1", "a1", "b0", "a0"]);
    assert_eq!(all("k3"), ["d2", "d1", "d0"], "each once");
    assert_eq!(all("same"), ["c2", "b2", "a2", "c1", "b1", "a1", "c0", "b0", "a0"]);
    for nothing in ["", "k", "K1", "k1 k2", "nothing"] {
        assert!(all(nothing).is_empty(), "{nothing:?}");
    }
    let by_id = Search { by: SearchBy::Id, ..search("same") };
    assert_eq!(found(&*log, &by_id), ["b2", "a2", "b1", "a1", "b0", "a0"]);
    let queues = [LogQueue(3), LogQueue(2)];
    let of_queues = Search { queues: Some(&queues), ..search("same") };
    assert_eq!(found(&*log, &of_queues), ["c2", "b2", "c1", "b1", "c0", "b0"]);
    assert!(found(&*log, &Search { queues: Some(&[]), ..search("same") }).is_empty());
    let between = Search { from: 1001, to: 2000, ..search("same") };
    assert_eq!(found(&*log, &between), ["a2", "c1", "b1"]);
}

pub(super) fn a_search_keeps_its_limits_and_goes_on(subject: &mut dyn Subject) {
    let log = subject.log();
    let text = "x".repeat(3000);
    for n in 0..200 {
        send_as(&*log, 1, &format!("{n:03}{text}"), (&format!("{n:03}"), "all"), 1);
    }
    let size = log.find(&Search { max_count: 1, ..search("all") }).unwrap().entries[0].size as usize;
    for restarted in [false, true] {
        let log = subject.log();
        let limited = [
            (Search { max_count: 7, ..search("all") }, 7),
            (Search { max_bytes: 3 * size - 1, ..search("all") }, 3),
            (Search { max_examined: 5, ..search("all") }, 5),
            (Search { max_count: 0, ..search("all") }, 1),
        ];
        for (first, each) in limited {
            let (mut seen, mut before) = (Vec::new(), Lsn::MAX);
            loop {
                let part = log.find(&Search { before, ..first }).unwrap();
                assert!(part.entries.len() <= each, "restarted: {restarted}");
                seen.extend(part.entries.iter().map(|entry| body(entry)[..3].to_owned()));
                let Some(next) = part.next else { break };
                assert!(next < before && !part.entries.is_empty());
                before = next;
            }
            assert_eq!(seen, (0..200).rev().map(|n| format!("{n:03}")).collect::<Vec<_>>());
        }
        // What is read in vain counts, and leads on.
        let nothing = Search { by: SearchBy::Id, max_examined: 9, ..search("all") };
        let part = log.find(&nothing).unwrap();
        assert!(part.entries.is_empty() && part.next.is_some());
        subject.restart();
    }
}

pub(super) fn what_is_not_kept_is_not_found(subject: &mut dyn Subject) {
    let log = subject.log();
    send_as(&*log, 7, "early", ("early", "k"), 0);
    fill(&*log, 200);
    for checkpoint in [log.end() - 8, log.end()] {
        log.write_checkpoint(checkpoint, b"").unwrap();
    }
    assert_eq!(found(&*log, &search("early")), ["early"]);
    log.trim(u64::MAX, u64::MAX).unwrap();
    assert!(found(&*log, &search("early")).is_empty());
    send_as(&*log, 8, "gone", ("gone", ""), 1);
    send_as(&*log, 9, "stays", ("gone", ""), 1);
    log.forget(LogQueue(8));
    assert_eq!(found(&*log, &search("gone")), ["stays"]);
}

pub(super) fn states_are_shown_in_order(subject: &mut dyn Subject) {
    let texts: Vec<String> = (0..60).map(|n| format!("state {n}")).collect();
    let mut begins = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let log = subject.log();
        let sent = message(&"x".repeat(4000));
        let ticket = patiently(&*log, &[append(1, &sent, 1), state(text.as_bytes())], Durability::Sync);
        begins.push(ticket.placed[1].lsn);
        ticket.done.wait().unwrap();
        if n % 25 == 24 {
            subject.restart();
        }
    }
    let log = subject.log();
    let (mut seen, mut at, mut steps) = (Vec::new(), 0, 0);
    while at < log.end() && steps < 1000 {
        let mut visit = |state: StateEntry<'_>| {
            assert_eq!(state.stored, 1);
            assert!(state.group < state.lsn, "a message comes before it in its group");
            seen.push((state.lsn, String::from_utf8(state.bytes.to_vec()).unwrap()));
        };
        let next = log.states(at, 10_000, &mut visit).unwrap();
        assert!(next > at, "it goes on");
        (at, steps) = (next, steps + 1);
    }
    assert_eq!(seen, begins.iter().copied().zip(texts.clone()).collect::<Vec<_>>());
    assert!(steps >= 15, "{steps} steps of about 10,000 bytes");
    let mut last = 0;
    log.states(begins[59], u64::MAX, &mut |state| last = state.lsn).unwrap();
    assert_eq!(last, begins[59]);
    let nowhere = log.states(begins[59] + 8, 1, &mut |_| ()).map_err(|e| e.kind());
    assert_eq!(nowhere, Err(ErrorKind::InvalidArgument));
    assert_eq!(log.states(log.end(), 1, &mut |_| panic!("there is none")).unwrap(), log.end());
}
