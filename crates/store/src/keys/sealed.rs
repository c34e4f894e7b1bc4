//! The keys of a finished segment, inside its file: sorted blocks, and a Bloom filter before them.
//!
//! It exists so that a file without the wanted key costs one read. The one idea to know: hashes are spread evenly, so where
//! one must lie among the sorted is known before anything is read, give or take a block; the filter spares even that.
//!
//! ```text
//! key block: 255 keys of 16 B (hash u64 | lsn - start u32 | queue u32), rising | crc u32 | zeros       (4 KiB)
//! filter page: 63 filters of 64 B | crc u32 | zeros                                                    (4 KiB)
//! ```
//! Each key sets 7 bits in one of the filters, of which there are as many as make 10 bits a key: about one question in
//! a hundred passes for nothing. Both parts follow the directory, see `crate::sealed`.

use super::Key;
use crate::bytes_at::{BytesAt as _, put};
use crate::crc::crc32c;
use crate::vfs::VfsFile;
use std::io;

const BLOCK: usize = 4096;
const KEY: usize = 16;
const PER_BLOCK: u32 = 255;
const KEYS_CRC_AT: usize = PER_BLOCK as usize * KEY;
const FILTER: usize = 64;
const FILTER_BITS: u64 = 8 * FILTER as u64;
const PER_PAGE: u64 = 63;
const FILTERS_CRC_AT: usize = PER_PAGE as usize * FILTER;
const BITS_PER_KEY: u64 = 10;
/// Keys that are written at once, a mebibyte of whole blocks.
const KEYS_AT_ONCE: usize = PER_BLOCK as usize * 256;
const BITS_SET: u32 = 7;
/// Blocks are looked for near the place that the hash tells for so long; then by halves.
const NEAR: u32 = 8;

/// Where the keys lie in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub at: u64,
    pub count: u32,
}

/// The bytes that so many keys take, blocks and filter.
pub(crate) fn size(count: u64) -> u64 {
    (count.div_ceil(u64::from(PER_BLOCK)) + filters(count).div_ceil(PER_PAGE)) * BLOCK as u64
}

fn filters(count: u64) -> u64 {
    (count * BITS_PER_KEY).div_ceil(FILTER_BITS)
}

/// Which filter a hash belongs to, and the bits that it sets there.
fn bits(hash: u64, filters: u64) -> (u64, impl Iterator<Item = (usize, u8)>) {
    let filter = ((u128::from(hash) * u128::from(filters)) >> 64) as u64;
    // The upper bits have chosen the filter already.
    let spread = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let bits = (0..BITS_SET).map(move |n| {
        let bit = (spread >> (9 * n)) as usize % FILTER_BITS as usize;
        (bit / 8, 1 << (bit % 8))
    });
    (filter, bits)
}

/// Writes keys that are sorted, and their filters; returns the position behind.
pub(crate) fn write(file: &dyn VfsFile, mut at: u64, keys: &[Key]) -> io::Result<u64> {
    for some in keys.chunks(KEYS_AT_ONCE) {
        let blocks = encode_blocks(some);
        file.write_at(&blocks, at)?;
        at += blocks.len() as u64;
    }
    let pages = encode_filters(keys);
    file.write_at(&pages, at)?;
    Ok(at + pages.len() as u64)
}

fn encode_blocks(keys: &[Key]) -> Vec<u8> {
    let mut blocks = vec![0; keys.len().div_ceil(PER_BLOCK as usize) * BLOCK];
    for (keys, block) in keys.chunks(PER_BLOCK as usize).zip(blocks.chunks_exact_mut(BLOCK)) {
        for (n, key) in keys.iter().enumerate() {
            put(block, n * KEY, key.hash.to_le_bytes());
            put(block, n * KEY + 8, key.at.to_le_bytes());
            put(block, n * KEY + 12, key.queue.to_le_bytes());
        }
        let crc = crc32c(&block[..KEYS_CRC_AT]);
        put(block, KEYS_CRC_AT, crc.to_le_bytes());
    }
    blocks
}

fn encode_filters(keys: &[Key]) -> Vec<u8> {
    let filters = filters(keys.len() as u64);
    let mut pages = vec![0; filters.div_ceil(PER_PAGE) as usize * BLOCK];
    for key in keys {
        let (filter, bits) = bits(key.hash, filters);
        let at = (filter / PER_PAGE) as usize * BLOCK + (filter % PER_PAGE) as usize * FILTER;
        for (byte, bit) in bits {
            if let Some(byte) = pages.get_mut(at + byte) {
                *byte |= bit;
            }
        }
    }
    for page in pages.chunks_exact_mut(BLOCK) {
        let crc = crc32c(&page[..FILTERS_CRC_AT]);
        put(page, FILTERS_CRC_AT, crc.to_le_bytes());
    }
    pages
}

/// The position of the first page of keys or filters that is not as it was written.
pub(crate) fn bad_page(file: &dyn VfsFile, place: Place) -> io::Result<Option<u64>> {
    let count = u64::from(place.count);
    let (blocks, pages) = (count.div_ceil(u64::from(PER_BLOCK)), size(count) / BLOCK as u64);
    let mut page = vec![0; BLOCK];
    for n in 0..pages {
        let at = place.at + n * BLOCK as u64;
        let (content, rest) = page.split_at_mut(if n < blocks { KEYS_CRC_AT } else { FILTERS_CRC_AT });
        let read = file.read_at(content, at)? + file.read_at(rest, at + content.len() as u64)?;
        if read != BLOCK || crc32c(content) != rest.u32_at(0) || rest.iter().skip(4).any(|byte| *byte != 0) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Reads the keys of one sealed segment. An invalid-data error says that a block is damaged.
pub(crate) struct KeyReader<'a> {
    file: &'a dyn VfsFile,
    place: Place,
    block: Option<(u32, Vec<u8>)>,
}

impl<'a> KeyReader<'a> {
    pub(crate) fn new(file: &'a dyn VfsFile, place: Place) -> Self {
        Self { file, place, block: None }
    }

    /// False when no key has this hash.
    pub(crate) fn may_have(&self, hash: u64) -> io::Result<bool> {
        if self.place.count == 0 {
            return Ok(false);
        }
        let count = u64::from(self.place.count);
        let (filter, mut bits) = bits(hash, filters(count));
        let pages_at = self.place.at + count.div_ceil(u64::from(PER_BLOCK)) * BLOCK as u64;
        let page = self.page(pages_at + filter / PER_PAGE * BLOCK as u64, FILTERS_CRC_AT, "key filter")?;
        let filter = page.get((filter % PER_PAGE) as usize * FILTER..).unwrap_or_default();
        Ok(bits.all(|(byte, bit)| filter.get(byte).is_some_and(|byte| byte & bit != 0)))
    }

    fn page(&self, at: u64, crc_at: usize, what: &str) -> io::Result<Vec<u8>> {
        let mut page = vec![0; BLOCK];
        let read = self.file.read_at(&mut page, at)?;
        if read != BLOCK || crc32c(&page[..crc_at]) != page.u32_at(crc_at) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{what} at byte {at}")));
        }
        Ok(page)
    }

    /// The `n`-th key; nothing behind the last.
    pub(crate) fn key(&mut self, n: u32) -> io::Result<Option<Key>> {
        if n >= self.place.count {
            return Ok(None);
        }
        let number = n / PER_BLOCK;
        if self.block.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            let at = self.place.at + u64::from(number) * BLOCK as u64;
            self.block = Some((number, self.page(at, KEYS_CRC_AT, "key block")?));
        }
        let at = (n % PER_BLOCK) as usize * KEY;
        Ok(self.block.as_ref().map(|(_, block)| Key {
            hash: block.u64_at(at),
            at: block.u32_at(at + 8),
            queue: block.u32_at(at + 12),
        }))
    }

    /// How many keys are less than this one.
    pub(crate) fn less_than(&mut self, wanted: Key) -> io::Result<u32> {
        let block = self.block_of(wanted)?;
        let mut low = block.saturating_mul(PER_BLOCK).min(self.place.count);
        let mut high = low.saturating_add(PER_BLOCK).min(self.place.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle)? {
                Some(key) if key < wanted => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The first block whose last key is not less than this one; the number of blocks when there is none.
    fn block_of(&mut self, wanted: Key) -> io::Result<u32> {
        let (mut low, mut high) = (0, self.place.count.div_ceil(PER_BLOCK));
        let mut at = ((u128::from(wanted.hash) * u128::from(high)) >> 64) as u32;
        let mut jump = 1;
        while low < high {
            let first = self.key(at * PER_BLOCK)?;
            let last = self.key((at + 1).saturating_mul(PER_BLOCK).min(self.place.count) - 1)?;
            if last.is_some_and(|last| last < wanted) {
                low = at + 1;
                at = low + (jump - 1);
            } else if first.is_some_and(|first| first < wanted) {
                return Ok(at);
            } else {
                high = at;
                at = high.saturating_sub(jump);
            }
            jump *= 2;
            if jump > NEAR {
                at = low + high.saturating_sub(low) / 2;
            }
            at = at.min(high.saturating_sub(1)).max(low);
        }
        Ok(low)
    }
}

/// True when a file has exactly these keys, which are sorted, and a filter that lets them pass; every byte is looked at.
pub(crate) fn is_of(file: &dyn VfsFile, place: Place, keys: &[Key]) -> io::Result<bool> {
    let mut at = place.at;
    let mut goes_on = |wanted: &[u8]| {
        let mut bytes = vec![0; wanted.len()];
        let read = file.read_at(&mut bytes, at)?;
        at += wanted.len() as u64;
        Ok::<_, io::Error>(read == wanted.len() && bytes == wanted)
    };
    let mut same = place.count as usize == keys.len();
    for some in keys.chunks(KEYS_AT_ONCE) {
        same = same && goes_on(&encode_blocks(some))?;
    }
    Ok(same && goes_on(&encode_filters(keys))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimVfs;
    use crate::vfs::Vfs as _;
    use proptest::prelude::*;
    use std::path::Path;
    use std::sync::Arc;

    fn file_of(keys: &[Key], at: u64) -> Arc<dyn VfsFile> {
        let file = SimVfs::new().open(Path::new("keys"), true).unwrap();
        write(&*file, at, keys).unwrap();
        file
    }

    fn spread(count: u32) -> Vec<Key> {
        let key = |n: u32| Key { hash: crate::keys::hash_of(&n.to_string()), at: n, queue: n % 7 };
        let mut keys: Vec<Key> = (0..count).map(key).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn every_key_is_found_where_it_is() {
        for count in [1, 2, 254, 255, 256, 3000, 20_000] {
            let keys = spread(count);
            let file = file_of(&keys, 77);
            let mut reader = KeyReader::new(&*file, Place { at: 77, count });
            for (n, key) in (0..).zip(&keys) {
                assert_eq!(reader.less_than(*key).unwrap(), n);
                assert_eq!(reader.less_than(Key { queue: key.queue + 1, ..*key }).unwrap(), n + 1);
                assert_eq!(reader.key(n).unwrap(), Some(*key));
                assert!(reader.may_have(key.hash).unwrap());
            }
            assert_eq!(reader.key(count).unwrap(), None);
        }
    }

    #[test]
    fn the_filter_keeps_nearly_all_questions_away() {
        let file = file_of(&spread(20_000), 0);
        let reader = KeyReader::new(&*file, Place { at: 0, count: 20_000 });
        let strangers = (20_000..40_000).map(|n: u32| crate::keys::hash_of(&n.to_string()));
        let passed = strangers.filter(|hash| reader.may_have(*hash).unwrap()).count();
        assert!(passed < 20_000 / 50, "{passed} of 20,000 passed for nothing");
    }

    #[test]
    fn damage_is_told() {
        let keys = spread(1000);
        let good = [encode_blocks(&keys), encode_filters(&keys)].concat();
        let place = Place { at: 0, count: 1000 };
        for at in (0..good.len()).step_by(61) {
            let file = file_of(&keys, 0);
            assert!(is_of(&*file, place, &keys).unwrap());
            assert_eq!(bad_page(&*file, place).unwrap(), None);
            file.write_at(&[good[at] ^ 4], at as u64).unwrap();
            assert!(!is_of(&*file, place, &keys).unwrap(), "byte {at}");
            assert_eq!(bad_page(&*file, place).unwrap(), Some((at - at % BLOCK) as u64));
            let mut reader = KeyReader::new(&*file, place);
            for key in &keys {
                let invalid = |e: &io::Error| e.kind() == io::ErrorKind::InvalidData;
                assert!(reader.may_have(key.hash).unwrap_or_else(|e| invalid(&e)), "byte {at}");
                let place = reader.less_than(*key).and_then(|n| reader.key(n));
                assert!(place.map_or_else(|e| invalid(&e), |found| found == Some(*key)), "byte {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn hashes_need_not_be_spread(mut hashes in prop::collection::vec(0u64..5, 0..1500), top in any::<bool>()) {
            hashes.iter_mut().for_each(|hash| *hash = if top { u64::MAX - *hash } else { *hash << 40 });
            let mut keys: Vec<Key> = (0..).zip(hashes).map(|(at, hash)| Key { hash, at, queue: 1 }).collect();
            keys.sort_unstable();
            let file = file_of(&keys, 8);
            let mut reader = KeyReader::new(&*file, Place { at: 8, count: keys.len() as u32 });
            for wanted in keys.iter().copied().chain([Key { hash: 1 << 40, at: 3, queue: 9 }]) {
                let less = keys.iter().filter(|key| **key < wanted).count() as u32;
                prop_assert_eq!(reader.less_than(wanted).unwrap(), less);
            }
        }
    }
}
