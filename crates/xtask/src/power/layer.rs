//! The simulated disk as a mounted file system.
//!
//! The one idea to know: every call goes straight through to the disk under a lock that a power cut takes for itself, so
//! what was answered before the cut is before it, and afterwards every call fails.

use crate::shell::Result;
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, WriteFlags,
};
use parking_lot::{Mutex, MutexGuard};
use rustix::mount::{UnmountFlags, unmount};
use sluice_store::sim::SimVfs;
use sluice_store::vfs::{Vfs, VfsFile};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Nothing is remembered by the system: each look is answered here.
const ASK_AGAIN: Duration = Duration::ZERO;
const BLOCK: u32 = 4096;

/// A mounted disk; dropping it unmounts.
pub struct Mounted {
    at: PathBuf,
    layer: Arc<Layer>,
    session: Option<BackgroundSession>,
}

impl Mounted {
    pub fn new(disk: SimVfs, at: &Path) -> Result<Self> {
        let layer = Arc::new(Layer { world: Mutex::new(World::of(disk)) });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("power".into()), MountOption::NoAtime];
        let session = fuser::spawn_mount(Calls(Arc::clone(&layer)), at, &config)?;
        Ok(Self { at: at.to_owned(), layer, session: Some(session) })
    }

    /// Cuts the power: what is left of the disk, and how much was not synced.
    pub fn cut(&self, seed: u64) -> (SimVfs, u32) {
        let mut world = self.layer.world.lock();
        world.has_power = false;
        (world.disk.power_cut(seed), world.disk.unsynced())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        // Whoever looks through it at the moment (`du`, a backup) does not keep it, as `fusermount -z` has it for those who
        // may not unmount by themselves.
        let ended = match unmount(&self.at, UnmountFlags::DETACH) {
            Ok(()) => session.join(),
            Err(_) => session.umount_and_join(),
        };
        if let Err(error) = ended {
            eprintln!("the disk could not be unmounted: {error}");
        }
    }
}

struct Layer {
    world: Mutex<World>,
}

struct World {
    disk: SimVfs,
    has_power: bool,
    nodes: HashMap<u64, Node>,
    names: BTreeMap<PathBuf, u64>,
}

#[derive(Clone)]
enum Node {
    Folder(PathBuf),
    File(Arc<dyn VfsFile>),
}

type Call<T> = std::result::Result<T, Errno>;

fn failed(error: io::Error) -> Errno {
    match error.raw_os_error() {
        Some(code) => Errno::from_i32(code),
        None if error.kind() == io::ErrorKind::NotFound => Errno::ENOENT,
        None => Errno::EIO,
    }
}

impl World {
    /// Folders are taken for safe: those that files are in.
    fn of(disk: SimVfs) -> Self {
        let mut world = Self { disk, has_power: true, nodes: HashMap::new(), names: BTreeMap::new() };
        world.add(PathBuf::from("/"), Node::Folder("/".into()));
        for path in world.disk.files().into_keys() {
            let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
            folders.reverse();
            for folder in folders {
                if !world.names.contains_key(folder) {
                    world.add(folder.into(), Node::Folder(folder.into()));
                }
            }
            if let Ok(file) = world.disk.open(&path, false) {
                world.add(path, Node::File(file));
            }
        }
        world
    }

    fn add(&mut self, path: PathBuf, node: Node) -> u64 {
        let number = self.nodes.len() as u64 + 1;
        self.nodes.insert(number, node);
        self.names.insert(path, number);
        number
    }

    fn folder(&self, number: INodeNo) -> Call<&Path> {
        match self.nodes.get(&number.0) {
            Some(Node::Folder(path)) => Ok(path),
            Some(Node::File(_)) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn file(&self, number: INodeNo) -> Call<&dyn VfsFile> {
        match self.nodes.get(&number.0) {
            Some(Node::File(file)) => Ok(&**file),
            Some(Node::Folder(_)) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn attributes(&self, number: u64) -> Call<FileAttr> {
        let (kind, size) = match self.nodes.get(&number) {
            Some(Node::Folder(_)) => (FileType::Directory, u64::from(BLOCK)),
            Some(Node::File(file)) => (FileType::RegularFile, file.size().map_err(failed)?),
            None => return Err(Errno::ENOENT),
        };
        let (at, owner) = (SystemTime::UNIX_EPOCH, rustix::process::getuid().as_raw());
        Ok(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: at,
            mtime: at,
            ctime: at,
            crtime: at,
            kind,
            perm: if kind == FileType::Directory { 0o700 } else { 0o600 },
            nlink: 1,
            uid: owner,
            gid: rustix::process::getgid().as_raw(),
            rdev: 0,
            blksize: BLOCK,
            flags: 0,
        })
    }

    fn create(&mut self, parent: INodeNo, name: &OsStr) -> Call<FileAttr> {
        let path = self.folder(parent)?.join(name);
        let number = match self.names.get(&path) {
            Some(number) => *number,
            None => {
                let file = self.disk.open(&path, true).map_err(failed)?;
                self.add(path, Node::File(file))
            }
        };
        self.attributes(number)
    }

    fn rename(&mut self, from: PathBuf, to: PathBuf) -> Call<()> {
        self.disk.rename(&from, &to).map_err(failed)?;
        let number = self.names.remove(&from).ok_or(Errno::ENOENT)?;
        self.names.insert(to, number);
        Ok(())
    }

    fn inside(&self, folder: &Path) -> Vec<(u64, FileType, String)> {
        let inside = self.names.iter().filter(|(path, _)| path.parent() == Some(folder));
        inside
            .map(|(path, number)| {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                let is_file = matches!(self.nodes.get(number), Some(Node::File(_)));
                let kind = if is_file { FileType::RegularFile } else { FileType::Directory };
                (*number, kind, name.unwrap_or_default())
            })
            .collect()
    }
}

/// What the system calls.
struct Calls(Arc<Layer>);

impl Calls {
    fn world(&self) -> Call<MutexGuard<'_, World>> {
        let world = self.0.world.lock();
        if world.has_power { Ok(world) } else { Err(Errno::EIO) }
    }
}

/// Answers with what a call came to, or with its error.
macro_rules! answer {
    ($reply:ident, $outcome:expr, $value:ident => $answer:expr) => {
        match (|| -> Call<_> { $outcome })() {
            Ok($value) => $answer,
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for Calls {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, {
            let world = self.world()?;
            let path = world.folder(parent)?.join(name);
            world.attributes(*world.names.get(&path).ok_or(Errno::ENOENT)?)
        }, attributes => reply.entry(&ASK_AGAIN, &attributes, Generation(0)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.world()?.attributes(ino.0), attributes => reply.attr(&ASK_AGAIN, &attributes));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<fuser::TimeOrNow>,
        _: Option<fuser::TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        answer!(reply, {
            let world = self.world()?;
            if let Some(size) = size {
                world.file(ino)?.set_len(size).map_err(failed)?;
            }
            world.attributes(ino.0)
        }, attributes => reply.attr(&ASK_AGAIN, &attributes));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        answer!(reply, {
            let mut world = self.world()?;
            let path = world.folder(parent)?.join(name);
            if world.names.contains_key(&path) {
                return Err(Errno::EEXIST);
            }
            let number = world.add(path.clone(), Node::Folder(path));
            world.attributes(number)
        }, attributes => reply.entry(&ASK_AGAIN, &attributes, Generation(0)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, {
            let mut world = self.world()?;
            let path = world.folder(parent)?.join(name);
            world.disk.remove(&path).map_err(failed)?;
            world.names.remove(&path);
            Ok(())
        }, _done => reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer!(reply, {
            let mut world = self.world()?;
            let (from, to) = (world.folder(parent)?.join(name), world.folder(newparent)?.join(newname));
            world.rename(from, to)
        }, _done => reply.ok());
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        answer!(reply, self.world()?.create(parent, name), attributes => {
            reply.created(&ASK_AGAIN, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
        });
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        answer!(reply, {
            let world = self.world()?;
            let mut bytes = vec![0; size as usize];
            let read = world.file(ino)?.read_at(&mut bytes, offset).map_err(failed)?;
            bytes.truncate(read);
            Ok(bytes)
        }, bytes => reply.data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        answer!(reply, {
            self.world()?.file(ino)?.write_at(data, offset).map_err(failed)
        }, _done => reply.written(data.len() as u32));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok(); // closing a file makes nothing safe
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.world()?.file(ino)?.sync().map_err(failed), _done => reply.ok());
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, {
            let world = self.world()?;
            world.disk.sync_dir(world.folder(ino)?).map_err(failed)
        }, _done => reply.ok());
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        answer!(reply, {
            let world = self.world()?;
            Ok(world.inside(world.folder(ino)?))
        }, inside => {
            for (n, (number, kind, name)) in (1..).zip(inside).skip(offset as usize) {
                if reply.add(INodeNo(number), n, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer!(reply, {
            if mode != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            self.world()?.file(ino)?.allocate(offset + length).map_err(failed)
        }, _done => reply.ok());
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        answer!(reply, self.world()?.disk.space(Path::new("/")).map_err(failed), space => {
            let (all, free) = (space.total / u64::from(BLOCK), space.available / u64::from(BLOCK));
            reply.statfs(all, free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
        });
    }
}
