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
//! | `/X`, `/X/part` | X, which must exist | a cursor, of what was sent to the very same destination |
//!
//! Temporary queues and topics have no topic; they are in `mail.rs`.
//!
//! The topics that belong to a group, retries and dead letters, keep their own names: `/queue/%25DLQ%25G` is `%DLQ%G`.
//!
//! Topics have a small alphabet, destinations have none. The one idea to know: X is percent-decoded once, then every
//! byte outside `[a-zA-Z0-9_-]` is written `%XX`; so both spellings of a name meet, and the name can be read back.
//! A connection within a namespace has it in front of every topic and group, as in `shop%orders`, and reaches no others.

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

/// What the first word of a destination may be that is no topic's name: a kind without a name is a mistake.
const KINDS: [&str; 11] = [
    "",
    "queue",
    "topic",
    "group",
    "exchange",
    "amq",
    "dsub",
    "temp-queue",
    "temp-topic",
    "reply-queue",
    "reply-topic",
];

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
    /// Each of its subscribers gets each message that was sent to the very same destination: how the cloud's front-end
    /// parts a topic.
    Part,
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
    /// What its names are within; empty for none.
    namespace: Box<str>,
}

impl Destination {
    /// Understands a destination.
    ///
    /// # Errors
    /// `InvalidArgument` when it has no name in it, `Unsupported` for kinds that are not offered.
    pub fn parse(text: &ByteString) -> Result<Self> {
        Self::within(text, "")
    }

    /// Understands a destination whose names lie within a namespace; an empty one is none.
    ///
    /// # Errors
    /// As for [`Destination::parse`].
    pub fn within(text: &ByteString, namespace: &str) -> Result<Self> {
        let topic = |destination: &str, name: &str| topic(destination, name, namespace);
        let (role, topic) = if let Some(name) = text.strip_prefix("/queue/") {
            (Role::Queue { create: true }, topic(text, name)?)
        } else if let Some(name) = text.strip_prefix("/topic/") {
            (Role::Topic, topic(text, name)?)
        } else if let Some(name) = EXCHANGES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            (Role::Topic, topic(text, name)?)
        } else if text.strip_prefix(FANOUT).is_some_and(|rest| rest.is_empty() || rest == "/") {
            (Role::Topic, topic(text, FANOUT_TOPIC)?)
        } else if let Some(name) = text.strip_prefix("/amq/queue/") {
            (Role::Queue { create: false }, existing(text, name, namespace)?)
        } else if let Some(rest) = text.strip_prefix("/group/") {
            let (group, name) = rest.split_once('/').ok_or_else(|| {
                Error::invalid(format!("destination {text:?} must be /group/<group>/<topic>"))
            })?;
            (Role::Group(GroupName::new(whole(namespace, group))?), topic(text, name)?)
        } else if let Some(path) = text.strip_prefix('/') {
            let parent = path.split('/').next().unwrap_or_default();
            if KINDS.contains(&parent) {
                return Err(unknown(text));
            }
            (Role::Part, topic(text, parent)?)
        } else {
            (Role::Queue { create: true }, topic(text, text)?)
        };
        Ok(Self { text: text.clone(), role, topic, namespace: namespace.into() })
    }

    /// The group that consumes it, if it is not a cursor.
    ///
    /// # Errors
    /// `InvalidArgument` when the topic's name is too long for a group.
    pub fn group(&self) -> Result<Option<GroupName>> {
        match &self.role {
            Role::Queue { .. } => {
                let inside = self.topic.as_str().strip_prefix(&*self.namespace);
                let own =
                    inside.and_then(|rest| rest.strip_prefix('%')).filter(|_| !self.namespace.is_empty());
                let name = format!("{QUEUE_GROUP}{}", own.unwrap_or(self.topic.as_str()));
                GroupName::new(whole(&self.namespace, &name)).map(Some)
            }
            Role::Group(group) => Ok(Some(group.clone())),
            Role::Topic | Role::Part => Ok(None),
        }
    }

    /// Whether a subscriber gets what was sent to `destination`, where that matters: what came over another wire, or was sent
    /// without parts, is for those who name no part.
    pub(crate) fn has_part(&self, destination: Option<&str>) -> bool {
        if self.role != Role::Part {
            return true;
        }
        let undivided = || self.text.get(1..).is_some_and(|path| !path.trim_end_matches('/').contains('/'));
        match destination {
            Some(sent_to) if sent_to == &self.text[..] => true,
            Some(sent_to) => undivided() && !is_part(sent_to),
            None => undivided(),
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

    /// Whether the topic is one that the broker makes for a group.
    pub fn is_of_a_group(&self) -> bool {
        self.topic.retry_group().is_some() || self.is_dead_letters()
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
        if self.is_of_a_group() {
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
    pub(crate) fn of(destination: &str) -> Self {
        let is_queue = !destination.starts_with('/')
            || destination.starts_with("/queue/")
            || destination.starts_with("/amq/queue/");
        if is_queue { Self::Queue } else { Self::Topic }
    }
}

/// Whether a sender named a part of a topic.
fn is_part(destination: &str) -> bool {
    let parent = destination.strip_prefix('/').and_then(|path| path.split('/').next());
    parent.is_some_and(|parent| !KINDS.contains(&parent))
}

/// What topics made for a group begin with; the namespace is the group's then.
const OF_GROUPS: [&str; 2] = ["%RETRY%", "%DLQ%"];
/// The longest namespace leaves room for a name.
const MAX_NAMESPACE: usize = 64;

/// Whether a text can be a namespace.
pub(crate) fn is_namespace(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (1..=MAX_NAMESPACE).contains(&text.len()) && text.bytes().all(fits)
}

/// A name within a namespace, as RocketMQ spells it; an empty namespace is none.
pub(crate) fn whole(namespace: &str, name: &str) -> String {
    let prefix = OF_GROUPS.into_iter().find(|prefix| name.starts_with(prefix)).unwrap_or_default();
    let own = name.strip_prefix(prefix).unwrap_or(name);
    let is_within = own.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('%'));
    match namespace.is_empty() || is_within {
        true => name.to_owned(),
        false => format!("{prefix}{namespace}%{own}"),
    }
}

/// The name that a topic stands for: what [`Destination::parse`] would have been given.
pub fn display_name(topic: &TopicName) -> String {
    percent_decode_str(topic.as_str()).decode_utf8_lossy().into_owned()
}

fn topic(destination: &str, name: &str, namespace: &str) -> Result<TopicName> {
    if name.is_empty() {
        return Err(Error::invalid(format!("destination {destination:?} has no name")));
    }
    let decoded = percent_decode_str(name).decode_utf8().ok().filter(|name| !name.contains('\0'));
    let decoded = decoded.ok_or_else(|| {
        Error::invalid(format!("destination {destination:?} stands for a name that is no text"))
    })?;
    if OF_GROUPS.iter().any(|prefix| decoded.starts_with(prefix)) {
        return TopicName::new(whole(namespace, &decoded)); // the broker's own: there is no other of that name
    }
    let escaped: String = percent_encode(decoded.as_bytes(), ESCAPED).collect();
    // The escaped name has no bare `%` in it that could pass for the namespace's.
    let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}%") };
    TopicName::new(format!("{prefix}{}", shorten(escaped, MAX_TOPIC - prefix.len())))
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
fn existing(destination: &str, name: &str, namespace: &str) -> Result<TopicName> {
    TopicName::new(name)
        .and_then(|name| TopicName::new(whole(namespace, name.as_str())))
        .or_else(|_| topic(destination, name, namespace))
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
            ("/queue/%25DLQ%25billing", "%DLQ%billing"),
            ("/group/support/%25DLQ%25billing", "%DLQ%billing"),
        ] {
            assert_eq!(parse(text).topic.as_str(), topic, "{text}");
        }
        for name in ["orders", "a/b.c", "ünï", "50%", "a b", "%41"] {
            let escaped = percent_encode(name.as_bytes(), NON_ALPHANUMERIC).to_string();
            assert_eq!(display_name(&parse(&format!("/queue/{escaped}")).topic), name);
        }
    }

    #[test]
    fn names_lie_within_the_namespace_and_reach_no_other() {
        let parse = |text: &str| Destination::within(&text.into(), "shop").unwrap();
        for (text, topic, group) in [
            ("/queue/orders", "shop%orders", Some("shop%STOMP_Q_orders")),
            ("/queue/shop%25orders", "shop%shop%25orders", Some("shop%STOMP_Q_shop%25orders")),
            ("/queue/other%25orders", "shop%other%25orders", Some("shop%STOMP_Q_other%25orders")),
            ("/amq/queue/other%orders", "shop%other%orders", Some("shop%STOMP_Q_other%orders")),
            ("/amq/queue/shop%orders", "shop%orders", Some("shop%STOMP_Q_orders")),
            ("/amq/queue/%DLQ%billing", "%DLQ%shop%billing", Some("shop%STOMP_Q_%DLQ%shop%billing")),
            ("/queue/%25DLQ%25billing", "%DLQ%shop%billing", Some("shop%STOMP_Q_%DLQ%shop%billing")),
            ("/group/billing/orders", "shop%orders", Some("shop%billing")),
            ("/topic/orders", "shop%orders", None),
            ("/orders/eu", "shop%orders", None),
        ] {
            let found = parse(text);
            let named = found.group().unwrap().map(|group| group.to_string());
            assert_eq!((found.topic.as_str(), named.as_deref()), (topic, group), "{text}");
        }
        let long = parse(&format!("/queue/{}", "x".repeat(200)));
        assert_eq!(long.topic.as_str().len(), MAX_TOPIC);
        assert!(is_namespace("MQ_INST_1-a") && !is_namespace("127.0.0.1") && !is_namespace(""));
    }

    #[test]
    fn a_part_of_a_topic_is_told_from_its_others() {
        let (eu, all) = (parse("/orders/eu/north"), parse("/orders"));
        assert_eq!((eu.role, eu.topic.as_str()), (Role::Part, "orders"));
        let has = |text: &str, sent_to| parse(text).has_part(sent_to);
        assert!(has("/orders/eu", Some("/orders/eu")) && !has("/orders/eu", Some("/orders/us")));
        assert!(!has("/orders/eu", None) && !has("/orders/eu", Some("/topic/orders")));
        assert!(all.has_part(None) && all.has_part(Some("/orders")) && all.has_part(Some("/topic/orders")));
        assert!(!all.has_part(Some("/orders/eu")), "a part is for those who name it");
        assert!(
            has("/topic/orders", Some("/orders/eu")) && has("/queue/orders", None),
            "others see all of it"
        );
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
        for text in ["/queue/", "/queue", "/topic/", "", "/", "/group/g", "/group//t", "/group/g/", "//t"] {
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
        for text in ["/group/g/t", "/amq/queue/%DLQ%g", "/amq/queue/%RETRY%g", "/queue/%25DLQ%25g"] {
            assert!(parse(text).refuse_unwritable().is_err(), "{text:?}");
        }
        assert!(parse("/queue/DLQ").refuse_unwritable().is_ok());
    }
}
