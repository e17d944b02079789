//! A file that is being written beside its target, and goes away unless it is published.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Ownership;
use crate::temporary::temporary_name;

/// An unpublished file. Dropping it deletes it, whatever the reason: an error, a cancelled future, a panic.
#[derive(Debug)]
pub(super) struct TempFile {
    file: File,
    path: PathBuf,
    armed: bool,
}

impl TempFile {
    /// Creates an empty file in `folder` that is to become `name`. Fails with `NotFound` if the folder is missing.
    pub(super) fn create(folder: &Path, name: &str, ownership: &Ownership) -> io::Result<Self> {
        loop {
            let path = folder.join(temporary_name(name));
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(ownership.file_mode);
            match options.open(&path) {
                Ok(file) => {
                    if let Some((uid, gid)) = ownership.file_owner {
                        // Only root may give files away; a replica with another owner is better than none.
                        let _ = std::os::unix::fs::fchown(&file, Some(uid), Some(gid));
                    }
                    return Ok(Self { file, path, armed: true });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends as much from the front of `bytes` to the empty file as can go past the page cache; returns how much.
    #[cfg(target_os = "linux")]
    pub(super) fn write_past_cache(&mut self, bytes: &[u8]) -> io::Result<usize> {
        super::direct::write_front(&self.file, bytes)
    }

    /// Appends nothing: only Linux is asked to.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn write_past_cache(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Ok(0)
    }

    /// Appends `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// The open file, to be synced.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its name is gone (it was renamed): there is nothing left to delete.
    pub(super) fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if self.armed {
            // Nobody is left to tell; what stays behind is swept later.
            let _ = fs::remove_file(&self.path);
        }
    }
}
