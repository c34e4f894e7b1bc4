//! System calls and bytes written for a message, of the real binary: one client, one request at a time.

use super::Counts;
use crate::load::wires::{Http, KafkaProduce, Remoting, Stomp};
use crate::load::{Broker, Line, Settings, Wire};
use crate::shell::{Result, target};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MESSAGES: usize = 300;
const BODY: usize = 1024;
/// What is opened, allocated and looked up once is behind this many.
const BEFORE: usize = 50;
/// Until a new log has its files, and nothing else is written.
const SETTLED: Duration = Duration::from_secs(1);
const SETTLED_WITHIN: Duration = Duration::from_secs(40);
const ATTACHED_WITHIN: Duration = Duration::from_secs(20);
/// Calls by which threads wait and wake each other (a `write` wakes a reactor; files are written by `pwrite64`): how many
/// there are depends on how fast the disk is, and on who is quicker.
const WAITS: [&str; 8] = [
    "futex",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "write",
    "restart_syscall",
    "sched_yield",
    "clock_nanosleep",
];

pub fn count() -> Result<Counts> {
    std::fs::create_dir_all(target())?;
    let folder = TempDir::with_prefix_in("counts-", target())?;
    let mut settings = Settings::in_folder(folder.path());
    // As on two cores, on any machine.
    settings.set("SLUICE_NET__REACTORS", "1");
    let broker = Broker::start(&settings)?;
    settle(broker.id())?;
    let kafka = KafkaProduce { batch: 1, queues: 1 };
    let wires: [(&str, &str, &dyn Wire); 4] = [
        ("server: remoting send", "remoting", &Remoting),
        ("server: http post", "http", &Http),
        ("server: stomp send", "stomp", &Stomp),
        ("server: kafka batch of 1", "kafka", &kafka),
    ];
    let sectors = takes_sectors(folder.path());
    if !sectors {
        println!(
            "bytes are not counted: what is kept is of a file system that takes 512 bytes past its cache"
        );
    }
    let mut found = Vec::new();
    for (name, listener, wire) in wires {
        let topic = format!("counts-{listener}");
        wire.prepare(broker.address(listener)?, &topic)?;
        let mut line = Line::greeted(broker.address(listener)?, wire)?;
        send(&mut line, wire, &topic, BEFORE)?;
        let before = written(broker.id())?;
        send(&mut line, wire, &topic, MESSAGES)?;
        let bytes = (written(broker.id())? - before) as f64 / MESSAGES as f64;
        let calls = calls(broker.id(), folder.path(), || send(&mut line, wire, &topic, MESSAGES))?;
        let mut counts = Map::new();
        counts.insert("system calls".into(), json!((calls * 10.0).round() / 10.0));
        if sectors {
            counts.insert("bytes written".into(), json!(bytes.round()));
        }
        found.push((name.to_owned(), counts));
    }
    Ok(found)
}

fn send(line: &mut Line, wire: &dyn Wire, topic: &str, count: usize) -> Result {
    let mut request = Vec::new();
    wire.request(topic, &[b'x'; BODY], &mut request);
    for _ in 0..count {
        line.write(&request)?;
        line.read(|bytes| wire.answer(bytes))?;
    }
    Ok(())
}

/// Whether the log can be written by sectors here: elsewhere the bytes are those of pages.
fn takes_sectors(folder: &Path) -> bool {
    const SECTOR: usize = 512;
    let memory = [0; 2 * 4096];
    let start = memory.as_ptr().align_offset(4096).min(4096);
    let sector = memory.get(start..start + SECTOR).unwrap_or_default();
    let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .custom_flags(direct)
        .open(folder.join("sector"));
    file.and_then(|file| file.write_all_at(sector, SECTOR as u64)).is_ok()
}

/// Bytes that went towards the disk.
fn written(process: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/io"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.ok_or("no write_bytes")?.trim().parse()?)
}

fn settle(process: u32) -> Result {
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        let before = written(process)?;
        std::thread::sleep(SETTLED);
        if written(process)? == before {
            return Ok(());
        }
        if Instant::now() > until {
            return Err("an idle broker does not stop writing".into());
        }
    }
}

/// System calls of the process for each message that `work` sends.
fn calls(process: u32, folder: &Path, work: impl FnOnce() -> Result) -> Result<f64> {
    let out = folder.join("strace");
    let mut tracer = Command::new("strace");
    tracer
        .args(["--follow-forks", "--summary-only", "--output"])
        .arg(&out)
        .args(["--attach", &process.to_string()]);
    let mut tracer = tracer
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("strace (`apt-get install strace`): {error}"))?;
    let done = attached(&mut tracer, process).and_then(|()| work());
    if let Some(pid) = Pid::from_raw(tracer.id().cast_signed()) {
        kill_process(pid, Signal::INT)?;
    }
    tracer.wait()?;
    done?;
    sum(&std::fs::read_to_string(out)?)
}

/// Waits until all threads are traced.
fn attached(tracer: &mut Child, process: u32) -> Result {
    let until = Instant::now() + ATTACHED_WITHIN;
    // It is told in words that nobody reads otherwise, and the pipe must not fill.
    let said = BufReader::new(tracer.stderr.take().ok_or("no output")?);
    std::thread::spawn(move || said.lines().map_while(std::result::Result::ok).for_each(drop));
    loop {
        let mut all = true;
        for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let status = File::open(task?.path().join("status"))?;
            let lines = BufReader::new(status).lines().map_while(std::result::Result::ok);
            all &= lines.filter(|line| line.starts_with("TracerPid:")).all(|line| !line.ends_with("\t0"));
        }
        if all {
            return Ok(());
        }
        if Instant::now() > until || tracer.try_wait()?.is_some() {
            return Err("strace does not attach".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Of the table that strace prints: calls are the fourth column, the name the last.
fn sum(table: &str) -> Result<f64> {
    let mut sum = 0.0;
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(calls), Some(name)) = (words.get(3), words.last()) else { continue };
        if let Ok(calls) = calls.parse::<f64>()
            && *name != "total"
            && !WAITS.contains(name)
        {
            sum += calls;
        }
    }
    if sum == 0.0 {
        return Err(format!("strace counted nothing:\n{table}").into());
    }
    Ok(sum / MESSAGES as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_added_up_without_those_that_wait() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.000600           1       600           recvfrom\n \
            30.00    0.000300           1       300         3 sendto\n \
            10.00    0.000100           1       100           futex\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.001000           1      1000         3 total\n";
        assert_eq!(sum(table).unwrap(), 900.0 / MESSAGES as f64);
    }
}
