//! The table of wires: what a stock client of one sends, a stock client of every other receives, with nothing lost.

use sluice_tests::wires::{Curl, Java, Stomp};
use sluice_tests::{Sample, Seen, TestServer, Wire};
use std::time::{SystemTime, UNIX_EPOCH};

const DELAY_MS: u64 = 1500;

fn samples() -> Vec<Sample> {
    let unicode = "Grüße, 世界 😀";
    let mut state = 0x2545_F491_u32;
    let noise = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    vec![
        Sample { name: "empty body", keys: vec!["empty"], ..Sample::default() },
        Sample { name: "binary with NULs", body: vec![0, 1, 0, 255, 254, 0], ..Sample::default() },
        Sample { name: "UTF-8", body: unicode.as_bytes().to_vec(), ..Sample::default() },
        Sample { name: "4 MiB", body: (0..4 << 20).map(noise).collect(), ..Sample::default() },
        Sample { name: "text of 64 KiB", body: b"compressible ".repeat(5041), ..Sample::default() },
        Sample { name: "tag", body: b"t".to_vec(), tag: Some("red-tag"), ..Sample::default() },
        Sample { name: "keys", body: b"k".to_vec(), keys: vec!["order-1", "客户"], ..Sample::default() },
        Sample {
            name: "properties",
            body: b"p".to_vec(),
            properties: vec![
                ("plain", "value"),
                ("Unicode", unicode),
                ("colon:ed", "a:b\\c"),
                ("snow-man_1", "☃"),
            ],
            ..Sample::default()
        },
        Sample {
            name: "duplicates",
            body: b"d".to_vec(),
            properties: vec![("twice", "first"), ("twice", "second"), ("after", "x")],
            ..Sample::default()
        },
        Sample { name: "delay", body: b"later".to_vec(), delay_ms: Some(DELAY_MS), ..Sample::default() },
    ]
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// What came through of one sample, or what did not.
fn judge(
    sample: &Sample,
    seen: &Seen,
    duplicates: bool,
    sent: std::ops::RangeInclusive<u64>,
    received: u64,
) -> Result<(), String> {
    let differs =
        |what: &str, wanted: String, got: String| Err(format!("{what}: {got} in place of {wanted}"));
    if seen.body != sample.body {
        return differs("body", format!("{} bytes", sample.body.len()), format!("{} bytes", seen.body.len()));
    }
    if seen.tag.as_deref() != sample.tag {
        return differs("tag", format!("{:?}", sample.tag), format!("{:?}", seen.tag));
    }
    if seen.keys != sample.keys {
        return differs("keys", format!("{:?}", sample.keys), format!("{:?}", seen.keys));
    }
    let mut wanted: Vec<(String, String)> = Vec::new();
    for (name, value) in &sample.properties {
        if duplicates || wanted.iter().all(|(n, _)| n != name) {
            wanted.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    // A STOMP sender says the delay in a header of its own, which stays one: receivers see what was sent.
    let mut got: Vec<_> = seen.properties.iter().filter(|(name, _)| name != "delay").cloned().collect();
    let in_order = sample.name == "duplicates" && duplicates;
    if !in_order {
        wanted.sort();
        got.sort();
    }
    if got != wanted {
        return differs("properties", format!("{wanted:?}"), format!("{got:?}"));
    }
    if !sent.contains(&seen.born) {
        return differs("born", format!("{sent:?}"), seen.born.to_string());
    }
    match sample.delay_ms {
        Some(delay) if received < sent.start() + delay => {
            differs("delay", format!("{delay} ms"), "too early".into())
        }
        _ => Ok(()),
    }
}

/// One cell: every sample from one wire to another, over one topic. Returns the lines of the table.
fn pair(from: &mut dyn Wire, to: &mut dyn Wire, topic: &str) -> Vec<(String, Result<(), String>)> {
    let mut lines = Vec::new();
    for (i, sample) in samples().iter().enumerate() {
        let line = format!("{:16} -> {:16} {:18}", from.name(), to.name(), sample.name);
        if let Some(why) = from.cannot_send(sample) {
            lines.push((format!("{line} -  ({why})"), Ok(())));
            continue;
        }
        let topic = format!("{topic}-{i}");
        let start = now();
        from.send(&topic, sample);
        let sent = start..=now();
        let got = to.receive(&topic, &format!("g-{topic}"), 1);
        let verdict = match got.as_slice() {
            [seen] => judge(sample, seen, to.shows_duplicates(), sent, now()),
            other => Err(format!("{} messages came in place of one", other.len())),
        };
        lines.push((line, verdict));
    }
    lines
}

#[test]
fn every_wire_receives_what_every_wire_sends() {
    let server = TestServer::start();
    let mut wires: Vec<Box<dyn Wire>> =
        vec![Box::new(Java::new(&server)), Box::new(Curl::new(&server)), Box::new(Stomp::new(&server))];
    let mut lines = Vec::new();
    for from in 0..wires.len() {
        for to in 0..wires.len() {
            let topic = format!("table-{from}-{to}");
            // A wire talks to itself too: its own client twice.
            if from == to {
                let mut twin: Box<dyn Wire> = match from {
                    0 => Box::new(Java::new(&server)),
                    1 => Box::new(Curl::new(&server)),
                    _ => Box::new(Stomp::new(&server)),
                };
                lines.extend(pair(wires[from].as_mut(), twin.as_mut(), &topic));
            } else {
                let [a, b] = wires.get_disjoint_mut([from, to]).expect("two wires");
                lines.extend(pair(a.as_mut(), b.as_mut(), &topic));
            }
        }
    }
    for (line, verdict) in &lines {
        println!(
            "{line} {}",
            verdict.as_ref().map_or_else(|why| format!("LOST  {why}"), |()| "ok".to_owned())
        );
    }
    let lost = lines.iter().filter(|(_, verdict)| verdict.is_err()).count();
    assert_eq!(lost, 0, "{lost} of {} cells lost something", lines.len());
}
