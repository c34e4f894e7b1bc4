//! STOMP beside the brokers that STOMP users come from: the same bytes, the same durability, the same minute.

use super::peers::Peer;
use super::results::Results;
use super::subject::{Plan, Subject};
use super::table::{self, Ratio, Table};
use crate::shell::Result;
use std::path::Path;

/// Both are to be reached against each of the others.
const TIMES: f64 = 3.0;

pub fn measure(folder: &Path, peers: Option<&Path>, plan: &Plan, results: &mut Results) -> Result {
    let broker = super::start(folder)?;
    let mut sends = vec![Subject::of(&broker, "Sluice", "stomp", "stomp")?];
    let mut cycles = vec![Subject::of(&broker, "Sluice", "stomp-cycle", "stomp")?];
    // All of them live as long as they are measured.
    let mut running = Vec::new();
    match peers {
        None => println!("no other brokers: give the folder of their start scripts with --peers"),
        Some(peers) => {
            for (name, scripts) in [("RabbitMQ", "rabbitmq"), ("ActiveMQ", "activemq")] {
                let peer = Peer::start(peers, scripts, &folder.join(scripts), &[])?;
                let (address, processes) = (peer.address("STOMP")?, peer.processes()?);
                sends.push(Subject::at(name, "stomp", address, processes.clone()));
                cycles.push(Subject::at(name, "stomp-cycle", address, processes));
                results.machine.peers.push(peer.described(name)?);
                running.push((name, peer));
            }
        }
    }
    for (what, subjects) in [("send with receipt", sends), ("send, receive, ack", cycles)] {
        let title = format!("STOMP, {what}, 64 connections x 1, 1 KiB, on the disk before the receipt");
        let table = Table::measure(&title, &subjects, plan)?;
        for (peer, _) in &running {
            let ratio = table.ratio("Sluice", peer, table::rate)?;
            results.ratios.push(Ratio::at_least(format!("STOMP {what}, times {peer}"), ratio, TIMES));
        }
        results.tables.push(table);
    }
    Ok(())
}
