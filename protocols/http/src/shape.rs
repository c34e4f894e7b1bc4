//! The shape of an answer as the caller likes it: `pretty` for eyes, `int64=string` for readers whose numbers are
//! doubles, `serverTiming` for those who wonder where the time goes.
//!
//! The one idea to know: the text is reshaped, not read. What a message carries as JSON passes through to the letter,
//! whatever numbers are in it.

use crate::call::JSON;
use crate::errors::{PROBLEM_JSON, Problem};
use crate::params::{self, Query};
use crate::staged::{self, Stage};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header;
use http_body::Body as _;
use serde_json::value::RawValue;
use std::io;

/// Members that are 64-bit numbers and grow for ever.
const LONG: [&str; 9] =
    ["offset", "begin", "end", "committed", "lag", "totalLag", "nextOffset", "beginOffset", "endOffset"];
/// What lies in it is the sender's.
const OF_THE_SENDER: &str = "body";

/// How an answer is to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pretty: bool,
    long_as_text: bool,
    /// The time until the answer began is told.
    pub timed: bool,
}

impl Shape {
    pub fn of(query: &Query) -> Result<Self, Problem> {
        let long_as_text = match query.get("int64")? {
            None | Some("number") => false,
            Some("string") => true,
            Some(other) => {
                return Err(params::invalid("int64", &format!("{other:?} is neither number nor string")));
            }
        };
        let flag = |name| query.flag(name).map(|flag| flag.unwrap_or(false));
        Ok(Self { pretty: flag("pretty")?, long_as_text, timed: flag("serverTiming")? })
    }

    /// Reshapes an answer as the connection takes it.
    pub fn apply(self, mut response: Response) -> Response {
        let media = response.headers().get(header::CONTENT_TYPE);
        let is_json = media.is_some_and(|media| media == JSON || media == PROBLEM_JSON);
        // A stored message keeps its bytes, whatever type its sender gave it.
        let is_stored = response.headers().contains_key(header::X_CONTENT_TYPE_OPTIONS);
        if !(self.pretty || self.long_as_text)
            || !is_json
            || is_stored
            || response.body().size_hint().exact().is_none()
        {
            return response;
        }
        response.headers_mut().remove(header::CONTENT_LENGTH);
        let stage = Reshaping { shape: self, whole: BytesMut::new() };
        response.map(|body| staged::through(stage, body))
    }

    fn write(self, json: &str) -> String {
        let json = if self.long_as_text { long_as_text(json) } else { json.to_owned() };
        if self.pretty { pretty(&json) } else { json }
    }
}

/// Reshapes a body when all of it is there.
struct Reshaping {
    shape: Shape,
    whole: BytesMut,
}

impl Stage for Reshaping {
    fn piece(&mut self, piece: Bytes) -> io::Result<Bytes> {
        self.whole.extend_from_slice(&piece);
        Ok(Bytes::new())
    }

    fn end(&mut self) -> io::Result<Bytes> {
        let whole = std::mem::take(&mut self.whole);
        Ok(match std::str::from_utf8(&whole) {
            Ok(text) => self.shape.write(text).into(),
            Err(_) => whole.freeze(),
        })
    }
}

/// Line breaks and two blanks for each level; compact JSON in, and a line end after it.
fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    let mut chars = json.trim_end().chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        if in_text {
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            out.push(c);
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                match chars.peek() {
                    Some('}' | ']') => out.extend(chars.next()),
                    _ => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                in_text = true;
                out.push(c);
            }
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

/// Long numbers as texts. What is no JSON stays as it is.
fn long_as_text(json: &str) -> String {
    let Ok(value) = serde_json::from_str::<&RawValue>(json) else { return json.to_owned() };
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    write_value(value.get(), &mut out);
    out.push('\n');
    out
}

fn write_value(json: &str, out: &mut String) {
    if let Ok(Members(members)) = serde_json::from_str(json) {
        out.push('{');
        for (at, (name, value)) in members.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str(&serde_json::Value::from(name.as_str()).to_string());
            out.push(':');
            let value = value.get();
            match name.as_str() {
                OF_THE_SENDER => out.push_str(value),
                name if LONG.contains(&name) && value.bytes().all(|b| b.is_ascii_digit()) => {
                    out.extend(["\"", value, "\""]);
                }
                _ => write_value(value, out),
            }
        }
        out.push('}');
    } else if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) {
        out.push('[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_value(item.get(), out);
        }
        out.push(']');
    } else {
        out.push_str(json);
    }
}

/// An object's members in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> serde::de::Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_is_for_eyes_and_changes_nothing() {
        let json = r#"{"a":[],"b":{},"c":[1,{"d":"x, {y}: \"z\""}],"e":1.50e400}"#;
        let shown = pretty(json);
        assert!(shown.starts_with("{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    {\n      \"d\": "));
        assert!(shown.ends_with("\"e\": 1.50e400\n}\n"));
        assert_eq!(crate::convert::compact_json(&shown), json);
    }

    #[test]
    fn long_numbers_become_texts_except_the_senders() {
        let json = r#"{"messages":[{"queue":3,"offset":9007199254740993,"body":{"offset":1.0}}],"next":null,"end":7}"#;
        let shown = long_as_text(json);
        let expected = r#"{"messages":[{"queue":3,"offset":"9007199254740993","body":{"offset":1.0}}],"next":null,"end":"7"}"#;
        assert_eq!(shown.trim_end(), expected);
        assert_eq!(long_as_text("no json"), "no json");
    }
}
