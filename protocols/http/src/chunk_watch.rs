//! Where a body of chunks ends.
//!
//! It exists because a head may begin right there, and whoever is to see it ([`crate::head_watch`]) must know where. The
//! one idea to know: what is not written as hyper reads it has no end here, so the two can never disagree about one.

/// What a byte within a chunked body is.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) enum Chunks {
    /// The first digit of a size.
    #[default]
    SizeBegin,
    Size(u64),
    /// What follows a size up to the end of its line.
    Extension(u64),
    /// The line feed behind a size.
    SizeEnd(u64),
    /// So many bytes of a chunk are still to come.
    Data(u64),
    DataReturn,
    DataEnd,
    /// The first byte of a trailer's line, or of the last line end.
    TrailerBegin,
    Trailer,
    TrailerEnd,
    LastEnd,
}

/// What became of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Within,
    /// The body has ended with the last byte taken.
    End,
    /// It is no body of chunks.
    Lost,
}

impl Chunks {
    /// Takes at least one of some bytes; says how many.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Step) {
        if let Self::Data(left) = self {
            let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            *left -= n as u64;
            if *left == 0 {
                *self = Self::DataReturn;
            }
            return (n, Step::Within);
        }
        let Some(byte) = bytes.first() else { return (0, Step::Within) };
        match (*self, byte) {
            (Self::LastEnd, b'\n') => return (1, Step::End),
            (now, byte) => match now.after(*byte) {
                Some(next) => *self = next,
                None => return (1, Step::Lost),
            },
        }
        (1, Step::Within)
    }

    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::SizeBegin, byte) => Self::Size(digit(byte)?),
            (Self::Size(size), b'\r') | (Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Size(size), b' ' | b'\t' | b';') => Self::Extension(size),
            (Self::Size(size), byte) => Self::Size(size.checked_mul(16)?.checked_add(digit(byte)?)?),
            (Self::Extension(_), b'\n') => return None,
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') | (Self::TrailerEnd, b'\n') => Self::TrailerBegin,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataReturn, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::SizeBegin,
            (Self::TrailerBegin, b'\r') => Self::LastEnd,
            (Self::Trailer, b'\r') => Self::TrailerEnd,
            (Self::TrailerBegin | Self::Trailer, _) => Self::Trailer,
            _ => return None,
        })
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}
