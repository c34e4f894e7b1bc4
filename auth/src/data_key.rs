//! The data key: what signing secrets are sealed with wherever they rest.
//!
//! A signature can only be checked by someone who has the secret, so those secrets cannot be hashed. Sealed, a copy of
//! the log or of a checkpoint is of no use without the key's file, which lies beside them with its own permissions.
//!
//! ```text
//! sealed   1 | key id 4 | nonce 24 | XChaCha20-Poly1305(secret; user, access key)
//! ```
//!
//! The nonce is a keyed hash of all that is sealed: the same secret of the same user always gives the same bytes, so
//! that the operator's file gives the same change every time, and different ones never share a nonce.

use crate::Secret;
use crate::scram::Salts;
use crate::user::User;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use sluice_model::{Error, ErrorKind, Result};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FORMAT: u8 = 1;
const ID: usize = 4;
const NONCE: usize = 24;
const HEADER: usize = 1 + ID + NONCE;

/// The key with which signing secrets are sealed.
pub struct DataKey {
    path: PathBuf,
    id: [u8; ID],
    nonces: Hmac<Sha256>,
    salts: [u8; 32],
    cipher: XChaCha20Poly1305,
}

impl DataKey {
    /// Reads the key from its file, or makes the file with a new key, readable for its owner alone.
    ///
    /// # Errors
    /// `InvalidArgument` when the file is no key, can be read by others, or cannot be read or made.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| {
            Error::invalid(format!("the key of stored secrets, {}: {error}", path.display()))
        };
        match create(path) {
            Ok(key) => return Ok(Self::new(path, &key)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(wrong(&error)),
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(path).map_err(|error| wrong(&error))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(wrong(&format!("others may read it (mode {:o}); chmod 600", mode & 0o777)));
            }
        }
        let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim_ascii(), &mut key)
            .map_err(|_| wrong(&"it has to hold 64 hexadecimal digits"))?;
        Ok(Self::new(path, &key))
    }

    fn new(path: &Path, key: &[u8; 32]) -> Self {
        let derive = |label: &[u8]| -> [u8; 32] {
            Sha256::new().chain_update(label).chain_update(key).finalize().into()
        };
        let mut id = [0; ID];
        id.iter_mut().zip(derive(b"sluice data key id")).for_each(|(to, from)| *to = from);
        let cipher = XChaCha20Poly1305::new(&derive(b"sluice data key cipher").into());
        let nonces = Hmac::new(&derive_block(&derive(b"sluice data key nonce")));
        let salts = derive(b"sluice data key scram salts");
        Self { path: path.to_owned(), id, nonces, salts, cipher }
    }

    /// Salts for the names of which nothing is kept, the same with every start.
    pub(crate) fn salts(&self) -> Salts {
        Salts::keyed(self.salts)
    }

    /// Seals every secret of a user.
    pub(crate) fn seal_user(&self, user: &mut User) {
        let name = user.name.clone();
        for (key, secret) in user.secrets_mut() {
            if let Some(text) = secret.expose() {
                *secret = Secret::sealed(self.seal(&aad(&name, key), text));
            }
        }
    }

    /// Opens those that it can; the others stay sealed.
    pub(crate) fn open_user(&self, user: &mut User) {
        let name = user.name.clone();
        for (key, secret) in user.secrets_mut() {
            let opened = secret.sealed_bytes().and_then(|bytes| self.open(&aad(&name, key), bytes));
            if let Some(text) = opened {
                *secret = Secret::new(text);
            }
        }
    }

    fn seal(&self, aad: &[u8], text: &str) -> Vec<u8> {
        let mut mac = self.nonces.clone();
        mac.update(aad);
        mac.update(text.as_bytes());
        let mut nonce = [0; NONCE];
        nonce.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(to, from)| *to = from);
        // It fails only for texts of 256 GiB; what is then left can be read by nobody.
        let payload = Payload { msg: text.as_bytes(), aad };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        [&[FORMAT], self.id.as_slice(), nonce.as_slice(), sealed.as_slice()].concat()
    }

    fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<String> {
        let (header, body) = sealed.split_at_checked(HEADER)?;
        let (format, rest) = header.split_first()?;
        let (id, nonce) = rest.split_at_checked(ID)?;
        if *format != FORMAT || *id != self.id {
            return None;
        }
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        let text = self.cipher.decrypt(&XNonce::from(nonce), Payload { msg: body, aad }).ok()?;
        String::from_utf8(text).ok()
    }

    /// What to say when these users have secrets that it does not open.
    pub(crate) fn does_not_open(&self, users: &[&str]) -> Error {
        let (path, id) = (self.path.display(), hex::encode(self.id));
        lost(
            users,
            &format!("they were sealed with another key than {id}, the one in {path}; put that file back"),
        )
    }
}

/// A key as long as a block of the hash: of that length it cannot be wrong.
fn derive_block(key: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    block
}

/// What to say when there is no key at all.
pub(crate) fn no_key(users: &[&str]) -> Error {
    lost(users, "they are sealed, and this start was given no data key")
}

fn lost(users: &[&str], why: &str) -> Error {
    const SHOWN: usize = 10;
    let more = users.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more users") } else { String::new() };
    let names = users.iter().copied().take(SHOWN).collect::<Vec<_>>().join(", ");
    let message = format!(
        "the signing secrets of {names}{more} cannot be read: {why}; or set auth.accept_lost_secrets = true and make \
         them anew"
    );
    Error::new(ErrorKind::Corrupt, message)
}

/// A sealed secret is worth nothing under another user or key.
fn aad(user: &str, key: &str) -> Vec<u8> {
    [user.as_bytes(), &[0], key.as_bytes(), &[0]].concat()
}

fn create(path: &Path) -> io::Result<[u8; 32]> {
    let key: [u8; 32] = rand::random();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(hex::encode(key).as_bytes())?;
    file.sync_all()?;
    // The name too must survive a crash: secrets sealed with a key that is gone are gone.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccessKey;

    fn user() -> User {
        User {
            secret: Some("one".into()),
            previous_secret: Some("two".into()),
            access_keys: vec![AccessKey { key: "AK".into(), secret: "three".into() }],
            ..User::new("alice")
        }
    }

    #[test]
    fn secrets_open_again_for_their_user_with_their_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        let key = DataKey::open_or_create(&path).unwrap();
        let mut sealed = user();
        key.seal_user(&mut sealed);
        assert!(sealed.secrets_mut().all(|(_, secret)| secret.expose().is_none()));
        let mut again = user();
        key.seal_user(&mut again);
        assert_eq!(sealed, again, "the same secret gives the same bytes");

        let mut opened = sealed.clone();
        DataKey::open_or_create(&path).unwrap().open_user(&mut opened);
        assert_eq!(opened, user());

        let another = DataKey::open_or_create(&folder.path().join("another.key")).unwrap();
        let mut closed = sealed.clone();
        another.open_user(&mut closed);
        assert_eq!(closed, sealed);
        let mut stolen = User { name: "mallory".into(), ..sealed.clone() };
        key.open_user(&mut stolen);
        assert!(stolen.secrets_mut().all(|(_, secret)| secret.expose().is_none()));
    }

    #[test]
    fn damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let key = DataKey::open_or_create(&folder.path().join("k")).unwrap();
        let sealed = key.seal(b"aad", "text");
        assert_eq!(key.open(b"aad", &sealed).as_deref(), Some("text"));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(key.open(b"aad", &damaged), None, "byte {at}");
            assert_eq!(key.open(b"aad", &sealed[..at]), None, "cut at {at}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        DataKey::open_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = DataKey::open_or_create(&path).err().unwrap();
        assert!(error.message().contains("others may read it (mode 640)"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(DataKey::open_or_create(&path).err().unwrap().message().contains("64 hexadecimal digits"));
        assert!(DataKey::open_or_create(&folder.path().join("no/such/folder")).is_err());
    }
}
