//! What access control costs: signed sends to a broker that checks them beside the same sends to one that is open to all,
//! and beside sends without a signature.
//!
//! All run during the whole measurement and take short turns, so whatever else the machine does happens to all of them;
//! what counts is the median of the ratios of neighbouring turns. The second row tells apart what the client adds: a
//! signed request is longer, whether somebody looks at its signature or not.

use super::usage;
use crate::load::wires::Remoting;
use crate::load::{Broker, Settings, Wire};
use crate::shell::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sluice_load::{Load, Pace};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Many and short: the difference that is looked for is smaller than that of two runs elsewhere.
const ROUNDS: usize = 21;
const EACH: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 64;
const BODY: usize = 1024;
/// Users, and policies of each: so many that what is measured is no special case.
const USERS: usize = 100;
const POLICIES: usize = 10;
/// What access control may cost.
const TARGET: f64 = 3.0;

const USER: &str = "user-50";
const SECRET: &str = "the secret of the benchmark";

pub fn measure(folder: &Path) -> Result {
    let (open, acl) = (start(folder, false)?, start(folder, true)?);
    let sides = [
        ("open, unsigned", &open, &UNSIGNED),
        ("open, signed", &open, &SIGNED),
        ("acl, signed", &acl, &SIGNED),
    ];
    for (_, broker, wire) in &sides {
        send(broker, wire)?;
    }
    let (mut rates, mut costs): ([Vec<f64>; 3], [Vec<f64>; 3]) = Default::default();
    for round in 0..ROUNDS {
        // Whoever comes second in a round finds another disk than the first.
        for at in if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] } {
            let (_, broker, wire) = sides[at];
            let (rate, cost) = send(broker, wire)?;
            rates[at].push(rate);
            costs[at].push(cost);
        }
    }
    println!(
        "\nremoting sends, {CONNECTIONS} connections x 1 in flight, {BODY} B, synced; medians of {ROUNDS} x {EACH:?}"
    );
    for (at, (name, ..)) in sides.iter().enumerate() {
        let (rate, cost) = (median(rates[at].clone()), median(costs[at].clone()));
        println!("{name:16} {rate:>8.0} msg/s {cost:>8.1} us of CPU each");
    }
    let less = |to: usize, than: usize| 100.0 * (1.0 - ratio(&rates[to], &rates[than]));
    let more = |to: usize, than: usize| 100.0 * (ratio(&costs[to], &costs[than]) - 1.0);
    println!(
        "access control costs {:.1} % of the sends, {:.1} % more CPU; target: at most {TARGET} % of the sends",
        less(2, 1),
        more(2, 1)
    );
    println!(
        "the longer requests cost {:.1} %, {:.1} % more CPU; both {:.1} %",
        less(1, 0),
        more(1, 0),
        less(2, 0)
    );
    Ok(())
}

/// The median of the ratios of turns in the same round.
fn ratio(of: &[f64], to: &[f64]) -> f64 {
    median(of.iter().zip(to).map(|(of, to)| of / to).collect())
}

/// Messages a second, and microseconds of the broker's time on a processor for each. The load is made here: only this
/// measurement needs signatures, and both sides bear the same.
fn send(broker: &Broker, wire: &Send) -> Result<(f64, f64)> {
    let load = Load {
        address: broker.address("remoting")?,
        wire,
        topic: "bench",
        connections: CONNECTIONS,
        depth: 1,
        body: BODY,
        warm_up: Duration::ZERO,
        duration: EACH,
        pace: Pace::Closed,
    };
    let before = usage::cpu(broker.id())?;
    let rate = load.run()?.per_second;
    let used = usage::cpu(broker.id())?.saturating_sub(before);
    Ok((rate, used.as_secs_f64() * 1e6 / (rate * EACH.as_secs_f64()).max(1.0)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn start(folder: &Path, acl: bool) -> Result<Broker> {
    let folder = folder.join(if acl { "acl" } else { "open" });
    std::fs::create_dir_all(&folder)?;
    let mut settings = Settings::in_folder(&folder);
    if acl {
        let file = folder.join("acl.toml");
        std::fs::write(&file, users())?;
        settings.set("SLUICE_AUTH__MODE", "acl");
        settings.set("SLUICE_AUTH__FILE", &file);
    }
    Broker::start(&settings)
}

/// Everybody may send to the benchmark's topic and to some others.
fn users() -> String {
    let mut text = String::new();
    for user in 0..USERS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[[users]]\nname = \"user-{user}\"\nsecret = \"{SECRET}\"");
        for policy in 0..POLICIES {
            let topic = if policy == 0 { "bench".to_owned() } else { format!("topic-{policy}*") };
            let _ = writeln!(
                text,
                "[[policies]]\nsubject = \"user-{user}\"\nresource = \"Topic:{topic}\"\nactions = [\"Pub\", \"Create\"]"
            );
        }
    }
    text
}

/// SEND_MESSAGE_V2 as the stock client writes it, with its signature or without.
struct Send {
    signed: bool,
}

const UNSIGNED: Send = Send { signed: false };
const SIGNED: Send = Send { signed: true };

impl Wire for Send {
    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        let mut fields = vec![
            ("a", "load"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", "-1"),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", ""),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        let signature;
        if self.signed {
            fields.insert(0, ("AccessKey", USER)); // capitals come first: the fields stay in their order
            signature = sign(&fields, body);
            fields.push(("Signature", &signature));
        }
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
        let header = format!(
            r#"{{"code":310,"extFields":{{{}}},"flag":0,"language":"JAVA","opaque":7,"version":479}}"#,
            fields.join(",")
        );
        out.extend(((4 + header.len() + body.len()) as u32).to_be_bytes());
        out.extend((header.len() as u32).to_be_bytes());
        out.extend(header.as_bytes());
        out.extend(body);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        Remoting.answer(bytes)
    }
}

fn sign(fields: &[(&str, &str)], body: &[u8]) -> String {
    // An HMAC takes a key of any length.
    let Ok(mut mac) = <Hmac<Sha1> as KeyInit>::new_from_slice(SECRET.as_bytes()) else {
        return String::new();
    };
    fields.iter().for_each(|(_, value)| mac.update(value.as_bytes()));
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}
