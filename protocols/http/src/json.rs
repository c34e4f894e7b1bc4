//! Strict JSON: bounded depth, no unknown fields, and errors that say where.

use crate::errors::{Code, Problem};
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_path_to_error::Segment;
use std::fmt;

/// Decodes a body; an empty one counts as `{}`, so that a call whose fields are all optional needs no body.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], max_depth: usize) -> Result<T, Problem> {
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
    check_depth(bytes, max_depth)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        Problem::new(Code::InvalidJson, error.inner().to_string()).at(pointer)
    })?;
    deserializer.end().map_err(|error| Problem::new(Code::InvalidJson, error.to_string()))?;
    Ok(value)
}

/// Refuses nesting deeper than `max` before anything is built from it.
fn check_depth(bytes: &[u8], max: usize) -> Result<(), Problem> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return Err(Problem::new(Code::InvalidJson, format!("nested deeper than {max}")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&escape(key)),
            Segment::Enum { variant } => pointer.push_str(&escape(variant)),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}

/// Escapes one step of a JSON pointer (RFC 6901).
fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// An object of texts whose order counts and whose names may not repeat.
#[derive(Debug, Default)]
pub struct TextMap(pub Vec<(String, String)>);

impl<'de> de::Deserialize<'de> for TextMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = TextMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with text values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextMap, A::Error> {
                let mut pairs = Vec::new();
                let mut names = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if !names.insert(name.clone()) {
                        return Err(de::Error::custom(format!(
                            "{name:?} is given twice; repeated names can be said in the list \"headers\""
                        )));
                    }
                    pairs.push((name, value));
                }
                Ok(TextMap(pairs))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[serde(default)]
        items: Vec<Item>,
        #[serde(default)]
        texts: TextMap,
    }

    fn fails_at(json: &str) -> (Code, Option<String>) {
        let problem = decode::<Item>(json.as_bytes(), 8).unwrap_err();
        let doc = serde_json::Value::Object(problem.document(None, None));
        (problem.code(), doc["errors"][0]["pointer"].as_str().map(str::to_owned))
    }

    #[test]
    fn faults_are_found_and_pointed_at() {
        let at = |pointer: &str| (Code::InvalidJson, Some(pointer.to_owned()));
        assert_eq!(fails_at(r#"{"items":[{},{"itmes":[]}]}"#), at("/items/1/itmes"));
        assert_eq!(fails_at(r#"{"texts":{"a":1}}"#), at("/texts/a"));
        assert_eq!(fails_at(r#"{"texts":{"a":"1","a":"2"}}"#), at("/texts"));
        assert_eq!(fails_at("{} x").0, Code::InvalidJson);
        assert_eq!(fails_at(&"[".repeat(9)).0, Code::InvalidJson);
    }

    #[test]
    fn brackets_in_texts_do_not_nest() {
        let json = format!(r#"{{"texts":{{"a":"\"{}"}}}}"#, "[".repeat(100));
        assert_eq!(decode::<Item>(json.as_bytes(), 8).unwrap().texts.0[0].1.len(), 101);
        assert!(decode::<Item>(b" \n", 8).unwrap().items.is_empty());
    }
}
