//! The table of wires: what a stock client of one sends, a stock client of every other receives. Every header and
//! property of STOMP and HTTP is sent in each of its spellings, and what a receiver cannot be told is named with the
//! reason.
//!
//! The one idea to know: all messages go to one topic, and each receiver reads it once as a group of its own, at the
//! same time as the others. A message is known by its body, or by its key where the body is what is tested.
//!
//! What is sent is in a file for each wire; what each wire can tell is in `receivers.rs`.

mod case;
mod http;
mod kafka;
mod receivers;
mod remoting;
mod stomp;

use case::{Case, Said, Shown, Time, Unsayable, mark};
use receivers::{RECEIVERS, Receiver, Told};
use sluice_tests::wires::{Curl, Java, Kafka, Stomp};
use sluice_tests::{Property, Seen, TestServer, Wire, now};
use std::ops::RangeInclusive;
use std::thread;

const TOPIC: &str = "table";
const DELAY_MS: u64 = 2500;
/// Messages that are too old when they come, from HTTP and from STOMP.
const STALE: usize = 2;
const TOO_OLD: &[u8] = b"too old";

/// A row whose message was sent.
struct Sent {
    from: &'static str,
    name: String,
    said: Said,
    less: Option<&'static str>,
    at: RangeInclusive<u64>,
}

fn send<W: Wire>(wire: &mut W, from: &'static str, cases: Vec<Case<W::Message>>) -> Vec<Sent> {
    let one = |case: Case<W::Message>| {
        let start = now();
        wire.send(TOPIC, &case.message);
        Sent { from, name: case.name, said: case.said, less: case.less, at: start..=now() }
    };
    cases.into_iter().map(one).collect()
}

/// A stock client of each wire.
struct Wires {
    java: Java,
    curl: Curl,
    stomp: Stomp,
    kafka: Kafka,
}

/// What is there at once, then what waits, so that receivers are there before it is due.
fn send_all(wires: &mut Wires) -> Vec<Sent> {
    let Wires { java, curl, stomp, kafka } = wires;
    let all = thread::scope(|scope| {
        let threads = [
            scope.spawn(|| {
                let mut sent = send(java, "remoting", remoting::cases());
                sent.extend(send(java, "remoting", remoting::late(DELAY_MS)));
                sent
            }),
            scope.spawn(|| {
                let mut sent = send(curl, "http", http::cases());
                curl.send(TOPIC, &http::stale());
                sent.extend(send(curl, "http", http::late(DELAY_MS)));
                sent
            }),
            scope.spawn(|| {
                let mut sent = send(stomp, "stomp", stomp::cases());
                stomp.send(TOPIC, &stomp::stale());
                sent.extend(send(stomp, "stomp", stomp::late(DELAY_MS)));
                sent
            }),
            scope.spawn(|| send(kafka, "kafka", kafka::cases())),
        ];
        threads.map(|thread| thread.join().expect("a sender"))
    });
    all.into_iter().flatten().collect()
}

fn receive_all(wires: &mut Wires, count: usize) -> [Vec<Seen>; 4] {
    let Wires { java, curl, stomp, kafka } = wires;
    thread::scope(|scope| {
        let threads = [
            scope.spawn(|| java.receive(TOPIC, "table-remoting", count)),
            scope.spawn(|| curl.receive(TOPIC, "table-http", count)),
            scope.spawn(|| stomp.receive(TOPIC, "table-stomp", count)),
            scope.spawn(|| kafka.receive(TOPIC, "table-kafka", count + STALE)),
        ];
        threads.map(|thread| thread.join().expect("a receiver"))
    })
}

/// One cell: the difference, if there is one that the receiver's wire does not explain.
fn judge(sent: &Sent, told: &Told, got: &[Seen], to: Receiver) -> Result<(), String> {
    let mark = mark(&format!("{} {}", sent.from, sent.name));
    let says_it = |bytes: &Option<Vec<u8>>| bytes.as_deref() == Some(mark.as_bytes());
    let is_this = |seen: &&Seen| says_it(&seen.body) || says_it(&seen.key) || seen.keys.contains(&mark);
    let mut found = got.iter().filter(is_this);
    let (Some(seen), None) = (found.next(), found.next()) else {
        return Err(format!("{} messages came in place of one", got.iter().filter(is_this).count()));
    };
    let said = &told.said;
    let length = |body: &Option<Vec<u8>>| body.as_ref().map(Vec::len);
    // Java's properties are a map, at either end.
    let in_order = to.in_order(said) && sent.from != "remoting";
    let (wanted, shown) = (ordered(&said.properties, in_order), ordered(&seen.properties, in_order));
    let same = [
        (
            said.body == seen.body,
            "body",
            format!("{:?} bytes", length(&said.body)),
            format!("{:?}", length(&seen.body)),
        ),
        (said.tag == seen.tag, "tag", format!("{:?}", said.tag), format!("{:?}", seen.tag)),
        (said.keys == seen.keys, "keys", format!("{:?}", said.keys), format!("{:?}", seen.keys)),
        (said.key == seen.key, "key", format!("{:?}", said.key), format!("{:?}", seen.key)),
        (said.group == seen.group, "group", format!("{:?}", said.group), format!("{:?}", seen.group)),
        (wanted == shown, "properties", Shown(&wanted).to_string(), Shown(&shown).to_string()),
        (
            born(sent, told, seen.born),
            "born",
            format!("{:?} or {:?}", said.born, sent.at),
            format!("{:?}", seen.born),
        ),
        (
            within(said.expires, &sent.at, seen.expires),
            "expires",
            format!("{:?}", said.expires),
            format!("{:?}", seen.expires),
        ),
        (
            !early(said.due, &sent.at, seen.at),
            "due",
            format!("{:?} after {:?}", said.due, sent.at),
            seen.at.to_string(),
        ),
    ];
    match same.into_iter().find(|(same, ..)| !same) {
        Some((_, what, wanted, got)) => Err(format!("{what}: {got} in place of {wanted}")),
        None => Ok(()),
    }
}

/// Repeated names in their order. Where all order counts, the type comes first, as in a STOMP frame.
fn ordered(properties: &[Property], in_order: bool) -> Vec<Property> {
    let mut all = properties.to_vec();
    if in_order {
        all.sort_by_key(|(name, _)| name != "content-type");
    } else {
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    all
}

fn born(sent: &Sent, told: &Told, seen: Option<u64>) -> bool {
    match (told.born, told.said.born, seen) {
        (false, _, seen) => seen.is_none(),
        (true, Some(born), seen) => seen == Some(born),
        (true, None, seen) => seen.is_some_and(|seen| sent.at.contains(&seen)),
    }
}

fn within(time: Option<Time>, sent: &RangeInclusive<u64>, seen: Option<u64>) -> bool {
    match (time, seen) {
        (None, None) => true,
        (Some(Time::At(at)), Some(seen)) => at == seen,
        (Some(Time::After(ms)), Some(seen)) => (sent.start() + ms..=sent.end() + ms).contains(&seen),
        _ => false,
    }
}

fn early(due: Option<Time>, sent: &RangeInclusive<u64>, came: u64) -> bool {
    match due {
        None => false,
        Some(Time::At(at)) => came < at,
        Some(Time::After(ms)) => came < sent.start() + ms,
    }
}

fn print_unsayable(from: &str, unsayable: Unsayable) {
    for (what, why) in unsayable {
        println!("{from:8} -> {:8} {what:40} -     {why}", "all");
    }
}

#[test]
fn every_wire_receives_what_every_wire_sends() {
    let server = TestServer::start();
    let mut wires = Wires {
        java: Java::new(&server),
        curl: Curl::new(&server),
        stomp: Stomp::new(&server),
        kafka: Kafka::new(&server),
    };
    let sent = send_all(&mut wires);
    let received = receive_all(&mut wires, sent.len());
    let mut lost = 0;
    for row in &sent {
        for (to, got) in RECEIVERS.into_iter().zip(&received) {
            let told = to.told(&row.said);
            let less: Vec<_> = row.less.into_iter().chain(told.less.iter().copied()).collect();
            let verdict = match judge(row, &told, got, to) {
                Ok(()) if less.is_empty() => "ok".to_owned(),
                Ok(()) => format!("ok    less: {}", less.join("; ")),
                Err(why) => {
                    lost += 1;
                    format!("LOST  {why}")
                }
            };
            println!("{:8} -> {:8} {:40} {verdict}", row.from, to.name(), row.name);
        }
    }
    for (from, unsayable) in [
        ("remoting", remoting::UNSAYABLE),
        ("http", http::UNSAYABLE),
        ("stomp", stomp::UNSAYABLE),
        ("kafka", kafka::UNSAYABLE),
    ] {
        print_unsayable(from, unsayable);
    }
    for (to, got) in RECEIVERS.into_iter().zip(&received) {
        let stale = got.iter().filter(|seen| seen.body.as_deref() == Some(TOO_OLD)).count();
        // A fetch does not say for which group it is: whoever reads by offset alone is given what is there.
        let wanted = if to == Receiver::Kafka { STALE } else { 0 };
        assert_eq!(stale, wanted, "{} got expired ones", to.name());
    }
    assert_eq!(lost, 0, "{lost} of {} cells lost something", sent.len() * RECEIVERS.len());
}
