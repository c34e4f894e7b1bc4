//! What access control costs: signed and permitted sends to one broker beside the same sends, unsigned, to one that is
//! open to all.
//!
//! Both brokers run during the whole measurement and take short turns, so whatever else the machine does happens to both;
//! what counts is the median of the ratios of neighbouring turns.

use super::{BODY, CONNECTIONS, WARM_UP, of};
use crate::load::frames::{Remoting, Wire};
use crate::load::{Broker, Settings};
use crate::shell::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Many and short: the difference that is looked for is smaller than that of two runs elsewhere.
const ROUNDS: usize = 21;
const EACH: Duration = Duration::from_secs(1);
/// Users, and policies of each: so many that what is measured is no special case.
const USERS: usize = 100;
const POLICIES: usize = 10;
/// What access control may cost.
const TARGET: f64 = 3.0;

const USER: &str = "user-50";
const SECRET: &str = "the secret of the benchmark";

pub fn measure(folder: &Path) -> Result {
    let brokers = [start(folder, false)?, start(folder, true)?];
    let targets =
        [of(&brokers[0], "open", &UNSIGNED, "remoting")?, of(&brokers[1], "acl", &SIGNED, "remoting")?];
    for target in &targets {
        target.load(1, WARM_UP)?;
    }
    let (mut rates, mut costs): ([Vec<f64>; 3], [Vec<f64>; 3]) = Default::default();
    for round in 0..ROUNDS {
        // Whoever comes second in a round finds another disk than the first.
        for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let row = targets[at].load(1, EACH)?;
            rates[at].push(row.measured.per_second);
            costs[at].push(row.cpu.unwrap_or_default().as_secs_f64() * 1e6);
        }
        rates[2].push(rates[1][round] / rates[0][round]);
        costs[2].push(costs[1][round] / costs[0][round]);
    }
    let [open, acl, ratio] = rates.each_mut().map(|rates| median(rates));
    let [open_cpu, acl_cpu, cpu_ratio] = costs.each_mut().map(|costs| median(costs));
    println!(
        "\nremoting sends, {CONNECTIONS} connections x 1 in flight, {BODY} B, synced; medians of {ROUNDS} x {EACH:?}"
    );
    println!("open to all        {open:>8.0} msg/s {open_cpu:>8.1} us of CPU each");
    println!("signed, permitted  {acl:>8.0} msg/s {acl_cpu:>8.1} us of CPU each");
    println!(
        "access control costs {:.1} % of the sends and {:.1} % more CPU; target: at most {TARGET} % of the sends",
        100.0 * (1.0 - ratio),
        100.0 * (cpu_ratio - 1.0)
    );
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
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
