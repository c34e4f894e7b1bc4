//! One step: a program, a time limit, a log file, and what became of it.
//!
//! A program that could not get what it needs from somewhere else ends with 75, as `sysexits.h` has it, and the report
//! says so: that is not a test that failed.
//!
//! Some steps may be tried again, alone, when everything else has ended: clients of other people have timers of their
//! own, which a busy machine can outrun. One that passes only then is told as unsteady, with what went wrong at first.

use crate::shell::Result;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, setpriority_pgrp, waitid};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How much of a failed step's log is shown.
const SHOWN_LINES: usize = 200;
/// How much of it is said again at the end, and of each line.
const TOLD_LINES: usize = 20;
const TOLD_CHARS: usize = 240;
/// After so long no step is begun any more: who waits for the report may not wait for ever, and everything is slow only
/// when much has failed.
const ENOUGH: Duration = Duration::from_secs(70 * 60);
/// The lowest priority that a process can give itself.
const LAST: i32 = 19;
/// How a script ends when a download has failed three times; see `tests/interop/lib.sh`.
const NOT_TO_BE_HAD: i32 = 75;
/// In which `/proc` counts processor time, a second.
const TICKS: u64 = 100;

pub struct Step {
    name: String,
    limit: Duration,
    yields: bool,
    repeats: bool,
    prepare: Box<dyn Fn() -> Result<Prepared> + Send>,
}

/// A program to run, and what must live as long: a broker of its own, a temporary folder.
pub struct Prepared {
    pub command: Command,
    pub guard: Box<dyn Send>,
}

impl Step {
    pub fn new(name: impl Into<String>, command: Command, limit: Duration) -> Self {
        Self::prepared(name, limit, move || Ok(Prepared { command: same(&command), guard: Box::new(()) }))
    }

    /// A step that needs something started first, when its turn has come.
    pub fn prepared(
        name: impl Into<String>,
        limit: Duration,
        prepare: impl Fn() -> Result<Prepared> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), limit, yields: false, repeats: false, prepare: Box::new(prepare) }
    }

    /// The same at the lowest priority: it takes what processor time the others leave.
    pub fn yielding(self) -> Self {
        Self { yields: true, ..self }
    }

    /// The same, tried again by [`Report::run_failed_again`] if it fails.
    pub fn repeating(self) -> Self {
        Self { repeats: true, ..self }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A command that does the same: one that has run cannot be run again.
fn same(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => copy.env(name, value),
            None => copy.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        copy.current_dir(folder);
    }
    copy
}

struct Outcome {
    name: String,
    took: Duration,
    worked: Duration,
    failure: Option<Failure>,
    /// How it failed before it was tried again.
    before: Option<Failure>,
}

impl Outcome {
    fn mark(&self) -> &'static str {
        match (&self.failure, &self.before) {
            (Some(_), _) => "FAILED",
            (None, Some(_)) => "UNSTEADY",
            (None, None) => "ok",
        }
    }
}

struct Failure {
    /// How the program ended.
    end: String,
    /// What its log says about why, in a few lines: all of it may be thousands.
    told: Vec<String>,
}

/// What became of each step.
pub struct Report {
    logs: PathBuf,
    started: Instant,
    outcomes: Mutex<Vec<Outcome>>,
    /// What failed and may be tried again.
    failed: Mutex<Vec<Step>>,
}

impl Report {
    pub fn new(logs: PathBuf) -> Result<Self> {
        fs::create_dir_all(&logs)?;
        Ok(Self { logs, started: Instant::now(), outcomes: Mutex::default(), failed: Mutex::default() })
    }

    /// Runs one step; true when it passed.
    pub fn run(&self, step: Step) -> bool {
        let passed = self.execute(&step, None);
        if !passed && step.repeats {
            self.failed.lock().push(step);
        }
        passed
    }

    /// Runs what has failed and may be tried again once more, one after the other.
    pub fn run_failed_again(&self) {
        let failed = std::mem::take(&mut *self.failed.lock());
        for step in failed {
            let mut outcomes = self.outcomes.lock();
            let earlier = outcomes.iter().position(|outcome| outcome.name == step.name);
            let before = earlier.and_then(|at| outcomes.remove(at).failure);
            drop(outcomes);
            self.execute(&step, before);
        }
    }

    /// Runs steps side by side, at most `width` at a time.
    pub fn run_together(&self, steps: Vec<Step>, width: usize) {
        let waiting = Mutex::new(steps.into_iter());
        std::thread::scope(|scope| {
            for _ in 0..width {
                scope.spawn(|| {
                    loop {
                        let Some(step) = waiting.lock().next() else { break };
                        self.run(step);
                    }
                });
            }
        });
    }

    fn execute(&self, step: &Step, before: Option<Failure>) -> bool {
        println!("... {}", step.name);
        let started = Instant::now();
        let log = self.logs.join(format!("{}.log", step.name.replace(['/', ' '], "-")));
        let attempted = File::create(&log).map_err(Into::into).and_then(|out| {
            if self.started.elapsed() > ENOUGH {
                return Err("it was not begun, because the steps before it took too long".into());
            }
            let prepared = (step.prepare)()?;
            let ended = attempt(prepared.command, out, step.limit, step.yields);
            drop(prepared.guard);
            ended
        });
        let took = started.elapsed();
        let (worked, ended) = match attempted {
            Ok(worked) => (worked, None),
            Err(error) => (Duration::ZERO, Some(error.to_string())),
        };
        let text = if ended.is_some() { fs::read_to_string(&log).unwrap_or_default() } else { String::new() };
        let failure = ended.map(|end| Failure { end, told: telling(&text) });
        // One lock around all lines, so that steps side by side do not mix theirs.
        let mut outcomes = self.outcomes.lock();
        let outcome = Outcome { name: step.name.clone(), took, worked, failure, before };
        println!("{:>8} {} ({})", outcome.mark(), outcome.name, seconds(outcome.took));
        if let Some(failure) = &outcome.failure {
            let skip = text.lines().count().saturating_sub(SHOWN_LINES);
            text.lines().skip(skip).for_each(|line| println!("         | {line}"));
            println!("         {}; all of it is in {}", failure.end, log.display());
        }
        let passed = outcome.failure.is_none();
        outcomes.push(outcome);
        passed
    }

    /// How many steps there were whose names begin like one of these, and how long they took one after the other.
    pub fn sum(&self, beginnings: &[&str]) -> String {
        let is_one = |outcome: &&Outcome| beginnings.iter().any(|begins| outcome.name.starts_with(begins));
        let outcomes = self.outcomes.lock();
        let took: Vec<Duration> = outcomes.iter().filter(is_one).map(|outcome| outcome.took).collect();
        format!("{} steps, {} one after the other", took.len(), seconds(took.iter().sum()))
    }

    /// Prints the table; an error when any step failed.
    pub fn finish(self) -> Result {
        let outcomes = self.outcomes.into_inner();
        println!();
        for outcome in &outcomes {
            let (took, worked) = (seconds(outcome.took), seconds(outcome.worked));
            println!("{:>8}  {took:>8}  {worked:>8} of a processor  {}", outcome.mark(), outcome.name);
        }
        println!("          {:>8}  in all", seconds(self.started.elapsed()));
        // Once more and short, because only the end of a long output may be kept.
        for outcome in &outcomes {
            for failure in outcome.before.iter().chain(&outcome.failure) {
                println!("{} {}: {}", outcome.mark(), outcome.name, failure.end);
                failure.told.iter().for_each(|line| println!("         | {line}"));
            }
        }
        let count = |mark: &str| outcomes.iter().filter(|outcome| outcome.mark() == mark).count();
        let (failed, unsteady) = (count("FAILED"), count("UNSTEADY"));
        println!(
            "{} passed, {unsteady} of them only when tried again, {failed} failed",
            outcomes.len() - failed
        );
        if failed == 0 { Ok(()) } else { Err(format!("{failed} steps failed").into()) }
    }
}

/// The lines that say what went wrong, each with the one after it, or the last ones where none looks like that.
fn telling(log: &str) -> Vec<String> {
    // Some words are only looked for where there is nothing better: tests have names like "errors_are_told".
    const SURE: [&str; 5] = ["panicked at", "FAILED", "FAIL ", "not ok", "Traceback"];
    const PERHAPS: [&str; 2] = ["error", "Error"];
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let is_sure = lines.iter().any(|line| SURE.iter().any(|word| line.contains(word)));
    let words: &[&str] = if is_sure { &SURE } else { &PERHAPS };
    let tells = |at: usize| lines.get(at).is_some_and(|line| words.iter().any(|word| line.contains(word)));
    let told = (0..lines.len()).filter(|&at| tells(at) || (at > 0 && tells(at - 1)));
    let mut told: Vec<&str> = told.filter_map(|at| lines.get(at).copied()).take(TOLD_LINES).collect();
    if told.is_empty() {
        told = lines.split_at(lines.len().saturating_sub(TOLD_LINES)).1.to_vec();
    }
    told.into_iter().map(|line| line.chars().take(TOLD_CHARS).collect()).collect()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Runs the program to its end, and says how much processor time it took.
fn attempt(mut command: Command, out: File, limit: Duration, yields: bool) -> Result<Duration> {
    command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
    // What it leaves there goes when it ends: a suite that is killed does not tidy up, and disks are not endless.
    let temporary = tempfile::Builder::new().prefix("sluice-step-").tempdir()?;
    command.env("TMPDIR", temporary.path());
    // A group of its own, so that everything it started ends with it: when it hangs, and when it forgot some of it.
    let mut child = command.process_group(0).spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let id = Pid::from_child(&child);
    if yields {
        // Where that is not allowed it only gets in the way of others.
        let _ = setpriority_pgrp(Some(id), LAST);
    }
    let started = Instant::now();
    // Looked at and left there, so that its times can still be read.
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let mut late = false;
    while !late && waitid(WaitId::Pid(id), look)?.is_none() {
        std::thread::sleep(LOOK);
        late = started.elapsed() > limit;
    }
    let worked = processor_time(id);
    // Before it is waited for: until then no other group can have its number.
    let _ = kill_process_group(id, Signal::KILL);
    let status = child.wait()?;
    if late {
        return Err(format!("it took longer than {}", seconds(limit)).into());
    }
    explain(status).map(|()| worked)
}

fn explain(status: ExitStatus) -> Result {
    match status.code() {
        Some(0) => Ok(()),
        Some(NOT_TO_BE_HAD) => {
            Err("what it needs could not be downloaded in three attempts: no test has failed".into())
        }
        _ => Err(format!("it ended with {status}").into()),
    }
}

/// Of the process and everything it has waited for.
fn processor_time(process: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    // Behind the name, which may contain anything: utime, stime, cutime, cstime.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(4);
    let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
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
        assert!(report.sum(&["exit", "sleep"]).starts_with("2 steps, "));
        assert_eq!(fs::read_to_string(logs.path().join("echo-why;-exit-3.log")).unwrap(), "why\n");
        assert_eq!(report.finish().unwrap_err().to_string(), "1 steps failed");
    }

    #[test]
    fn what_passes_only_when_tried_again_is_told_and_what_fails_again_fails() {
        let (report, logs) = report();
        let limit = Duration::from_secs(10);
        let mark = logs.path().join("mark");
        let once = format!("test -e {0} && exit 0; touch {0}; exit 3", mark.display());
        assert!(!report.run(Step::new("second time", shell(&once), limit).repeating()));
        assert!(!report.run(Step::new("never", shell("exit 4"), limit).repeating()));
        assert!(!report.run(Step::new("not again", shell("exit 5"), limit)));
        report.run_failed_again();
        let marks: Vec<_> =
            report.outcomes.lock().iter().map(|outcome| (outcome.name.clone(), outcome.mark())).collect();
        let expected = [("not again", "FAILED"), ("second time", "UNSTEADY"), ("never", "FAILED")];
        assert_eq!(marks, expected.map(|(name, mark)| (name.to_owned(), mark)));
        assert_eq!(report.finish().unwrap_err().to_string(), "2 steps failed");
    }

    #[test]
    fn what_a_log_tells_is_the_lines_about_failures_or_else_its_end() {
        let log = "running 3 tests\ntest errors_are_told ... ok\ntest a ... ok\nthread 'b' panicked at b.rs:7\nleft is not right\ntest c ... ok\n";
        assert_eq!(telling(log), ["thread 'b' panicked at b.rs:7", "left is not right"]);
        assert_eq!(telling("begun\nerror: no space\nleft"), ["error: no space", "left"]);
        let silent: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let told = telling(&silent);
        assert_eq!((told.len(), told.last().unwrap().as_str()), (TOLD_LINES, "line 99"));
        assert!(telling("").is_empty());
    }

    #[test]
    fn a_step_that_hangs_is_ended_with_its_children() {
        let (report, logs) = report();
        let script = "sleep 60 & echo $!; wait";
        assert!(!report.run(Step::new("hangs", shell(script), Duration::from_millis(300))));
        must_end(&fs::read_to_string(logs.path().join("hangs.log")).unwrap());
    }

    #[test]
    fn what_a_step_forgot_ends_with_it_and_what_it_left_is_gone() {
        let (report, logs) = report();
        let script = "sleep 60 & echo $!; mkdir $TMPDIR/left; echo $TMPDIR";
        assert!(report.run(Step::new("forgets", shell(script), Duration::from_secs(60))));
        let log = fs::read_to_string(logs.path().join("forgets.log")).unwrap();
        let (child, folder) = log.trim().split_once('\n').unwrap();
        must_end(child);
        assert!(folder.contains("sluice-step-") && !fs::exists(folder).unwrap(), "{folder}");
    }

    fn must_end(child: &str) {
        let stat = format!("/proc/{}/stat", child.trim());
        let gone = || fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "));
        let started = Instant::now();
        while !gone() {
            assert!(started.elapsed() < Duration::from_secs(5), "the child lives on");
            std::thread::sleep(LOOK);
        }
    }

    #[test]
    fn a_download_that_failed_is_told_apart_from_a_test_that_failed() {
        let end = |code| Command::new("sh").args(["-c", &format!("exit {code}")]).status().unwrap();
        assert!(explain(end(0)).is_ok());
        assert!(explain(end(1)).unwrap_err().to_string().contains("exit status: 1"));
        assert!(explain(end(NOT_TO_BE_HAD)).unwrap_err().to_string().contains("no test has failed"));
    }

    #[test]
    fn a_step_is_told_with_what_its_children_worked_and_yields_when_it_is_to() {
        let script = "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'; nice";
        let logs = tempfile::tempdir().unwrap();
        let log = logs.path().join("log");
        let limit = Duration::from_secs(60);
        let worked = attempt(shell(script), File::create(&log).unwrap(), limit, true).unwrap();
        assert!(worked > Duration::ZERO);
        assert_eq!(fs::read_to_string(&log).unwrap().trim(), LAST.to_string());
    }

    #[test]
    fn a_step_that_cannot_start_fails() {
        let (report, _logs) = report();
        let step = Step::prepared("broken", Duration::from_secs(1), || Err("no broker".into()));
        assert!(!report.run(step));
        assert!(report.finish().is_err());
    }
}
