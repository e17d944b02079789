//! Being told that a database may have changed: file system events on its folder. Only a hint; the wal-index decides.
//!
//! The folder is watched, not the WAL: a watch on a file dies silently when the file is deleted. One watcher serves
//! all databases, because the number of watchers a user may have is small (128 by default on Linux).

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// How long events are left to gather, and how long they are worked on at most before the next rest.
const REST: Duration = Duration::from_millis(1);

/// File names in a watched folder, and whom their changes wake.
type Names = HashMap<OsString, Arc<Notify>>;
type Folders = Arc<Mutex<HashMap<PathBuf, Names>>>;

/// Watches the folders of many databases.
#[derive(Debug)]
pub struct Watcher {
    inner: Mutex<RecommendedWatcher>,
    folders: Folders,
}

impl Watcher {
    /// A watcher of nothing yet.
    ///
    /// # Errors
    /// If the operating system has no watcher left to give; polling still works then.
    pub fn new() -> notify::Result<Self> {
        let folders = Folders::default();
        let told = Arc::clone(&folders);
        let mut rested = Instant::now();
        let inner = notify::recommended_watcher(move |event| {
            wake(&told, event);
            if rested.elapsed() >= REST {
                // Meanwhile the kernel folds a busy writer's events into one, and the writer need not wake us each time.
                std::thread::sleep(REST);
                rested = Instant::now();
            }
        })?;
        Ok(Self { inner: Mutex::new(inner), folders })
    }

    /// Wakes `wake` when the database at `path` or its WAL is written, created, renamed or removed.
    ///
    /// # Errors
    /// If the folder cannot be watched.
    pub fn watch(&self, path: &Path, wake: &Arc<Notify>) -> notify::Result<()> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let mut wal = name.to_owned();
        wal.push("-wal");
        let mut folders = lock(&self.folders);
        let known = folders.contains_key(folder);
        let names = folders.entry(folder.to_owned()).or_default();
        names.insert(name.to_owned(), Arc::clone(wake));
        names.insert(wal, Arc::clone(wake));
        drop(folders);
        if known {
            return Ok(());
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.watch(folder, RecursiveMode::NonRecursive).inspect_err(|_| {
            lock(&self.folders).remove(folder);
        })
    }
}

fn lock(folders: &Folders) -> MutexGuard<'_, HashMap<PathBuf, Names>> {
    folders.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(folders: &Folders, event: notify::Result<notify::Event>) {
    let folders = lock(folders);
    let Ok(event) = event.map(|event| (event.need_rescan(), event)) else {
        return folders.values().flat_map(HashMap::values).for_each(|wake| wake.notify_one());
    };
    let (rescan, event) = event;
    if rescan {
        // Events were lost: anything may have changed.
        folders.values().flat_map(HashMap::values).for_each(|wake| wake.notify_one());
    }
    // Our own reading produces Access and Metadata events; answering those would never end.
    let counts = match event.kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        _ => false,
    };
    if !counts {
        return;
    }
    for path in &event.paths {
        let names = path.parent().and_then(|folder| folders.get(folder));
        if let Some(wake) = names.zip(path.file_name()).and_then(|(names, name)| names.get(name)) {
            wake.notify_one();
        }
    }
}
