//! Everything that was measured in one go: as a table on the screen, as JSON, and as one page to look at.

use super::curve::Curve;
use super::growth::Growth;
use super::page;
use super::table::{Ratio, Table};
use crate::shell::{self, Result, command, root};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize, Default)]
pub struct Results {
    pub machine: Machine,
    /// How the bench was called.
    pub flags: String,
    pub tables: Vec<Table>,
    pub curves: Vec<Curve>,
    pub growth: Vec<Growth>,
    pub ratios: Vec<Ratio>,
}

/// What the numbers hold for.
#[derive(Serialize, Default)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub file_system: String,
    pub compiler: String,
    pub commit: String,
    /// Servers that were compared with.
    pub peers: Vec<String>,
}

impl Machine {
    fn read() -> Self {
        let line_of = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
            line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let said = |program: &str, arguments: &[&str]| {
            shell::output(command(program, arguments)).unwrap_or_default().trim().to_owned()
        };
        let memory = line_of("/proc/meminfo", "MemTotal");
        let kib: f64 = memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0.0);
        Self {
            processor: line_of("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: (kib / 1024.0 / 102.4).round() / 10.0,
            kernel: said("uname", &["-sr"]),
            file_system: said("stat", &["--file-system", "--format=%T", "."]),
            compiler: said("rustc", &["--version"]),
            commit: said("git", &["describe", "--always", "--dirty"]),
            peers: Vec::new(),
        }
    }
}

impl Results {
    pub fn new() -> Self {
        let flags: Vec<String> = std::env::args().skip(1).collect();
        // Where somebody's scripts lie is nobody's business.
        let flags = flags.into_iter().map(|flag| match flag.rsplit_once('/') {
            Some((_, name)) => format!("…/{name}"),
            None => flag,
        });
        Self { machine: Machine::read(), flags: flags.collect::<Vec<_>>().join(" "), ..Self::default() }
    }

    /// Prints the ratios, and writes the files NAME.json and NAME.html, here or in `folder`.
    pub fn finish(&self, name: &str, folder: Option<&Path>) -> Result {
        Ratio::print_all(&self.ratios);
        let default = root().join("bench/results");
        let folder = folder.unwrap_or(&default);
        std::fs::create_dir_all(folder)?;
        let json = folder.join(format!("{name}.json"));
        std::fs::write(&json, serde_json::to_string_pretty(self)? + "\n")?;
        let html = folder.join(format!("{name}.html"));
        std::fs::write(&html, page::page(name, self))?;
        println!("\nwritten: {} and {}", json.display(), html.display());
        Ok(())
    }
}
