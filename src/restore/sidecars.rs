//! Files that SQLite keeps beside a database. Left behind by an earlier one, they would be replayed into the restored
//! database: they are moved aside, unless a process still uses them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fault_points::fault_point;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::error::RestoreError;
use crate::types::{Timestamp, sidecar};

const SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The files of an earlier database that lie beside `output`.
pub fn orphans(output: &Path) -> Vec<PathBuf> {
    SUFFIXES.iter().map(|suffix| sidecar(output, suffix)).filter(|p| p.symlink_metadata().is_ok()).collect()
}

/// Refuses if a process uses one of them, or still has the deleted database open.
///
/// # Errors
/// Which process uses which file.
pub fn check_unused(output: &Path) -> Result<(), RestoreError> {
    let in_use = |file: &Path, pid| RestoreError::InUse { output: output.to_owned(), file: file.to_owned(), pid };
    let orphans = orphans(output);
    for orphan in &orphans {
        if let Some(pid) = locked_by(orphan) {
            return Err(in_use(orphan, pid));
        }
    }
    match opened_by(output, &orphans) {
        Some((file, pid)) => Err(in_use(&file, pid)),
        None => Ok(()),
    }
}

/// Renames the orphans to `<name>.orphan-<utc>`. Returns old and new names.
///
/// # Errors
/// If a process uses one of them, or a file cannot be renamed.
pub fn move_aside(output: &Path, now: Timestamp) -> Result<Vec<(PathBuf, PathBuf)>, RestoreError> {
    check_unused(output)?;
    let stamp: String = now.to_seconds_text().chars().filter(|c| *c != '-' && *c != ':').collect();
    let mut moved = Vec::new();
    for orphan in orphans(output) {
        let aside = sidecar(&orphan, &format!(".orphan-{stamp}"));
        super::publish::rename_new(&orphan, &aside).map_err(|source| RestoreError::File {
            action: "move aside",
            path: orphan.clone(),
            source,
        })?;
        fault_point!("restore-moved-aside");
        moved.push((orphan, aside));
    }
    Ok(moved)
}

/// A process that holds a POSIX lock on `path`, as every SQLite connection in WAL mode does on the `-shm` file.
fn locked_by(path: &Path) -> Option<u32> {
    let file = File::open(path).ok()?;
    let holder = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??;
    // A process of another container has no number here.
    Some(holder.pid.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs()))
}

/// A process that has one of `files`, or the deleted file `output`, open. Only what this user may see is seen.
#[cfg(target_os = "linux")]
fn opened_by(output: &Path, files: &[PathBuf]) -> Option<(PathBuf, u32)> {
    let identity = |m: fs::Metadata| (m.dev(), m.ino());
    let wanted: Vec<_> = files.iter().filter_map(|p| Some((identity(fs::metadata(p).ok()?), p))).collect();
    let folder = output.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p })?;
    let output = fs::canonicalize(folder).ok()?.join(output.file_name()?);
    let deleted = sidecar(&output, " (deleted)");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        // Processes end while we look, and those of other users stay hidden.
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        for link in open.flatten().map(|entry| entry.path()) {
            if fs::read_link(&link).is_ok_and(|target| target == deleted) {
                return Some((deleted, pid));
            }
            // There is mostly nothing to look for, and to look at every open file of every process takes its time.
            let found = if wanted.is_empty() { None } else { fs::metadata(&link).ok().map(identity) };
            let Some(found) = found else { continue };
            if let Some((_, file)) = wanted.iter().find(|(wanted, _)| *wanted == found) {
                return Some(((*file).clone(), pid));
            }
        }
    }
    None
}

#[cfg(not(target_os = "linux"))]
fn opened_by(_output: &Path, _files: &[PathBuf]) -> Option<(PathBuf, u32)> {
    None
}

/// For messages about files that could not be inspected.
pub fn file_error(action: &'static str, path: &Path, source: io::Error) -> RestoreError {
    RestoreError::File { action, path: path.to_owned(), source }
}
