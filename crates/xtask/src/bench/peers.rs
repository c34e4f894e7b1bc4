//! Another broker, started by a script `up DIR` that prints its address, and stopped by `down DIR`.

use crate::shell::Result;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Peer {
    scripts: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
}

impl Peer {
    pub fn start(scripts: &Path, folder: &Path) -> Result<Self> {
        println!("starting {}", scripts.display());
        let output = Command::new(scripts.join("up")).arg(folder).output()?;
        if !output.status.success() {
            return Err(format!("{}: {}", scripts.display(), String::from_utf8_lossy(&output.stderr)).into());
        }
        let said = String::from_utf8(output.stdout)?;
        let value = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
            line.ok_or_else(|| format!("{} names no {name}", scripts.display()))
        };
        let address = format!("{}:{}", value("STOMP_HOST")?, value("STOMP_PORT")?).parse()?;
        Ok(Self { scripts: scripts.to_owned(), folder: folder.to_owned(), address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that serves it, whose time on the processor is counted.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let pids = std::fs::read_to_string(self.folder.join("pids"))?;
        Ok(pids.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = Command::new(self.scripts.join("down")).arg(&self.folder).status();
    }
}
