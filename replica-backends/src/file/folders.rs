//! Folders that exist and will still exist after a power cut.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use fault_points::fault_point;
use rustix::io::Errno;

use super::failure::{During, Failure};

/// Folders remembered at most; beyond, all are forgotten and looked at again.
const DURABLE_COUNT_MAX: usize = 4096;

/// Makes a file or folder durable. A seam: tests watch the order and make it fail.
pub(super) type SyncFn = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// The folders of one replica.
///
/// `durable` holds folders whose entry in their parent was synced by us, up to the root. A folder that merely
/// exists is not in it: another put, or a process that crashed, may have made it without syncing it yet.
pub(super) struct Folders {
    root: PathBuf,
    mode: u32,
    owner: Option<(u32, u32)>,
    sync: SyncFn,
    durable: RwLock<HashSet<PathBuf>>,
    epoch: AtomicU64,
    making: Mutex<()>,
}

impl Folders {
    /// Nothing is known of the folders below `root` yet.
    pub(super) fn new(root: PathBuf, mode: u32, owner: Option<(u32, u32)>, sync: SyncFn) -> Self {
        let durable = RwLock::default();
        Self { root, mode, owner, sync, durable, epoch: AtomicU64::new(0), making: Mutex::new(()) }
    }

    /// Changes whenever folders were forgotten: what [`Self::ensure`] promised before may no longer hold.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// A folder turned out to be gone: nothing is taken for granted any more.
    pub(super) fn forget(&self) {
        self.durable.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Makes `folder`, which is the root or below it, exist durably. Costs no system call when it is known.
    pub(super) fn ensure(&self, folder: &Path) -> Result<(), Failure> {
        if self.is_durable(folder) {
            return Ok(());
        }
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_durable(&self.root) {
            self.make_root(&self.root)?;
            self.remember(&self.root);
        }
        let mut path = self.root.clone();
        for segment in folder.strip_prefix(&self.root).into_iter().flatten() {
            let parent = path.clone();
            path.push(segment);
            if !self.is_durable(&path) {
                self.make(&path)?;
                fault_point!("folder-made");
                self.sync_folder(&parent).during("syncing the parent of a folder")?;
                self.remember(&path);
            }
        }
        Ok(())
    }

    /// Makes the entries of `folder` durable.
    ///
    /// Some file systems (CIFS, some FUSE) cannot sync a folder at all and say EINVAL; on them the entry is as
    /// durable as it gets.
    pub(super) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        match (self.sync)(&File::open(folder)?) {
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP)) => Ok(()),
            synced => synced,
        }
    }

    /// Makes `path`, the root, and whatever is missing above it. A root that is there already may sit in a folder
    /// that we must not open; only then is that folder left unsynced.
    fn make_root(&self, path: &Path) -> Result<(), Failure> {
        let parent = parent(path);
        let made = match self.make(path) {
            Err(failure) if failure.is_not_found() && parent != path => {
                self.make_root(parent)?;
                self.make(path)?
            }
            other => other?,
        };
        match self.sync_folder(parent) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !made => Ok(()),
            synced => synced.during("syncing the parent of the root"),
        }
    }

    /// Makes one folder unless it is there; says whether it was missing.
    fn make(&self, path: &Path) -> Result<bool, Failure> {
        match DirBuilder::new().mode(self.mode).create(path) {
            Ok(()) => {
                if let Some((uid, gid)) = self.owner {
                    // As with files: better another owner than no replica.
                    let _ = std::os::unix::fs::chown(path, Some(uid), Some(gid));
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::new("creating a folder", error)),
            Err(error) => match fs::metadata(path) {
                Ok(meta) if meta.is_dir() => Ok(false),
                Ok(_) => Err(Failure::new("creating a folder", Errno::NOTDIR)),
                Err(_) => Err(Failure::new("creating a folder", error)),
            },
        }
    }

    fn is_durable(&self, folder: &Path) -> bool {
        self.durable.read().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }

    fn remember(&self, folder: &Path) {
        let mut durable = self.durable.write().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= DURABLE_COUNT_MAX {
            durable.clear();
        }
        durable.insert(folder.to_owned());
    }
}

/// The folder that holds `path`'s entry; `/` holds its own.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}
