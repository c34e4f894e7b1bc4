//! Bytes in pieces: what is large stays where it is, what is small is put together.

use bytes::{Bytes, BytesMut};

/// From this size on a piece of its own costs less than a copy.
const WHOLE: usize = 2048;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    done: Vec<Bytes>,
    open: BytesMut,
    len: usize,
}

impl Pieces {
    /// All bytes so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a copy.
    pub fn copy(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Adds bytes, without a copy if they are many.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.len() < WHOLE {
            return self.copy(&bytes);
        }
        self.close();
        self.len += bytes.len();
        self.done.push(bytes);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(self.open.split().freeze());
        }
    }

    /// Takes over other pieces.
    pub fn append(&mut self, others: Self) {
        others.into_parts().into_iter().for_each(|part| self.push(part));
    }

    /// All pieces, none of them empty.
    pub fn into_parts(mut self) -> Vec<Bytes> {
        self.close();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_is_not_copied_and_nothing_is_lost() {
        let large = Bytes::from(vec![7; WHOLE]);
        let mut pieces = Pieces::default();
        pieces.copy(b"ab");
        pieces.push(Bytes::from_static(b"c"));
        pieces.push(large.clone());
        let mut all = Pieces::default();
        all.copy(b"<");
        all.append(pieces);
        all.copy(b">");
        assert_eq!(all.len(), 5 + WHOLE);
        let parts = all.into_parts();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[1].as_ptr(), large.as_ptr());
        assert_eq!((&parts[0][..], &parts[2][..]), (&b"<abc"[..], &b">"[..]));
    }
}
