//! Receipt handles: what one delivery is, sealed with a key that only this broker knows.
//!
//! ```text
//! base64url( group u32 | queue u32 | offset u64 | lease u64 | first 12 bytes of HMAC-SHA256 over these )   big-endian
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sluice_model::{Error, ErrorKind, Offset, ReceiptHandle, Result};
use sluice_store::LogQueue;
use std::fmt;

const FIELDS: usize = 24;
const SEAL: usize = 12;

/// The key that handles are sealed with, prepared once: that is half of the work of a seal.
#[derive(Clone)]
pub(crate) struct ReceiptKey {
    secret: [u8; 32],
    keyed: Hmac<Sha256>,
}

impl ReceiptKey {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        // HMAC fills a key up to its block of 64 bytes with zeros; doing so here leaves no length to go wrong.
        let mut block = [0; 64];
        block[..secret.len()].copy_from_slice(&secret);
        Self { secret, keyed: <Hmac<Sha256> as KeyInit>::new(&block.into()) }
    }

    pub(crate) fn secret(&self) -> [u8; 32] {
        self.secret
    }

    fn mac(&self, fields: &[u8]) -> Hmac<Sha256> {
        self.keyed.clone().chain_update(fields)
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiptKey")
    }
}

/// None yet: the first record of a store, or its checkpoint, tells which one it is.
impl Default for ReceiptKey {
    fn default() -> Self {
        Self::new([0; 32])
    }
}

/// What a handle says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) group: u32,
    pub(crate) queue: LogQueue,
    pub(crate) offset: Offset,
    pub(crate) lease: u64,
}

impl Receipt {
    pub(crate) fn seal(&self, key: &ReceiptKey) -> ReceiptHandle {
        let mut bytes = [0; FIELDS + SEAL];
        bytes[..4].copy_from_slice(&self.group.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.queue.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_be_bytes());
        bytes[16..FIELDS].copy_from_slice(&self.lease.to_be_bytes());
        let seal = key.mac(&bytes[..FIELDS]).finalize().into_bytes();
        bytes[FIELDS..].copy_from_slice(&seal[..SEAL]);
        ReceiptHandle(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// Reads a handle back.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a text that is no handle of this broker.
    pub(crate) fn open(key: &ReceiptKey, handle: &ReceiptHandle) -> Result<Self> {
        let mut bytes = [0; FIELDS + SEAL];
        let whole = URL_SAFE_NO_PAD.decode_slice(handle.as_str(), &mut bytes).is_ok_and(|n| n == bytes.len());
        let (fields, seal) = bytes.split_at(FIELDS);
        if !whole || key.mac(fields).verify_truncated_left(seal).is_err() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "this is not a receipt handle of this broker",
            ));
        }
        let u32_at = |i: usize| u32::from_be_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) << 32 | u64::from(u32_at(i + 4));
        Ok(Self { group: u32_at(0), queue: LogQueue(u32_at(4)), offset: u64_at(8), lease: u64_at(16) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_open_again_and_cannot_be_forged() {
        let key = ReceiptKey::new([7; 32]);
        let receipt = Receipt { group: 3, queue: LogQueue(17), offset: u64::MAX - 5, lease: 9 << 32 | 4 };
        let handle = receipt.seal(&key);
        assert_eq!(Receipt::open(&key, &handle).unwrap(), receipt);
        assert!(Receipt::open(&ReceiptKey::new([8; 32]), &handle).is_err());
        for i in 0..handle.as_str().len() {
            let mut text = handle.as_str().to_owned().into_bytes();
            text[i] = if text[i] == b'A' { b'B' } else { b'A' };
            let forged = ReceiptHandle::from(std::str::from_utf8(&text).unwrap());
            assert!(Receipt::open(&key, &forged).is_err(), "{i}");
        }
        for text in ["", "AAAA", "ä", &"A".repeat(500)] {
            assert!(Receipt::open(&key, &ReceiptHandle::from(text)).is_err());
        }
    }
}
