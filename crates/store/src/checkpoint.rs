//! Checkpoints: what the broker knew at a position, so that a start need not read the log from its beginning.
//!
//! The one idea to know: a checkpoint is written beside the log, synced, and only then given its name, so the newest
//! one that is readable is right; the one before is kept in case it is not. A large one is written and synced piece by piece,
//! because the log's own syncs wait for whatever the disk is doing. The store adds the end of every queue, so that offsets
//! are not used again when all of a queue's messages have been deleted.
//!
//! ```text
//! ckpt/<lsn>.ck: 0 "SLUICECK" | 8 version u32 | 12 crc u32 over all else | 16 store id | 32 lsn u64 | 40 queues u64
//!   48 state length u64 | queues: number u32, flags u32, next offset u64 each | state
//! ```

use crate::Lsn;
use crate::bytes_at::{BytesAt as _, put};
use crate::crc::{crc32c, crc32c_of_both};
use crate::entry::{MAX_LSN, MAX_OFFSET};
use crate::segment::{CRC_AT, StoreId, VERSION};
use crate::unhurried::Pace;
use crate::vfs::{Vfs, VfsFile};
use bytes::Bytes;
use sluice_model::Offset;
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"SLUICECK";
const HEADER: usize = 56;
const QUEUE: usize = 16;
const ASYNC: u32 = 1;
const KEEP: usize = 2;
/// Written and synced at once: what a disk does in less than a sync takes anyway.
const PIECE: usize = 256 << 10;

/// Where a queue ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueEnd {
    pub queue: u32,
    pub next: Offset,
    pub is_async: bool,
}

/// A checkpoint as read.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub at: Lsn,
    pub ends: Vec<QueueEnd>,
    pub state: Bytes,
}

/// What reading one found.
pub(crate) enum Outcome {
    Good(Checkpoint),
    Other(u32),
    Unreadable(&'static str),
}

/// The folder of checkpoints.
pub(crate) fn dir_of(dir: &Path) -> PathBuf {
    dir.join("ckpt")
}

/// The file of a checkpoint.
pub(crate) fn path_of(dir: &Path, at: Lsn) -> PathBuf {
    dir_of(dir).join(format!("{at:016x}.ck"))
}

/// The positions of the checkpoints there are, oldest first, readable or not.
pub(crate) fn list(vfs: &dyn Vfs, dir: &Path) -> io::Result<Vec<Lsn>> {
    let names = vfs.list(&dir_of(dir))?;
    let position = |name: &String| Lsn::from_str_radix(name.strip_suffix(".ck")?, 16).ok();
    let mut positions: Vec<Lsn> = names.iter().filter_map(position).collect();
    positions.sort_unstable();
    Ok(positions)
}

/// Writes a checkpoint and deletes all but the newest two. Returns the positions of those kept, oldest first.
pub(crate) fn write(
    vfs: &dyn Vfs,
    dir: &Path,
    store: StoreId,
    at: Lsn,
    ends: &[QueueEnd],
    state: &[u8],
) -> io::Result<Vec<Lsn>> {
    let temporary = dir_of(dir).join("next.tmp");
    let file = vfs.open(&temporary, true)?;
    file.set_len(0)?;
    write_pieces(&*file, encode_head(store, at, ends, state), state)?;
    vfs.rename(&temporary, &path_of(dir, at))?;
    vfs.sync_dir(&dir_of(dir))?;
    let mut kept = list(vfs, dir)?;
    let surplus = kept.len().saturating_sub(KEEP);
    for old in kept.drain(..surplus) {
        vfs.remove(&path_of(dir, old))?;
    }
    Ok(kept)
}

/// Writes what comes first and the state behind it, so that all of it is safe.
fn write_pieces(file: &dyn VfsFile, mut first: Vec<u8>, state: &[u8]) -> io::Result<()> {
    let (small, large) = state.split_at(state.len().min(PIECE));
    first.extend_from_slice(small);
    let mut pace = Pace::begin();
    file.write_at(&first, 0)?;
    file.sync()?;
    let mut position = first.len() as u64;
    for piece in large.chunks(PIECE) {
        pace.rest(); // so that the log has half of the disk
        file.write_at(piece, position)?;
        file.sync()?;
        position += piece.len() as u64;
    }
    Ok(())
}

/// All that comes before the state.
fn encode_head(store: StoreId, at: Lsn, ends: &[QueueEnd], state: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.reserve_exact(ends.len() * QUEUE + state.len().min(PIECE));
    put(&mut bytes, 0, MAGIC);
    put(&mut bytes, 8, VERSION.to_le_bytes());
    put(&mut bytes, 16, store);
    put(&mut bytes, 32, at.to_le_bytes());
    put(&mut bytes, 40, (ends.len() as u64).to_le_bytes());
    put(&mut bytes, 48, (state.len() as u64).to_le_bytes());
    for end in ends {
        bytes.extend_from_slice(&end.queue.to_le_bytes());
        bytes.extend_from_slice(&if end.is_async { ASYNC } else { 0 }.to_le_bytes());
        bytes.extend_from_slice(&end.next.to_le_bytes());
    }
    let crc = crc32c_of_both(&bytes, state);
    put(&mut bytes, CRC_AT, crc.to_le_bytes());
    bytes
}

/// Reads the checkpoint at a position.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path, store: StoreId, at: Lsn) -> io::Result<Outcome> {
    let file = vfs.open(&path_of(dir, at), false)?;
    let mut bytes = vec![0; file.size()? as usize];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(decode(bytes, store, at))
}

/// Which store a checkpoint belongs to, when it is readable.
pub(crate) fn store_of(vfs: &dyn Vfs, dir: &Path, at: Lsn) -> io::Result<Option<StoreId>> {
    let mut head = [0; HEADER];
    vfs.open(&path_of(dir, at), false)?.read_at(&mut head, 0)?;
    let store = head.array_at(16);
    Ok(matches!(read(vfs, dir, store, at)?, Outcome::Good(_)).then_some(store))
}

fn decode(mut bytes: Vec<u8>, store: StoreId, at: Lsn) -> Outcome {
    if bytes.len() < HEADER || bytes.array_at(0) != MAGIC {
        return Outcome::Unreadable("it has no header");
    }
    let crc = bytes.u32_at(CRC_AT);
    put(&mut bytes, CRC_AT, [0; 4]);
    if crc32c(&bytes) != crc {
        return Outcome::Unreadable("its checksum is wrong");
    }
    let version = bytes.u32_at(8);
    if version != VERSION {
        return Outcome::Other(version);
    }
    if bytes.array_at(16) != store || bytes.u64_at(32) != at {
        return Outcome::Unreadable("it belongs to another store or position");
    }
    let state_len = bytes.u64_at(48);
    let queues_len = bytes.u64_at(40).saturating_mul(QUEUE as u64);
    if queues_len.saturating_add(state_len) != (bytes.len() - HEADER) as u64 {
        return Outcome::Unreadable("its lengths contradict each other");
    }
    let bytes = Bytes::from(bytes);
    let state_at = HEADER + queues_len as usize;
    let end = |place: &[u8]| QueueEnd {
        queue: place.u32_at(0),
        is_async: place.u32_at(4) & ASYNC != 0,
        next: place.u64_at(8),
    };
    let ends: Vec<QueueEnd> = bytes.slice(HEADER..state_at).chunks_exact(QUEUE).map(end).collect();
    if at > MAX_LSN || ends.iter().any(|end| end.next > MAX_OFFSET) {
        return Outcome::Unreadable("it tells of positions that no log reaches");
    }
    Outcome::Good(Checkpoint { at, ends, state: bytes.slice(state_at..) })
}
