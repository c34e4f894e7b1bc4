//! Strict reading of query parameters: an unknown, repeated or misspelt one is an error, never ignored.
//!
//! Which parameters a call takes is said by its route; decoding follows HTML forms (`+` is a blank).

use crate::errors::{Code, Problem};
use crate::moment::Moment;
use memchr::memchr;
use percent_encoding::percent_decode_str;
use sluice_model::Millis;
use sluice_model::units::Span;
use std::ops::RangeInclusive;
use std::time::{Duration, UNIX_EPOCH};

/// What is offered by some calls alone, or by none yet; asking for it must not pass for a misspelling.
const NOT_OFFERED: [&str; 6] = ["access_token", "ns", "since", "idempotencyKey", "dedupId", "checkUrl"];

/// The decoded query of a request.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query and checks its names; a name in `allowed` that ends in `.` allows every name that begins so.
    pub fn parse(raw: &str, allowed: &[&str]) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name)?;
            let known = allowed.iter().any(|allowed| match allowed.strip_suffix('.') {
                Some(_) => name.len() > allowed.len() && name.starts_with(allowed),
                None => name == *allowed,
            });
            if !known {
                return Err(unknown(&name, allowed));
            }
            pairs.push((name, decode(value)?));
        }
        Ok(Self(pairs))
    }

    /// True when nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every pair in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Every value of a parameter that may be repeated.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.pairs().filter(move |(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The value of a parameter that may be given once.
    pub fn get<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Problem> {
        // Most calls have no query, and ask for many parameters.
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(invalid(name, "it is given more than once")),
        }
    }

    /// The value of a parameter that must be given.
    pub fn required<'a>(&'a self, name: &'a str) -> Result<&'a str, Problem> {
        self.get(name)?
            .ok_or_else(|| Problem::new(Code::MissingParameter, format!("the parameter {name:?} is missing")))
    }

    /// A whole number within a range.
    pub fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.get(name)? else { return Ok(None) };
        let number = text.parse::<u64>().ok().filter(|n| range.contains(n));
        number.map(Some).ok_or_else(|| {
            invalid(name, &format!("{text:?} is not a number from {} to {}", range.start(), range.end()))
        })
    }

    /// `true` or `false`; a bare name means `true`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.get(name)? {
            None => Ok(None),
            Some("" | "true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(invalid(name, &format!("{other:?} is neither true nor false"))),
        }
    }

    /// A length of time within a range.
    pub fn span(&self, name: &str, range: RangeInclusive<Duration>) -> Result<Option<Duration>, Problem> {
        self.get(name)?.map(|text| parse_span(text, range).map_err(|why| invalid(name, &why))).transpose()
    }
}

/// A parameter whose value is wrong.
pub fn invalid(name: &str, why: &str) -> Problem {
    Problem::new(Code::InvalidParameter, format!("parameter {name:?}: {why}"))
}

fn unknown(name: &str, allowed: &[&str]) -> Problem {
    if NOT_OFFERED.contains(&name) {
        return Problem::new(
            Code::Unsupported,
            format!("the parameter {name:?} is not offered by this call"),
        );
    }
    let known =
        if allowed.is_empty() { "takes none".to_owned() } else { format!("takes {}", allowed.join(", ")) };
    Problem::new(Code::UnknownParameter, format!("unknown parameter {name:?}; this call {known}"))
}

/// A duration as people write it, within a range.
pub fn parse_span(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let span = text.parse::<Span>()?.0;
    if range.contains(&span) {
        return Ok(span);
    }
    Err(format!("{text:?} is not between {} and {}", Span(*range.start()), Span(*range.end())))
}

/// A time as epoch milliseconds or RFC 3339.
pub fn parse_time(text: &str) -> Result<Millis, String> {
    if let Ok(millis) = text.parse::<u64>() {
        return Ok(millis);
    }
    parse_rfc3339(text).ok_or_else(|| {
        format!("{text:?} is neither a time like 2026-01-06T08:00:00Z nor milliseconds since 1970")
    })
}

/// RFC 3339 with any offset; what lies before 1970 is no time of a message.
fn parse_rfc3339(text: &str) -> Option<Millis> {
    let text = text.to_ascii_uppercase();
    let (local, offset) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
            (local, parse_offset(offset)?)
        }
    };
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let local = i64::try_from(local.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    u64::try_from(local - offset).ok()
}

/// `+02:00` in milliseconds.
fn parse_offset(text: &str) -> Option<i64> {
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let two_digits = |part: &str, below: i64| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<i64>().ok().filter(|n| digits && *n < below)
    };
    let millis = (two_digits(hours, 24)? * 60 + two_digits(minutes, 60)?) * 60_000;
    match text.get(..1)? {
        "+" => Some(millis),
        "-" => Some(-millis),
        _ => None,
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC. Times past the year 9999, which RFC 3339 cannot say, show as its end.
pub fn format_time(millis: Millis) -> String {
    Moment(millis).to_text().as_str().to_owned()
}

/// Undoes percent-encoding and `+`; a percent sign that begins no octet is an error.
fn decode(text: &str) -> Result<String, Problem> {
    check_percent(text)?;
    let blanks = text.replace('+', " ");
    let decoded = percent_decode_str(&blanks).decode_utf8();
    decoded.map(|d| d.into_owned()).map_err(|_| Problem::new(Code::BadRequest, "the query is not UTF-8"))
}

/// Refuses a `%` that is not followed by two hexadecimal digits.
pub fn check_percent(text: &str) -> Result<(), Problem> {
    if memchr(b'%', text.as_bytes()).is_none() {
        return Ok(());
    }
    let bad = text
        .split('%')
        .skip(1)
        .any(|rest| rest.get(..2).is_none_or(|digits| !digits.bytes().all(|b| b.is_ascii_hexdigit())));
    if bad {
        return Err(Problem::new(
            Code::BadRequest,
            "the request target has a % that is not followed by two hexadecimal digits; write a percent sign as %25",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(raw: &str, allowed: &[&str]) -> Code {
        Query::parse(raw, allowed).unwrap_err().code()
    }

    #[test]
    fn names_outside_the_list_are_refused() {
        assert_eq!(code("wiat=3s", &["wait"]), Code::UnknownParameter);
        assert_eq!(code("checkUrl=a", &["wait"]), Code::Unsupported);
        assert_eq!(code("prop.=a", &["prop."]), Code::UnknownParameter);
        assert!(Query::parse("prop.a=b&wait=1&&", &["prop.", "wait"]).is_ok());
    }

    #[test]
    fn encodings_are_strict() {
        for bad in ["a=%", "a=%4", "a=%zz", "%x=a", "a=%ff"] {
            assert_eq!(code(bad, &["a"]), Code::BadRequest, "{bad}");
        }
        let query = Query::parse("a=%41+%e2%82%ac%2B||", &["a"]).unwrap();
        assert_eq!(query.get("a").unwrap(), Some("A €+||"));
    }

    #[test]
    fn values_have_ranges() {
        let query = Query::parse("n=300&t=90s&f&g=maybe&d=1&d=2", &["n", "t", "f", "g", "d"]).unwrap();
        assert!(query.number("n", 1..=256).is_err());
        assert_eq!(query.number("n", 1..=300).unwrap(), Some(300));
        assert!(query.span("t", Duration::ZERO..=Duration::from_secs(60)).is_err());
        assert_eq!(query.flag("f").unwrap(), Some(true));
        assert!(query.flag("g").is_err());
        assert!(query.get("d").is_err());
        assert_eq!(query.required("z").unwrap_err().code(), Code::MissingParameter);
    }

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(parse_time("1767686400123"), Ok(1_767_686_400_123));
        assert_eq!(parse_time("2026-01-06T08:00:00.123Z"), Ok(1_767_686_400_123));
        assert_eq!(format_time(1_767_686_400_123), "2026-01-06T08:00:00.123Z");
        assert_eq!(parse_time("2026-01-06t10:00:00.123+02:00"), Ok(1_767_686_400_123));
        assert_eq!(parse_time("2026-01-06T03:30:00.123-04:30"), Ok(1_767_686_400_123));
        for bad in [
            "yesterday",
            "2026-01-06",
            "2026-01-06T10:00:00",
            "2026-01-06T10:00:00+2:00",
            "ü+02:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        assert_eq!(format_time(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
