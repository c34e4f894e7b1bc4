//! Hints, never failures: a long file or function is welcome when it is one list or one state machine.

use super::Tree;
use crate::shell::Result;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 80;

pub fn check(tree: &Tree) -> Result<Vec<String>> {
    for (path, text) in tree.texts(&["auth", "crates", "protocols", "tests", "fuzz"], "rs")? {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            println!("  hint: {} has {lines} lines; is it one list or one state machine?", path.display());
        }
        for (at, name, lines) in functions(&text).into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES)
        {
            println!("  hint: {}:{at}: {name} has {lines} lines; a function fits a screen", path.display());
        }
    }
    Ok(Vec::new())
}

/// Line, name and length of each function. Formatted code closes a function at the indentation it was opened with.
fn functions(text: &str) -> Vec<(usize, &str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(at, line)| Some((at, name(line)?)));
    let measured = starts.filter_map(|(at, name)| {
        let indent = lines[at].len() - lines[at].trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let length = lines[at..].iter().position(|line| *line == closing)? + 1;
        Some((at + 1, name, length))
    });
    measured.collect()
}

fn name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_item = before.split_whitespace().all(|word| {
        matches!(word, "pub" | "async" | "const" | "unsafe" | "extern")
            || word.starts_with("pub(")
            || word == "\"C\""
    });
    // A signature without a body ends in a semicolon, a short one closes on its own line.
    let one_line = line.trim_end().ends_with([';', '}']);
    (is_item && !one_line).then(|| after.split(['(', '<']).next().unwrap_or(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_by_their_indentation() {
        let text = "impl A {\n    pub(crate) async fn one(\n        &self,\n    ) {\n        if x {\n        }\n    }\n    fn short() {}\n}\nfn two<T>() {\n}\n";
        assert_eq!(functions(text), [(2, "one", 6), (10, "two", 2)]);
    }
}
