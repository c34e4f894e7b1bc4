//! `sluice backup` and `sluice restore`: a copy of the data folder, also while a broker runs on it, and back.
//!
//! Who may read the data folder may copy it: nothing is asked of the broker, which only sees that nothing is deleted
//! meanwhile. How a copy can be right while the log is written is in `sluice_store::backup`.

use crate::cli::Copying;
use crate::config::Config;
use crate::failure::Failure;
use crate::server::DATA_KEY_FILE;
use sluice_model::units::ByteSize;
use sluice_store::backup::{self, BackupError, Copied, Manner};
use sluice_store::vfs::OsVfs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a data folder holds beside the store.
const BESIDE: &[&str] = &[DATA_KEY_FILE];

/// Copies the data folder.
///
/// # Errors
/// `Config` for a folder that will not do, `Damaged` when the copy is or differs.
pub fn backup(
    config: &Config,
    wanted: &Copying,
    print: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (from, to) = (&config.data_dir, &wanted.dir);
    if std::path::absolute(to)
        .is_ok_and(|to| std::path::absolute(from).is_ok_and(|from| to.starts_with(from)))
    {
        let (to, from) = (to.display(), from.display());
        return Err(Failure::Config(format!("{to} is inside of {from}, and would be lost with it")));
    }
    let copied = with_manner(wanted, |manner| backup::take(&OsVfs, from, BESIDE, to, manner))?;
    print(&told("copied", &copied, from, to, wanted.verify))
}

/// Makes the data folder of a backup.
///
/// # Errors
/// As [`backup`]; `NotAvailable` while a broker runs there.
pub fn restore(
    config: &Config,
    wanted: &Copying,
    print: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (from, to) = (&wanted.dir, &config.data_dir);
    let copied = with_manner(wanted, |manner| backup::restore(&OsVfs, from, to, manner))?;
    print(&told("restored", &copied, from, to, wanted.verify))
}

fn with_manner(
    wanted: &Copying,
    work: impl FnOnce(&mut Manner<'_>) -> Result<Copied, BackupError>,
) -> Result<Copied, Failure> {
    if wanted.rate.is_some_and(|rate| rate.0 == 0) {
        return Err(Failure::Config("--rate must not be 0".to_owned()));
    }
    let mut pace = pace(wanted.rate);
    Ok(work(&mut Manner { verify: wanted.verify, pace: &mut pace })?)
}

/// Waits where more was copied than the rate allows.
fn pace(rate: Option<ByteSize>) -> impl FnMut(u64) {
    let (begun, mut copied) = (Instant::now(), 0u64);
    move |bytes| {
        let Some(rate) = rate else { return };
        copied += bytes;
        let due = Duration::from_secs_f64(copied as f64 / rate.0 as f64);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
}

fn told(what: &str, copied: &Copied, from: &Path, to: &Path, compared: bool) -> String {
    let Copied { files, bytes, entries, end } = copied;
    let compared = if compared { ", compared byte by byte: equal" } else { "" };
    let (from, to) = (from.display(), to.display());
    format!(
        "{what} {from} to {to}: {files} files, {bytes} bytes, {entries} entries, the log up to position {end}{compared}\n"
    )
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let message = error.to_string();
        match error {
            BackupError::NotEmpty(_) | BackupError::NoStore(_) | BackupError::NoBackup { .. } => {
                Self::Config(message)
            }
            BackupError::Busy(_) => Self::NotAvailable(message),
            BackupError::Damaged(_) | BackupError::Differs { .. } => Self::Damaged(message),
            BackupError::Open(error) => error.into(),
        }
    }
}
