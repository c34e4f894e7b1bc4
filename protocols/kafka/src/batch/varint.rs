//! Numbers of one to ten bytes, small ones in either direction the shortest.

use bytes::{Buf, BufMut};

/// Reads one; nothing when it is cut short or too long.
#[inline]
pub(crate) fn get(bytes: &mut impl Buf) -> Option<i64> {
    // Most have one byte.
    if let Some(&byte) = bytes.chunk().first()
        && byte & 0x80 == 0
    {
        bytes.advance(1);
        return Some(unzigzag(byte.into()));
    }
    get_long(bytes)
}

fn get_long(bytes: &mut impl Buf) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(unzigzag(value));
        }
    }
    None
}

/// Writes one.
pub(crate) fn put(out: &mut impl BufMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// How many bytes it takes.
pub(crate) fn size(value: i64) -> usize {
    (64 - (zigzag(value) | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes a number without a sign.
pub(crate) fn put_unsigned(out: &mut impl BufMut, value: u32) {
    let mut rest = value;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value in any::<i64>()) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), size(value));
            prop_assert_eq!(get(&mut &out[..]), Some(value));
            prop_assert_eq!(get(&mut &out[..out.len() - 1]), None);
        }
    }
}
