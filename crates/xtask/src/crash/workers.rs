//! Eight connections: three senders over remoting, one of which also commits offsets, two over HTTP, one over STOMP; a
//! consumer over HTTP, one over STOMP.
//!
//! A worker runs until its connection breaks. It notes what it is about to send before it sends, and what was answered
//! after the answer: whatever happens in between, the ledger is on the safe side.

use super::ledger::{Ledger, body};
use crate::load::Wire;
use crate::load::wires::{Http, Remoting, Stomp};
use crate::load::{Broker, HttpClient, Line};
use crate::shell::Result;
use rand::rngs::SmallRng;
use serde_json::{Value, json};
use std::net::SocketAddr;

pub const TOPICS: [&str; 3] = ["crash-remoting", "crash-http", "crash-stomp"];
/// The groups, each with the topic it reads: another wire's than its own.
pub const GROUPS: [(&str, &str); 2] =
    [("crash-group-http", "crash-remoting"), ("crash-group-stomp", "crash-http")];
/// A group that reads nothing and only commits what the first remoting sender has sent.
pub const COMMITTING: (&str, &str) = ("crash-group-remoting", TOPICS[0]);
/// Short, so that what a killed consumer held comes again soon.
pub const LEASE: &str = "5s";

pub enum Worker {
    Sender(Box<dyn Wire + Send>, &'static str, SocketAddr),
    Committer(SocketAddr),
    HttpConsumer(SocketAddr),
    StompConsumer(SocketAddr),
}

pub fn all(broker: &Broker) -> Result<Vec<Worker>> {
    let [remoting, http, stomp] =
        [broker.address("remoting")?, broker.address("http")?, broker.address("stomp")?];
    let mut workers = Vec::new();
    workers.push(Worker::Committer(remoting));
    workers.extend((0..2).map(|_| Worker::Sender(Box::new(Remoting), TOPICS[0], remoting)));
    workers.extend((0..2).map(|_| Worker::Sender(Box::new(Http), TOPICS[1], http)));
    workers.push(Worker::Sender(Box::new(Stomp), TOPICS[2], stomp));
    workers.push(Worker::HttpConsumer(http));
    workers.push(Worker::StompConsumer(stomp));
    Ok(workers)
}

impl Worker {
    /// Works until the connection breaks, which is the only way it ends.
    pub fn run(self, ledger: &Ledger, name: String, random: SmallRng) -> Result {
        let (what, ended) = match self {
            Self::Sender(wire, topic, address) => {
                let sent = send(&*wire, topic, address, ledger, &name, random, |_, _| Ok(()));
                (format!("sender to {topic}"), sent)
            }
            Self::Committer(address) => {
                let commit = |line: &mut Line, place| commit(line, place, ledger);
                let sent = send(&Remoting, COMMITTING.1, address, ledger, &name, random, commit);
                ("sender that commits".into(), sent)
            }
            Self::HttpConsumer(address) => ("consumer over HTTP".into(), consume_http(address, ledger)),
            Self::StompConsumer(address) => ("consumer over STOMP".into(), consume_stomp(address, ledger)),
        };
        ended.map_err(|error| format!("{what}: {error}").into())
    }
}

fn send(
    wire: &dyn Wire,
    topic: &str,
    address: SocketAddr,
    ledger: &Ledger,
    name: &str,
    mut random: SmallRng,
    mut then: impl FnMut(&mut Line, Option<(u32, u64)>) -> Result,
) -> Result {
    let mut line = Line::greeted(address, wire)?;
    for n in 0u64.. {
        let body = body(&format!("{name}n{n}"), &mut random);
        ledger.lock().sent.insert(body.clone(), topic.to_owned());
        let mut request = Vec::new();
        wire.request(topic, body.as_bytes(), &mut request);
        line.write(&request)?;
        let answer = line.read(|bytes| wire.answer(bytes))?;
        let place = wire.place(&answer);
        ledger.lock().acknowledged.insert(body, place);
        then(&mut line, place)?;
    }
    Ok(())
}

fn commit(line: &mut Line, place: Option<(u32, u64)>, ledger: &Ledger) -> Result {
    let (queue, offset) = place.ok_or("an answer without a place")?;
    line.write(&Remoting::commit(COMMITTING.0, COMMITTING.1, queue, offset + 1))?;
    line.read(|bytes| Remoting.answer(bytes))?;
    note(ledger, COMMITTING, queue, offset + 1);
    Ok(())
}

fn consume_http(address: SocketAddr, ledger: &Ledger) -> Result {
    let mut client = HttpClient::open(address)?;
    let (group, topic) = GROUPS[0];
    loop {
        receive_and_settle(&mut client, group, topic, ledger)?;
        note_committed(&mut client, group, topic, ledger)?;
    }
}

/// One receive and the acknowledgement of all of it; gives how many there were.
pub fn receive_and_settle(
    client: &mut HttpClient,
    group: &str,
    topic: &str,
    ledger: &Ledger,
) -> Result<usize> {
    let path = format!("/v1/groups/{group}/receive?topic={topic}&max=32&wait=1s&lease={LEASE}");
    let answer = match client.post(&path, "") {
        // Until a sender has made the topic, there is nothing to receive.
        Err(error) if error.to_string().contains("topic-not-found") => {
            std::thread::sleep(std::time::Duration::from_millis(5));
            return Ok(0);
        }
        answer => answer?,
    };
    let messages = answer["messages"].as_array().cloned().unwrap_or_default();
    let mut bodies = Vec::new();
    for message in &messages {
        let body =
            message["body"].as_str().ok_or_else(|| format!("a message without a text body: {message}"))?;
        ledger.lock().receive(group, body);
        bodies.push(body);
    }
    if messages.is_empty() {
        return Ok(0);
    }
    let handles: Vec<&Value> = messages.iter().map(|message| &message["handle"]).collect();
    let answer =
        client.post(&format!("/v1/groups/{group}/ack"), &json!({ "handles": handles }).to_string())?;
    let results = answer["results"].as_array().ok_or("an acknowledgement without results")?;
    for (body, result) in bodies.iter().zip(results) {
        if result["ok"] == true {
            ledger.lock().settle(group, body);
        }
    }
    Ok(messages.len())
}

fn note_committed(client: &mut HttpClient, group: &str, topic: &str, ledger: &Ledger) -> Result {
    for (queue, committed) in super::inspect::committed(client, group, topic)? {
        note(ledger, (group, topic), queue, committed);
    }
    Ok(())
}

fn note(ledger: &Ledger, (group, topic): (&str, &str), queue: u32, committed: u64) {
    let mut entries = ledger.lock();
    let known = entries.committed.entry((group.to_owned(), (topic.to_owned(), queue))).or_default();
    *known = committed.max(*known);
}

fn consume_stomp(address: SocketAddr, ledger: &Ledger) -> Result {
    let (group, topic) = GROUPS[1];
    let mut line = Line::greeted(address, &Stomp)?;
    let subscribe =
        format!("SUBSCRIBE\nid:0\ndestination:/group/{group}/{topic}\nack:client-individual\n\n\0");
    line.write(subscribe.as_bytes())?;
    // An answered ACK is told apart by its receipt: the body itself would be too long for a header.
    let mut unanswered = std::collections::HashMap::new();
    for n in 0u64.. {
        let frame = line.read(stomp_length)?;
        let text = std::str::from_utf8(frame.trim_ascii_start())?.trim_end_matches(['\0', '\n']);
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        match head.lines().next() {
            Some("MESSAGE") => {
                ledger.lock().receive(group, body);
                unanswered.insert(n.to_string(), body.to_owned());
                let ack = header("ack").ok_or("a message without an ack header")?;
                line.write(format!("ACK\nid:{ack}\nreceipt:{n}\n\n\0").as_bytes())?;
            }
            Some("RECEIPT") => {
                let settled = header("receipt-id").and_then(|receipt| unanswered.remove(receipt));
                ledger.lock().settle(group, &settled.ok_or("a receipt for nothing")?);
            }
            _ => return Err(format!("unexpected: {text}").into()),
        }
    }
    Ok(())
}

/// Bodies here are text without NUL, so a frame ends at the first one.
fn stomp_length(bytes: &[u8]) -> Result<Option<usize>> {
    Ok(bytes.iter().position(|byte| *byte == 0).map(|end| end + 1))
}
