//! Destinations to topics and groups, and back.
//!
//! | destination | topic | consumed by |
//! | --- | --- | --- |
//! | `/queue/X`, plain `X` | X | the group `STOMP_Q_X`, from the first message kept |
//! | `/amq/queue/X` | X, which must exist | the same group |
//! | `/topic/X` | X | a cursor of the subscription's own, from now on |
//! | `/group/G/X` | X | the group G |
//! | `/exchange/amq.topic/X`, `/exchange/amq.direct/X` | X | as `/topic/X` |
//! | `/exchange/amq.fanout` | `amq_fanout` | as `/topic/X` |
//!
//! Temporary queues and topics have no topic; they are in `mail.rs`.
//!
//! Topics have a small alphabet, destinations have none. The one idea to know: X is percent-decoded once, then every
//! byte outside `[a-zA-Z0-9_-]` is written `%XX`; so both spellings of a name meet, and the name can be read back.

use bytestring::ByteString;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};
use sluice_model::{Error, ErrorKind, GroupName, Result, TopicName};

/// What a topic's name may not contain as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');
/// Longer names are cut and made unique by a hash: RocketMQ's limit.
const MAX_TOPIC: usize = 127;
const HASH: usize = 32;
/// In front of the topic, the group that all subscribers of a queue share.
const QUEUE_GROUP: &str = "STOMP_Q_";

/// Destinations of other brokers that are understood and not offered.
const UNSUPPORTED: [(&str, &str); 2] = [
    (
        "/exchange/",
        "of exchanges only amq.topic, amq.direct and amq.fanout are supported, to be used as topics",
    ),
    ("/dsub/", "subscribe to /topic/… with durable:true, or to /group/<group>/<topic>"),
];
/// Exchanges that are as good as topics.
const EXCHANGES: [&str; 2] = ["/exchange/amq.topic/", "/exchange/amq.direct/"];
const FANOUT: &str = "/exchange/amq.fanout";
/// The topic that stands for it.
const FANOUT_TOPIC: &str = "amq_fanout";

/// What a destination asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// One of its subscribers gets each message.
    Queue {
        /// False: the topic must exist.
        create: bool,
    },
    /// Each of its subscribers gets each message.
    Topic,
    /// As a queue, in a group that is named.
    Group(GroupName),
}

/// A destination, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// As the client wrote it.
    pub text: ByteString,
    /// What it asks for.
    pub role: Role,
    /// The topic.
    pub topic: TopicName,
}

impl Destination {
    /// Understands a destination.
    ///
    /// # Errors
    /// `InvalidArgument` when it has no name in it, `Unsupported` for kinds that are not offered.
    pub fn parse(text: &ByteString) -> Result<Self> {
        let (role, topic) = if let Some(name) = text.strip_prefix("/queue/") {
            (Role::Queue { create: true }, topic(text, name)?)
        } else if let Some(name) = text.strip_prefix("/topic/") {
            (Role::Topic, topic(text, name)?)
        } else if let Some(name) = EXCHANGES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            (Role::Topic, topic(text, name)?)
        } else if text.strip_prefix(FANOUT).is_some_and(|rest| rest.is_empty() || rest == "/") {
            (Role::Topic, topic(text, FANOUT_TOPIC)?)
        } else if let Some(name) = text.strip_prefix("/amq/queue/") {
            (Role::Queue { create: false }, existing(text, name)?)
        } else if let Some(rest) = text.strip_prefix("/group/") {
            let (group, name) = rest.split_once('/').ok_or_else(|| {
                Error::invalid(format!("destination {text:?} must be /group/<group>/<topic>"))
            })?;
            (Role::Group(GroupName::new(group)?), topic(text, name)?)
        } else if text.starts_with('/') {
            return Err(unknown(text));
        } else {
            (Role::Queue { create: true }, topic(text, text)?)
        };
        Ok(Self { text: text.clone(), role, topic })
    }

    /// The group that consumes it, if it is not a cursor.
    ///
    /// # Errors
    /// `InvalidArgument` when the topic's name is too long for a group.
    pub fn group(&self) -> Result<Option<GroupName>> {
        match &self.role {
            Role::Queue { .. } => GroupName::new(format!("{QUEUE_GROUP}{}", self.topic)).map(Some),
            Role::Group(group) => Ok(Some(group.clone())),
            Role::Topic => Ok(None),
        }
    }

    /// Refuses patterns, which other brokers expand: taken literally they would match nothing.
    ///
    /// # Errors
    /// `Unsupported` when a word of the name is a wildcard.
    pub fn refuse_wildcards(&self) -> Result<()> {
        let name = self.text.rsplit('/').next().unwrap_or_default();
        if name.split('.').any(|word| matches!(word, "*" | ">" | "#")) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("wildcards are not supported: {:?}", self.text),
            ));
        }
        Ok(())
    }

    /// Whether these are the dead letters of a group, of whatever destination.
    pub fn is_dead_letters(&self) -> bool {
        self.topic.dead_letter_group().is_some()
    }

    /// Refuses what only the broker writes to.
    ///
    /// # Errors
    /// `PermissionDenied` for retry and dead-letter topics, `InvalidArgument` for `/group/…`, which can only be read.
    pub fn refuse_unwritable(&self) -> Result<()> {
        if let Role::Group(_) = self.role {
            return Err(Error::invalid("/group/… can be subscribed to; send to /queue/… or /topic/…"));
        }
        if self.topic.retry_group().is_some() || self.topic.dead_letter_group().is_some() {
            return Err(Error::new(ErrorKind::PermissionDenied, "this topic belongs to the broker"));
        }
        Ok(())
    }
}

/// Whether a sender's destination named a kind that other subscribers keep away from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentAs {
    Queue,
    Topic,
}

impl SentAs {
    /// The kind of a destination that a sender wrote.
    pub(crate) fn of(destination: &str) -> Option<Self> {
        if destination.starts_with("/topic/") || destination.starts_with("/exchange/") {
            Some(Self::Topic)
        } else if !destination.starts_with('/')
            || destination.starts_with("/queue/")
            || destination.starts_with("/amq/queue/")
        {
            Some(Self::Queue)
        } else {
            None
        }
    }
}

/// The name that a topic stands for: what [`Destination::parse`] would have been given.
pub fn display_name(topic: &TopicName) -> String {
    percent_decode_str(topic.as_str()).decode_utf8_lossy().into_owned()
}

fn topic(destination: &str, name: &str) -> Result<TopicName> {
    if name.is_empty() {
        return Err(Error::invalid(format!("destination {destination:?} has no name")));
    }
    let decoded = percent_decode_str(name).decode_utf8().ok().filter(|name| !name.contains('\0'));
    let decoded = decoded.ok_or_else(|| {
        Error::invalid(format!("destination {destination:?} stands for a name that is no text"))
    })?;
    let escaped: String = percent_encode(decoded.as_bytes(), ESCAPED).collect();
    TopicName::new(shorten(escaped, MAX_TOPIC))
}

/// Cuts a name that is too long, and puts a hash of all of it behind.
pub(crate) fn shorten(escaped: String, max: usize) -> String {
    if escaped.len() <= max {
        return escaped;
    }
    let mut kept = max - HASH - 1;
    while escaped.as_bytes().get(kept.saturating_sub(2)..kept).is_some_and(|end| end.contains(&b'%')) {
        kept -= 1; // an escape is not cut in two
    }
    let hash = hex::encode(Sha256::digest(escaped.as_bytes()));
    format!("{}-{}", escaped.get(..kept).unwrap_or_default(), hash.get(..HASH).unwrap_or_default())
}

/// A topic that is there already, perhaps by a name that no destination would have given it.
fn existing(destination: &str, name: &str) -> Result<TopicName> {
    TopicName::new(name).or_else(|_| topic(destination, name))
}

fn unknown(text: &str) -> Error {
    for (prefix, why) in UNSUPPORTED {
        if text.starts_with(prefix) {
            return Error::new(ErrorKind::Unsupported, why);
        }
    }
    Error::invalid(format!(
        "unknown destination {text:?}: use /queue/<name>, /topic/<name> or /group/<group>/<name>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Destination {
        Destination::parse(&text.into()).unwrap()
    }

    #[test]
    fn both_spellings_of_a_name_meet_and_can_be_read_back() {
        for (text, topic) in [
            ("/queue/orders", "orders"),
            ("orders", "orders"),
            ("/topic/orders", "orders"),
            ("/amq/queue/orders", "orders"),
            ("/exchange/amq.topic/orders", "orders"),
            ("/exchange/amq.direct/orders", "orders"),
            ("/exchange/amq.fanout", "amq_fanout"),
            ("/group/billing/orders", "orders"),
            ("/queue/test/ruby/stomp.name", "test%2Fruby%2Fstomp%2Ename"),
            ("/queue/test%2fruby%2Fstomp.name", "test%2Fruby%2Fstomp%2Ename"),
            ("/queue/ünï", "%C3%BCn%C3%AF"),
            ("/queue/100%", "100%25"),
            ("/queue/a|b", "a%7Cb"),
            ("/amq/queue/%DLQ%billing", "%DLQ%billing"),
        ] {
            assert_eq!(parse(text).topic.as_str(), topic, "{text}");
        }
        for name in ["orders", "a/b.c", "ünï", "50%", "a b", "%41"] {
            let escaped = percent_encode(name.as_bytes(), NON_ALPHANUMERIC).to_string();
            assert_eq!(display_name(&parse(&format!("/queue/{escaped}")).topic), name);
        }
    }

    #[test]
    fn long_names_stay_apart() {
        let long = parse(&format!("/queue/{}", "ü".repeat(100)));
        let other = parse(&format!("/queue/{}x", "ü".repeat(100)));
        assert_eq!(long.topic.as_str().len(), 126, "cut before an escape");
        assert_ne!(long.topic, other.topic);
        assert_eq!(long.topic, parse(&format!("/queue/{}", "%C3%BC".repeat(100))).topic);
    }

    #[test]
    fn groups_follow_from_the_role() {
        let group = |text| parse(text).group().unwrap().map(|g| g.to_string());
        assert_eq!(group("/queue/orders").as_deref(), Some("STOMP_Q_orders"));
        assert_eq!(group("orders").as_deref(), Some("STOMP_Q_orders"));
        assert_eq!(group("/group/billing/orders").as_deref(), Some("billing"));
        assert_eq!(group("/topic/orders"), None);
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        for text in ["/queue/", "/queue", "/topic/", "", "/", "/group/g", "/group//t", "/group/g/", "/t/sub"]
        {
            let kind = Destination::parse(&text.into()).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::InvalidArgument, "{text:?}");
        }
        for text in ["/exchange/other/a", "/exchange/amq.topic", "/dsub/a"] {
            let kind = Destination::parse(&text.into()).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::Unsupported, "{text:?}");
        }
        for text in ["/queue/a.*", "/topic/a.*.b", "/queue/a.>", "/topic/#"] {
            assert!(parse(text).refuse_wildcards().is_err(), "{text:?}");
        }
        assert!(parse("/queue/c#.a*b").refuse_wildcards().is_ok());
        for text in ["/group/g/t", "/amq/queue/%DLQ%g", "/amq/queue/%RETRY%g"] {
            assert!(parse(text).refuse_unwritable().is_err(), "{text:?}");
        }
        assert!(parse("/queue/DLQ").refuse_unwritable().is_ok());
    }
}
