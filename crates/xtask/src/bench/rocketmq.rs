//! RocketMQ's own protocol beside Apache RocketMQ: the same bytes from the same generator, at the same durability and at
//! the lower one that it has by default; and then the stock Java client on all of them.

use super::bare::Server;
use super::java_client::{self, Target};
use super::peers::Peer;
use super::probe::Probe;
use super::results::Results;
use super::subject::{Plan, Subject};
use super::table::{self, Ratio, Table};
use super::{probe, read_rate};
use crate::shell::Result;
use std::path::Path;

const SYNC: &str = "Apache RocketMQ, SYNC_FLUSH";
const ASYNC: &str = "Apache RocketMQ, ASYNC_FLUSH";
const OURS: &str = "Sluice";
const BARE: &str = "group commit, bare server";
/// Messages a second to a push consumer: a part of what either broker and the client can do on two cores.
const PUSHED: u32 = 2000;

pub fn measure(folder: &Path, peers: Option<&Path>, plan: &Plan, results: &mut Results) -> Result {
    let broker = super::start(folder)?;
    let start = |flush: &str| -> Result<Option<Peer>> {
        let variables = [("FLUSH", flush), ("PROXY", "0")];
        let folder = folder.join(format!("rocketmq-{flush}"));
        peers.map(|peers| Peer::start(peers, "rocketmq", &folder, &variables)).transpose()
    };
    let running = [(SYNC, start("sync")?), (ASYNC, start("async")?)];
    match &running[0].1 {
        Some(peer) => results.machine.peers.push(peer.described("Apache RocketMQ")?),
        None => println!("no other brokers: give the folder of their start scripts with --peers"),
    }
    let subjects = |wire: &'static str| -> Result<Vec<Subject>> {
        let mut all = vec![Subject::of(&broker, OURS, wire, "remoting")?];
        for (name, peer) in &running {
            if let Some(peer) = peer {
                all.push(Subject::at(name, wire, peer.address("BROKER_ADDR")?, peer.processes()?));
            }
        }
        Ok(all)
    };
    super::fill_up(&broker, super::KEPT, plan)?;
    let mut probe = Probe::new(&folder.join("probe"))?;
    let bare = Server::start(&folder.join("bare"))?;
    for (depth, of_probe, beaten) in [(1, 0.60, SYNC), (32, 0.22, ASYNC)] {
        let mut sends = subjects("remoting")?;
        sends.push(Subject::at(BARE, "bare", bare.address(), vec![bare.id()]));
        let sends = sends.into_iter().map(|s| s.shaped(|shape| shape.depth = depth));
        let title = format!("RocketMQ remoting, sends, 64 connections x {depth}, 1 KiB");
        let table = Table::measure(&title, &sends.collect::<Vec<_>>(), plan)?;
        let threads = probe.run(64, depth, 1024, plan.each)?.per_second;
        let ours = table.row(OURS)?.spread(table::rate).median;
        println!(
            "group commit by threads without a network, 64 x {depth}: {threads:.0}/s; sends reach {:.3} of it",
            ours / threads
        );
        let what = |what: &str| format!("RocketMQ sends 64x{depth}, {what}");
        let limit = table.ratio(OURS, BARE, table::rate)?;
        results.ratios.push(Ratio::at_least(what("of the bare server's group commit"), limit, of_probe));
        if peers.is_some() {
            let compare = |by, value| table.ratio(OURS, by, value);
            results.ratios.push(Ratio::at_least(
                what(&format!("times {beaten}")),
                compare(beaten, table::rate)?,
                2.0,
            ));
            if depth == 1 {
                let cpu = compare(SYNC, table::cpu)?;
                results.ratios.push(Ratio::at_most(
                    what("server CPU a message, of Apache's"),
                    cpu,
                    1.0 / 6.0,
                ));
                let p99 = compare(SYNC, table::p99)?;
                results.ratios.push(Ratio::at_most(what("p99, of Apache's"), p99, 0.5));
            }
            let resident = compare(SYNC, table::resident)?;
            results.ratios.push(Ratio::at_most(what("resident, of Apache's"), resident, 0.1));
        }
        results.tables.push(table);
    }
    reads(folder, subjects("remoting-pull")?, plan, results)?;
    // Without others there is nothing to compare with, and no need of a virtual machine.
    if peers.is_none() {
        return Ok(());
    }
    let mut targets =
        vec![Target { name: OURS, name_server: broker.address("namesrv")?, processes: vec![broker.id()] }];
    for &(name, ref peer) in &running {
        if let Some(peer) = peer {
            targets.push(Target {
                name,
                name_server: peer.address("NAMESRV_ADDR")?,
                processes: peer.processes()?,
            });
        }
    }
    stock_client(&targets, plan, results)
}

/// What the server uses and how long it takes, where the client is the limit.
fn stock_client(targets: &[Target], plan: &Plan, results: &mut Results) -> Result {
    let sends = "RocketMQ's Java client, sends of 64 threads, 1 KiB";
    let pushed = "RocketMQ's Java client, from send to push consumer, 1 KiB";
    for (title, rate) in [(sends, None), (pushed, Some(PUSHED))] {
        let table = java_client::measure(title, targets, rate, plan)?;
        for (value, what) in [
            (table::cpu as fn(&_) -> f64, "server CPU a message, of Apache's"),
            (table::p50, "p50, of Apache's"),
            (table::p99, "p99, of Apache's"),
        ] {
            let ratio = table.ratio(OURS, SYNC, value)?;
            results.ratios.push(Ratio::at_most(format!("{title}: {what}"), ratio, 1.0));
        }
        results.tables.push(table);
    }
    Ok(())
}

/// From the tail: 4 MiB that were just written. A little behind it: 32 MiB. From the disk: much more, and the system's
/// cache dropped.
fn reads(folder: &Path, pulls: Vec<Subject>, plan: &Plan, results: &mut Results) -> Result {
    for (topic, what, messages, target) in [
        ("bench-recent", "the last 32 MiB", read_rate::RECENT_MESSAGES, 1.0),
        ("bench-tail", "the tail", read_rate::TAIL_MESSAGES, 1.5),
    ] {
        for subject in &pulls {
            read_rate::fill("remoting", subject, topic, messages)?;
        }
        let on_topic = |s: &Subject| s.clone().on_topic(topic).shaped(|shape| shape.connections = 4);
        let subjects: Vec<Subject> = pulls.iter().map(on_topic).collect();
        let title = format!("RocketMQ remoting, pulls of {what}, 1 KiB");
        let table = Table::measure(&title, &subjects, plan)?;
        if subjects.len() > 1 {
            let ratio = table.ratio(OURS, ASYNC, table::rate)?;
            let what = format!("RocketMQ consumption from {what}, times Apache");
            results.ratios.push(Ratio::at_least(what, ratio, target));
        }
        results.tables.push(table);
    }
    let ours = pulls.iter().find(|subject| subject.name == OURS).ok_or("no subject")?;
    let cold = read_rate::cold(&folder.join("data"), "remoting", ours, plan)?;
    let limit = probe::sequential_read(&folder.join("read"))?;
    println!("cold pulls {:.0} MB/s, the disk's sequential read {:.0} MB/s", cold / 1e6, limit / 1e6);
    results.ratios.push(Ratio::at_least(
        "RocketMQ pulls of cold data, of the disk's read",
        cold / limit,
        0.6,
    ));
    Ok(())
}
