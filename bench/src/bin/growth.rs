//! Runs the growth curves: `growth FOLDER small|medium|full [NAME]`, and prints them as JSON.

use sluice_bench::allocations::Counting;
use sluice_bench::growth::{RUNS, Scale};
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scale = match arguments.get(1).map(String::as_str) {
        Some("small") => Scale::Small,
        Some("medium") => Scale::Medium,
        Some("full") => Scale::Full,
        _ => {
            eprintln!("usage: growth FOLDER small|medium|full [NAME]");
            return ExitCode::from(2);
        }
    };
    let mut found = Vec::new();
    for (name, run) in RUNS.iter().filter(|(name, _)| arguments.get(2).is_none_or(|only| only == name)) {
        let folder = Path::new(&arguments[0]).join(name);
        found.extend(run(&folder, scale).iter().map(|growth| growth.to_json()));
        eprintln!("{name}: done");
    }
    println!("{}", serde_json::Value::from(found));
    ExitCode::SUCCESS
}
