//! Upper-case hexadecimal digits, as RocketMQ's message ids have them.
//!
//! An id is made for every message, so the digits are put into the text that becomes the id, and nowhere else first.

/// The two digits of each byte: a table, because every message that is sent or read has an id.
const DIGITS: [[u8; 2]; 256] = {
    let (all, mut digits, mut byte) = (b"0123456789ABCDEF", [[0; 2]; 256], 0);
    while byte < 256 {
        digits[byte] = [all[byte >> 4], all[byte & 15]];
        byte += 1;
    }
    digits
};

/// What a digit stands for; for all else more than 15.
const VALUES: [u8; 256] = {
    let (mut values, mut digit) = ([0xFF; 256], 0);
    while digit < 16 {
        values[DIGITS[digit][1] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// Writes the digits of these bytes, two for each, as far as there is room.
pub(crate) fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    for (two, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *two = DIGITS[usize::from(*byte)];
    }
}

/// Reads what such digits stand for, of which there are two for each byte; false when there is anything else.
pub(crate) fn read_hex(digits: &[u8], bytes: &mut [u8]) -> bool {
    let mut all = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    all < 16
}

/// Bytes that are turned into digits together: ids have fewer.
const AT_ONCE: usize = 32;

/// Puts two digits for each byte behind `text`.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    for bytes in bytes.chunks(AT_ONCE) {
        let mut digits = [0; 2 * AT_ONCE];
        write_hex(bytes, &mut digits);
        let digits = digits.get(..2 * bytes.len()).unwrap_or_default();
        // Digits are always text.
        text.push_str(std::str::from_utf8(digits).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_two_digits() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = "x".to_owned();
        push_hex(&mut text, &all);
        let expected: String = all.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(text, format!("x{expected}"));
        let mut read = vec![0; 256];
        assert!(read_hex(expected.as_bytes(), &mut read) && read == all);
    }

    #[test]
    fn nothing_else_is_a_digit() {
        for other in (0..=255).filter(|byte| !b"0123456789ABCDEF".contains(byte)) {
            assert!(!read_hex(&[b'A', other], &mut [0]) && !read_hex(&[other, b'A'], &mut [0]), "{other}");
        }
    }
}
