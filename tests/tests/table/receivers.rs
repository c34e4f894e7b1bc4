//! What each wire can tell its receiver of a message, and what it cannot, with the reason.
//!
//! These are the only losses that the table allows; each is named in a README of a protocol.

use super::case::Said;
use std::collections::BTreeSet;

/// A wire as a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    Remoting,
    Http,
    Stomp,
    Kafka,
}

pub const RECEIVERS: [Receiver; 4] = [Receiver::Remoting, Receiver::Http, Receiver::Stomp, Receiver::Kafka];

/// Properties that are RocketMQ's own.
const ROCKETMQ: [&str; 6] = ["TAGS", "DELAY", "CLUSTER", "WAIT", "CORRELATION_ID", "__SHARDINGKEY"];
/// What a MESSAGE says of the delivery.
const STOMP: [&str; 6] =
    ["subscription", "message-id", "destination", "ack", "redelivered", "content-length"];

/// What arrives of a message, and why that is not all of it.
#[derive(Debug, Default)]
pub struct Told {
    pub said: Said,
    /// Its time of birth is told.
    pub born: bool,
    pub less: BTreeSet<&'static str>,
}

impl Receiver {
    pub fn name(self) -> &'static str {
        match self {
            Self::Remoting => "remoting",
            Self::Http => "http",
            Self::Stomp => "stomp",
            Self::Kafka => "kafka",
        }
    }

    /// Whether a receiver sees the order of the properties. Over HTTP they are an object, with a list beside it where an
    /// object cannot say it all.
    pub fn in_order(self, said: &Said) -> bool {
        let mut names = BTreeSet::new();
        let no_object = |(name, value): &(String, Option<Vec<u8>>)| {
            !names.insert(name.clone())
                || value.as_ref().is_none_or(|value| std::str::from_utf8(value).is_err())
        };
        match self {
            Self::Remoting => false,
            Self::Http => said.properties.iter().any(no_object),
            Self::Stomp | Self::Kafka => true,
        }
    }

    /// What a receiver on this wire can be told of what was said.
    pub fn told(self, said: &Said) -> Told {
        let mut told = Told { said: said.clone(), born: true, less: BTreeSet::new() };
        match self {
            Self::Http => {}
            Self::Remoting => remoting(said, &mut told),
            Self::Stomp => stomp(said, &mut told),
            Self::Kafka => kafka(said, &mut told),
        }
        told
    }
}

fn null_body(told: &mut Told) {
    if told.said.body.is_none() {
        told.said.body = Some(Vec::new());
        told.less.insert("a null body reads as empty");
    }
}

/// A Kafka key where bytes are spelled; one that is a word is in the keys.
fn spelled_key(said: &Said, told: &mut Told) {
    let Some(key) = &said.key else { return };
    if matches!(&said.keys[..], [word] if word.as_bytes() == key) {
        told.said.key = None;
    } else {
        told.less.insert("spelled in Base64");
    }
}

/// What a record has no field for is in its key, or in headers of its own.
fn kafka(said: &Said, told: &mut Told) {
    if told.said.expires.take().is_some() {
        told.less.insert("no field says when a record expires");
    }
    match (&said.key, told.said.group.take()) {
        (Some(_), _) => told.said.keys.clear(),
        (None, Some(group)) => {
            told.said.key = Some(group.into_bytes());
            told.less.insert("the message group is the record's key");
        }
        (None, None) if !said.keys.is_empty() => {
            told.said.key = Some(said.keys.join(" ").into_bytes());
            told.said.keys.clear();
            told.less.insert("the keys are the record's key");
        }
        (None, None) => {}
    }
}

fn remoting(said: &Said, told: &mut Told) {
    null_body(told);
    spelled_key(said, told);
    if told.said.key.as_deref() == Some(b"") {
        told.said.key = None;
        told.less.insert("a property has no empty value");
    }
    if told.said.expires.take().is_some() {
        told.less.insert("no property says when a message expires");
    }
    let separated = |text: &[u8]| text.contains(&1) || text.contains(&2);
    let mut seen = BTreeSet::new();
    told.said.properties.clear();
    for (name, value) in &said.properties {
        let why = match value.as_deref() {
            None => Some("a property has no null"),
            Some(_) if ROCKETMQ.contains(&&name[..]) => Some("it would pass for a property of the broker"),
            Some(_) if !seen.insert(name) => Some("properties have one value for a name, the first"),
            Some([]) => Some("a property has no empty value"),
            Some(_) if separated(name.as_bytes()) => Some("the name contains a separator"),
            Some(_) => None,
        };
        match (why, value) {
            (None, Some(value)) if separated(value) || std::str::from_utf8(value).is_err() => {
                use base64::Engine;
                let text = base64::engine::general_purpose::STANDARD.encode(value);
                told.said.properties.push((format!("{name}.base64"), Some(text.into_bytes())));
                told.less.insert("spelled in Base64");
            }
            (None, _) => told.said.properties.push((name.clone(), value.clone())),
            (Some(why), _) => {
                told.less.insert(why);
            }
        }
    }
}

fn stomp(said: &Said, told: &mut Told) {
    null_body(told);
    spelled_key(said, told);
    told.said.properties.clear();
    for (name, value) in &said.properties {
        let own = STOMP.contains(&&name[..]) || name.ends_with("content-length");
        let text = value.as_deref().map(std::str::from_utf8);
        let why = match text {
            None => Some("a header has no null"),
            Some(Err(_)) => Some("headers are UTF-8"),
            Some(Ok(_)) if own => Some("it would pass for a header of the delivery"),
            Some(Ok(value)) if value.contains('\0') || name.contains('\0') => Some("NUL ends a frame"),
            Some(Ok(value)) if name == "tag" && said.tag.is_none() => {
                told.said.tag = Some(value.to_owned());
                Some("a header called tag reads as the tag")
            }
            Some(Ok(_)) => None,
        };
        match why {
            None => told.said.properties.push((name.clone(), value.clone())),
            Some(why) => {
                told.less.insert(why);
            }
        }
    }
    if said.properties.iter().any(|(name, _)| name == "timestamp") {
        told.born = false;
        told.less.insert("the sender's own timestamp stands where the time of birth would");
    }
}
