//! The topics named in what a consumer says about itself.
//!
//! Members' metadata is opaque to a coordinator; this looks into it only to answer whether a topic is subscribed, and
//! takes whatever it cannot read for nothing.
//!
//! ```text
//! subscription := version i16 | count i32 | count × (length i16, name) | ...      (big-endian, whatever the version)
//! ```

use bytes::Buf;

/// The kind of group whose members' metadata has this form.
pub(super) const CONSUMER: &str = "consumer";
/// Names looked at; consumers of more topics are not known.
const MAX_NAMES: usize = 10_000;

/// The names of the subscribed topics.
pub(super) fn subscription(metadata: &[u8]) -> Vec<String> {
    read(metadata).unwrap_or_default()
}

fn read(mut metadata: &[u8]) -> Option<Vec<String>> {
    metadata.try_get_i16().ok()?;
    let count = usize::try_from(metadata.try_get_i32().ok()?).ok().filter(|n| *n <= MAX_NAMES)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        let name = metadata.get(..length)?;
        names.push(std::str::from_utf8(name).ok()?.to_owned());
        metadata.advance(length);
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_anything_else_is_none() {
        let metadata = [0, 3, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c', 9, 9];
        assert_eq!(subscription(&metadata), ["a", "bc"]);
        for cut in 0..13 {
            assert!(subscription(&metadata[..cut]).is_empty(), "{cut}");
        }
        assert!(subscription(&[0, 0, 0x7F, 0xFF, 0xFF, 0xFF]).is_empty());
        assert!(subscription(&[0, 0, 0xFF, 0xFF, 0xFF, 0xFF]).is_empty());
    }
}
