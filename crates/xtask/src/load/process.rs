//! The load generator, started once for each run.

use crate::shell::{self, Result, cargo, target};
use sluice_load::Report;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a run puts on a server, whoever that is.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub connections: usize,
    /// The most requests in flight on each.
    pub depth: usize,
    pub body: usize,
    /// Messages of one request.
    pub batch: usize,
    pub queues: u32,
    pub groups: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { connections: 64, depth: 1, body: 1024, batch: 1, queues: 4, groups: 1 }
    }
}

/// One run of the load generator.
pub struct Order<'a> {
    pub wire: &'a str,
    pub address: SocketAddr,
    pub topic: &'a str,
    pub shape: &'a Shape,
    /// Requests a second; without it, a closed loop.
    pub rate: Option<f64>,
    pub warm_up: Duration,
    pub duration: Duration,
}

/// Builds the generator: for release, because it must not be what is measured.
pub fn build() -> Result {
    shell::run(cargo(&["build", "--release", "--quiet", "--package", "sluice-load"]))
}

impl Order<'_> {
    pub fn run(&self) -> Result<Report> {
        let mut command = Command::new(target().join("release/sluice-load"));
        command.arg(self.wire).arg(self.address.to_string());
        let Shape { connections, depth, body, batch, queues, groups } = self.shape;
        command.args(["--topic", self.topic]);
        for (name, value) in [
            ("--connections", connections.to_string()),
            ("--depth", depth.to_string()),
            ("--body", body.to_string()),
            ("--batch", batch.to_string()),
            ("--queues", queues.to_string()),
            ("--groups", groups.to_string()),
            ("--seconds", self.duration.as_secs_f64().to_string()),
            ("--warm-up", self.warm_up.as_secs_f64().to_string()),
        ] {
            command.args([name, &value]);
        }
        if let Some(rate) = self.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
        }
        Report::parse(std::str::from_utf8(&output.stdout)?)
    }
}
