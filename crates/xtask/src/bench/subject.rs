//! Whom a load is put on, one run of it, and what the server used meanwhile.

use super::probe::Measured;
use super::quiet::{Gate, Watch};
use super::usage::{self, Usage};
use crate::load::{Broker, Order, Shape};
use crate::shell::Result;
use serde::Serialize;
use sluice_load::Report;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// After so many noisy runs the last one stays, and says that it is one.
const TRIES: usize = 4;

/// A server, the wire to it, and the load.
#[derive(Clone)]
pub struct Subject {
    pub name: String,
    pub wire: &'static str,
    pub address: SocketAddr,
    /// All that serve it.
    pub processes: Vec<u32>,
    pub shape: Shape,
    /// A topic that has to be the same in every run, because something is in it already.
    pub topic: Option<String>,
}

/// How long, and how strictly.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub each: Duration,
    pub warm_up: Duration,
    pub repeats: usize,
    pub gate: Gate,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    pub load: Report,
    /// Of the server, for each message, in microseconds: the same number as seconds for a million.
    pub cpu_us: f64,
    pub written_per_byte: f64,
    pub switches: f64,
    pub resident_mib: f64,
    /// The part of all processors that others used.
    pub foreign: f64,
    /// Runs that were thrown away before this one, because others used too much.
    pub thrown_away: usize,
}

impl Sample {
    /// A probe's run: there is no server whose cost could be told.
    pub fn of_probe(measured: &Measured) -> Self {
        let us = |latency: Duration| latency.as_secs_f64() * 1e6;
        let load = Report {
            per_second: measured.per_second,
            per_request: 1.0,
            intended: None,
            left: 0,
            left_part: 0.0,
            p50: us(measured.p50),
            p99: us(measured.p99),
            max: us(measured.p99),
            quantiles: vec![(0.5, us(measured.p50)), (0.99, us(measured.p99))],
            count: 0,
            own_cpu: 0.0,
        };
        Self {
            load,
            cpu_us: 0.0,
            written_per_byte: 0.0,
            switches: 0.0,
            resident_mib: 0.0,
            foreign: 0.0,
            thrown_away: 0,
        }
    }
}

impl Subject {
    pub fn of(broker: &Broker, name: &str, wire: &'static str, listener: &str) -> Result<Self> {
        Ok(Self::at(name, wire, broker.address(listener)?, vec![broker.id()]))
    }

    pub fn at(name: &str, wire: &'static str, address: SocketAddr, processes: Vec<u32>) -> Self {
        Self { name: name.to_owned(), wire, address, processes, shape: Shape::default(), topic: None }
    }

    pub fn shaped(mut self, change: impl FnOnce(&mut Shape)) -> Self {
        change(&mut self.shape);
        self
    }

    pub fn on_topic(mut self, topic: &str) -> Self {
        self.topic = Some(topic.to_owned());
        self
    }

    /// A run that counts: when others used too much, it is made again.
    pub fn measure(&self, plan: &Plan, rate: Option<f64>) -> Result<Sample> {
        let mut thrown_away = 0;
        loop {
            plan.gate.wait()?;
            let mut sample = self.run(plan, rate)?;
            sample.thrown_away = thrown_away;
            if plan.gate.bears(sample.foreign) || thrown_away + 1 == TRIES {
                return Ok(sample);
            }
            thrown_away += 1;
        }
    }

    fn run(&self, plan: &Plan, rate: Option<f64>) -> Result<Sample> {
        // What an earlier run left on its topics is not for this one.
        static RUN: AtomicU32 = AtomicU32::new(0);
        let private = format!("bench-{}", RUN.fetch_add(1, Ordering::Relaxed));
        let order = Order {
            wire: self.wire,
            address: self.address,
            topic: self.topic.as_deref().unwrap_or(&private),
            shape: &self.shape,
            rate,
            warm_up: plan.warm_up,
            duration: plan.each,
        };
        let (watch, before, began) = (Watch::start()?, self.used()?, Instant::now());
        let load = order.run().map_err(|error| format!("{}: {error}", self.name))?;
        let (after, took) = (self.used()?, began.elapsed());
        let cpu = after.cpu.saturating_sub(before.cpu);
        let foreign = watch.foreign(cpu + Duration::from_secs_f64(load.own_cpu))?;
        // What is counted here is of the whole run, and its messages are those of the part that counts.
        let messages = (load.per_second * took.as_secs_f64()).max(1.0);
        let bytes = messages * self.shape.body as f64;
        Ok(Sample {
            cpu_us: cpu.as_secs_f64() * 1e6 / messages,
            written_per_byte: after.written_per(&before, bytes),
            switches: after.switches.saturating_sub(before.switches) as f64 / messages,
            resident_mib: after.resident_kib as f64 / 1024.0,
            foreign,
            thrown_away: 0,
            load,
        })
    }

    fn used(&self) -> Result<Usage> {
        usage::of(&self.processes)
    }
}
