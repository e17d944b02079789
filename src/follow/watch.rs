//! Being told that a database may have changed: file system events on its folder. Only a hint; the wal-index decides.
//!
//! The folder is watched, not the WAL: a watch on a file dies silently when the file is deleted. One watcher serves
//! all databases, because the number of watchers a user may have is small (128 by default on Linux).

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// How long events are left to gather, and how long they are worked on at most before the next rest.
const REST: Duration = Duration::from_millis(1);

/// Somebody who waits for changes of one database.
#[derive(Debug)]
struct Waiting {
    wake: Arc<Notify>,
    paused: bool,
}

/// A folder with databases in it.
#[derive(Debug, Default)]
struct Folder {
    /// By file name: each database, and its WAL.
    names: HashMap<OsString, Waiting>,
    watched: bool,
}

type Folders = Arc<Mutex<HashMap<PathBuf, Folder>>>;

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
                // Meanwhile the kernel folds a busy writer's events into one, and the writer need not wake us often.
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
        self.set(path, |names, name| {
            names.insert(name, Waiting { wake: Arc::clone(wake), paused: false });
        })
    }

    /// Stops or resumes telling of the database at `path`.
    ///
    /// Every event costs the writer some microseconds, so a database that changes all the time is better polled. The
    /// folder is watched as long as any database in it wants to know.
    ///
    /// # Errors
    /// If the folder cannot be watched again.
    pub fn pause(&self, path: &Path, paused: bool) -> notify::Result<()> {
        self.set(path, |names, name| {
            if let Some(waiting) = names.get_mut(&name) {
                waiting.paused = paused;
            }
        })
    }

    fn set(
        &self,
        path: &Path,
        mut change: impl FnMut(&mut HashMap<OsString, Waiting>, OsString),
    ) -> notify::Result<()> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let mut wal = name.to_owned();
        wal.push("-wal");
        // Held throughout, so that what is watched is always what the entries say. The handler takes `folders` only.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (wanted, watched) = {
            let mut folders = lock(&self.folders);
            let entry = folders.entry(folder.to_owned()).or_default();
            change(&mut entry.names, name.to_owned());
            change(&mut entry.names, wal);
            (entry.names.values().any(|waiting| !waiting.paused), entry.watched)
        };
        match (wanted, watched) {
            (true, false) => inner.watch(folder, RecursiveMode::NonRecursive)?,
            (false, true) => inner.unwatch(folder)?,
            _ => return Ok(()),
        }
        if let Some(entry) = lock(&self.folders).get_mut(folder) {
            entry.watched = wanted;
        }
        Ok(())
    }
}

fn lock(folders: &Folders) -> MutexGuard<'_, HashMap<PathBuf, Folder>> {
    folders.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake_all(folders: &HashMap<PathBuf, Folder>) {
    folders.values().flat_map(|folder| folder.names.values()).for_each(|waiting| waiting.wake.notify_one());
}

fn wake(folders: &Folders, event: notify::Result<notify::Event>) {
    let folders = lock(folders);
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        // Events were lost: anything may have changed.
        _ => return wake_all(&folders),
    };
    // Our own reading produces Access and Metadata events; answering those would never end.
    let counts = match event.kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        // Somebody may have gone who had it open.
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => false,
    };
    if !counts {
        return;
    }
    for path in &event.paths {
        let folder = path.parent().and_then(|folder| folders.get(folder));
        if let Some(waiting) = folder.zip(path.file_name()).and_then(|(folder, name)| folder.names.get(name)) {
            waiting.wake.notify_one();
        }
    }
}
