//! What readers get: of messages that were just written, and of ones that only the disk has.

use super::subject::{Plan, Subject};
use crate::load::{Order, Shape};
use crate::shell::Result;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// As many of 1 KiB as anybody is behind who keeps up: 4 MiB.
pub const TAIL_MESSAGES: usize = 4 << 10;
/// And as many as somebody is behind who has paused for a moment.
pub const RECENT_MESSAGES: usize = 32 << 10;
/// More than anybody reads in the time.
const COLD_BYTES: usize = 1536 << 20;
const COLD_BODY: usize = 16 << 10;
/// Short, so that the end is not reached and nothing is read twice.
const COLD_READ: Duration = Duration::from_millis(1500);
/// Bytes a second that every broker stores.
const FILL_BYTES: f64 = 48e6;

/// Stores about so many messages of 1 KiB on a topic.
pub fn fill(wire: &str, subject: &Subject, topic: &str, messages: usize) -> Result {
    write(wire, subject, topic, messages, 1024)
}

fn write(wire: &str, subject: &Subject, topic: &str, messages: usize, body: usize) -> Result {
    let batch = if wire == "kafka" { (64 << 10) / body } else { 1 };
    let shape = Shape { connections: 8, depth: 8, body, batch, queues: subject.shape.queues, groups: 1 };
    let seconds = (messages * body) as f64 / FILL_BYTES;
    let order = Order {
        wire,
        address: subject.address,
        topic,
        shape: &shape,
        rate: Some(messages as f64 / batch as f64 / seconds),
        warm_up: Duration::ZERO,
        duration: Duration::from_secs_f64(seconds),
    };
    order.run().map_err(|error| format!("{}: {error}", subject.name))?;
    Ok(())
}

/// Bytes a second of bodies, read for the first time after the system has let go of them. `data` is where the broker
/// keeps its files.
pub fn cold(data: &Path, wire: &str, subject: &Subject, plan: &Plan) -> Result<f64> {
    const TOPIC: &str = "bench-cold";
    write(wire, subject, TOPIC, COLD_BYTES / COLD_BODY, COLD_BODY)?;
    let mut rates = Vec::new();
    for _ in 0..plan.repeats {
        let_go(data)?;
        let mut shape = subject.shape.clone();
        shape.body = COLD_BODY;
        let order = Order {
            wire: subject.wire,
            address: subject.address,
            topic: TOPIC,
            shape: &shape,
            rate: None,
            warm_up: Duration::ZERO,
            duration: COLD_READ,
        };
        plan.gate.wait()?;
        let load = order.run().map_err(|error| format!("{}: {error}", subject.name))?;
        rates.push(load.per_second * COLD_BODY as f64);
    }
    Ok(super::table::Spread::of(rates).median)
}

/// Lets the system forget what it keeps of these files in memory.
pub fn let_go(folder: &Path) -> Result {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            let_go(&path)?;
        } else if let Ok(file) = File::open(&path) {
            // Only what is on the disk can be forgotten.
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
