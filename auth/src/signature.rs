//! Signed requests: an HMAC over bytes that the front-end has put together as its wire says.

use crate::{HmacAlgorithm, Secret};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// True when `signature` signs the joined `content`; the comparison takes the same time wherever it differs.
pub(crate) fn verify(algorithm: HmacAlgorithm, secret: &Secret, content: &[&[u8]], signature: &[u8]) -> bool {
    match algorithm {
        HmacAlgorithm::Sha1 => signs::<Hmac<Sha1>>(secret, content, signature),
        HmacAlgorithm::Sha256 => signs::<Hmac<Sha256>>(secret, content, signature),
    }
}

fn signs<M: Mac + KeyInit>(secret: &Secret, content: &[&[u8]], signature: &[u8]) -> bool {
    let Some(secret) = secret.expose() else { return false };
    // An HMAC takes a key of any length, so the error cannot occur; refusing is the safe reading of it.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret.as_bytes()) else { return false };
    for piece in content {
        mac.update(piece);
    }
    mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 case 2 and RFC 4231 case 2.
    #[test]
    fn published_vectors_verify() {
        let secret = Secret::new("Jefe");
        let content: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        let sha1 = hex::decode("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79").unwrap();
        let sha256 = hex::decode("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843").unwrap();
        assert!(verify(HmacAlgorithm::Sha1, &secret, &content, &sha1));
        assert!(verify(HmacAlgorithm::Sha256, &secret, &content, &sha256));
        assert!(!verify(HmacAlgorithm::Sha256, &secret, &content, &sha1));
        assert!(!verify(HmacAlgorithm::Sha1, &secret, &content, &sha1[..19]));
        assert!(!verify(HmacAlgorithm::Sha1, &secret, &content, b""));
        assert!(!verify(HmacAlgorithm::Sha1, &Secret::new("jefe"), &content, &sha1));
        assert!(!verify(HmacAlgorithm::Sha1, &Secret::sealed(b"Jefe".to_vec()), &content, &sha1));
    }
}
