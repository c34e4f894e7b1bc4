//! Telling the messages of one entry apart: a *locator* is the entry's position in the log, and a message's number in it.
//!
//! ```text
//! 63: 0 | 62..51: number / 4 | 50..2: position / 4 | 1..0: number % 4
//! ```
//! The one idea to know: entries begin at multiples of 4, so the locator of what was stored by itself is its position, as it
//! ever was. It is positive as an i64, which some wires have for it.

use sluice_store::Lsn;

const LOW_BITS: u32 = 2;
const LOW: u64 = (1 << LOW_BITS) - 1;
const HIGH_AT: u32 = 51;
/// The most messages of one entry.
pub(crate) const MAX_COUNT: usize = 1 << 14;
/// Behind this position (2 PiB written: years of a busy disk) batches are stored message by message.
pub(crate) const MAX_LSN: Lsn = 1 << HIGH_AT;

/// The locator of a message.
pub(crate) fn locator(lsn: Lsn, number: u16) -> u64 {
    let number = u64::from(number);
    lsn | (number & LOW) | (number >> LOW_BITS) << HIGH_AT
}

/// Where the message of a locator lies, in a log that ends at `end`: the position of its entry, and its number there.
pub(crate) fn split(locator: u64, end: Lsn) -> (Lsn, u16) {
    let low = locator & LOW;
    if locator < end {
        return (locator - low, low as u16);
    }
    let high = locator >> HIGH_AT << LOW_BITS;
    ((locator & (MAX_LSN - 1)) - low, (high | low) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locator_comes_back_and_is_the_position_of_what_stands_alone() {
        let end = 1 << 40;
        for lsn in [4096, 4 * 12345, end - 4] {
            assert_eq!(locator(lsn, 0), lsn);
            for number in [0, 1, 3, 4, 5, 4095, MAX_COUNT as u16 - 1] {
                let locator = locator(lsn, number);
                assert_eq!(split(locator, end), (lsn, number));
                assert!(i64::try_from(locator).is_ok());
            }
        }
        assert_eq!(locator(MAX_LSN - 4, MAX_COUNT as u16 - 1), i64::MAX as u64);
    }
}
