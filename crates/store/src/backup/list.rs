//! The list of a backup's files, by which a complete one is known.
//!
//! ```text
//! sluice backup 1
//! end <log position>
//! file <crc32c, 8 hex digits> <bytes> <path>     one for each
//! sum <crc32c of all before, 8 hex digits>
//! ```

use crate::backup::BackupError;
use crate::crc::crc32c;
use crate::error::OpenError;
use crate::log::Lsn;
use crate::vfs::Vfs;
use std::fmt::Write as _;
use std::io;
use std::path::{Component, Path};

const NAME: &str = "backup.list";
const FIRST: &str = "sluice backup 1";
/// A list of a million files is no larger.
const LARGEST: u64 = 64 << 20;

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    pub end: Lsn,
    pub files: Vec<Listed>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Below the folder.
    pub name: String,
    pub len: u64,
    pub crc: u32,
}

impl List {
    fn encode(&self) -> String {
        let mut text = format!("{FIRST}\nend {}\n", self.end);
        for Listed { name, len, crc } in &self.files {
            let _ = writeln!(text, "file {crc:08x} {len} {name}"); // writing to a String cannot fail
        }
        let sum = crc32c(text.as_bytes());
        let _ = writeln!(text, "sum {sum:08x}");
        text
    }

    fn decode(text: &str) -> Result<Self, String> {
        let (lines, sum) = text.trim_end().rsplit_once('\n').ok_or("its list of files has no checksum")?;
        let told = sum.strip_prefix("sum ").and_then(|sum| u32::from_str_radix(sum, 16).ok());
        if told != Some(crc32c(format!("{lines}\n").as_bytes())) {
            return Err("the checksum of its list of files is wrong".into());
        }
        let mut lines = lines.lines();
        if lines.next() != Some(FIRST) {
            return Err(format!("its list of files does not begin with {FIRST:?}"));
        }
        let end = lines.next().and_then(|line| line.strip_prefix("end ")?.parse().ok());
        let mut list = Self { end: end.ok_or("its list of files tells no end")?, files: Vec::new() };
        for line in lines {
            list.files.push(file(line).ok_or_else(|| format!("its list of files has a line {line:?}"))?);
        }
        Ok(list)
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, vfs: &dyn Vfs, folder: &Path) -> io::Result<()> {
        let temporary = folder.join(NAME).with_extension("tmp");
        let file = vfs.open(&temporary, true)?;
        file.set_len(0)?;
        file.write_at(self.encode().as_bytes(), 0)?;
        file.sync()?;
        vfs.rename(&temporary, &folder.join(NAME))?;
        vfs.sync_dir(folder)
    }

    pub(super) fn read(vfs: &dyn Vfs, folder: &Path) -> Result<Self, BackupError> {
        let no_backup = |why: String| BackupError::NoBackup { folder: folder.into(), why };
        let path = folder.join(NAME);
        let failed = |e| OpenError::io(&path, e);
        let file = match vfs.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(no_backup(format!("it has no {NAME}")));
            }
            file => file.map_err(failed)?,
        };
        let len = file.size().map_err(failed)?.min(LARGEST);
        let mut bytes = vec![0; len as usize];
        let read = file.read_at(&mut bytes, 0).map_err(failed)?;
        bytes.truncate(read);
        let text = String::from_utf8(bytes).map_err(|_| no_backup("its list of files is no text".into()))?;
        Self::decode(&text).map_err(no_backup)
    }
}

fn file(line: &str) -> Option<Listed> {
    let mut words = line.strip_prefix("file ")?.splitn(3, ' ');
    let crc = u32::from_str_radix(words.next()?, 16).ok()?;
    let len = words.next()?.parse().ok()?;
    let name = words.next()?;
    // Nothing that leads out of the folder.
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    (inside && !name.is_empty()).then(|| Listed { name: name.into(), len, crc })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back_and_every_flipped_bit_is_noticed() {
        let file = |name: &str| Listed { name: name.into(), len: 5, crc: 7 };
        let list = List { end: 9, files: vec![file("store.meta"), file("log/0000000000000000.seg")] };
        let text = list.encode();
        assert_eq!(List::decode(&text), Ok(list));
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(bad) = String::from_utf8(bytes) {
                assert!(List::decode(&bad).is_err(), "byte {at}");
            }
        }
        assert!(List::decode("").is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "/etc/passwd", "../x", "log/../../x"] {
            let list = List { end: 0, files: vec![Listed { name: name.into(), len: 0, crc: 0 }] };
            assert!(List::decode(&list.encode()).is_err(), "{name}");
        }
    }
}
