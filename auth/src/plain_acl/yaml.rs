//! As much YAML as such files have: maps and lists by indentation, lists in brackets on one line, plain and quoted text,
//! comments. Everything else is refused with its line, not guessed at.

use super::wrong;
use sluice_model::{Error, Result};

/// Thousands of accounts.
const MAX_TEXT: usize = 1 << 20;
/// The files need three.
const MAX_DEPTH: usize = 8;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: String,
    pub line: usize,
    pub value: Node,
}

impl Node {
    pub(super) fn entries(&self) -> Result<&[Entry]> {
        match self {
            Self::Map(entries) => Ok(entries),
            Self::Scalar(text) if text.is_empty() => Ok(&[]),
            _ => Err(Error::invalid("this is no plain_acl.yml: keys with values are expected")),
        }
    }

    pub(super) fn items(&self, line: usize) -> Result<&[Node]> {
        match self {
            Self::List(items) => Ok(items),
            Self::Scalar(text) if text.is_empty() => Ok(&[]),
            _ => Err(wrong(line, "a list is expected")),
        }
    }

    pub(super) fn scalar(&self, line: usize) -> Result<&str> {
        match self {
            Self::Scalar(text) => Ok(text),
            _ => Err(wrong(line, "a single value is expected")),
        }
    }
}

struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

struct Lines<'a> {
    lines: Vec<Line<'a>>,
    at: usize,
}

pub(super) fn parse(text: &str) -> Result<Node> {
    if text.len() > MAX_TEXT {
        return Err(Error::invalid("the file is larger than 1 MiB"));
    }
    let mut lines = Vec::new();
    for (at, raw) in text.lines().enumerate() {
        let text = without_comment(raw).trim_end();
        let content = text.trim_start_matches(' ');
        if content.is_empty() || (content == "---" && lines.is_empty()) {
            continue;
        }
        if content.starts_with('\t') {
            return Err(wrong(at + 1, "indentation by tabs"));
        }
        lines.push(Line { number: at + 1, indent: text.len() - content.len(), text: content });
    }
    let mut lines = Lines { lines, at: 0 };
    let Some(first) = lines.peek() else { return Ok(Node::Scalar(String::new())) };
    let (number, indent) = (first.number, first.indent);
    let node = lines.block(indent, 0, number)?;
    match lines.peek() {
        Some(rest) => Err(wrong(rest.number, "the indentation fits nothing before")),
        None => Ok(node),
    }
}

/// A comment begins with a `#` that is the first character or follows a blank, outside quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') if " [,".contains(before) => quote = Some(c),
            (None, '#') if before.is_whitespace() => return line.get(..at).unwrap_or_default(),
            _ => {}
        }
        before = c;
    }
    line
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<&Line<'a>> {
        self.lines.get(self.at)
    }

    /// The map or list whose lines have this indentation.
    fn block(&mut self, indent: usize, depth: usize, number: usize) -> Result<Node> {
        if depth > MAX_DEPTH {
            return Err(wrong(number, "too deep"));
        }
        if self.peek().is_some_and(|line| is_item(line.text)) {
            self.list(indent, depth)
        } else {
            self.map(indent, depth)
        }
    }

    fn list(&mut self, indent: usize, depth: usize) -> Result<Node> {
        let mut items = Vec::new();
        while let Some(line) = self.lines.get_mut(self.at) {
            if line.indent != indent || !is_item(line.text) {
                break;
            }
            let number = line.number;
            let rest = line.text.get(1..).unwrap_or_default().trim_start();
            if rest.is_empty() {
                self.at += 1;
                items.push(self.nested(indent, false, depth, number)?);
            } else if key_and_value(rest).is_some() {
                // The first entry of a map stands behind the dash; the others are indented as far as it is.
                line.indent += line.text.len() - rest.len();
                line.text = rest;
                let indent = line.indent;
                items.push(self.block(indent, depth + 1, number)?);
            } else {
                items.push(value(rest, number)?);
                self.at += 1;
            }
        }
        Ok(Node::List(items))
    }

    fn map(&mut self, indent: usize, depth: usize) -> Result<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(line) = self.peek() {
            if line.indent != indent || is_item(line.text) {
                break;
            }
            let number = line.number;
            let (key, rest) =
                key_and_value(line.text).ok_or_else(|| wrong(number, "this is not like key: value"))?;
            if entries.iter().any(|entry| entry.key == key) {
                return Err(wrong(number, &format!("{key:?} is given twice")));
            }
            let key = key.to_owned();
            self.at += 1;
            let value = match rest {
                "" => self.nested(indent, true, depth, number)?,
                rest => value(rest, number)?,
            };
            entries.push(Entry { key, line: number, value });
        }
        Ok(Node::Map(entries))
    }

    /// What stands below a key or a dash without a value: indented further, or a list at the indentation of its key.
    fn nested(&mut self, indent: usize, of_key: bool, depth: usize, number: usize) -> Result<Node> {
        match self.peek() {
            Some(line) if line.indent > indent || (of_key && line.indent == indent && is_item(line.text)) => {
                let indent = line.indent;
                self.block(indent, depth + 1, number)
            }
            _ => Ok(Node::Scalar(String::new())),
        }
    }
}

fn is_item(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

/// `key: value` with a plain key.
fn key_and_value(text: &str) -> Option<(&str, &str)> {
    let (key, rest) = text.split_once(':')?;
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric());
    (plain && (rest.is_empty() || rest.starts_with(' '))).then(|| (key, rest.trim()))
}

fn value(text: &str, line: usize) -> Result<Node> {
    let Some(inner) = text.strip_prefix('[') else { return scalar(text, line).map(Node::Scalar) };
    let inner = inner.strip_suffix(']').ok_or_else(|| wrong(line, "a list in brackets ends on its line"))?;
    let mut items = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let end = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => rest
                .get(1..)
                .and_then(|after| after.find(quote))
                .map(|at| at + 2)
                .ok_or_else(|| wrong(line, "a quote does not end"))?,
            _ => rest.find(',').unwrap_or(rest.len()),
        };
        let (item, after) = rest.split_at(end);
        items.push(Node::Scalar(scalar(item.trim(), line)?));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return Err(wrong(line, "a comma is missing")),
        };
    }
    Ok(Node::List(items))
}

fn scalar(text: &str, line: usize) -> Result<String> {
    let Some(quote @ ('"' | '\'')) = text.chars().next() else {
        if text.starts_with(['&', '*', '!', '|', '>', '%', '@', '`', '{', '}', '[', ']', ',', '?']) {
            return Err(wrong(
                line,
                &format!("a value that begins so is not read here: {:?}", text.get(..1)),
            ));
        }
        if text.contains(": ") || text.ends_with(':') {
            return Err(wrong(line, "a value with a colon has to be quoted"));
        }
        return Ok(text.to_owned());
    };
    let inner = text.get(1..).and_then(|rest| rest.strip_suffix(quote));
    match inner {
        Some(inner) if !inner.contains(quote) && (quote == '\'' || !inner.contains('\\')) => {
            Ok(inner.to_owned())
        }
        _ => {
            Err(wrong(line, "quoted values have no quotes and no backslashes inside, and end on their line"))
        }
    }
}
