//! Upper-case hexadecimal digits, as RocketMQ's message ids have them.
//!
//! An id is made for every message, so the digits are put into the text that becomes the id, and nowhere else first.

/// Bytes that are turned into digits together: ids have fewer.
const AT_ONCE: usize = 32;
const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Puts two digits for each byte behind `text`.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    for bytes in bytes.chunks(AT_ONCE) {
        let mut digits = [0; 2 * AT_ONCE];
        for (two, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            two.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        let digits = digits.get(..2 * bytes.len()).unwrap_or_default();
        // Digits are always text.
        text.push_str(std::str::from_utf8(digits).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::push_hex;

    #[test]
    fn every_byte_has_two_digits() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = "x".to_owned();
        push_hex(&mut text, &all);
        let expected: String = all.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(text, format!("x{expected}"));
    }
}
