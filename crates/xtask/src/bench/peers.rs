//! Another broker, started by a script `up DIR` that prints its addresses, and stopped by `down DIR`.

use crate::shell::Result;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Peer {
    scripts: PathBuf,
    folder: PathBuf,
    said: HashMap<String, String>,
}

impl Peer {
    /// Starts the peer `name`, whose scripts are in a folder of that name, with these variables.
    pub fn start(peers: &Path, name: &str, folder: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        let scripts = peers.join(name);
        println!(
            "starting {name} {}",
            variables.iter().map(|(n, v)| format!("{n}={v} ")).collect::<String>()
        );
        let mut up = Command::new(scripts.join("up"));
        let output = up.arg(folder).envs(variables.iter().copied()).output()?;
        if !output.status.success() {
            return Err(format!("{}: {}", scripts.display(), String::from_utf8_lossy(&output.stderr)).into());
        }
        let said = String::from_utf8(output.stdout)?;
        let said = said.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let said = said.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect();
        Ok(Self { scripts, folder: folder.to_owned(), said })
    }

    /// What it said by this name.
    fn value(&self, name: &str) -> Result<&str> {
        let value = self.said.get(name).map(String::as_str);
        value.ok_or_else(|| format!("{} names no {name}", self.scripts.display()).into())
    }

    /// An address that it said by this name, as a whole or as host and port.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        match self.value(name) {
            Ok(whole) => Ok(whole.parse()?),
            Err(_) => {
                let (host, port) =
                    (self.value(&format!("{name}_HOST"))?, self.value(&format!("{name}_PORT"))?);
                Ok(format!("{host}:{port}").parse()?)
            }
        }
    }

    /// Which version it is, and the flags of its virtual machine, where it has one.
    pub fn described(&self, title: &str) -> Result<String> {
        let flags = self.processes()?.first().map_or_else(String::new, |process| {
            let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let flags: Vec<&str> = line.split('\0').filter(|word| word.starts_with("-X")).collect();
            flags.join(" ")
        });
        let described = format!("{title} {} {flags}", version(&self.scripts));
        Ok(described.trim_end().to_owned())
    }

    /// All that serves clients: of several processes with names, the broker.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let text = std::fs::read_to_string(self.folder.join("pids"))?;
        let named: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
        let broker = named.iter().find(|(_, name)| *name == "broker").map(|(pid, _)| *pid);
        let pids: Vec<&str> = broker.map_or_else(|| text.split_whitespace().collect(), |pid| vec![pid]);
        Ok(pids.into_iter().map(str::parse).collect::<std::result::Result<_, _>>()?)
    }
}

/// The version that its build file names, or that of the system's package of this name.
fn version(scripts: &Path) -> String {
    let name = scripts.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let build = std::fs::read_to_string(scripts.join("pom.xml")).unwrap_or_default();
    let named = build.split_once(&format!("<{name}.version>")).and_then(|(_, rest)| rest.split_once('<'));
    let package = || {
        let query = ["-W", "-f", "${Version}", &format!("{name}-server")];
        crate::shell::output(crate::shell::command("dpkg-query", &query)).unwrap_or_default()
    };
    named.map_or_else(package, |(version, _)| version.to_owned())
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = Command::new(self.scripts.join("down")).arg(&self.folder).status();
    }
}
