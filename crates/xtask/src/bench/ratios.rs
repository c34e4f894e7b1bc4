//! What the broker reaches of what the machine could do, each beside its probe in the same run.

use super::bare::Server;
use super::probe::{self, Probe};
use super::read_rate;
use super::results::Results;
use super::subject::{Plan, Sample, Subject};
use super::table::{self, Ratio, Row, Spread, Table};
use crate::load::wires::Remoting;
use crate::load::{Broker, Line, Shape, Wire};
use crate::shell::Result;
use std::path::Path;
use std::time::Duration;

/// A load, its probe, and the part that is promised.
struct Promise {
    name: &'static str,
    shape: Shape,
    /// Of what threads commit together without a network.
    of_threads: f64,
    /// Of what a bare server brings from sockets to the disk.
    of_bare: f64,
}

pub fn measure(folder: &Path, plan: &Plan, results: &mut Results) -> Result {
    let broker = super::start_keeping(folder, 1)?;
    super::fill_up(&broker, 1, plan)?;
    let mut probe = Probe::new(&folder.join("probe"))?;
    let bare = Server::start(&folder.join("bare"))?;
    let shape = |connections, depth, body| Shape { connections, depth, body, ..Shape::default() };
    let lines = [
        Promise { name: "64x1, 1 KiB", shape: shape(64, 1, 1024), of_threads: 0.7, of_bare: 0.7 },
        Promise { name: "64x32, 1 KiB", shape: shape(64, 32, 1024), of_threads: 0.3, of_bare: 0.3 },
        Promise { name: "16x1, 64 KiB", shape: shape(16, 1, 64 << 10), of_threads: 0.7, of_bare: 0.7 },
    ];
    let mut many = f64::NAN;
    for line in &lines {
        let sends = Subject::of(&broker, "remoting sends", "remoting", "remoting")?;
        let sends = sends.shaped(|shape| *shape = line.shape.clone());
        let sockets = Subject::at(BARE, "bare", bare.address(), vec![bare.id()]);
        let sockets = sockets.shaped(|shape| *shape = line.shape.clone());
        let table = beside_probe(&format!("{}, synced", line.name), [&sockets, &sends], &mut probe, plan)?;
        for (limit, target) in [(PROBE, line.of_threads), (BARE, line.of_bare)] {
            let ratio = table.ratio("remoting sends", limit, table::rate)?;
            results.ratios.push(Ratio::at_least(format!("{}, of {limit}", line.name), ratio, target));
        }
        if line.shape.body == 1024 {
            let written = table.row("remoting sends")?.spread(|sample| sample.written_per_byte);
            let what = format!("bytes written for each byte accepted, zeros beforehand too, {}", line.name);
            results.ratios.push(Ratio::at_most(what, written.median, AMPLIFICATION));
        }
        if line.shape.depth > 1 {
            many = table.row(PROBE)?.spread(table::rate).median;
        }
        results.tables.push(table);
    }
    for (at_once, name) in [(32, "32 in flight"), (1, "one in flight")] {
        let what = format!("bytes of log for each byte accepted, 1 KiB, {name}");
        results.ratios.push(Ratio::at_most(what, log_bytes(&broker, at_once)?, AMPLIFICATION));
    }
    one_producer(folder, &broker, plan, results)?;
    fan_out(&broker, plan, results)?;
    leases(&broker, many, plan, results)
}

/// What may be written for each byte, at 1 KiB.
const AMPLIFICATION: f64 = 1.06;

/// How far the log's end moves for each byte of body, when so many are sent at once: an answer names the place of its
/// message in the log.
fn log_bytes(broker: &Broker, at_once: usize) -> Result<f64> {
    const ROUNDS: usize = 1000;
    const BODY: usize = 1024;
    let mut line = Line::open(broker.address("remoting")?)?;
    let mut requests = Vec::new();
    for _ in 0..at_once {
        Remoting.request("bench-log", &[b'x'; BODY], &mut requests);
    }
    let mut last = || -> Result<u64> {
        line.write(&requests)?;
        let mut last = None;
        for _ in 0..at_once {
            let answer = line.read(|bytes| Remoting.answer(bytes))?;
            last = last.max(Remoting.log_place(&answer));
        }
        last.ok_or_else(|| "no answer names its message's place".into())
    };
    let before = last()?;
    for _ in 1..ROUNDS {
        last()?;
    }
    Ok((last()? - before) as f64 / (ROUNDS * at_once * BODY) as f64)
}

const PROBE: &str = "group commit, threads";
const BARE: &str = "group commit, bare server";

/// The probe and the subjects in turn.
fn beside_probe(title: &str, subjects: [&Subject; 2], probe: &mut Probe, plan: &Plan) -> Result<Table> {
    let row = |name: &str| Row { name: name.to_owned(), runs: Vec::new() };
    let mut rows = vec![row(PROBE)];
    for subject in subjects {
        subject.measure(plan, None)?;
        rows.push(row(&subject.name));
    }
    let Shape { connections, depth, body, .. } = subjects[0].shape;
    for _ in 0..plan.repeats {
        plan.gate.wait()?;
        rows[0].runs.push(Sample::of_probe(&probe.run(connections, depth, body, plan.each)?));
        for (subject, row) in subjects.iter().zip(&mut rows[1..]) {
            row.runs.push(subject.measure(plan, None)?);
        }
    }
    let table = Table { title: title.to_owned(), rows };
    table.print();
    Ok(table)
}

/// Its latency beside that of a sync and of a way to another process and back.
fn one_producer(folder: &Path, broker: &Broker, plan: &Plan, results: &mut Results) -> Result {
    let echo = Server::echo()?;
    let alone = |shape: &mut Shape| shape.connections = 1;
    let subjects = [
        Subject::at("echo", "bare", echo.address(), vec![echo.id()]).shaped(alone),
        Subject::of(broker, "remoting sends", "remoting", "remoting")?.shaped(alone),
    ];
    let mut syncs = Vec::new();
    for _ in 0..plan.repeats {
        plan.gate.wait()?;
        syncs.push(probe::append_and_sync(&folder.join("sync"), 1024, plan.each)?.p50.as_secs_f64() * 1e6);
    }
    let sync = Spread::of(syncs);
    let table = Table::measure("one producer, 1 KiB, synced", &subjects, plan)?;
    let echo = table.row("echo")?.spread(table::p50);
    let ours = table.row("remoting sends")?.spread(table::p50);
    println!(
        "append and sync {:.0} us ({:.0} to {:.0}), echo {:.0} us, the producer {:.0} us",
        sync.median, sync.min, sync.max, echo.median, ours.median
    );
    let ratio = ours.median / (sync.median + echo.median);
    results.ratios.push(Ratio::at_most("one producer, p50, of a sync and an echo", ratio, 2.0));
    results.tables.push(table);
    Ok(())
}

/// One and ten groups that read what was just written, each all of it.
fn fan_out(broker: &Broker, plan: &Plan, results: &mut Results) -> Result {
    const TOPIC: &str = "bench-fan-out";
    let pulls = Subject::of(broker, "", "remoting-pull", "remoting")?;
    read_rate::fill("remoting", &pulls, TOPIC, read_rate::TAIL_MESSAGES)?;
    let mut subjects = Vec::new();
    for groups in [1, 10] {
        let mut one = pulls.clone().on_topic(TOPIC).shaped(|shape| {
            shape.groups = groups;
            shape.connections = 4 * groups;
        });
        one.name = format!("{groups} groups");
        subjects.push(one);
    }
    let fetches = Subject::of(broker, "Kafka, 10 fetchers", "kafka-fetch", "kafka")?;
    subjects.push(fetches.on_topic(TOPIC).shaped(|shape| shape.connections = 10));
    let table = Table::measure("what was just written, 1 KiB, read by groups", &subjects, plan)?;
    plan.gate.wait()?;
    let loopback = probe::loopback(plan.each)?;
    for (name, what) in [("10 groups", "remoting"), ("Kafka, 10 fetchers", "Kafka")] {
        let bytes = table.row(name)?.spread(table::rate).median * 1024.0;
        println!("{name}: {:.0} MB/s; loopback {:.0} MB/s", bytes / 1e6, loopback / 1e6);
        let what = format!("tail fan-out to 10 groups over {what}, of loopback bytes");
        results.ratios.push(Ratio::at_least(what, bytes / loopback, 0.4));
    }
    results.tables.push(table);
    Ok(())
}

/// Receives under lease and acknowledges, 32 at a time.
fn leases(broker: &Broker, probe: f64, plan: &Plan, results: &mut Results) -> Result {
    const TOPIC: &str = "bench-leases";
    let cycle = Subject::of(broker, "receive and ack of 32", "remoting-pop", "remoting")?;
    let cycle = cycle.on_topic(TOPIC).shaped(|shape| shape.connections = 8);
    // Without a warm-up, so that there are enough for the time that counts: who has nothing to receive waits.
    let plan = &Plan { warm_up: Duration::ZERO, ..*plan };
    let messages = (AT_MOST * plan.each.as_secs_f64()) as usize;
    let mut runs = Vec::new();
    for _ in 0..plan.repeats {
        read_rate::fill("remoting", &cycle, TOPIC, messages)?;
        runs.push(cycle.measure(plan, None)?);
    }
    let table = Table {
        title: "lease, 8 connections, 32 at a time".to_owned(),
        rows: vec![Row { name: cycle.name, runs }],
    };
    table.print();
    let rate = table.rows.first().map_or(f64::NAN, |row| row.spread(table::rate).median);
    results.ratios.push(Ratio::at_least("lease receive and ack, of the 64x32 probe", rate / probe, 0.1));
    results.ratios.push(Ratio::at_least("lease receive and ack, messages a second", rate, LEASES));
    results.tables.push(table);
    Ok(())
}

/// A second.
const LEASES: f64 = 60_000.0;
/// More than are received in a second.
const AT_MOST: f64 = 300_000.0;
