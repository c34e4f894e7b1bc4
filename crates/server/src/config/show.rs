//! What `sluice config` prints: every key with its value and where it came from.

use std::fmt::Write;

use toml::{Table, Value};

use super::keys::all_keys;
use super::load::Loaded;
use super::{Config, Source};

/// Shown instead of a secret.
const MASK: &str = "***";

/// Valid TOML, one key a line, secrets masked.
pub fn show(loaded: &Loaded) -> String {
    let values = Table::try_from(&loaded.config).unwrap_or_default();
    let mut text = String::new();
    for key in all_keys(&Config::default()) {
        let source = loaded.sources.get(&key).unwrap_or(&Source::Default);
        let line = match find(&values, &key) {
            Some(value) => format!("{key} = {}", masked(&key, value)),
            None => format!("# {key} is not set"),
        };
        let _ = writeln!(text, "{line:<60} # {source}"); // writing to a String cannot fail
    }
    text
}

fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((first, rest)) => find(table.get(first)?.as_table()?, rest),
        None => table.get(key),
    }
}

/// Secrets are known by the last word of their names; names of files that hold them may be seen.
pub(crate) fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    ["secret", "password", "token"].iter().any(|word| name.ends_with(word))
}

fn masked(key: &str, value: &Value) -> Value {
    match value {
        _ if is_secret(key) => Value::String(MASK.to_owned()),
        Value::Table(table) => {
            Value::Table(table.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(|value| masked(key, value)).collect()),
        other => other.clone(),
    }
}
