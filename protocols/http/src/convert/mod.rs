//! Between the wire and the model: names, header texts, bodies.
//!
//! HTTP has two spellings of a message: a raw body with metadata in headers or query, and a JSON object. Both are
//! projections of [`sluice_model::Message`]; what one cannot say it leaves out and says so.

mod incoming;
mod outgoing;

pub(crate) use incoming::{NewMessage, Ready, Sender, Time, Times, from_json, from_raw};
pub(crate) use outgoing::{BodyMode, Lease, check_json, dead_letter_json, message_json, raw_message};

use crate::errors::{Code, Problem};
use crate::params::{self, Query};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode, utf8_percent_encode};
use sluice_broker::Broker;
use sluice_model::{Dialect, Filter, GroupName, Message, Result, TopicName};

/// What curl says of a body it was given by `-d`: not a statement of the user's, so it is not stored.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// The prefix of a header value that HTTP cannot carry as it is (as in RFC 8187).
const EXTENDED: &str = "UTF-8''";
/// What stays as it is in an extended value and in a path segment.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(crate) fn topic(text: &str) -> Result<TopicName, Problem> {
    TopicName::new(text).map_err(|e| Problem::new(Code::InvalidName, e.message()))
}

pub(crate) fn group(text: &str) -> Result<GroupName, Problem> {
    GroupName::new(text).map_err(|e| Problem::new(Code::InvalidName, e.message()))
}

/// What a call selects: by tags, or by an SQL expression.
pub(crate) fn filter(query: &Query, broker: &Broker) -> Result<Filter, Problem> {
    match (query.get("filter")?, query.get("sql")?) {
        (Some(_), Some(_)) => {
            Err(params::invalid("sql", "give filter or sql, not both; sql may test TAGS, as in TAGS = 'a'"))
        }
        (_, Some(sql)) => {
            broker.sql_filter(sql, Dialect::RocketMq).map_err(|error| params::invalid("sql", error.message()))
        }
        (tags, None) => Ok(Filter::tags(tags.unwrap_or("*"))?),
    }
}

/// A path segment as it stands in a URL.
pub(crate) fn segment(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, UNRESERVED)
}

/// The plain bytes of a body, whichever codec its producer used; `limit` bounds what it may unpack to.
pub(crate) fn plain_body(message: &Message, limit: usize) -> Result<Bytes> {
    Ok(sluice_broker::body::plain(message, limit)?.unwrap_or_default())
}

/// The text of a header value: UTF-8 as it is, or extended.
pub(crate) fn read_header_text(value: &[u8]) -> Result<String, Problem> {
    let wrong = || Problem::new(Code::BadRequest, "a header value is not UTF-8");
    let extended = value
        .split_at_checked(EXTENDED.len())
        .filter(|(prefix, _)| prefix.eq_ignore_ascii_case(EXTENDED.as_bytes()))
        .map(|(_, rest)| rest);
    match extended {
        Some(rest) => {
            let text = std::str::from_utf8(rest).map_err(|_| wrong())?;
            crate::params::check_percent(text)?;
            Ok(percent_decode(rest).decode_utf8().map_err(|_| wrong())?.into_owned())
        }
        None => Ok(std::str::from_utf8(value).map_err(|_| wrong())?.to_owned()),
    }
}

/// A text as a header value that [`read_header_text`] reads back exactly.
pub(crate) fn write_header_text(text: &str) -> String {
    let plain = text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && text.trim() == text
        && !text.get(..EXTENDED.len()).is_some_and(|start| start.eq_ignore_ascii_case(EXTENDED));
    if plain { text.to_owned() } else { format!("{EXTENDED}{}", utf8_percent_encode(text, UNRESERVED)) }
}

/// JSON without the white space between its parts, so that it stands on one line.
pub(crate) fn compact_json(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    json.chars()
        .filter(|c| {
            if in_text {
                in_text = escaped || *c != '"';
                escaped = !escaped && *c == '\\';
                true
            } else {
                in_text = *c == '"';
                !c.is_ascii_whitespace()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_texts_round_trip() {
        for text in
            ["plain", "grün €", " padded ", "line\r\nbreak", "UTF-8''x", "utf-8''", "", "100%", "\u{0}"]
        {
            assert_eq!(read_header_text(write_header_text(text).as_bytes()).unwrap(), text, "{text:?}");
        }
        assert_eq!(read_header_text("ü".as_bytes()).unwrap(), "ü");
        assert!(read_header_text(b"\xff").is_err());
        assert!(read_header_text(b"UTF-8''%zz").is_err());
    }

    #[test]
    fn compact_json_keeps_texts() {
        assert_eq!(compact_json("{ \"a b\" :\n [1, \"\\\" c\\\\\", 2 ] }"), "{\"a b\":[1,\"\\\" c\\\\\",2]}");
    }
}
