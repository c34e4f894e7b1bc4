//! A record batch, version 2, of equal records.

/// Where the checksummed part begins, and where the checksum stands.
const CHECKED: usize = 21;
const CHECKSUM: usize = 17;
/// Where the number of the last record stands, and how many there are.
const LAST: usize = 23;
const COUNT: usize = 57;
/// From the beginning to behind the batch's length.
const BEFORE: usize = 12;

/// So many records with this value and no key, not compressed.
pub(super) fn batch(value: &[u8], count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(COUNT + 4 + count * (value.len() + 16));
    out.extend([0; 8]); // first offset
    out.extend([0; 4]); // length
    out.extend((-1i32).to_be_bytes()); // leader epoch
    out.push(2); // version
    out.extend([0; 4]); // checksum
    out.extend([0; 2]); // attributes
    out.extend((count as i32 - 1).to_be_bytes());
    let now = 1_700_000_000_000i64;
    out.extend(now.to_be_bytes());
    out.extend(now.to_be_bytes());
    out.extend((-1i64).to_be_bytes()); // producer
    out.extend((-1i16).to_be_bytes()); // epoch
    out.extend((-1i32).to_be_bytes()); // sequence
    out.extend((count as i32).to_be_bytes());
    let mut record = Vec::new();
    for at in 0..count {
        record.clear();
        record.push(0); // attributes
        varint(0, &mut record);
        varint(at as i64, &mut record);
        varint(-1, &mut record); // no key
        varint(value.len() as i64, &mut record);
        record.extend(value);
        varint(0, &mut record); // no headers
        varint(record.len() as i64, &mut out);
        out.extend(&record);
    }
    let length = ((out.len() - BEFORE) as i32).to_be_bytes();
    put(&mut out, 8, &length);
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &out[CHECKED..]) as u32;
    put(&mut out, CHECKSUM, &checksum.to_be_bytes());
    out
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn varint(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// How many records the whole batches in `bytes` have, and the offset behind the last.
pub(super) fn count(mut bytes: &[u8]) -> (u64, Option<u64>) {
    let (mut records, mut next) = (0, None);
    while let (Some(first), Some(length)) = (long(bytes, 0), int(bytes, 8)) {
        let whole = BEFORE + length as usize;
        let (Some(last), Some(count)) = (int(bytes, LAST), int(bytes, COUNT)) else { break };
        let Some(rest) = bytes.get(whole..) else { break };
        records += u64::from(count);
        next = Some(first + u64::from(last) + 1);
        bytes = rest;
    }
    (records, next)
}

pub(super) fn int(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_counted() {
        let one = batch(b"value", 3);
        assert_eq!(count(&one), (3, Some(3)));
        let two = [one.clone(), one.clone()].concat();
        assert_eq!(count(&two), (6, Some(3)));
        assert_eq!(count(&two[..two.len() - 1]), (3, Some(3)), "half a batch at the end is none");
    }

    #[test]
    fn numbers_are_zigzag_with_seven_bits_a_byte() {
        let of = |value| {
            let mut out = Vec::new();
            varint(value, &mut out);
            out
        };
        assert_eq!((of(0), of(-1), of(1), of(64)), (vec![0], vec![1], vec![2], vec![0x80, 1]));
    }
}
