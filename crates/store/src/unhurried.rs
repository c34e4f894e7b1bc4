//! [`Unhurried`]: long work that leaves the processor and the disk to others.
//!
//! A checkpoint takes milliseconds of a processor, and who runs for so long keeps the log's thread, which has slept, from
//! running for as long: on few cores senders notice that more than anything that the disk does. The one idea to know: whoever
//! has much to do does it in stretches, and rests after each for as long as it took.

use std::time::{Duration, Instant};

/// What is shorter is not worth a rest.
const STRETCH: Duration = Duration::from_micros(50);
/// The longest rest.
const REST: Duration = Duration::from_millis(10);
/// Bytes that [`Unhurried`] collects at once.
const AT_ONCE: usize = 32 << 10;

/// Tells long work when to rest.
#[derive(Debug)]
pub struct Pace(Instant);

impl Pace {
    /// Work begins.
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Between two stretches: rests for as long as the last one took. Blocks.
    pub fn rest(&mut self) {
        let took = self.0.elapsed();
        if took >= STRETCH {
            std::thread::sleep(took.min(REST));
            self.0 = Instant::now();
        }
    }
}

/// Bytes that are made by long work.
#[derive(Debug)]
pub struct Unhurried {
    bytes: Vec<u8>,
    /// How many there are at the next rest.
    next: usize,
    pace: Pace,
}

impl Unhurried {
    /// None yet, but room for so many.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), next: AT_ONCE, pace: Pace::begin() }
    }

    /// All of them.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Extend<u8> for Unhurried {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, more: T) {
        self.bytes.extend(more);
        if self.bytes.len() >= self.next {
            self.next = self.bytes.len() + AT_ONCE;
            self.pace.rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_over_many_rests() {
        let mut bytes = Unhurried::with_capacity(0);
        (0..100_000_u32).for_each(|n| bytes.extend(n.to_le_bytes()));
        let bytes = bytes.into_bytes();
        assert_eq!(bytes.len(), 400_000);
        assert!(bytes.chunks(4).zip(0_u32..).all(|(four, n)| four == n.to_le_bytes()));
    }
}
