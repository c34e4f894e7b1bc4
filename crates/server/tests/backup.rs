//! `sluice backup` of a broker under load, `sluice restore`, and a broker on what was restored.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

mod running;

use parking_lot::Mutex;
use running::{Running, output, sluice};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const QUEUES: u64 = 4;

/// What was sent, and where what was acknowledged lies.
#[derive(Default)]
struct Ledger {
    sent: HashSet<String>,
    acknowledged: HashMap<String, (u64, u64)>,
}

fn with_small_segments(data: &Path) -> Command {
    let mut command = sluice(data);
    command.env("SLUICE_STORE__SEGMENT_SIZE", "1MiB");
    command
}

fn send(broker: &Running, name: &str, ledger: &Mutex<Ledger>, stop: &AtomicBool) {
    let mut client = broker.client();
    for n in 0.. {
        let body = format!("{name}-{n}-{}", "x".repeat(n * 131 % 4000));
        ledger.lock().sent.insert(body.clone());
        let Some((status, answer)) = client.try_call("POST", "/v1/topics/orders/messages", &body) else {
            assert!(stop.load(Ordering::SeqCst), "the connection broke");
            return;
        };
        if stop.load(Ordering::SeqCst) {
            return;
        }
        assert_eq!(status, 201, "{answer}");
        let place = (answer["queue"].as_u64().unwrap(), answer["offset"].as_u64().unwrap());
        ledger.lock().acknowledged.insert(body, place);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_backup_under_load_holds_everything_acknowledged_before_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    let mut broker = Running::start(with_small_segments(&data), &log);
    let (ledger, stop) = (Mutex::new(Ledger::default()), AtomicBool::new(false));
    let settings = format!("{{\"queues\":{QUEUES}}}");
    let (status, answer) = broker.client().call("PUT", "/v1/topics/orders", &settings);
    assert!(status < 300, "{answer}");
    let mut before = Vec::new();
    std::thread::scope(|scope| {
        for sender in ["a", "b", "c"] {
            let (broker, ledger, stop) = (&broker, &ledger, &stop);
            scope.spawn(move || send(broker, sender, ledger, stop));
        }
        for round in 1..=3 {
            let begun = Instant::now();
            while ledger.lock().acknowledged.len() < 400 * round {
                assert!(begun.elapsed() < running::DEADLINE, "it is too slow");
                std::thread::sleep(Duration::from_millis(5));
            }
            before.push(ledger.lock().acknowledged.clone());
            let mut backup = sluice(&data);
            backup.arg("backup").arg(dir.path().join(format!("backup{round}"))).arg("--verify");
            let made = output(backup);
            assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
            assert!(text(&made.stdout).contains("equal"), "{}", text(&made.stdout));
        }
        stop.store(true, Ordering::SeqCst);
    });
    broker.kill();
    for (round, before) in (1..).zip(&before) {
        let (from, to) =
            (dir.path().join(format!("backup{round}")), dir.path().join(format!("again{round}")));
        let mut restore = sluice(&to);
        restore.arg("restore").arg(&from).arg("--verify");
        let made = output(restore);
        assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
        let restored = Running::start(with_small_segments(&to), &log);
        check(&restored, before, &ledger.lock());
    }
}

fn check(broker: &Running, before: &HashMap<String, (u64, u64)>, ledger: &Ledger) {
    let mut client = broker.client();
    let mut found = HashMap::new();
    for queue in 0..QUEUES {
        for (n, (offset, body)) in (0..).zip(client.browse("orders", queue)) {
            assert_eq!(offset, n, "queue {queue} has a hole");
            assert!(ledger.sent.contains(&body), "{queue}@{offset} was never sent");
            assert_eq!(found.insert(body, (queue, offset)), None, "{queue}@{offset} is there twice");
        }
    }
    for (body, place) in before {
        assert_eq!(found.get(body), Some(place), "acknowledged before the backup began");
    }
    for (body, place) in &found {
        let told = ledger.acknowledged.get(body);
        assert!(told.is_none_or(|told| told == place), "where it was said to be");
    }
    let (status, answer) = client.call("POST", "/v1/topics/orders/messages", "after");
    assert_eq!(status, 201, "{answer}");
}

#[test]
fn what_cannot_be_copied_is_said_with_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log, copy) = (dir.path().join("data"), dir.path().join("log"), dir.path().join("copy"));
    let mut broker = Running::start(sluice(&data), &log);
    broker.client().call("POST", "/v1/topics/orders/messages", "one");
    let run = |data: &Path, arguments: &[&Path]| {
        let mut command = sluice(data);
        command.args(arguments);
        let ended = output(command);
        (ended.status.code().unwrap(), text(&ended.stdout) + &text(&ended.stderr))
    };
    let (backup, restore) = (Path::new("backup"), Path::new("restore"));
    let inside = data.join("copy");
    for (data, verb, folder, code, hint) in [
        (&*data, backup, &*inside, 2, "is inside of"),
        (&copy, backup, &dir.path().join("other"), 2, "holds no data"),
        (&copy, restore, &data, 2, "is no complete backup"),
    ] {
        let (ended, said) = run(data, &[verb, folder]);
        assert_eq!(ended, code, "{said}");
        assert!(said.contains(hint), "{said}");
    }
    let (ended, said) = run(&data, &[backup, &copy, Path::new("--rate"), Path::new("1GiB")]);
    assert_eq!(ended, 0, "{said}");
    assert_eq!(run(&data, &[backup, &copy]).0, 2, "it is not empty");
    assert_eq!(run(&data, &[restore, &copy]).0, 2, "nor is the data folder");
    assert_eq!(run(&data, &[backup, &dir.path().join("x"), Path::new("--rate"), Path::new("0B")]).0, 2);
    broker.kill();
    // Of a folder that nobody uses, too.
    let (second, again) = (dir.path().join("second"), dir.path().join("again"));
    assert_eq!(run(&data, &[backup, &second, Path::new("--verify")]).0, 0);
    assert_eq!(run(&again, &[restore, &second]).0, 0);
    let mut restored = Running::start(sluice(&again), &log);
    let bodies: Vec<String> =
        (0..8).flat_map(|queue| restored.client().browse("orders", queue)).map(|(_, body)| body).collect();
    assert_eq!(bodies, ["one"]);
    restored.kill();
}
