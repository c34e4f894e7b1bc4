//! The names of a simulated disk's files: which are there, and which a power cut may bring back or take.
//!
//! The one idea to know: until a folder is synced, each of its names has a history, and a power cut may leave any state of
//! it, whatever it leaves of the others. So a file that was made and then renamed may lie under either name, or both, or
//! none.

use super::power::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What became of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Created(u64),
    RenamedTo(u64),
    RenamedAway,
    Removed,
}

impl Change {
    fn inode(self) -> Option<u64> {
        match self {
            Self::Created(inode) | Self::RenamedTo(inode) => Some(inode),
            Self::RenamedAway | Self::Removed => None,
        }
    }

    /// What it is called that this did not reach the disk.
    fn lost(self) -> &'static str {
        match self {
            Self::Created(_) => "creation of a file lost",
            Self::RenamedTo(_) | Self::RenamedAway => "rename lost",
            Self::Removed => "deletion lost",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    now: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    /// What happened to each name since its folder was synced, in order.
    unsynced: BTreeMap<PathBuf, Vec<Change>>,
}

impl Names {
    pub fn get(&self, path: &Path) -> Option<u64> {
        self.now.get(path).copied()
    }

    pub fn all(&self) -> impl Iterator<Item = (&PathBuf, u64)> {
        self.now.iter().map(|(path, inode)| (path, *inode))
    }

    /// Every file that has a name, or may get one back.
    pub fn inodes(&self) -> BTreeSet<u64> {
        let unsynced = self.unsynced.values().flatten().filter_map(|change| change.inode());
        self.now.values().chain(self.durable.values()).copied().chain(unsynced).collect()
    }

    /// Puts a file there, on the disk too.
    pub fn put(&mut self, path: &Path, inode: u64) {
        self.now.insert(path.into(), inode);
        self.durable.insert(path.into(), inode);
        self.unsynced.remove(path);
    }

    pub fn create(&mut self, path: &Path, inode: u64) {
        self.change(path, Change::Created(inode));
    }

    /// Nothing when there is no such file.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Option<()> {
        let inode = self.get(from)?;
        self.change(from, Change::RenamedAway);
        self.change(to, Change::RenamedTo(inode));
        Some(())
    }

    /// Nothing when there is no such file.
    pub fn remove(&mut self, path: &Path) -> Option<()> {
        self.get(path)?;
        self.change(path, Change::Removed);
        Some(())
    }

    fn change(&mut self, path: &Path, change: Change) {
        match change.inode() {
            Some(inode) => self.now.insert(path.into(), inode),
            None => self.now.remove(path),
        };
        self.unsynced.entry(path.into()).or_default().push(change);
    }

    /// The names in a folder are on the disk as they are.
    pub fn sync(&mut self, dir: &Path) {
        let here = |path: &PathBuf| path.parent() == Some(dir);
        self.durable.retain(|path, _| !here(path));
        self.durable.extend(self.now.iter().filter(|(path, _)| here(path)).map(|(p, n)| (p.clone(), *n)));
        self.unsynced.retain(|path, _| !here(path));
    }

    /// All names are on the disk as they are.
    pub fn settle(&mut self) {
        self.durable = self.now.clone();
        self.unsynced.clear();
    }

    /// Changes that did not reach the disk for certain.
    pub fn unsynced(&self) -> usize {
        self.unsynced.values().map(Vec::len).sum()
    }

    /// Leaves of each name some state of its history; tells of each change that is lost by that.
    pub fn lose_power(&mut self, dice: &mut Dice, mut lost: impl FnMut(&'static str)) {
        for (path, changes) in std::mem::take(&mut self.unsynced) {
            let kept = dice.below(changes.len() as u64 + 1) as usize;
            changes.iter().skip(kept).for_each(|change| lost(change.lost()));
            let left = kept.checked_sub(1).and_then(|last| changes.get(last));
            let left = left.map_or(self.durable.get(&path).copied(), |change| change.inode());
            self.leave(path, left);
        }
        self.durable = self.now.clone();
    }

    /// Leaves of each name what the last of its changes has made of it that is kept; asked for each, in order.
    pub fn lose_power_keeping(&mut self, mut kept: impl FnMut() -> bool) {
        for (path, changes) in std::mem::take(&mut self.unsynced) {
            let mut left = self.durable.get(&path).copied();
            for change in changes {
                if kept() {
                    left = change.inode();
                }
            }
            self.leave(path, left);
        }
        self.durable = self.now.clone();
    }

    fn leave(&mut self, path: PathBuf, left: Option<u64>) {
        match left {
            Some(inode) => self.now.insert(path, inode),
            None => self.now.remove(&path),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_names_history_may_be_left() {
        let (a, b) = (Path::new("d/a"), Path::new("d/b"));
        let mut names = Names::default();
        names.put(b, 1);
        names.create(a, 2);
        names.rename(a, b).unwrap();
        assert_eq!((names.get(a), names.get(b), names.unsynced()), (None, Some(2), 3));
        let (mut seen, mut told) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..100 {
            let mut left = names.clone();
            left.lose_power(&mut Dice::new(seed), |lost| {
                told.insert(lost);
            });
            assert_eq!(left.unsynced(), 0);
            seen.insert((left.get(a), left.get(b)));
        }
        let all = [(None, Some(1)), (None, Some(2)), (Some(2), Some(1)), (Some(2), Some(2))];
        assert_eq!(seen, all.into());
        assert_eq!(told, ["creation of a file lost", "rename lost"].into());
        names.sync(Path::new("d"));
        names.lose_power(&mut Dice::new(1), |lost| panic!("{lost}"));
        assert_eq!((names.get(a), names.get(b)), (None, Some(2)));
    }

    #[test]
    fn any_subset_can_be_kept() {
        let (a, b) = (Path::new("d/a"), Path::new("d/b"));
        let mut names = Names::default();
        names.create(a, 2);
        names.rename(a, b).unwrap();
        names.remove(b).unwrap();
        let mut seen = BTreeSet::new();
        for subset in 0..1_u32 << names.unsynced() {
            let (mut left, mut bits) = (names.clone(), subset);
            left.lose_power_keeping(|| {
                let bit = bits & 1 == 1;
                bits >>= 1;
                bit
            });
            seen.insert((left.get(a), left.get(b)));
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
    }
}
