//! `sluice doctor` and `sluice repair` on a folder that a broker has left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use sluice_auth::{Auth, Credentials};
use sluice_broker::{Broker, SendRequest};
use sluice_model::{Message, SystemClock, TopicName};
use sluice_server::config::Config;
use sluice_server::doctor::{doctor, mend};
use sluice_server::failure::Failure;
use sluice_store::LocalLog;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn open(dir: &Path) -> Broker {
    let log = LocalLog::open(dir, sluice_store::Config::default(), Arc::new(SystemClock)).unwrap();
    Broker::open(Arc::new(log), Arc::new(Auth::open()), Arc::new(SystemClock), Default::default()).unwrap()
}

/// A folder with three messages, and its one segment.
async fn left(dir: &Path) -> PathBuf {
    let broker = open(dir);
    let me = broker.login_now(Credentials::Anonymous, ([127, 0, 0, 1], 1).into()).unwrap();
    for n in 0..3 {
        let message = Message { body: Some(format!("the body {n}").into()), ..Message::default() };
        let request =
            SendRequest { create: Some(1), ..SendRequest::one(TopicName::new("orders").unwrap(), message) };
        broker.send(&me, request).unwrap().await.unwrap();
    }
    broker.close().unwrap();
    fs::read_dir(dir.join("log")).unwrap().next().unwrap().unwrap().path()
}

fn run(
    verb: impl Fn(&Config, &mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure>,
    dir: &Path,
) -> (String, Result<(), Failure>) {
    let config = Config { data_dir: dir.into(), ..Config::default() };
    let mut text = String::new();
    let outcome = verb(&config, &mut |more| {
        text.push_str(more);
        Ok(())
    });
    (text, outcome)
}

#[tokio::test]
async fn a_sound_folder_is_said_to_be_sound() {
    let dir = tempfile::tempdir().unwrap();
    left(dir.path()).await;
    let (text, outcome) = run(doctor, dir.path());
    outcome.unwrap();
    for part in ["file system: ", "free space: ", "sync of 4 KiB: ", "log: 1 segments", "nothing is damaged"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(!dir.path().join("doctor.probe").exists());
    assert!(!text.contains("note: "), "{text}");
    fs::create_dir_all(dir.path().join("timer")).unwrap();
    for stray in ["stray", "log/stray", "ckpt/stray", "pool/stray", "timer/stray"] {
        fs::write(dir.path().join(stray), "x").unwrap();
    }
    let (text, outcome) = run(doctor, dir.path());
    outcome.unwrap();
    for part in [
        "note: stray is none",
        "log/stray is no segment",
        "ckpt/stray is no checkpoint",
        "pool/stray is no",
        "timer/stray is no",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let (text, outcome) = run(mend, dir.path());
    outcome.unwrap();
    assert!(text.contains("nothing was changed"), "{text}");
}

#[tokio::test]
async fn damage_is_told_by_topic_and_offset_and_a_repair_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let segment = left(dir.path()).await;
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(10).position(|part| part == b"the body 1").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (text, outcome) = run(doctor, dir.path());
    assert!(matches!(outcome, Err(Failure::Damaged(_))));
    assert!(text.contains("lost: topic orders, queue 0, offsets 1 to 1"), "{text}");
    assert!(text.contains(&segment.display().to_string()), "{text}");
    let (text, outcome) = run(mend, dir.path());
    outcome.unwrap();
    assert!(text.contains("kept aside: ") && text.contains("repaired"), "{text}");
    run(doctor, dir.path()).1.unwrap();
    let broker = open(dir.path());
    let me = broker.login_now(Credentials::Anonymous, ([127, 0, 0, 1], 1).into()).unwrap();
    assert!(matches!(run(doctor, dir.path()).1, Err(Failure::NotAvailable(_))), "a broker runs there");
    let topic = TopicName::new("orders").unwrap();
    assert_eq!(broker.bounds(&me, &topic, sluice_model::QueueId(0)).unwrap(), (0, 3));
    broker.close().unwrap();
}

#[tokio::test]
async fn when_every_segment_is_gone_what_the_checkpoint_knew_is_told_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    let segment = left(dir.path()).await;
    fs::remove_file(&segment).unwrap();
    let (text, outcome) = run(doctor, dir.path());
    assert!(matches!(outcome, Err(Failure::Damaged(_))), "{text}");
    assert!(text.contains("a checkpoint tells of entries up to log position"), "{text}");
    assert!(text.contains("lost: topic orders, queue 0, offsets 0 to 2"), "{text}");
    let (text, outcome) = run(mend, dir.path());
    outcome.unwrap();
    assert!(text.contains("lost: topic orders, queue 0, offsets 0 to 2"), "{text}");
    assert!(text.contains("repaired"), "{text}");
    run(doctor, dir.path()).1.unwrap();
    open(dir.path()).close().unwrap();
}

#[tokio::test]
async fn what_costs_no_message_says_what_takes_its_place() {
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let told = [
        ("ckpt", "the log takes its place"),
        ("log", "its entries tell what it said"),
        ("meta", "the segments tell what it said"),
        ("log and meta", "files tell what it said"),
        ("all", "a repair gives it a new name"),
    ];
    for (what, words) in told {
        let dir = tempfile::tempdir().unwrap();
        let segment = left(dir.path()).await;
        let checkpoint = fs::read_dir(dir.path().join("ckpt")).unwrap().next().unwrap().unwrap().path();
        match what {
            "ckpt" => flip(&checkpoint, 100),
            "log" => flip(&segment, 20),
            _ => fs::write(dir.path().join("store.meta"), "x").unwrap(),
        }
        if matches!(what, "log and meta" | "all") {
            flip(&segment, 20);
            // An index tells it as well, at the end.
            let footer = fs::metadata(&segment).unwrap().len() as usize - 4096;
            flip(&segment, footer + 20);
        }
        if what == "all" {
            fs::read_dir(dir.path().join("ckpt")).unwrap().for_each(|file| flip(&file.unwrap().path(), 20));
        }
        let (text, outcome) = run(doctor, dir.path());
        assert!(matches!(outcome, Err(Failure::Damaged(_))), "{text}");
        assert!(text.contains(words) && !text.contains("lost: "), "{text}");
        run(mend, dir.path()).1.unwrap();
        run(doctor, dir.path()).1.unwrap();
        let broker = open(dir.path());
        let me = broker.login_now(Credentials::Anonymous, ([127, 0, 0, 1], 1).into()).unwrap();
        let topic = TopicName::new("orders").unwrap();
        assert_eq!(broker.bounds(&me, &topic, sluice_model::QueueId(0)).unwrap(), (0, 3));
        broker.close().unwrap();
    }
}

#[tokio::test]
async fn what_no_file_tells_of_any_more_is_beyond_repair() {
    let dir = tempfile::tempdir().unwrap();
    let segment = left(dir.path()).await;
    fs::remove_file(segment).unwrap();
    let checkpoints = fs::read_dir(dir.path().join("ckpt")).unwrap();
    checkpoints.for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
    fs::write(dir.path().join("store.meta"), "x").unwrap();
    match run(mend, dir.path()).1 {
        Err(Failure::Damaged(text)) => {
            assert!(text.contains("beyond repair, so restore a backup"), "{text}");
            assert!(text.contains("which store this is"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

/// Delayed messages are put aside, and one of them is harmed, or the index of all.
async fn waiting(dir: &Path, record: bool) -> (PathBuf, u64) {
    let broker = open(dir);
    let me = broker.login_now(Credentials::Anonymous, ([127, 0, 0, 1], 1).into()).unwrap();
    let due = broker.now() + 10 * 3_600_000;
    for n in 0..3 {
        let body = Some(format!("the body {n}").into());
        let message = Message { body, deliver_at: Some(due), ..Message::default() };
        let request =
            SendRequest { create: Some(1), ..SendRequest::one(TopicName::new("later").unwrap(), message) };
        broker.send(&me, request).unwrap().await.unwrap();
    }
    assert_eq!(broker.put_far_aside().await.unwrap(), 3);
    broker.close().unwrap();
    let file = fs::read_dir(dir.join("timer")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(10).position(|part| part == b"the body 1").unwrap();
    bytes[if record { at } else { 70 }] ^= 1;
    fs::write(&file, bytes).unwrap();
    (file, due)
}

#[tokio::test]
async fn damage_of_delayed_messages_is_told_by_topic_and_due_time() {
    for record in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (file, due) = waiting(dir.path(), record).await;
        let (text, outcome) = run(doctor, dir.path());
        assert!(matches!(outcome, Err(Failure::Damaged(_))), "{text}");
        assert!(text.contains(&format!("DAMAGED: {} at byte ", file.display())), "{text}");
        if record {
            let lost = format!("lost: 1 delayed messages, topic later, queue 0, due from {due} to {due}");
            assert!(text.contains(&lost), "{text}");
        } else {
            assert!(
                text.contains("lost: 3 delayed messages, of topics that are not known any more"),
                "{text}"
            );
        }
        let (text, outcome) = run(mend, dir.path());
        outcome.unwrap();
        assert!(text.contains("kept aside: ") && text.contains("repaired"), "{text}");
        run(doctor, dir.path()).1.unwrap();
        open(dir.path()).close().unwrap();
    }
}

#[test]
fn a_folder_without_data_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(run(doctor, dir.path()).1, Err(Failure::Config(_))));
    assert!(matches!(run(mend, dir.path()).1, Err(Failure::Config(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
