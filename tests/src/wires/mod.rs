//! The stock clients.

mod curl;
mod java;
mod kafka;
mod stomp;

pub use curl::{Curl, Request};
pub use java::{Java, JavaMessage};
pub use kafka::{Kafka, Record};
pub use stomp::{Frame, Stomp};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn from_base64(value: &serde_json::Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {value}"))
}

/// Installs what a client needs, if it is missing: a part of `tests/interop/setup.sh`.
pub fn set_up(part: &str) {
    let script = crate::repository().join("tests/interop/setup.sh");
    let status = std::process::Command::new(&script).arg(part).status();
    assert!(status.is_ok_and(|s| s.success()), "{} {part} failed", script.display());
}
