//! A broker on a disk of a few megabytes: when it is full, messages are refused and everything else goes on; when there is
//! room again, so do messages, without a restart.
//!
//! The small disk is mounted in a namespace of its own, which ends with the broker: in memory where the system lets anyone
//! do that, and as ext4 in a file where we are root. Where neither is possible, the test says so; what the log itself does
//! is tested on a simulated disk everywhere (`store/tests/bad_days.rs`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

mod running;

use running::{Client, DEADLINE, Running, prepared};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const FILLER: usize = 24 << 20;

/// How a small disk is made.
#[derive(Clone, Copy, Debug)]
enum Disk {
    InMemory,
    Ext4,
}

impl Disk {
    /// Runs something with the disk mounted at `$AT`.
    fn shell(self, dir: &Path, then: &str) -> Command {
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let mount = match self {
            Self::InMemory => "mount -t tmpfs -o size=64m small \"$AT\"",
            Self::Ext4 => "mount -o loop \"$IMAGE\" \"$AT\"",
        };
        let mut command = Command::new("unshare");
        command.args(if is_root { &["--mount"][..] } else { &["--mount", "--user", "--map-root-user"] });
        command.args(["sh", "-c", &format!("{mount} && {then}")]);
        command.env("AT", dir.join("disk")).env("IMAGE", dir.join("image"));
        command
    }

    fn prepare(self, dir: &Path) -> bool {
        fs::create_dir(dir.join("disk")).unwrap();
        if matches!(self, Self::Ext4) {
            fs::File::create(dir.join("image")).unwrap().set_len(64 << 20).unwrap();
            let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(dir.join("image")).output();
            if !made.is_ok_and(|made| made.status.success()) {
                return false;
            }
        }
        self.shell(dir, "true").output().is_ok_and(|ended| ended.status.success())
    }
}

#[test]
fn a_full_disk_in_memory() {
    on(Disk::InMemory);
}

#[test]
fn a_full_disk_of_ext4() {
    on(Disk::Ext4);
}

fn on(disk: Disk) {
    let dir = tempfile::tempdir().unwrap();
    if !disk.prepare(dir.path()) {
        eprintln!("SKIPPED: this system does not let us mount a small disk ({disk:?})");
        return;
    }
    let at = dir.path().join("disk");
    let then = format!("exec {} serve", env!("CARGO_BIN_EXE_sluice"));
    let mut command = prepared(disk.shell(dir.path(), &then), &at.join("data"));
    command.env("SLUICE_STORE__SEGMENT_SIZE", "4MiB");
    let log = dir.path().join("log");
    let mut broker = Running::start(command, &log);
    let mut client = broker.client();
    // Someone else's file, on the disk as the broker sees it.
    let filler = seen_by(&broker, &at).join("filler");
    fs::write(&filler, vec![7; FILLER]).unwrap();

    for n in 0..10 {
        stored(&mut client, "busy", &format!("before {n}"));
    }
    stored(&mut client, "gone", "x");
    let (status, leased) = client.call("POST", "/v1/groups/g/receive?topic=busy&max=5&lease=5m", "");
    assert_eq!((status, leased["messages"].as_array().unwrap().len()), (200, 5), "{leased}");

    let acknowledged = fill(&mut client);
    assert!(acknowledged > 10, "only {acknowledged} large messages fit");
    everything_else_goes_on(&mut client, &leased);
    let (status, answer) = client.call("POST", "/v1/topics/busy/messages", "refused");
    assert_eq!((status, answer["code"].as_str()), (503, Some("storage-full")), "{answer}");

    fs::remove_file(&filler).unwrap();
    let begun = Instant::now();
    loop {
        let (status, answer) = client.call("POST", "/v1/topics/busy/messages", "after");
        if status == 201 {
            break;
        }
        assert_eq!(answer["code"], "storage-full", "{answer}");
        assert!(begun.elapsed() < DEADLINE, "messages are refused although there is room\n{}", said(&log));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(broker.child.try_wait().unwrap().is_none(), "without a restart");
    let large: usize = (0..8).map(|queue| client.browse("large", queue).len()).sum();
    assert_eq!(large, acknowledged, "all that was acknowledged, and nothing else");
    broker.kill();
}

/// The disk is mounted where only the broker sees it.
fn seen_by(broker: &Running, path: &Path) -> PathBuf {
    Path::new(&format!("/proc/{}/root", broker.child.id())).join(path.strip_prefix("/").unwrap())
}

fn said(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default()
}

fn stored(client: &mut Client, topic: &str, body: &str) {
    let (status, answer) = client.call("POST", &format!("/v1/topics/{topic}/messages"), body);
    assert_eq!(status, 201, "{answer}");
}

/// Sends until messages are refused for a while; how many were acknowledged.
fn fill(client: &mut Client) -> usize {
    let (large, begun) = ("z".repeat(256 << 10), Instant::now());
    let (mut acknowledged, mut refused) = (0, 0);
    while refused < 20 {
        assert!(begun.elapsed() < DEADLINE, "the disk does not get full");
        match client.call("POST", "/v1/topics/large/messages", &large) {
            (201, _) => acknowledged += 1,
            (503, answer) if answer["code"] == "storage-full" => refused += 1,
            (429 | 503, _) => std::thread::sleep(Duration::from_millis(5)), // the next file is not ready yet
            (status, answer) => panic!("{status}: {answer}"),
        }
    }
    acknowledged
}

/// Acknowledgements, offsets and deletions, many of them.
fn everything_else_goes_on(client: &mut Client, leased: &serde_json::Value) {
    let handles: Vec<_> = leased["messages"].as_array().unwrap().iter().map(|m| &m["handle"]).collect();
    let (status, answer) =
        client.call("POST", "/v1/groups/g/ack", &serde_json::json!({ "handles": handles }).to_string());
    assert_eq!(status, 200, "{answer}");
    assert!(answer["results"].as_array().unwrap().iter().all(|result| result["ok"] == true), "{answer}");
    for n in 0..300 {
        let place = serde_json::json!({"topic": "large", "queue": n % 8, "offset": 1});
        let body = serde_json::json!({"offsets": [place], "force": true}).to_string();
        let (status, answer) = client.call("PUT", "/v1/groups/g/offsets", &body);
        assert_eq!(status, 200, "commit {n}: {answer}");
    }
    // What only the disk has comes from one queue at a time.
    let mut received = 0;
    while received < 5 {
        let (status, answer) = client.call("POST", "/v1/groups/g/receive?topic=busy&max=5&lease=5m", "");
        let got = answer["messages"].as_array().unwrap().len();
        assert!(status == 200 && got > 0, "{status} {answer} after {received}");
        received += got;
    }
    let (status, answer) = client.call("PUT", "/v1/topics/new", "{}");
    assert!(status < 300 || (status, answer["code"].as_str()) == (503, Some("storage-full")), "{answer}");
    let (status, answer) = client.call("DELETE", "/v1/topics/gone", "");
    assert!(status < 300, "{status} {answer}");
    assert_eq!(client.call("GET", "/v1/topics/gone", "").0, 404);
}
