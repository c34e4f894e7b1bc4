//! What the broker itself keeps beside a batch: who sent it, what its messages are called, how large it is unpacked.
//!
//! ```text
//! id of a message := "7F000002" | batch (12 digits, of a counter) with 8 of a number by chance in it | number (4 digits)
//! ```
//! The one idea to know: the messages of a batch are called alike but for the last four digits, so the log's index of keys
//! needs one entry for all their ids.

use serde::{Deserialize, Serialize};
use sluice_model::{Error, ErrorKind, MessageId, Result};
use sluice_store::word_hash;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where other ids have the address that made them, so that none is like these.
const PREFIX: u32 = 0x7F00_0002;
const LENGTH: usize = 32;
const NUMBER: usize = 4;

/// What all ids of one batch have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BatchId {
    high: u16,
    random: u32,
    low: u32,
}

impl BatchId {
    /// The id of one message.
    pub(crate) fn of(self, number: u16) -> MessageId {
        let Self { high, random, low } = self;
        let (prefix, high, random) = (u128::from(PREFIX), u128::from(high), u128::from(random));
        let all = prefix << 96 | high << 80 | random << 48 | u128::from(low) << 16 | u128::from(number);
        MessageId::of_bytes(&all.to_be_bytes())
    }

    /// The word by which the log's index of keys finds the batch.
    pub(crate) fn hash(self) -> u64 {
        word_hash(&self.of(0).text())
    }
}

/// The id by which the batch is found that has a message of this one; nothing for an id of another kind.
pub(crate) fn id_to_find(id: &str) -> Option<String> {
    let common = id.get(..LENGTH - NUMBER).filter(|_| id.len() == LENGTH)?;
    let is_one = common.get(..8).is_some_and(|prefix| prefix == format!("{PREFIX:08X}"));
    is_one.then(|| format!("{common}0000"))
}

/// Gives ids.
#[derive(Debug)]
pub(crate) struct BatchIds {
    random: u32,
    next: AtomicU64,
}

impl BatchIds {
    /// `random` differs from start to start.
    pub(crate) fn new(random: u32) -> Self {
        Self { random, next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> BatchId {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        BatchId { high: (next >> 32) as u16, random: self.random, low: next as u32 }
    }
}

/// See the module. Fields are only ever added at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head<'a> {
    pub(crate) id: BatchId,
    /// The bytes of the batch unpacked.
    pub(crate) size: usize,
    pub(crate) principal: Cow<'a, str>,
    pub(crate) peer: Option<SocketAddr>,
}

/// About what one takes.
const HEAD: usize = 64;

impl Head<'_> {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        postcard::to_extend(self, Vec::with_capacity(HEAD)).map_err(Error::internal)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "a stored batch is not readable").with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_batch_lead_to_the_first_and_others_do_not() {
        let ids = BatchIds::new(0xABCD);
        let (a, b) = (ids.next(), ids.next());
        assert_ne!(a.of(1), b.of(1));
        assert_eq!(
            (a.of(0x12).len(), id_to_find(&a.of(0x12).text()).as_deref()),
            (LENGTH, Some(&*a.of(0).text()))
        );
        for other in ["", "7F000002", "7F00000100000000ABCD000000010012", "7F000002ÄÖÜ00000000000000000000"]
        {
            assert_eq!(id_to_find(other), None, "{other}");
        }
    }

    #[test]
    fn a_head_comes_back() {
        let head = Head {
            id: BatchIds::new(7).next(),
            size: 5,
            principal: "me".into(),
            peer: "[::1]:9".parse().ok(),
        };
        assert_eq!(Head::decode(&head.encode().unwrap()).unwrap(), head);
        assert_eq!(Head::decode(&[1]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
