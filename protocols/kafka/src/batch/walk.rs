//! Looking at every record of an unpacked batch without making anything of it.
//!
//! It exists because a batch is kept as it came: what has to be known is that each record is readable, within which sizes,
//! and by which keys it is found.

use super::{BadBatch, varint};

/// A record as it lies there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// Where it begins, its length included.
    pub at: usize,
    pub timestamp: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: usize,
    /// The bytes of their names and values.
    pub headers_size: usize,
}

/// Shows each record.
///
/// # Errors
/// `Invalid` for records that are not as the batch says.
pub(crate) fn walk<'a>(
    plain: &'a [u8],
    count: usize,
    base_timestamp: i64,
    mut seen: impl FnMut(View<'a>) -> Result<(), BadBatch>,
) -> Result<(), BadBatch> {
    const WRONG: BadBatch = BadBatch::Invalid("a record is not readable");
    let mut rest = plain;
    for _ in 0..count {
        let at = plain.len() - rest.len();
        let mut record = bytes(&mut rest).flatten().ok_or(WRONG)?;
        let (_attributes, mut body) = record.split_first().ok_or(WRONG)?;
        let timestamp_delta = varint::get(&mut body).ok_or(WRONG)?;
        let offset_delta = varint::get(&mut body).and_then(|n| i32::try_from(n).ok()).ok_or(WRONG)?;
        let key = bytes(&mut body).ok_or(WRONG)?;
        let value = bytes(&mut body).ok_or(WRONG)?;
        record = body;
        let (headers, headers_size) = headers(&mut record)?;
        if !record.is_empty() {
            return Err(WRONG);
        }
        let timestamp = base_timestamp.saturating_add(timestamp_delta);
        seen(View { at, timestamp, offset_delta, key, value, headers, headers_size })?;
    }
    match rest.is_empty() {
        true => Ok(()),
        false => Err(BadBatch::Invalid("there are bytes behind the last record")),
    }
}

fn headers(rest: &mut &[u8]) -> Result<(usize, usize), BadBatch> {
    const WRONG: BadBatch = BadBatch::Invalid("a header is not readable");
    // Each takes two bytes at least, so the count is not believed beyond that.
    let count = varint::get(rest).and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= rest.len() / 2);
    let (count, mut size) = (count.ok_or(WRONG)?, 0);
    for _ in 0..count {
        let name = bytes(rest).flatten().ok_or(WRONG)?;
        let value = bytes(rest).ok_or(WRONG)?;
        if std::str::from_utf8(name).is_err() {
            return Err(BadBatch::Invalid("a header's name is not UTF-8"));
        }
        if name.is_empty() || name.len() > usize::from(u16::MAX) {
            return Err(BadBatch::Invalid("a header's name must have 1 to 65535 bytes"));
        }
        size += name.len() + value.map_or(0, <[u8]>::len);
    }
    Ok((count, size))
}

/// Bytes behind their length, or null; nothing when they are cut short.
fn bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = match varint::get(rest)? {
        -1 => return Some(None),
        length => usize::try_from(length).ok()?,
    };
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(Some(bytes))
}
