//! The file beside the target in which a database is put together, and the moment at which it becomes the target.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use fault_points::fault_point;
use rustix::fs::{CWD, RenameFlags, StatVfs, renameat_with, statvfs};

use super::error::RestoreError;
use super::sidecars::file_error;
use crate::types::sidecar;

/// A file beside `output` that disappears again unless it is published.
#[derive(Debug)]
pub struct Staged {
    output: PathBuf,
    path: PathBuf,
    folder: PathBuf,
    file: File,
    published: bool,
}

impl Staged {
    /// Creates it (mode 0600), and the folders above it (mode 0700) if they are missing.
    ///
    /// # Errors
    /// If the target exists or the file cannot be created.
    pub fn create(output: &Path) -> Result<Self, RestoreError> {
        refuse_existing(output)?;
        let name = output.file_name().ok_or_else(|| RestoreError::OutputExists(output.to_owned()))?;
        let folder = match output.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|e| file_error("create", &folder, e))?;
        let mut staged_name = std::ffi::OsString::from(".");
        staged_name.push(name);
        staged_name.push(format!(".lightship-{:08x}.tmp", fastrand::u32(..)));
        let path = folder.join(staged_name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| file_error("create", &path, e))?;
        Ok(Self { output: output.to_owned(), path, folder, file, published: false })
    }

    /// Another handle of the file, for the threads that fill it.
    ///
    /// # Errors
    /// If there are too many open files.
    pub fn file(&self) -> Result<File, RestoreError> {
        self.file.try_clone().map_err(|e| file_error("open", &self.path, e))
    }

    /// A name beside the file that nobody uses.
    pub fn spill_path(&self) -> PathBuf {
        sidecar(&self.path, ".spill")
    }

    /// Bytes that this user may still write on the disk of the target.
    pub fn available_bytes(&self) -> u64 {
        statvfs(&self.folder).map_or(u64::MAX, |StatVfs { f_bavail, f_frsize, .. }| f_bavail.saturating_mul(f_frsize))
    }

    /// Gives the complete and synced file its name, which must be free, durably.
    ///
    /// # Errors
    /// If somebody has created the target meanwhile, or the folder cannot be synced.
    pub fn publish(mut self) -> Result<(), RestoreError> {
        fault_point!("restore-publishing");
        rename_new(&self.path, &self.output).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => RestoreError::OutputExists(self.output.clone()),
            _ => file_error("create", &self.output, error),
        })?;
        self.published = true;
        fault_point!("restore-renamed");
        File::open(&self.folder).and_then(|f| f.sync_all()).map_err(|e| file_error("sync", &self.folder, e))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // Nothing more can be done about a file that cannot be removed; its name says what it is.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Refuses a target that exists, even as a dangling link.
///
/// # Errors
/// That it exists.
pub fn refuse_existing(output: &Path) -> Result<(), RestoreError> {
    match output.symlink_metadata() {
        Ok(_) => Err(RestoreError::OutputExists(output.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(file_error("look at", output, e)),
    }
}

/// Renames `from` to `to` unless `to` exists.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        // The file system cannot do it in one step.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
        Err(error) => return Err(error.into()),
    }
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}
