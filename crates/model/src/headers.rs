//! A message's headers: an ordered list of names with optional binary values, kept in one buffer.
//!
//! Duplicates, order, empty values and nulls all survive, because some wire can say each of them. The list is one
//! `Bytes`, so that reading it from the log allocates nothing and sending it on copies nothing.
//!
//! ```text
//! entry := u16 name length | name (UTF-8) | u32 value length, or 0xFFFF_FFFF for null | value      (little-endian)
//! ```

use crate::{Error, Result};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

const NULL: u32 = u32::MAX;

/// Header names that more than one wire gives a meaning to. Each front-end maps its own spelling to these.
pub mod well_known {
    /// The media type of the body.
    pub const CONTENT_TYPE: &str = "content-type";
    /// Ties a reply to its request.
    pub const CORRELATION_ID: &str = "correlation-id";
    /// Where a reply should go.
    pub const REPLY_TO: &str = "reply-to";
    /// The destination as a STOMP sender wrote it.
    pub const DESTINATION: &str = "__STOMP_DESTINATION";
    /// A Kafka record's key, spelled in Base64, where a wire has no bytes and the key is no word.
    pub const RECORD_KEY: &str = "kafka.key.base64";
}

/// An ordered list of headers. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(Bytes);

impl Headers {
    /// No headers.
    pub const fn empty() -> Self {
        Self(Bytes::new())
    }

    /// Starts a list.
    pub fn builder() -> HeadersBuilder {
        HeadersBuilder::default()
    }

    /// Takes a list out of its encoded form, as the log keeps it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the bytes are not a header list.
    pub fn from_encoded(bytes: Bytes) -> Result<Self> {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Some((_, _, after)) = split_entry(rest) else {
                return Err(Error::new(crate::ErrorKind::Corrupt, "stored headers are not readable"));
            };
            rest = after;
        }
        Ok(Self(bytes))
    }

    /// The encoded form, as the log keeps it.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are, duplicates counted.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Names and values in order; a null value is `None`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> + '_ {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (name, value, after) = split_entry(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The first value of that name (exact spelling): the one that counts. `Some(None)` is a header with a null value.
    pub fn get(&self, name: &str) -> Option<Option<&[u8]>> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The first value of that name as text, when it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).flatten().and_then(|v| std::str::from_utf8(v).ok())
    }

    /// A builder holding these headers except those of the given names.
    pub fn without(&self, names: &[&str]) -> HeadersBuilder {
        let mut builder = Self::builder();
        for (name, value) in self.iter().filter(|(n, _)| !names.contains(n)) {
            builder.push_raw(name, value);
        }
        builder
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for (name, value) in self.iter() {
            list.entry(&(name, value.map(String::from_utf8_lossy)));
        }
        list.finish()
    }
}

/// Builds [`Headers`] in order.
#[derive(Debug, Default)]
pub struct HeadersBuilder(BytesMut);

impl HeadersBuilder {
    /// Adds a header. Names longer than 65,535 bytes are refused.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for an empty or over-long name, [`crate::ErrorKind::TooLarge`] for a
    /// value of 4 GiB.
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) -> Result<&mut Self> {
        if name.is_empty() || name.len() > usize::from(u16::MAX) {
            return Err(Error::invalid("a header name must have 1 to 65535 bytes"));
        }
        if value.is_some_and(|v| v.len() >= NULL as usize) {
            return Err(Error::new(crate::ErrorKind::TooLarge, "a header value is too long"));
        }
        self.push_raw(name, value);
        Ok(self)
    }

    fn push_raw(&mut self, name: &str, value: Option<&[u8]>) {
        let value_len = value.map_or(0, <[u8]>::len);
        self.0.reserve(6 + name.len() + value_len);
        self.0.put_u16_le(name.len() as u16);
        self.0.put_slice(name.as_bytes());
        self.0.put_u32_le(value.map_or(NULL, |v| v.len() as u32));
        self.0.put_slice(value.unwrap_or_default());
    }

    /// The finished list.
    pub fn build(self) -> Headers {
        Headers(self.0.freeze())
    }
}

type Entry<'a> = (&'a str, Option<&'a [u8]>, &'a [u8]);

fn split_entry(bytes: &[u8]) -> Option<Entry<'_>> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    let name = std::str::from_utf8(name).ok()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    match u32::from_le_bytes(*len) {
        NULL => Some((name, None, rest)),
        len => {
            let (value, rest) = rest.split_at_checked(len as usize)?;
            Some((name, Some(value), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_duplicates_nulls_and_binary_values_survive() {
        let mut builder = Headers::builder();
        builder.push("a", Some(b"1")).unwrap();
        builder.push("b", None).unwrap();
        builder.push("a", Some(&[0, 255])).unwrap();
        builder.push("c", Some(b"")).unwrap();
        let headers = Headers::from_encoded(builder.build().encoded().clone()).unwrap();
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(
            all,
            [("a", Some(&b"1"[..])), ("b", None), ("a", Some(&[0, 255][..])), ("c", Some(&b""[..]))]
        );
        assert_eq!(headers.get("a"), Some(Some(&b"1"[..])));
        assert_eq!(headers.get("b"), Some(None));
        assert_eq!(headers.get("z"), None);
        assert_eq!(headers.without(&["a"]).build().len(), 2);
    }

    #[test]
    fn cut_bytes_are_refused() {
        let mut builder = Headers::builder();
        builder.push("name", Some(b"value")).unwrap();
        let whole = builder.build().encoded().clone();
        for cut in 1..whole.len() {
            assert!(Headers::from_encoded(whole.slice(..cut)).is_err(), "{cut}");
        }
    }
}
