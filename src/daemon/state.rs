//! The state folder beside a database: a lock against a second replicator, and the writer's name.
//!
//! Nothing in it is needed to restore, and all of it can be deleted while nobody replicates.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fault_points::fault_point;
use rustix::fs::{FlockOperation, flock};

use crate::types::WriterId;

/// An open state folder; the lock is held as long as it lives.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    writer: WriterId,
    _lock: File,
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another replicator is at work.
    #[error("another lightship (pid {pid}) replicates this database; it holds {}", path.display())]
    Locked {
        /// Its process id, or "unknown".
        pid: String,
        /// The lock file.
        path: PathBuf,
    },
    /// The folder or a file in it cannot be read or written.
    #[error("cannot use the state folder {}: {source}", path.display())]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StateFolder {
    /// Opens the folder at `path`, making it if need be, and locks it. `fresh` names the writer if nobody has yet.
    ///
    /// # Errors
    /// If another process has it locked, or it cannot be written.
    pub fn open(path: &Path, fresh: WriterId) -> Result<Self, StateError> {
        let io = |path: &Path, source| StateError::Io { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(|e| io(path, e))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut lock = lock.map_err(|e| io(&lock_path, e))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let read = lock.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            let pid = if read { pid.trim().to_owned() } else { "unknown".to_owned() };
            return Err(StateError::Locked { pid, path: lock_path });
        }
        // The lock is held whatever is in the file: on a full disk a second replicator only learns less.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        let writer_path = path.join("writer");
        let writer = read_writer(&writer_path).unwrap_or_else(|| {
            if let Err(error) = write_writer(path, &writer_path, fresh) {
                tracing::warn!(path = %writer_path.display(), %error,
                    "cannot keep the writer's name: after a restart an interrupted upload may look like a conflict");
            }
            fresh
        });
        Ok(Self { path: path.to_owned(), writer, _lock: lock })
    }

    /// Writes under another name from now on.
    pub fn rename_writer(&mut self, fresh: WriterId) {
        self.writer = fresh;
        if let Err(error) = write_writer(&self.path, &self.path.join("writer"), fresh) {
            tracing::warn!(path = %self.path.display(), %error,
                "cannot keep the writer's new name: after a restart it may contend for a generation that was lost");
        }
    }

    /// The name under which this folder's replicator writes.
    #[must_use]
    pub fn writer(&self) -> WriterId {
        self.writer
    }
}

/// The file holds the name and a checksum, so that a torn one is made anew.
fn read_writer(path: &Path) -> Option<WriterId> {
    let text = fs::read_to_string(path).ok()?;
    let (name, check) = text.trim_end().split_once(' ')?;
    let writer = WriterId(u64::from_str_radix(name, 16).ok()?);
    (checksum(writer) == check).then_some(writer)
}

fn write_writer(folder: &Path, path: &Path, writer: WriterId) -> io::Result<()> {
    let temporary = folder.join("writer.tmp");
    let mut file = File::create(&temporary)?;
    fault_point!("writer-created");
    writeln!(file, "{writer} {}", checksum(writer))?;
    file.sync_all()?;
    fault_point!("writer-synced");
    fs::rename(&temporary, path)?;
    fault_point!("writer-renamed");
    File::open(folder)?.sync_all()
}

fn checksum(writer: WriterId) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&writer.0.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writers_name_that_is_torn_anywhere_is_made_anew_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let open = |fresh| StateFolder::open(folder.path(), WriterId(fresh)).unwrap().writer();
        assert_eq!(open(7), WriterId(7));
        let path = folder.path().join("writer");
        let whole = fs::read(&path).unwrap();
        // Only the line feed at its end is not missed.
        for len in 0..whole.len() - 1 {
            fs::write(&path, &whole[..len]).unwrap();
            assert_eq!(open(8), WriterId(8), "cut to {len} bytes");
            assert_eq!(open(9), WriterId(8), "it is kept");
        }
        let mut flipped = whole.clone();
        flipped[3] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert_eq!(open(10), WriterId(10));
        fs::write(&path, &whole).unwrap();
        assert_eq!(open(11), WriterId(7));
    }
}
