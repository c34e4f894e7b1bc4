//! A JSON value as YAML, in block style; texts are always quoted, as in JSON, which YAML reads the same.

use serde_json::Value;
use std::fmt::Write;

/// The value as a document.
pub(crate) fn write(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

/// Writes a value whose first line is already indented.
fn block(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (at, (name, value)) in map.iter().enumerate() {
                if at > 0 {
                    indent(out, depth);
                }
                let _ = write!(out, "{}:", Value::from(name.as_str()));
                nested(out, value, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, value) in items.iter().enumerate() {
                if at > 0 {
                    indent(out, depth);
                }
                out.push('-');
                nested(out, value, depth + 1);
            }
        }
        // Empty collections, numbers, quoted texts: YAML takes JSON's form.
        scalar => {
            let _ = writeln!(out, "{scalar}");
        }
    }
}

/// Writes what follows a `:` or `-`.
fn nested(out: &mut String, value: &Value, depth: usize) {
    let is_block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        out.push('\n');
        indent(out, depth);
    } else {
        out.push(' ');
    }
    block(out, value, depth);
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_and_objects_are_nested_by_indentation() {
        let value = json!({"a": {"b": [1, {"c": "x: y", "d": []}], "e": {}}, "f": null});
        let text = "\"a\":\n  \"b\":\n    - 1\n    -\n      \"c\": \"x: y\"\n      \"d\": []\n  \"e\": {}\n\"f\": null\n";
        assert_eq!(write(&value), text);
    }
}
