//! What HTTP posts reach of what the HTTP library reaches without a broker behind it, and of group commit.

use super::{BODY, CONNECTIONS, EACH, REPEATS, Target, bare, of, print, probe, rounds};
use crate::load::frames::Http;
use crate::load::{Broker, Settings};
use crate::shell::Result;
use std::path::Path;
use std::process::Command;

pub fn measure(folder: &Path) -> Result {
    let broker = Broker::start(&Settings::in_folder(folder))?;
    let empty = bare::Server::run(Command::new(std::env::current_exe()?).arg("empty-http-server"))?;
    let mut probe = probe::Probe::new(&folder.join("probe"))?;
    let targets = [
        Target {
            name: "HTTP library, empty answer",
            wire: &Http,
            address: empty.address(),
            processes: vec![empty.id()],
        },
        of(&broker, "HTTP posts", &Http, "http")?,
    ];
    let mut rows = rounds(Some(&mut probe), &targets)?;
    println!("\n{CONNECTIONS} kept connections, {BODY} B, synced; medians of {REPEATS} x {EACH:?}");
    print(&mut rows, &[(0, "of the probe"), (1, "of empty")]);
    println!("target: half of the empty answers, as far as group commit allows");
    Ok(())
}
