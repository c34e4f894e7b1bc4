//! From defaults, file, environment and flags to one configuration, and where each value came from.
//!
//! The one idea to know: every layer is a table with the same keys, a later layer replaces values of an earlier one,
//! and each layer is checked by itself first, so that an error names the line or the variable that is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use toml::{Table, Value};

use super::Config;
use super::keys::all_keys;
use super::nearest::nearest;

/// Every variable of ours begins with this.
const PREFIX: &str = "SLUICE_";

/// What is wrong with a configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{place}: unknown key {key}{}", hint(.nearest))]
    Unknown { place: Source, key: String, nearest: Option<String> },
    #[error("{place}: {message}")]
    Value { place: Source, message: String },
    /// Each value is fine, but not together.
    #[error("{0}")]
    Contradiction(String),
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |key| format!("; did you mean {key}?"))
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Source {
    #[default]
    Default,
    File {
        path: PathBuf,
        line: Option<usize>,
    },
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A configuration with its history.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// The source of every key that is not a default.
    pub sources: BTreeMap<String, Source>,
}

/// Reads the layers in their order.
#[derive(Default)]
pub struct Loader {
    table: Table,
    sources: BTreeMap<String, Source>,
    keys: Vec<String>,
}

impl Loader {
    /// Begins with the defaults.
    pub fn new() -> Self {
        Self { keys: all_keys(&Config::default()), ..Self::default() }
    }

    /// Adds a TOML file.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        self.text(&text, path)
    }

    /// Adds the text of a TOML file; `path` is for messages.
    pub fn text(&mut self, text: &str, path: &Path) -> Result<(), ConfigError> {
        let at = |line| Source::File { path: path.to_owned(), line };
        let located = |error: &toml::de::Error| at(error.span().map(|span| line_of(text, span.start)));
        let table: Table = toml::from_str(text)
            .map_err(|e| ConfigError::Value { place: located(&e), message: e.message().to_owned() })?;
        let mut keys = Vec::new();
        flatten(&table, "", &self.keys, &mut keys);
        for key in &keys {
            self.check_known(key, || at(line_of_key(text, key)))?;
        }
        toml::from_str::<Config>(text)
            .map_err(|e| ConfigError::Value { place: located(&e), message: e.message().to_owned() })?;
        for key in keys {
            let source = at(line_of_key(text, &key));
            self.sources.insert(key, source);
        }
        merge(&mut self.table, table);
        Ok(())
    }

    /// Adds environment variables; those without our prefix are not looked at.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        let variables: Vec<_> = variables.into_iter().collect();
        let in_kubernetes = variables.iter().any(|(name, _)| name == "KUBERNETES_SERVICE_HOST");
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if in_kubernetes && is_service_link(rest) {
                continue;
            }
            let key = rest.to_lowercase().replace("__", ".");
            self.set(&key, &value, Source::Environment(name))?;
        }
        Ok(())
    }

    /// Adds one value, written as text.
    pub fn set(&mut self, key: &str, value: &str, source: Source) -> Result<(), ConfigError> {
        self.check_known(key, || source.clone())?;
        let layer =
            layer_of(key, value).map_err(|message| ConfigError::Value { place: source.clone(), message })?;
        merge(&mut self.table, layer);
        self.sources.insert(key.to_owned(), source);
        Ok(())
    }

    /// The whole; checked for contradictions.
    pub fn finish(self) -> Result<Loaded, ConfigError> {
        let config = Config::deserialize(Value::Table(self.table))
            .map_err(|e| ConfigError::Contradiction(e.message().to_owned()))?;
        config.check()?;
        Ok(Loaded { config, sources: self.sources })
    }

    fn check_known(&self, key: &str, place: impl FnOnce() -> Source) -> Result<(), ConfigError> {
        if self.keys.iter().any(|known| known == key) {
            return Ok(());
        }
        let nearest = nearest(key, self.keys.iter().map(String::as_str)).map(str::to_owned);
        Err(ConfigError::Unknown { place: place(), key: key.to_owned(), nearest })
    }
}

/// Kubernetes tells every container of a service named `sluice` by variables that look like ours.
fn is_service_link(rest: &str) -> bool {
    rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_")
}

/// A table with one value. Text does not say its type, so what the key accepts decides: text first, then a TOML value.
fn layer_of(key: &str, value: &str) -> Result<Table, String> {
    let try_value = |value: Value| {
        let layer = nested(key, value);
        Config::deserialize(Value::Table(layer.clone())).map(|_| layer).map_err(|e| e.message().to_owned())
    };
    try_value(Value::String(value.to_owned())).or_else(|as_text| {
        let parsed =
            toml::from_str::<Table>(&format!("v = {value}")).ok().and_then(|mut table| table.remove("v"));
        match parsed {
            Some(parsed) if !parsed.is_str() => try_value(parsed),
            _ => Err(as_text),
        }
    })
}

fn nested(key: &str, value: Value) -> Table {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let value = match rest {
        Some(rest) => Value::Table(nested(rest, value)),
        None => value,
    };
    Table::from_iter([(first.to_owned(), value)])
}

fn merge(into: &mut Table, from: Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

/// The dotted paths of all values; a known key is not looked into (a map is one value).
fn flatten(table: &Table, path: &str, known: &[String], keys: &mut Vec<String>) {
    for (name, value) in table {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Table(below) if !known.contains(&key) && is_section(&key, known) => {
                flatten(below, &key, known, keys);
            }
            _ => keys.push(key),
        }
    }
}

fn is_section(key: &str, known: &[String]) -> bool {
    known.iter().any(|known| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// The line that sets a key, found by the section above it; `None` for unusual notations.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let mut section = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).trim().to_owned();
            if section == key {
                return Some(index + 1);
            }
        } else if let Some((name, _)) = line.split_once('=') {
            let name = name.trim();
            let full = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            if full == key {
                return Some(index + 1);
            }
        }
    }
    None
}
