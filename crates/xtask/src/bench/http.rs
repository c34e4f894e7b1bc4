//! What HTTP posts reach of what the HTTP library reaches without a broker behind it, and of group commit.

use super::bare::Server;
use super::probe::Probe;
use super::results::Results;
use super::subject::{Plan, Subject};
use super::table::{self, Ratio, Table};
use crate::shell::Result;
use std::path::Path;
use std::process::Command;

const EMPTY: &str = "HTTP library, empty answer";
const POSTS: &str = "HTTP posts";

pub fn measure(folder: &Path, plan: &Plan, results: &mut Results) -> Result {
    let broker = super::start(folder)?;
    let empty = Server::run(Command::new(std::env::current_exe()?).arg("empty-http-server"))?;
    let mut probe = Probe::new(&folder.join("probe"))?;
    let subjects = [
        Subject::at(EMPTY, "http", empty.address(), vec![empty.id()]),
        Subject::of(&broker, POSTS, "http", "http")?,
    ];
    let table = Table::measure("HTTP, 64 kept connections x 1, 1 KiB, synced", &subjects, plan)?;
    let limit = probe.run(64, 1, 1024, plan.each)?.per_second;
    let posts = table.row(POSTS)?.spread(table::rate).median;
    println!("group commit, 64 x 1: {limit:.0}/s");
    // Whichever is lower is what could be reached at all.
    let reachable = table.row(EMPTY)?.spread(table::rate).median.min(limit);
    results.ratios.push(Ratio::at_least(
        "HTTP posts, of empty answers",
        table.ratio(POSTS, EMPTY, table::rate)?,
        0.5,
    ));
    results.ratios.push(Ratio::at_least(
        "HTTP posts, of the lower of empty answers and group commit",
        posts / reachable,
        0.5,
    ));
    results.tables.push(table);
    Ok(())
}
