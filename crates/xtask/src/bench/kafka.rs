//! Kafka's protocol beside Apache Kafka: ours on the disk before every answer, Kafka as it comes and with a flush for each.

use super::peers::Peer;
use super::read_rate;
use super::results::Results;
use super::subject::{Plan, Subject};
use super::table::{self, Ratio, Table};
use crate::load::{Order, Shape};
use crate::shell::Result;
use std::path::Path;
use std::time::Duration;

const OURS: &str = "Sluice, synced";
const UNSYNCED: &str = "Apache Kafka, unsynced";
const FLUSHED: &str = "Apache Kafka, flush.messages=1";
/// The disk is not for all that is sent in a long run: of each partition two gigabytes stay, as of our log four. Nothing goes
/// by time, because the records that are sent again and again are old.
const KEEPS_LITTLE: &str = "log.retention.ms=-1\\nlog.retention.bytes=2147483648\\nlog.segment.bytes=268435456\\nlog.retention.check.interval.ms=2000\\nlog.segment.delete.delay.ms=1000";
/// Of a batch.
const BATCH_BYTES: usize = 64 << 10;

pub fn measure(folder: &Path, peers: Option<&Path>, plan: &Plan, results: &mut Results) -> Result {
    let broker = super::start(folder)?;
    let start = |name: &str, more: &[(&str, &str)]| -> Result<Option<Peer>> {
        let variables = [more, &[("EXTRA_CONF", KEEPS_LITTLE)]].concat();
        peers.map(|peers| Peer::start(peers, "kafka", &folder.join(name), &variables)).transpose()
    };
    let running =
        [(UNSYNCED, start("kafka", &[])?), (FLUSHED, start("kafka-flush", &[("FLUSH_MESSAGES", "1")])?)];
    match &running[0].1 {
        Some(peer) => results.machine.peers.push(peer.described("Apache Kafka")?),
        None => println!("no other brokers: give the folder of their start scripts with --peers"),
    }
    let subjects = |wire: &'static str, change: fn(&mut Shape)| -> Result<Vec<Subject>> {
        let mut all = vec![Subject::of(&broker, OURS, wire, "kafka")?];
        for (name, peer) in &running {
            if let Some(peer) = peer {
                all.push(Subject::at(name, wire, peer.address("KAFKA_BOOTSTRAP")?, peer.processes()?));
            }
        }
        Ok(all.into_iter().map(|subject| subject.shaped(change)).collect())
    };
    // A producer of a stock client has five requests in flight on one connection.
    let kib = |shape: &mut Shape| {
        *shape = Shape { connections: 1, depth: 5, batch: BATCH_BYTES / 1024, ..Shape::default() };
    };
    let small = |shape: &mut Shape| {
        *shape = Shape { connections: 1, depth: 5, body: 100, batch: BATCH_BYTES / 100, ..Shape::default() };
    };
    let compares = peers.is_some();
    for (what, shape) in [("1 KiB records", kib as fn(&mut Shape)), ("100-byte records", small)] {
        let title = format!("Kafka, batches of 64 KiB of {what}, acks=all, one connection x 5");
        let table = Table::measure(&title, &subjects("kafka", shape)?, plan)?;
        if compares {
            let of = |by, value| table.ratio(OURS, by, value);
            let name = |what: &str, by: &str| format!("{what}, {by}");
            let times = of(UNSYNCED, table::rate)?;
            results.ratios.push(Ratio::at_least(name(what, "times Kafka unsynced"), times, 1.0));
            let times = of(FLUSHED, table::rate)?;
            results.ratios.push(Ratio::at_least(name(what, "times Kafka with a flush for each"), times, 2.0));
            let cpu = of(UNSYNCED, table::cpu)?;
            results.ratios.push(Ratio::at_most(
                name(what, "server CPU a record, of Kafka's"),
                cpu,
                1.0 / 3.0,
            ));
            let resident = of(UNSYNCED, table::resident)?;
            results.ratios.push(Ratio::at_most(name(what, "resident, of Kafka's"), resident, 0.2));
        }
        results.tables.push(table);
    }
    partitions(&subjects("kafka", kib)?, plan, results)?;
    reads(folder, subjects("kafka-fetch", |shape| shape.connections = 1)?, plan, results)
}

/// The same load over a thousand partitions and over one.
fn partitions(subjects: &[Subject], plan: &Plan, results: &mut Results) -> Result {
    let mut both = Vec::new();
    for subject in subjects.iter().filter(|subject| subject.name != FLUSHED) {
        for queues in [1, 1000] {
            let mut one = subject.clone().shaped(|shape| {
                *shape = Shape { connections: 64, batch: BATCH_BYTES / 1024, queues, ..Shape::default() };
            });
            one.name = format!("{}, {queues} partitions", subject.name);
            // Connections are what spreads over partitions; here each is a producer of some of them.
            both.push(one.on_topic(&format!("bench-partitions-{queues}")));
        }
    }
    let table = Table::measure("Kafka, 64 connections x 1, batches of 64 KiB, by partitions", &both, plan)?;
    let beside_one = |name: &str| {
        table.ratio(&format!("{name}, 1000 partitions"), &format!("{name}, 1 partitions"), table::rate)
    };
    results.ratios.push(Ratio::at_least("1000 partitions beside one", beside_one(OURS)?, 0.9));
    if subjects.iter().any(|subject| subject.name == UNSYNCED) {
        println!("{UNSYNCED}: 1000 partitions beside one: {:.3}", beside_one(UNSYNCED)?);
    }
    results.tables.push(table);
    Ok(())
}

fn reads(folder: &Path, fetches: Vec<Subject>, plan: &Plan, results: &mut Results) -> Result {
    const TAIL: &str = "bench-tail-kafka";
    const SMALL_TAIL: &str = "bench-small-tail-kafka";
    for subject in &fetches {
        read_rate::fill("kafka", subject, TAIL, read_rate::TAIL_MESSAGES)?;
    }
    let tail: Vec<Subject> =
        fetches.iter().map(|s| s.clone().on_topic(TAIL).shaped(|shape| shape.queues = 1)).collect();
    let table =
        Table::measure("Kafka, fetches of what was just written, 1 KiB, one connection", &tail, plan)?;
    if tail.len() > 1 {
        let ratio = table.ratio(OURS, UNSYNCED, table::rate)?;
        results.ratios.push(Ratio::at_least("Kafka consumer from the tail, times Kafka", ratio, 1.0));
    }
    results.tables.push(table);
    let small = |shape: &mut Shape| (shape.queues, shape.body) = (1, 100);
    let tail: Vec<Subject> = fetches.iter().map(|s| s.clone().on_topic(SMALL_TAIL).shaped(small)).collect();
    tail.iter().try_for_each(|subject| fill_small(subject, SMALL_TAIL))?;
    let table = Table::measure(
        "Kafka, fetches of what was just written, 100-byte records, one connection",
        &tail,
        plan,
    )?;
    if tail.len() > 1 {
        let ratio = table.ratio(OURS, UNSYNCED, table::rate)?;
        let what = "Kafka consumer of 100-byte records from the tail, times Kafka";
        results.ratios.push(Ratio::at_least(what, ratio, 1.0));
    }
    results.tables.push(table);
    let mut rates = Vec::new();
    let data = [(OURS, folder.join("data")), (UNSYNCED, folder.join("kafka"))];
    for subject in &fetches {
        let Some((_, data)) = data.iter().find(|(name, _)| *name == subject.name) else { continue };
        // All of the topic: the connection reads one partition, and where one log holds several they lie between each other.
        let whole = subject.clone().shaped(|shape| shape.queues = 1);
        let rate = read_rate::cold(data, "kafka", &whole, plan)?;
        println!("{}: cold fetches {:.0} MB/s", subject.name, rate / 1e6);
        rates.push(rate);
    }
    if let [ours, theirs] = rates[..] {
        results.ratios.push(Ratio::at_least(
            "Kafka consumer from the cold disk, times Kafka",
            ours / theirs,
            1.0,
        ));
    }
    Ok(())
}

/// As many bytes of small records as there are of large ones, in batches as large.
fn fill_small(subject: &Subject, topic: &str) -> Result {
    const SECONDS: f64 = 1.0;
    let batch = BATCH_BYTES / subject.shape.body;
    let requests = read_rate::TAIL_MESSAGES as f64 * 1024.0 / BATCH_BYTES as f64;
    let order = Order {
        wire: "kafka",
        address: subject.address,
        topic,
        shape: &Shape { depth: 5, batch, ..subject.shape.clone() },
        rate: Some(requests / SECONDS),
        warm_up: Duration::ZERO,
        duration: Duration::from_secs_f64(SECONDS),
    };
    order.run().map_err(|error| format!("{}: {error}", subject.name))?;
    Ok(())
}
