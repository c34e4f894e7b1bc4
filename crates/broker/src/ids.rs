//! Ids for messages whose sender gave none, in the form that RocketMQ clients make: 32 upper-case hexadecimal digits.
//!
//! ```text
//! 7F000001 | process id u16 | random per start u32 | milliseconds, low 32 bits | counter u16
//! ```

use bytestring::ByteString;
use sluice_model::{Millis, push_hex};
use std::sync::atomic::{AtomicU32, Ordering};

const LENGTH: usize = 32;

/// Gives ids.
#[derive(Debug)]
pub(crate) struct Ids {
    prefix: String,
    counter: AtomicU32,
}

impl Ids {
    pub(crate) fn new(random: u32) -> Self {
        Self {
            prefix: format!("7F000001{:04X}{random:08X}", std::process::id() & 0xFFFF),
            counter: AtomicU32::new(0),
        }
    }

    pub(crate) fn next(&self, now: Millis) -> ByteString {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        // The counter's high half goes into the clock's, so that ids differ however many are made in a millisecond.
        let clock = (now as u32).wrapping_add(counter >> 16 << 24);
        // As long as it gets: text that has no room left is shared without another allocation.
        let mut id = String::with_capacity(LENGTH);
        id.push_str(&self.prefix);
        push_hex(&mut id, &clock.to_be_bytes());
        push_hex(&mut id, &(counter as u16).to_be_bytes());
        id.into()
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
        assert!(all.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
