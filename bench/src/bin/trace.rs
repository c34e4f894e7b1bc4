//! Runs fixed traces. `trace` runs all and prints how often each asks for memory; `trace NAME TIMES` runs one, for whoever
//! counts its instructions.

use sluice_bench::allocations::Counting;
use sluice_bench::traces::{MOST_TIMES, all};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let times = arguments.get(1).and_then(|times| times.parse().ok()).unwrap_or(MOST_TIMES);
    let mut traces = all();
    if let Some(name) = arguments.first() {
        traces.retain(|trace| trace.name == name);
    }
    if traces.is_empty() || times > MOST_TIMES {
        eprintln!("usage: trace [NAME [TIMES]], at most {MOST_TIMES} times");
        return ExitCode::from(2);
    }
    let lines: Vec<_> = traces
        .iter()
        .map(|trace| {
            let allocations = trace.run(times);
            serde_json::json!({
                "name": trace.name,
                "messages": trace.messages_of(times),
                "allocations": allocations,
            })
        })
        .collect();
    println!("{}", serde_json::Value::from(lines));
    ExitCode::SUCCESS
}
