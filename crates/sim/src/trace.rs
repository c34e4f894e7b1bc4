//! What happened, in one number: two runs of a seed are the same when their traces are.

use std::fmt::{self, Write};

/// A running hash (FNV-1a) of everything that is noted; with `SHOW` the notes are printed as well.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: u64,
    show: bool,
}

impl Trace {
    pub fn new(show: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, show }
    }

    pub fn note(&mut self, what: fmt::Arguments<'_>) {
        if self.show {
            println!("{what}");
        }
        let _ = self.write_fmt(what);
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
