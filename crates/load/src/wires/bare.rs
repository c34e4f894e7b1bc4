//! No protocol at all: a length and a body, answered by four bytes. The limit that a broker is compared with speaks it.

use crate::{Result, Wire};

pub struct Bare;

impl Wire for Bare {
    fn request(&self, _topic: &str, body: &[u8], out: &mut Vec<u8>) {
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(body);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        Ok((bytes.len() >= 4).then_some(4))
    }
}
