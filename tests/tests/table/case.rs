//! What is sent, and what it says in words that no wire owns.

use std::fmt;

/// A time as a sender says it.
#[derive(Debug, Clone, Copy)]
pub enum Time {
    /// So many milliseconds after it was sent.
    After(u64),
    /// In milliseconds since 1970.
    At(u64),
}

/// What a message says.
#[derive(Debug, Clone, Default)]
pub struct Said {
    pub body: Option<Vec<u8>>,
    pub tag: Option<String>,
    pub keys: Vec<String>,
    /// The key of a Kafka record.
    pub key: Option<Vec<u8>>,
    pub group: Option<String>,
    pub properties: Vec<(String, Option<Vec<u8>>)>,
    pub born: Option<u64>,
    pub expires: Option<Time>,
    pub due: Option<Time>,
}

impl Said {
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = Some(tag.to_owned());
        self
    }

    pub fn keys(mut self, keys: &[&str]) -> Self {
        self.keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self
    }

    pub fn key(mut self, key: &[u8]) -> Self {
        self.key = Some(key.to_vec());
        self
    }

    pub fn group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), Some(value.as_bytes().to_vec())));
        self
    }

    pub fn with_all(self, all: &[(&str, &str)]) -> Self {
        all.iter().fold(self, |said, (name, value)| said.with(name, value))
    }

    pub fn with_bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.properties.push((name.to_owned(), Some(value.to_vec())));
        self
    }

    pub fn with_null(mut self, name: &str) -> Self {
        self.properties.push((name.to_owned(), None));
        self
    }

    pub fn born(mut self, born: u64) -> Self {
        self.born = Some(born);
        self
    }

    pub fn expires(mut self, time: Time) -> Self {
        self.expires = Some(time);
        self
    }

    pub fn due(mut self, time: Time) -> Self {
        self.due = Some(time);
        self
    }
}

/// One row of the table: a message in its sender's words.
#[derive(Debug, Clone)]
pub struct Case<M> {
    pub name: String,
    pub message: M,
    pub said: Said,
    /// What the sender's wire takes away on its own, and why.
    pub less: Option<&'static str>,
}

impl<M> Case<M> {
    pub fn less(mut self, why: &'static str) -> Self {
        self.less = Some(why);
        self
    }
}

/// What a wire has no words for at all.
pub type Unsayable = &'static [(&'static str, &'static str)];

/// Tells one message of the table from the others: its body, or where the body is what is tested, its key.
pub fn mark(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join("-")
}

/// Bodies that are worth a row on every wire.
pub fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let mut state = 0x2545_F491_u32;
    let noise = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    vec![
        ("binary with NULs", vec![0, 1, 0, 255, 254, 0]),
        ("UTF-8", UNICODE.as_bytes().to_vec()),
        ("4 MiB", (0..4 << 20).map(noise).collect()),
        ("text of 64 KiB", b"compressible ".repeat(5041)),
    ]
}

pub const UNICODE: &str = "Grüße, 世界 😀";

/// A property's value, short enough for a line.
pub struct Shown<'a>(pub &'a [(String, Option<Vec<u8>>)]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for (name, value) in self.0 {
            list.entry(&(name, value.as_deref().map(String::from_utf8_lossy)));
        }
        list.finish()
    }
}
