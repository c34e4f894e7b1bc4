//! The property list of a message as one text: `name 0x01 value 0x02 name 0x01 value 0x02 …`.
//!
//! The one idea to know: this text cannot say everything. An empty value, a null, bytes that are no text and the two
//! separators have no spelling; the reader drops what it cannot split, exactly as stock clients do.
//!
//! Which property means what is `convert.rs`.

use sluice_model::MessageId;

/// The most bytes of one list: its length is written in 15 bits.
pub(crate) const MAX_PROPERTIES: usize = 32_767;

const NAME_END: char = '\u{1}';
const VALUE_END: char = '\u{2}';

/// Names that this wire gives a meaning to.
pub(crate) mod name {
    pub(crate) const KEYS: &str = "KEYS";
    pub(crate) const TAGS: &str = "TAGS";
    pub(crate) const WAIT: &str = "WAIT";
    pub(crate) const DELAY: &str = "DELAY";
    pub(crate) const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
    pub(crate) const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
    pub(crate) const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
    pub(crate) const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
    pub(crate) const TRAN_MSG: &str = "TRAN_MSG";
    pub(crate) const PGROUP: &str = "PGROUP";
    pub(crate) const CHECK_IMMUNITY_TIME: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
    pub(crate) const UNIQ_KEY: &str = "UNIQ_KEY";
    pub(crate) const SHARDING_KEY: &str = "__SHARDINGKEY";
    pub(crate) const CLUSTER: &str = "CLUSTER";
    pub(crate) const MSG_REGION: &str = "MSG_REGION";
    pub(crate) const TRACE_ON: &str = "TRACE_ON";
    pub(crate) const RETRY_TOPIC: &str = "RETRY_TOPIC";
    pub(crate) const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
    pub(crate) const REAL_TOPIC: &str = "REAL_TOPIC";
    pub(crate) const REAL_QID: &str = "REAL_QID";
    pub(crate) const RECONSUME_TIME: &str = "RECONSUME_TIME";
    pub(crate) const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
    pub(crate) const MIN_OFFSET: &str = "MIN_OFFSET";
    pub(crate) const MAX_OFFSET: &str = "MAX_OFFSET";
    pub(crate) const POP_CK: &str = "POP_CK";
    pub(crate) const INNER_NUM: &str = "INNER_NUM";
    pub(crate) const CORRELATION_ID: &str = "CORRELATION_ID";
}

/// The pairs of a list, in order. Items without a name or without a value are passed over.
pub(crate) fn parse(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split(VALUE_END).filter_map(|item| {
        let (name, value) = item.split_once(NAME_END)?;
        (!name.is_empty() && !value.is_empty()).then_some((name, value))
    })
}

/// Writes a list, leaving out what has no spelling or no room.
#[derive(Debug, Default, Clone)]
pub(crate) struct PropertyList(Vec<u8>);

impl PropertyList {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes.min(MAX_PROPERTIES)))
    }

    /// Adds a pair; false when it cannot be said.
    pub(crate) fn push(&mut self, name: &str, value: &str) -> bool {
        if name.is_empty() || value.is_empty() || !is_plain(name) || !is_plain(value) {
            return false;
        }
        self.put(name, value.len(), |out| out.extend_from_slice(value.as_bytes()))
    }

    /// Adds an id, of which most have no need to be looked through: see [`MessageId`].
    pub(crate) fn push_id(&mut self, name: &str, id: &MessageId) -> bool {
        match id.bytes() {
            Some(_) => self.put(name, id.len(), |out| id.write(out)),
            None => self.push(name, &id.text()),
        }
    }

    fn put(&mut self, name: &str, len: usize, value: impl FnOnce(&mut Vec<u8>)) -> bool {
        let fits = self.0.len() + name.len() + len + 2 <= MAX_PROPERTIES;
        if fits {
            self.0.extend_from_slice(name.as_bytes());
            self.0.push(NAME_END as u8);
            value(&mut self.0);
            self.0.push(VALUE_END as u8);
        }
        fits
    }

    /// Adds all pairs of another list, when there is room for them.
    pub(crate) fn append(&mut self, other: &Self) {
        if self.0.len() + other.0.len() <= MAX_PROPERTIES {
            self.0.extend_from_slice(&other.0);
        }
    }

    /// Without its pairs, for those of another message.
    pub(crate) fn cleared(mut self) -> Self {
        self.0.clear();
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// True when a text has neither separator.
pub(crate) fn is_plain(text: &str) -> bool {
    // Without an end before the last byte, many are looked at together.
    !text.bytes().fold(false, |found, b| found | (b == 1) | (b == 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_splits_as_stock_clients_split_it() {
        let of = |list| parse(list).collect::<Vec<_>>();
        assert_eq!(of("a\u{1}b\u{2}c\u{1}d\u{2}"), [("a", "b"), ("c", "d")]);
        assert_eq!(of("a\u{1}b"), [("a", "b")]);
        assert_eq!(of("a\u{1}\u{2}\u{1}b\u{2}ab\u{2}\u{2}c\u{1}d"), [("c", "d")]);
        assert_eq!(of("a\u{1}b\u{1}c\u{2}"), [("a", "b\u{1}c")]);
        assert_eq!(of(""), []);
    }

    #[test]
    fn what_cannot_be_said_is_left_out() {
        let mut list = PropertyList::default();
        assert!(list.push("a", "b"));
        for (name, value) in
            [("", "x"), ("x", ""), ("x", "1\u{2}2"), ("x\u{1}", "1"), ("x", &"y".repeat(40_000))]
        {
            assert!(!list.push(name, value));
        }
        assert_eq!(list.as_bytes(), b"a\x01b\x02");
    }
}
