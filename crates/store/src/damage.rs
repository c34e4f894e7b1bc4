//! What is known to be damaged while the log is open: [`Damages`].
//!
//! It exists so that whoever comes upon damage first, a reader or the scrubber, tells it once, and everyone can ask for it
//! later. The one idea to know: damage is known by its file and place; a consumer that asks again and again for what it
//! cannot get is told so each time, but nothing more is logged.

use crate::buckets;
use crate::error::Damage;
use crate::log::DamageListener;
use crate::segment::log_dir;
use crate::shared::Shared;
use parking_lot::Mutex;

/// More are not kept: a disk with so many bad places is lost, and `sluice doctor` tells them all.
const MOST: usize = 1000;

/// See the module.
#[derive(Default)]
pub(crate) struct Damages {
    known: Mutex<Vec<Damage>>,
    listener: Mutex<Option<DamageListener>>,
}

impl Damages {
    /// Registers the one who is told of damage that was not known before.
    pub(crate) fn listen(&self, listener: DamageListener) {
        *self.listener.lock() = Some(listener);
    }

    /// Notes damage, and tells it when it is news.
    pub(crate) fn tell(&self, damage: &Damage) {
        {
            let mut known = self.known.lock();
            let same = |other: &Damage| (&other.file, other.position) == (&damage.file, damage.position);
            if known.len() >= MOST || known.iter().any(same) {
                return;
            }
            known.push(damage.clone());
        }
        tracing::error!(%damage, "stored data is damaged");
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener(damage);
        }
    }

    /// What is known and still there: damage goes with its file.
    pub(crate) fn all(&self, shared: &Shared) -> Vec<Damage> {
        let (folder, waiting) = (log_dir(&shared.dir), buckets::dir_of(&shared.dir));
        let segments = shared.segments.read();
        let is_there = |damage: &Damage| match damage.file.parent() {
            Some(parent) if parent == folder => segments.values().any(|k| k.segment.path == damage.file),
            Some(parent) if parent == waiting => shared.vfs.open(&damage.file, false).is_ok(),
            _ => true,
        };
        let mut known = self.known.lock();
        known.retain(is_there);
        known.clone()
    }
}
