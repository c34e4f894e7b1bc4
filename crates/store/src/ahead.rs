//! Reading ahead of those who catch up.
//!
//! It exists because a reader that is behind does three things in turn, reads a block, checks it, and sends it, of which
//! only the first needs the disk. The one idea to know: nobody asks for it. Who takes a block behind one that is there
//! already will go on, so a thread brings the next few into the same memory ([`Blocks`]) meanwhile. It sleeps when nobody
//! catches up. What it cannot read is left to the reader, who can say so.

use crate::blocks::Blocks;
use crate::log::Lsn;
use crate::vfs::VfsFile;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Readers that catch up at the same time and are read ahead for; more of them read for themselves.
const MOST: usize = 16;

/// What the thread is asked to do.
#[derive(Default)]
pub(crate) struct Ahead {
    inner: Mutex<Inner>,
    comes: Condvar,
}

#[derive(Default)]
struct Inner {
    asked: VecDeque<Asked>,
    /// There is a thread that does it.
    open: bool,
}

struct Asked {
    segment: Lsn,
    file: Arc<dyn VfsFile>,
    blocks: Range<u64>,
}

impl Ahead {
    /// From now on things are asked for: for who has a thread that will [`Ahead::run`].
    pub(crate) fn start(&self) {
        self.inner.lock().open = true;
    }

    /// Asks for blocks of a sealed segment.
    pub(crate) fn ask(&self, segment: Lsn, file: &Arc<dyn VfsFile>, blocks: Range<u64>) {
        let mut inner = self.inner.lock();
        if inner.open && inner.asked.len() < MOST {
            inner.asked.push_back(Asked { segment, file: Arc::clone(file), blocks });
            self.comes.notify_one();
        }
    }

    /// Works until stopped.
    pub(crate) fn run(&self, blocks: &Blocks) {
        loop {
            let asked = {
                let mut inner = self.inner.lock();
                while inner.open && inner.asked.is_empty() {
                    self.comes.wait(&mut inner);
                }
                inner.asked.pop_front()
            };
            let Some(asked) = asked else { return };
            for number in asked.blocks {
                blocks.bring(asked.segment, &*asked.file, number);
            }
        }
    }

    /// Ends the thread after the block that it reads.
    pub(crate) fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.open = false;
        inner.asked.clear();
        self.comes.notify_one();
    }
}
