//! STOMP beside the brokers that STOMP users come from: the same bytes, the same durability, the same minute.

use super::peers::Peer;
use super::{BODY, CONNECTIONS, EACH, REPEATS, Target, of, print, rounds};
use crate::load::frames::{Stomp, StompCycle};
use crate::load::{Broker, Settings};
use crate::shell::Result;
use std::path::Path;

pub fn measure(folder: &Path, peers: Option<&Path>) -> Result {
    let broker = Broker::start(&Settings::in_folder(folder))?;
    let peers = match peers {
        Some(peers) => vec![
            Peer::start(&peers.join("rabbitmq"), &folder.join("rabbitmq"))?,
            Peer::start(&peers.join("activemq"), &folder.join("activemq"))?,
        ],
        None => {
            println!("no other brokers: give the folder of their start scripts with --peers");
            Vec::new()
        }
    };
    let mut sends = vec![of(&broker, "send with receipt", &Stomp, "stomp")?];
    let mut cycles = vec![of(&broker, "send, receive, ack", &StompCycle, "stomp")?];
    for (peer, names) in peers.iter().zip([
        ["RabbitMQ: send with receipt", "RabbitMQ: send, receive, ack"],
        ["ActiveMQ: send with receipt", "ActiveMQ: send, receive, ack"],
    ]) {
        let [send, cycle] = names;
        let (address, processes) = (peer.address(), peer.processes()?);
        sends.push(Target { name: send, wire: &Stomp, address, processes: processes.clone() });
        cycles.push(Target { name: cycle, wire: &StompCycle, address, processes });
    }
    for targets in [sends, cycles] {
        let mut rows = rounds(None, &targets)?;
        println!(
            "\n{CONNECTIONS} connections x 1 in flight, {BODY} B, synced; medians of {REPEATS} x {EACH:?}"
        );
        print(&mut rows, &[(0, "of Sluice")]);
    }
    println!("target: three times what the others reach");
    Ok(())
}
