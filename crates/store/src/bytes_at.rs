//! Little-endian numbers at fixed places of a page or a header.

/// Reads fixed layouts. A place outside the slice reads as zero; callers check lengths once, beforehand.
pub(crate) trait BytesAt {
    fn array_at<const N: usize>(&self, at: usize) -> [u8; N];

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array_at(at))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array_at(at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array_at(at))
    }
}

impl BytesAt for [u8] {
    fn array_at<const N: usize>(&self, at: usize) -> [u8; N] {
        self.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
}

/// Writes `bytes` at a place of a page. The place must lie inside.
pub(crate) fn put<const N: usize>(page: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = page.get_mut(at..at + N) {
        place.copy_from_slice(&bytes);
    } else {
        debug_assert!(false, "a field lies outside its page");
    }
}
