//! What a message is called: [`MessageId`].
//!
//! Ids of RocketMQ's clients, and those that the broker gives, are hexadecimal digits. There is one in every message and
//! in every answer to a send, so such a one is kept as the bytes that its digits stand for, in place; the digits are made
//! where a wire writes them. Any other text is an id, too.

use crate::hex::{push_hex, read_hex, write_hex};
use bytestring::ByteString;
use std::fmt;
use std::ops::Deref;

/// The most bytes that are kept in place. The longest ids that clients make have 17.
const IN_PLACE: usize = 22;

/// The producer's unique key, or one that the broker gives; empty for none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId(Kept);

/// Of an id there is one way to keep it: digits, where it is made of them.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Kept {
    Text(ByteString),
    Digits { len: u8, bytes: [u8; IN_PLACE] },
}

impl MessageId {
    /// The id of two upper-case digits for each of these bytes.
    pub fn of_bytes(from: &[u8]) -> Self {
        let mut bytes = [0; IN_PLACE];
        match bytes.get_mut(..from.len()) {
            Some(place) if !from.is_empty() => {
                place.copy_from_slice(from);
                Self(Kept::Digits { len: from.len() as u8, bytes })
            }
            _ => {
                let mut text = String::with_capacity(2 * from.len());
                push_hex(&mut text, from);
                Self(Kept::Text(text.into()))
            }
        }
    }

    /// The bytes that it stands for, if it is made of digits, and of no more than 44.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Kept::Text(_) => None,
            Kept::Digits { len, bytes } => bytes.get(..usize::from(*len)),
        }
    }

    /// Its text.
    pub fn text(&self) -> IdText<'_> {
        match (&self.0, self.bytes()) {
            (Kept::Digits { .. }, Some(bytes)) => {
                let mut digits = [0; 2 * IN_PLACE];
                write_hex(bytes, &mut digits);
                IdText(Shown::Digits(2 * bytes.len(), digits))
            }
            (Kept::Text(text), _) => IdText(Shown::Text(text)),
            (Kept::Digits { .. }, None) => IdText(Shown::Text("")),
        }
    }

    /// Puts its text behind `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match (&self.0, self.bytes()) {
            (_, Some(bytes)) => {
                let mut digits = [0; 2 * IN_PLACE];
                write_hex(bytes, &mut digits);
                out.extend_from_slice(digits.get(..2 * bytes.len()).unwrap_or_default());
            }
            (Kept::Text(text), None) => out.extend_from_slice(text.as_bytes()),
            (Kept::Digits { .. }, None) => {}
        }
    }

    /// Its text, to be kept.
    pub fn to_text(&self) -> ByteString {
        match &self.0 {
            Kept::Text(text) => text.clone(),
            Kept::Digits { .. } => ByteString::from(&*self.text()),
        }
    }

    /// The length of its text.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kept::Text(text) => text.len(),
            Kept::Digits { len, .. } => 2 * usize::from(*len),
        }
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn digits(text: &str) -> Option<Self> {
        let mut bytes = [0; IN_PLACE];
        let place = bytes.get_mut(..text.len() / 2).filter(|place| place.len() * 2 == text.len())?;
        let len = place.len() as u8;
        (len > 0 && read_hex(text.as_bytes(), place)).then_some(Self(Kept::Digits { len, bytes }))
    }
}

impl Default for MessageId {
    fn default() -> Self {
        Self(Kept::Text(ByteString::new()))
    }
}

impl From<ByteString> for MessageId {
    fn from(text: ByteString) -> Self {
        Self::digits(&text).unwrap_or(Self(Kept::Text(text)))
    }
}

impl From<&str> for MessageId {
    fn from(text: &str) -> Self {
        Self::digits(text).unwrap_or_else(|| Self(Kept::Text(text.into())))
    }
}

impl From<String> for MessageId {
    fn from(text: String) -> Self {
        Self::digits(&text).unwrap_or_else(|| Self(Kept::Text(text.into())))
    }
}

impl PartialEq<str> for MessageId {
    fn eq(&self, text: &str) -> bool {
        self.len() == text.len() && *self.text() == *text
    }
}

impl PartialEq<&str> for MessageId {
    fn eq(&self, text: &&str) -> bool {
        *self == **text
    }
}

impl serde::Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text(), f)
    }
}

/// The text of an id, for a moment.
#[derive(Debug)]
pub struct IdText<'a>(Shown<'a>);

#[derive(Debug)]
enum Shown<'a> {
    Text(&'a str),
    Digits(usize, [u8; 2 * IN_PLACE]),
}

impl Deref for IdText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Shown::Text(text) => text,
            // Digits are always text.
            Shown::Digits(len, digits) => {
                digits.get(..*len).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_comes_back(text in prop_oneof!["\\PC{0,50}", "[0-9A-F]{0,50}", "[0-9A-Fa-f]{32}"]) {
            let id = MessageId::from(text.as_str());
            prop_assert_eq!(&*id.text(), &text);
            prop_assert_eq!((id.to_string(), id.to_text(), id.len()), (text.clone(), text.as_str().into(), text.len()));
            prop_assert!(id == text.as_str() && id == MessageId::from(text.clone()) && id != "another");
            let mut written = b"x".to_vec();
            id.write(&mut written);
            prop_assert_eq!(written, format!("x{text}").into_bytes());
            prop_assert_eq!(&id, &MessageId::from(ByteString::from(text)));
            if let Some(bytes) = id.bytes() {
                prop_assert_eq!(&id, &MessageId::of_bytes(bytes));
            }
        }

        #[test]
        fn any_bytes_are_an_id(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let id = MessageId::of_bytes(&bytes);
            prop_assert_eq!(&id, &MessageId::from(bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>()));
            prop_assert_eq!(id.bytes(), Some(&bytes[..]).filter(|bytes| (1..=IN_PLACE).contains(&bytes.len())));
        }
    }

    #[test]
    fn an_id_takes_no_more_room_than_a_text() {
        assert!(size_of::<MessageId>() <= size_of::<ByteString>() + 8);
    }
}
