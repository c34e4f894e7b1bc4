//! Ids for messages whose sender gave none, in the form that RocketMQ clients make: 32 upper-case hexadecimal digits.
//!
//! ```text
//! 7F000001 | process id u16 | random per start u32 | milliseconds, low 32 bits | counter u16
//! ```

use sluice_model::{MessageId, Millis};
use std::sync::atomic::{AtomicU32, Ordering};

/// Gives ids.
#[derive(Debug)]
pub(crate) struct Ids {
    prefix: [u8; 10],
    counter: AtomicU32,
}

impl Ids {
    pub(crate) fn new(random: u32) -> Self {
        let mut prefix = [0x7F, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        prefix[4..6].copy_from_slice(&(std::process::id() as u16).to_be_bytes());
        prefix[6..].copy_from_slice(&random.to_be_bytes());
        Self { prefix, counter: AtomicU32::new(0) }
    }

    pub(crate) fn next(&self, now: Millis) -> MessageId {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        // The counter's high half goes into the clock's, so that ids differ however many are made in a millisecond.
        let clock = (now as u32).wrapping_add(counter >> 16 << 24);
        let mut id = [0; 16];
        id[..10].copy_from_slice(&self.prefix);
        id[10..14].copy_from_slice(&clock.to_be_bytes());
        id[14..].copy_from_slice(&(counter as u16).to_be_bytes());
        MessageId::of_bytes(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_32_digits_and_differ() {
        let ids = Ids::new(1);
        let all: std::collections::HashSet<_> = (0..200_000).map(|_| ids.next(5)).collect();
        assert_eq!(all.len(), 200_000);
        assert!(all.iter().all(|id| id.len() == 32 && id.bytes().is_some()));
    }
}
