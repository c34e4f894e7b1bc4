//! Where a reader of a whole topic stands, as a text that it can hand back: the `id:` of an event, a page's `next`.
//!
//! ```text
//! one queue        0:1042                   the offset seen last
//! several queues   base64url(10,7,0,…)      for each queue the offset to go on at
//! ```

use crate::errors::{Code, Problem};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sluice_model::Offset;
use std::fmt::{self, Write};

/// The next offset of each queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Positions(Vec<Offset>);

impl Positions {
    /// Reads a text back.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = || {
            Problem::new(Code::InvalidParameter, format!("{text:?} is no place that this server gave out"))
        };
        if let Some(seen) = text.strip_prefix("0:") {
            let seen: Offset = seen.parse().map_err(|_| wrong())?;
            return Ok(Self(vec![seen.checked_add(1).ok_or_else(wrong)?]));
        }
        let list = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(wrong)?;
        list.split(',').map(|o| o.parse().map_err(|_| wrong())).collect::<Result<_, _>>().map(Self)
    }

    /// The next offset of each queue.
    pub fn into_offsets(self) -> Vec<Offset> {
        self.0
    }

    /// Moves a cursor here. Queues that were added since are read from their beginning.
    pub fn apply(self, positions: &mut Vec<Offset>) -> Result<(), Problem> {
        if self.0.len() > positions.len() {
            let detail =
                format!("the place is one of {} queues, the topic has {}", self.0.len(), positions.len());
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        let queues = positions.len();
        *positions = self.0;
        positions.resize(queues, 0);
        Ok(())
    }

    /// Takes note of a message that was read.
    pub fn seen(&mut self, queue: u32, offset: Offset) {
        let queue = queue as usize;
        if self.0.len() <= queue {
            self.0.resize(queue + 1, 0);
        }
        if let Some(next) = self.0.get_mut(queue) {
            *next = offset + 1;
        }
    }
}

impl From<&[Offset]> for Positions {
    fn from(positions: &[Offset]) -> Self {
        Self(positions.to_vec())
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [next] = self.0[..]
            && let Some(seen) = next.checked_sub(1)
        {
            return write!(f, "0:{seen}");
        }
        let mut list = String::new();
        for (at, next) in self.0.iter().enumerate() {
            write!(list, "{}{next}", if at > 0 { "," } else { "" })?;
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_round_trip() {
        for positions in [vec![1043], vec![0], vec![10, 7, 0], vec![u64::MAX - 1; 8]] {
            let place = Positions(positions);
            assert_eq!(Positions::parse(&place.to_string()).unwrap(), place);
        }
        assert_eq!(Positions(vec![1043]).to_string(), "0:1042");
        for bad in ["", "0:", "0:x", "!", "MQ,", "18446744073709551615", "0:18446744073709551615"] {
            assert!(Positions::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_topic_may_have_grown_since() {
        let mut positions = vec![5, 5, 5];
        Positions(vec![1, 2]).apply(&mut positions).unwrap();
        assert_eq!(positions, [1, 2, 0]);
        assert!(Positions(vec![1; 4]).apply(&mut positions).is_err());
    }
}
