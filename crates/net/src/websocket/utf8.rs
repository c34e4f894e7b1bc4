//! UTF-8 that comes in pieces, cut anywhere.

/// What has been seen of a text.
#[derive(Default)]
pub(super) struct Utf8 {
    /// A character that has begun: at most three bytes of it.
    begun: Vec<u8>,
}

impl Utf8 {
    /// Takes the next piece; false when the text cannot be UTF-8 any more.
    pub(super) fn accepts(&mut self, mut piece: &[u8]) -> bool {
        while !self.begun.is_empty() {
            let Some((byte, rest)) = piece.split_first() else { return true };
            self.begun.push(*byte);
            piece = rest;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                self.begun.extend_from_slice(piece.get(error.valid_up_to()..).unwrap_or_default());
                true
            }
        }
    }

    /// Whether the text may end here.
    pub(super) fn is_complete(&self) -> bool {
        self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    /// In two pieces, cut at every place.
    fn cut(text: &[u8]) -> Vec<bool> {
        let whole = |at| {
            let (a, b) = text.split_at(at);
            let mut utf8 = Utf8::default();
            utf8.accepts(a) && utf8.accepts(b) && utf8.is_complete()
        };
        (0..=text.len()).map(whole).collect()
    }

    #[test]
    fn wherever_it_is_cut_the_answer_is_the_same() {
        assert!(cut("Grüße, 世界 🦀".as_bytes()).iter().all(|ok| *ok));
        let wrong: [&[u8]; 4] = [b"a\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf0\x9f\xa6"];
        for wrong in wrong {
            assert!(cut(wrong).iter().all(|ok| !*ok), "{wrong:?}");
        }
    }

    #[test]
    fn one_byte_at_a_time() {
        let mut utf8 = Utf8::default();
        assert!("ü🦀".bytes().all(|byte| utf8.accepts(&[byte])) && utf8.is_complete());
    }
}
