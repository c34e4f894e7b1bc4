//! A point in time as RFC 3339 in UTC with milliseconds.
//!
//! Every answer to a publish says one, so it is put together digit by digit instead of by the general machinery of
//! formatting. Reading times is `params.rs`: nobody writes so many of them.

use serde::{Serialize, Serializer};
use sluice_model::Millis;
use std::fmt;

/// The last time that RFC 3339 can say; later ones show as this.
const END: Millis = 253_402_300_799_999;
const DAY: u64 = 86_400_000;
const TEMPLATE: [u8; 24] = *b"0000-00-00T00:00:00.000Z";

/// A time that is written as RFC 3339 where it is needed.
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub Millis);

/// Its text.
pub(crate) struct MomentText([u8; TEMPLATE.len()]);

impl MomentText {
    pub fn as_str(&self) -> &str {
        // Digits and the template's own signs are always text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Puts a number's last digits in the places that begin at `at`.
    fn put(&mut self, at: usize, digits: usize, mut number: u64) {
        for place in self.0.iter_mut().skip(at).take(digits).rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

impl Moment {
    pub(crate) fn to_text(self) -> MomentText {
        let millis = self.0.min(END);
        let (year, month, day) = date(millis / DAY);
        let within = millis % DAY;
        let mut text = MomentText(TEMPLATE);
        for (at, digits, number) in [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, within / 3_600_000),
            (14, 2, within / 60_000 % 60),
            (17, 2, within / 1000 % 60),
            (20, 3, within % 1000),
        ] {
            text.put(at, digits, number);
        }
        text
    }
}

/// Year, month and day of a day counted from 1970-01-01. Years are counted from March, so that the leap day is the last
/// of its year; 400 years have 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text().as_str())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.to_text().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn every_day_until_the_year_9999_is_written_as_others_write_it() {
        // 61 days and a bit: every day of the month and every hour comes up, and the whole range is crossed.
        let steps = (0..=END).step_by((61 * DAY + 3_723_457) as usize).chain([0, END, 951_782_400_000]);
        for millis in steps {
            let known = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis));
            assert_eq!(Moment(millis).to_string(), known.to_string());
        }
        assert_eq!(Moment(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
