//! One step: a program, a time limit, a log file, and what became of it.

use crate::shell::Result;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How much of a failed step's log is shown.
const SHOWN_LINES: usize = 200;

pub struct Step {
    name: String,
    limit: Duration,
    prepare: Box<dyn FnOnce() -> Result<Prepared> + Send>,
}

/// A program to run, and what must live as long: a broker of its own, a temporary folder.
pub struct Prepared {
    pub command: Command,
    pub guard: Box<dyn Send>,
}

impl Step {
    pub fn new(name: impl Into<String>, command: Command, limit: Duration) -> Self {
        Self::prepared(name, limit, || Ok(Prepared { command, guard: Box::new(()) }))
    }

    /// A step that needs something started first, when its turn has come.
    pub fn prepared(
        name: impl Into<String>,
        limit: Duration,
        prepare: impl FnOnce() -> Result<Prepared> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), limit, prepare: Box::new(prepare) }
    }
}

struct Outcome {
    name: String,
    took: Duration,
    failure: Option<String>,
}

/// What became of each step.
pub struct Report {
    logs: PathBuf,
    started: Instant,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Report {
    pub fn new(logs: PathBuf) -> Result<Self> {
        fs::create_dir_all(&logs)?;
        Ok(Self { logs, started: Instant::now(), outcomes: Mutex::default() })
    }

    /// Runs one step; true when it passed.
    pub fn run(&self, step: Step) -> bool {
        self.execute(step)
    }

    /// Runs steps side by side, at most `width` at a time.
    pub fn run_together(&self, steps: Vec<Step>, width: usize) {
        let waiting = Mutex::new(steps.into_iter());
        std::thread::scope(|scope| {
            for _ in 0..width {
                scope.spawn(|| {
                    loop {
                        let Some(step) = waiting.lock().next() else { break };
                        self.execute(step);
                    }
                });
            }
        });
    }

    fn execute(&self, step: Step) -> bool {
        println!("... {}", step.name);
        let started = Instant::now();
        let log = self.logs.join(format!("{}.log", step.name.replace(['/', ' '], "-")));
        let attempted = File::create(&log).map_err(Into::into).and_then(|out| {
            let prepared = (step.prepare)()?;
            let ended = attempt(prepared.command, out, step.limit);
            drop(prepared.guard);
            ended
        });
        let failure = attempted.err().map(|error| error.to_string());
        let outcome = Outcome { name: step.name, took: started.elapsed(), failure };
        let passed = outcome.failure.is_none();
        let mark = if passed { "ok" } else { "FAILED" };
        // One lock around all lines, so that steps side by side do not mix theirs.
        let mut outcomes = self.outcomes.lock();
        println!("{mark:>6} {} ({})", outcome.name, seconds(outcome.took));
        if let Some(failure) = &outcome.failure {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let skip = text.lines().count().saturating_sub(SHOWN_LINES);
            text.lines().skip(skip).for_each(|line| println!("       | {line}"));
            println!("       {failure}; all of it is in {}", log.display());
        }
        outcomes.push(outcome);
        passed
    }

    /// Prints the table; an error when any step failed.
    pub fn finish(self) -> Result {
        let outcomes = self.outcomes.into_inner();
        println!();
        for outcome in &outcomes {
            let mark = if outcome.failure.is_none() { "ok" } else { "FAILED" };
            println!("{mark:>6}  {:>8}  {}", seconds(outcome.took), outcome.name);
        }
        let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
        println!("        {:>8}  in all", seconds(self.started.elapsed()));
        println!("{} passed, {failed} failed", outcomes.len() - failed);
        if failed == 0 { Ok(()) } else { Err(format!("{failed} steps failed").into()) }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn attempt(mut command: Command, out: File, limit: Duration) -> Result {
    command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
    // A group of its own, so that a step which hangs is ended with everything it started.
    let mut child = command.process_group(0).spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return if status.success() { Ok(()) } else { Err(format!("it ended with {status}").into()) };
        }
        if started.elapsed() > limit {
            end_group(&mut child);
            return Err(format!("it took longer than {}", seconds(limit)).into());
        }
        std::thread::sleep(LOOK);
    }
}

fn end_group(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn report() -> (Report, tempfile::TempDir) {
        let logs = tempfile::tempdir().unwrap();
        (Report::new(logs.path().to_owned()).unwrap(), logs)
    }

    #[test]
    fn one_failure_fails_the_whole_and_the_rest_still_runs() {
        let (report, logs) = report();
        let limit = Duration::from_secs(10);
        let steps =
            ["exit 0", "echo why; exit 3", "exit 0"].map(|script| Step::new(script, shell(script), limit));
        report.run_together(steps.into(), 2);
        assert_eq!(fs::read_to_string(logs.path().join("echo-why;-exit-3.log")).unwrap(), "why\n");
        assert_eq!(report.finish().unwrap_err().to_string(), "1 steps failed");
    }

    #[test]
    fn a_step_that_hangs_is_ended_with_its_children() {
        let (report, logs) = report();
        let script = "sleep 60 & echo $!; wait";
        assert!(!report.run(Step::new("hangs", shell(script), Duration::from_millis(300))));
        let child = fs::read_to_string(logs.path().join("hangs.log")).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        let gone = |stat: &str| fs::read_to_string(stat).map_or(true, |text| text.contains(") Z "));
        let started = Instant::now();
        while !gone(&stat) {
            assert!(started.elapsed() < Duration::from_secs(5), "the child lives on");
            std::thread::sleep(LOOK);
        }
    }

    #[test]
    fn a_step_that_cannot_start_fails() {
        let (report, _logs) = report();
        let step = Step::prepared("broken", Duration::from_secs(1), || Err("no broker".into()));
        assert!(!report.run(step));
        assert!(report.finish().is_err());
    }
}
