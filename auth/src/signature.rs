//! Signed requests: an HMAC over bytes that the front-end has put together as its wire says.

use crate::{HmacAlgorithm, Secret, SigningKey};
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

/// Short pieces are put together before they are hashed: each step costs more than they do. The fields of a request fit.
const GATHERED: usize = 512;

/// A secret, ready to check signatures with: what its own two blocks of the hash give is kept.
#[derive(Clone)]
pub(crate) struct Keyed(Hmac<Sha1>);

impl Keyed {
    /// None for a sealed secret.
    pub(crate) fn sha1(secret: &Secret) -> Option<Self> {
        <Hmac<Sha1> as KeyInit>::new_from_slice(secret.expose()?.as_bytes()).ok().map(Self)
    }

    /// As [`verify`].
    pub(crate) fn verifies(&self, content: &[&[u8]], signature: &[u8]) -> bool {
        let mut mac = self.0.clone();
        let (mut room, mut filled) = ([0; GATHERED], 0);
        for piece in content {
            match room.get_mut(filled..filled + piece.len()) {
                Some(free) => {
                    free.copy_from_slice(piece);
                    filled += piece.len();
                }
                None => {
                    mac.update(room.get(..filled).unwrap_or_default());
                    mac.update(piece);
                    filled = 0;
                }
            }
        }
        mac.update(room.get(..filled).unwrap_or_default());
        mac.verify_slice(signature).is_ok()
    }
}

/// True when `signature` signs one of the texts. All of them are tried, so that a refusal always costs the same.
pub(crate) fn verify_any(key: SigningKey<'_>, secret: &Secret, texts: &[String], signature: &[u8]) -> bool {
    let signs: fn(&[u8], &str, &[u8]) -> bool = match key {
        SigningKey::Secret(HmacAlgorithm::Sha1) => signs_text::<Hmac<Sha1>>,
        SigningKey::Secret(HmacAlgorithm::Sha256) | SigningKey::Scoped { .. } => signs_text::<Hmac<Sha256>>,
    };
    let Some(secret) = secret.expose() else { return false };
    let key = match key {
        SigningKey::Secret(_) => secret.as_bytes().to_vec(),
        SigningKey::Scoped { prefix, scope } => scoped(&[prefix, secret].concat(), scope),
    };
    texts.iter().fold(false, |found, text| found | signs(&key, text, signature))
}

fn scoped(key: &str, scope: &[&str]) -> Vec<u8> {
    scope.iter().fold(key.as_bytes().to_vec(), |key, part| {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key);
        mac.map(|mac| mac.chain_update(part).finalize().into_bytes().to_vec()).unwrap_or_default()
    })
}

fn signs_text<M: Mac + KeyInit>(key: &[u8], text: &str, signature: &[u8]) -> bool {
    let mac = <M as KeyInit>::new_from_slice(key);
    mac.is_ok_and(|mac| mac.chain_update(text).verify_slice(signature).is_ok())
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
        let keyed = Keyed::sha1(&secret).unwrap();
        assert!(keyed.verifies(&content, &sha1) && keyed.verifies(&content, &sha1));
        for sizes in [&[0, 1, 511, 512, 513, 3][..], &[600], &[], &[512, 512], &[100; 20]] {
            let pieces: Vec<Vec<u8>> = sizes.iter().map(|size| vec![b'x'; *size]).collect();
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(b"Jefe").unwrap();
            let signed = mac.chain_update(pieces.concat()).finalize().into_bytes();
            assert!(keyed.verifies(&pieces, &signed), "{sizes:?}");
        }
        assert!(!keyed.verifies(&content, &sha1[..19]) && !keyed.verifies(&content[..1], &sha1));
        assert!(Keyed::sha1(&Secret::sealed(b"Jefe".to_vec())).is_none());
        assert!(!verify(HmacAlgorithm::Sha1, &secret, &content, &sha1[..19]));
        assert!(!verify(HmacAlgorithm::Sha1, &secret, &content, b""));
        assert!(!verify(HmacAlgorithm::Sha1, &Secret::new("jefe"), &content, &sha1));
        assert!(!verify(HmacAlgorithm::Sha1, &Secret::sealed(b"Jefe".to_vec()), &content, &sha1));

        let texts = ["another".to_owned(), "what do ya want for nothing?".to_owned()];
        let any = |algorithm, texts: &[String], signature: &[u8]| {
            verify_any(SigningKey::Secret(algorithm), &secret, texts, signature)
        };
        assert!(any(HmacAlgorithm::Sha1, &texts, &sha1) && any(HmacAlgorithm::Sha256, &texts, &sha256));
        assert!(!any(HmacAlgorithm::Sha1, &texts[..1], &sha1) && !any(HmacAlgorithm::Sha1, &[], &sha1));
        assert!(!any(HmacAlgorithm::Sha1, &texts, &sha256));
    }

    /// The example of a signing key in the documentation of AWS Signature Version 4.
    #[test]
    fn a_key_is_derived_for_its_scope() {
        let key = scoped(
            "AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            &["20120215", "us-east-1", "iam", "aws4_request"],
        );
        assert_eq!(hex::encode(key), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }
}
