//! A program in another language that takes one JSON command a line and gives one JSON answer a line.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// No answer of a stock client takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The running program; dropping it ends it.
pub struct Tool {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    next_id: u64,
}

impl Tool {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        let what = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{what} does not start: {e}"));
        let (lines, answers) = channel();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
        });
        Self { input: child.stdin.take(), child, answers, next_id: 0 }
    }

    /// Sends a command and waits for its answer; an answer that is not `ok` is a failure of the test.
    pub fn ask(&mut self, op: &str, mut command: Value) -> Value {
        self.next_id += 1;
        command["op"] = json!(op);
        command["id"] = json!(self.next_id);
        let input = self.input.as_mut().expect("not ended");
        writeln!(input, "{command}").and_then(|()| input.flush()).unwrap_or_else(|e| panic!("{op}: {e}"));
        let line = self.answers.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("no answer to {op}: {e}"));
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(answer["ok"], json!(true), "{op}: {answer}");
        answer
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.input = None; // the end of its input ends it
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
