//! The query of a request, read as leniently as the SDKs write it: names it does not know pass, empty values are
//! absent, numbers out of range are moved into it.

use super::faults::{Code, Fault};
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// As the cloud's service: clients that want more get this many.
const MAX_MESSAGES: usize = 16;
/// The longest wait that the cloud's service offers; the SDKs give up a little later.
const MAX_WAIT: i64 = 30;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// The instance.
    pub ns: String,
    /// The group.
    pub consumer: String,
    pub tag: String,
    pub trans: String,
    pub messages: usize,
    pub wait: Duration,
}

impl Query {
    pub fn parse(raw: &str) -> Result<Self, Fault> {
        let mut query = Self { messages: 1, ..Self::default() };
        let mut seen: Vec<String> = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decode_form(name)?, decode_form(value)?);
            if seen.contains(&name) {
                return Err(malformed(&format!("the parameter {name:?} is given twice")));
            }
            query.take(&name, value)?;
            seen.push(name);
            if seen.len() > MAX_PARAMETERS {
                return Err(malformed("there are too many parameters"));
            }
        }
        Ok(query)
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), Fault> {
        match name {
            "ns" => self.ns = value,
            "consumer" => self.consumer = value,
            "tag" => self.tag = value,
            "trans" => self.trans = value,
            "numOfMessages" => {
                let number = number(name, &value)?.unwrap_or(1).max(1);
                self.messages = usize::try_from(number).unwrap_or(MAX_MESSAGES).min(MAX_MESSAGES);
            }
            "waitseconds" => {
                let seconds = number(name, &value)?.unwrap_or(0).clamp(0, MAX_WAIT);
                self.wait = Duration::from_secs(seconds.unsigned_abs());
            }
            _ => {}
        }
        Ok(())
    }
}

/// So many names are compared for being given twice.
const MAX_PARAMETERS: usize = 32;

fn number(name: &str, value: &str) -> Result<Option<i64>, Fault> {
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_| Fault::invalid(format!("{name} is not a number")))
}

fn malformed(message: &str) -> Fault {
    Fault::new(Code::InvalidQueryString, message)
}

/// As HTML forms: `+` is a blank.
fn decode_form(text: &str) -> Result<String, Fault> {
    decode(&text.replace('+', " ")).ok_or_else(|| malformed("the query is not percent-encoded UTF-8"))
}

/// Undoes percent-encoding, strictly.
pub(super) fn decode(text: &str) -> Option<String> {
    let octets = text.split('%').skip(1);
    let mut octets = octets.map(|rest| rest.as_bytes().first_chunk::<2>());
    let whole = octets.all(|octet| octet.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    if !whole {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queries_of_every_sdk_mean_the_same() {
        let wanted = Query {
            ns: "i".into(),
            consumer: "g".into(),
            tag: "A||B".into(),
            trans: "order".into(),
            messages: 3,
            wait: Duration::from_secs(10),
        };
        for raw in [
            "consumer=g&numOfMessages=3&ns=i&waitseconds=10&tag=A%7C%7CB&trans=order",
            "numOfMessages=3&consumer=g&ns=i&tag=A%7C%7CB&waitseconds=10&trans=order",
            "consumer=g&trans=order&ns=i&numOfMessages=3&waitseconds=10&tag=A%7C%7CB",
            "consumer=g&ns=i&numOfMessages=3&tag=A||B&trans=order&waitseconds=10&other=x",
        ] {
            assert_eq!(Query::parse(raw).unwrap(), wanted, "{raw}");
        }
    }

    #[test]
    fn numbers_are_moved_into_their_range() {
        for (raw, messages, wait) in [
            ("", 1, 0),
            ("numOfMessages=&waitseconds=", 1, 0),
            ("numOfMessages=-1&waitseconds=-1", 1, 0),
            ("numOfMessages=1000&waitseconds=3600", 16, 30),
        ] {
            let query = Query::parse(raw).unwrap();
            assert_eq!((query.messages, query.wait.as_secs()), (messages, wait), "{raw}");
        }
    }

    #[test]
    fn what_is_malformed_has_its_name() {
        for raw in ["a=%", "a=%4", "a=%zz", "a=%ff", "ns=a&ns=b", &"a&".repeat(2)] {
            assert_eq!(Query::parse(raw).unwrap_err().code, Code::InvalidQueryString, "{raw}");
        }
        assert_eq!(Query::parse("waitseconds=x").unwrap_err().code, Code::InvalidArgument);
        let many: String = (0..100).map(|n| format!("{n}&")).collect();
        assert!(Query::parse(&many).is_err());
    }
}
