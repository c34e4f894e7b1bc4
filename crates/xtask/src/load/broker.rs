//! The real binary as a child process, on free ports.

use crate::shell::{self, Result};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Recovery of a crashed store included.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Where a broker keeps its data and what it is told.
pub struct Settings {
    data: PathBuf,
    log: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Settings {
    /// Data and log below `folder`, every listener on a free port.
    pub fn in_folder(folder: &Path) -> Self {
        let mut settings =
            Self { data: folder.join("data"), log: folder.join("broker.log"), environment: Vec::new() };
        for listener in ["NAMESRV", "REMOTING", "HTTP", "STOMP", "KAFKA"] {
            settings.set(&format!("SLUICE_LISTEN__{listener}"), "127.0.0.1:0");
        }
        settings
    }

    /// Keeps the data somewhere else.
    pub fn set_data(&mut self, data: PathBuf) {
        self.data = data;
    }

    /// Sets a variable of the broker's environment.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environment.push((name.into(), value.as_ref().into()));
    }
}

/// A running broker; dropping it kills it.
pub struct Broker {
    child: Child,
    addresses: HashMap<String, SocketAddr>,
    ready_after: Duration,
    log: PathBuf,
}

impl Broker {
    pub fn start(settings: &Settings) -> Result<Self> {
        let log = File::options().create(true).append(true).open(&settings.log)?;
        let mut command = Command::new(shell::broker());
        // Nothing of the caller's environment may change what is measured.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SLUICE_"))
        {
            command.env_remove(name);
        }
        command.args(["serve", "--data-dir"]).arg(&settings.data);
        command.envs(settings.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{}: {error}", shell::broker().display()))?;
        let mut broker =
            Self { child, addresses: HashMap::new(), ready_after: Duration::ZERO, log: settings.log.clone() };
        let line = broker
            .ready_line()
            .ok_or_else(|| format!("the broker did not get ready; its log:\n{}", broker.log_end()))?;
        broker.ready_after = started.elapsed();
        for (name, address) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            broker.addresses.insert(name.to_owned(), address.parse()?);
        }
        Ok(broker)
    }

    /// The line `sluice ready name=address …`, or nothing when the broker ended or took too long.
    fn ready_line(&mut self) -> Option<String> {
        let stdout = self.child.stdout.take()?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                // Nobody listens after the first line; reading on keeps the pipe from filling.
                let _ = sender.send(line);
            }
        });
        let line = receiver.recv_timeout(READY_WITHIN).ok()?;
        line.starts_with("sluice ready").then_some(line)
    }

    fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let skip = text.lines().count().saturating_sub(20);
        text.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }

    /// Where a listener accepts.
    pub fn address(&self, listener: &str) -> Result<SocketAddr> {
        let address = self.addresses.get(listener);
        address.copied().ok_or_else(|| format!("the ready line names no listener {listener:?}").into())
    }

    /// From the start of the process to its ready line.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
