//! Users that exist before anyone can log in: the first administrator, and the operator's file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use sluice_auth::{AclFile, Auth, Command, Mode, PlainAcl, Secret, random_password};
use sluice_broker::Broker;
use sluice_model::SystemClock;

use crate::failure::Failure;

/// The file is looked at this often, if there is one. Together with the time below it is less than a second until a user
/// who is taken out of it is cut off.
const CHECK_EVERY: Duration = Duration::from_millis(400);

/// A file that changes within this time is still being written.
const SETTLED: Duration = Duration::from_millis(300);

/// The operator's file of users and policies.
pub struct AccessFile {
    path: PathBuf,
    /// When it was changed and its length, as it was last read.
    seen: Mutex<Option<(SystemTime, u64)>>,
}

impl AccessFile {
    /// Not read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, seen: Mutex::default() }
    }

    /// Reads it and makes the broker's users and policies what it says.
    pub async fn apply(&self, broker: &Broker) -> Result<(), Failure> {
        *self.seen.lock() = self.stamp(); // before reading, so that a change in between is seen
        let wrong = |why: String| Failure::Config(format!("auth.file {}: {why}", self.path.display()));
        let text = std::fs::read_to_string(&self.path).map_err(|e| wrong(e.to_string()))?;
        let file = AclFile::parse(&text).map_err(|e| wrong(e.message().to_owned()))?;
        let (users, policies) = (file.users.len(), file.policies.len());
        let applied = broker.change_access_as_operator(Command::ReplaceFile(file)).await;
        applied.map_err(|e| wrong(e.message().to_owned()))?;
        tracing::info!(file = %self.path.display(), users, policies, "users and policies applied");
        Ok(())
    }

    /// Applies it again; on an error what was in force stays.
    pub async fn apply_again(&self, broker: &Broker) {
        if let Err(error) = self.apply(broker).await {
            tracing::error!(%error, "users and policies stay as they were");
        }
    }

    /// Applies it whenever it changes. Runs until it is dropped.
    pub async fn watch(self: Arc<Self>, broker: Broker) {
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            let stamp = self.stamp();
            if stamp == *self.seen.lock() {
                continue;
            }
            tokio::time::sleep(SETTLED).await;
            // Half a file can be a whole one of fewer users.
            if self.stamp() == stamp {
                self.apply_again(&broker).await;
            }
        }
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let metadata = self.path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

/// The text of a file for `auth.file` that says what a `plain_acl.yml` says.
pub fn import(plain_acl: &Path) -> Result<String, Failure> {
    let wrong = |why: String| Failure::Config(format!("{}: {why}", plain_acl.display()));
    let text = std::fs::read_to_string(plain_acl).map_err(|e| wrong(e.to_string()))?;
    let acl = PlainAcl::parse(&text).map_err(|e| wrong(e.message().to_owned()))?;
    let mut out =
        "# Made from a plain_acl.yml. Secrets are in it: keep it readable for the broker only.\n".to_owned();
    acl.notes.iter().for_each(|note| out.push_str(&format!("# Note: {note}\n")));
    out.push('\n');
    out.push_str(&acl.file.to_toml()?);
    Ok(out)
}

/// Whether a file would be taken as `auth.file` by a broker without other users.
pub fn check(path: &Path) -> Result<(), Failure> {
    let wrong = |why: String| Failure::Config(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let file = AclFile::parse(&text).map_err(|e| wrong(e.message().to_owned()))?;
    let auth = Auth::acl(Default::default(), Arc::new(SystemClock))?;
    auth.plan(Command::ReplaceFile(file)).map_err(|e| wrong(e.message().to_owned()))?;
    Ok(())
}

/// On the first start with access control somebody must be able to get in.
pub async fn ensure_administrator(auth: &Auth, broker: &Broker) -> Result<(), Failure> {
    if auth.mode() != Mode::Acl || !auth.users().is_empty() {
        return Ok(());
    }
    let password = random_password();
    let command = Command::Bootstrap { password: Secret::new(password.as_str()) };
    broker.change_access_as_operator(command).await?;
    // Not through the log: this is for the one who starts the server, once, and not for wherever logs are collected.
    eprintln!("administrator created: user \"admin\", password \"{password}\" (shown this once)");
    Ok(())
}
