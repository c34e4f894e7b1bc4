//! Topic and group names: two alphabets, and a reversible way between them.
//!
//! | | letters besides `a-zA-Z0-9_-` | the other's are written |
//! |---|---|---|
//! | topic, here | `%` and <code>\|</code> | `.` is `%2E`, as STOMP's destinations have it |
//! | topic, Kafka | `.` | `%` is `..25`, <code>\|</code> is `..7C` |
//! | group, here | `%` and <code>\|</code> | any other byte is `%XX` |
//! | group, Kafka | anything | nothing needs to be |
//!
//! The one idea to know: a name that is legal on both sides is the same on both sides, and every other has exactly one
//! spelling on each; what has another spelling is refused, so two clients never mean one topic by two names.

use sluice_model::{GroupName, TopicName};

/// Kafka's limit for the name of a topic.
const MAX_TOPIC: usize = 249;
/// How a dot is written here.
const DOT: &str = "%2E";
/// What follows two dots in a Kafka name, and what it stands for here.
const ESCAPES: [(&str, &str); 3] = [("25", "%"), ("7C", "|"), ("2E", DOT)];

/// The topic that a Kafka client means; nothing when the name is not legal, or not the one spelling.
pub(crate) fn topic(name: &str) -> Option<TopicName> {
    if name.is_empty() || name.len() > MAX_TOPIC || matches!(name, "." | "..") {
        return None;
    }
    if name.bytes().all(is_plain) {
        return TopicName::new(name).ok();
    }
    let mut ours = String::with_capacity(name.len() + 8);
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let escape = rest
            .strip_prefix("..")
            .and_then(|code| ESCAPES.iter().find_map(|(hex, is)| Some((code.strip_prefix(hex)?, *is))));
        rest = match (escape, first) {
            (Some((after, is)), _) => {
                ours.push_str(is);
                after
            }
            (None, '.') => {
                ours.push_str(DOT);
                rest.get(1..)?
            }
            (None, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-') => {
                ours.push(first);
                rest.get(1..)?
            }
            _ => return None,
        };
    }
    let topic = TopicName::new(ours).ok()?;
    (topic_name(&topic) == name).then_some(topic)
}

/// What Kafka clients call a topic.
pub(crate) fn topic_name(topic: &TopicName) -> String {
    if topic.as_str().bytes().all(is_plain) {
        return topic.as_str().to_owned();
    }
    // From the end, because whether a dot may stand as it is depends on what follows it.
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = topic.as_str();
    while let Some(first) = rest.get(..1) {
        let part = if rest.starts_with(DOT) { DOT } else { first };
        parts.push(part);
        rest = rest.get(part.len()..).unwrap_or_default();
    }
    let only_dots = parts.len() <= 2 && parts.iter().all(|part| *part == DOT);
    let mut name = String::new(); // reversed
    for part in parts.iter().rev() {
        let ambiguous = || ESCAPES.iter().any(|(hex, _)| ends_with_reversed(&name, ".", hex));
        match *part {
            "%" => name.push_str("52.."),
            "|" => name.push_str("C7.."),
            DOT if only_dots || ambiguous() => name.push_str("E2.."),
            DOT => name.push('.'),
            other => name.push_str(other),
        }
    }
    name.chars().rev().collect()
}

/// Whether text kept in reverse begins, read forward, with these.
fn ends_with_reversed(reversed: &str, first: &str, second: &str) -> bool {
    first.chars().chain(second.chars()).eq(reversed.chars().rev().take(first.len() + second.len()))
}

/// The group that a Kafka client means; nothing when it is empty or too long for a group here.
pub(crate) fn group(id: &str) -> Option<GroupName> {
    let mut ours = String::with_capacity(id.len());
    for (at, byte) in id.bytes().enumerate() {
        let after = id.as_bytes().get(at + 1..).unwrap_or_default();
        match byte {
            b'%' if is_escape(after).is_some() => ours.push_str("%25"),
            byte if is_legal(byte) => ours.push(char::from(byte)),
            byte => ours.push_str(&format!("%{byte:02X}")),
        }
    }
    GroupName::new(ours).ok()
}

/// What Kafka clients call a group; nothing when no client could name it.
pub(crate) fn group_id(group: &GroupName) -> Option<String> {
    let (mut id, mut rest) = (Vec::new(), group.as_str().as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escape = if *first == b'%' { is_escape(after) } else { None };
        id.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { after.get(2..)? } else { after };
    }
    let id = String::from_utf8(id).ok()?;
    (self::group(&id).as_ref() == Some(group)).then_some(id)
}

/// Whether a percent sign before these bytes would be read as an escape, and of what: a byte that is not legal here, or
/// the sign itself where it would be read as an escape without one.
fn is_escape(after: &[u8]) -> Option<u8> {
    let hex = std::str::from_utf8(after.get(..2)?).ok()?;
    let is_upper = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    let byte = u8::from_str_radix(hex, 16).ok().filter(|_| is_upper)?;
    match byte {
        b'%' => is_escape(after.get(2..)?).map(|_| b'%'),
        byte => (!is_legal(byte)).then_some(byte),
    }
}

fn is_legal(byte: u8) -> bool {
    is_plain(byte) || matches!(byte, b'%' | b'|')
}

/// Whether it is legal everywhere, and stands for itself.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_both_know_are_the_same() {
        for (kafka, ours) in [
            ("orders", "orders"),
            ("a.b", "a%2Eb"),
            ("a..b", "a%2E%2Eb"),
            ("..25RETRY..25g", "%RETRY%g"),
            ("a..7Cb", "a|b"),
            ("a..2E.25b", "a%2E%2E25b"),
            ("..2E", "%2E"),
        ] {
            assert_eq!(topic(kafka).unwrap().as_str(), ours, "{kafka}");
            assert_eq!(topic_name(&TopicName::new(ours).unwrap()), kafka, "{ours}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "%RETRY%g", "a..2Eb", "ü", &"x".repeat(250)] {
            assert!(topic(bad).is_none(), "{bad:?}");
        }
        for (kafka, ours) in
            [("g", "g"), ("my.group", "my%2Egroup"), ("a b", "a%20b"), ("50%", "50%"), ("%2E", "%252E")]
        {
            assert_eq!(group(kafka).unwrap().as_str(), ours, "{kafka}");
            assert_eq!(group_id(&GroupName::new(ours).unwrap()).as_deref(), Some(kafka), "{ours}");
        }
        assert!(group("").is_none());
    }

    proptest! {
        #[test]
        fn every_topic_comes_back(name in "([a-c25E7CF]|%2E|[%|_-]){1,30}") {
            let ours = TopicName::new(name).unwrap();
            let kafka = topic_name(&ours);
            prop_assert_eq!(topic(&kafka), Some(ours));
        }

        #[test]
        fn no_two_kafka_names_are_one_topic(name in "[a.25E7C]{1,12}") {
            if let Some(ours) = topic(&name) {
                prop_assert_eq!(topic_name(&ours), name);
            }
        }

        #[test]
        fn every_group_id_comes_back(id in "([%25ECab.ü ]|\\PC){1,20}") {
            if let Some(ours) = group(&id) {
                prop_assert_eq!(group_id(&ours), Some(id));
            }
        }
    }
}
