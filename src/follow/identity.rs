//! Which file a path means.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Lost;

/// A path and the file that it meant when it was first looked at. Symbolic links are followed; nothing is opened.
#[derive(Debug, Clone)]
pub struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of the file that `path` means now.
    ///
    /// # Errors
    /// [`Lost::Deleted`] if there is none.
    pub fn of(path: &Path) -> Result<Self, Lost> {
        let meta = std::fs::metadata(path).map_err(|_| Lost::Deleted)?;
        Ok(Self { path: path.to_owned(), device: meta.dev(), inode: meta.ino() })
    }

    /// Whether the path still means that file.
    ///
    /// # Errors
    /// If it means none, or another.
    pub fn check(&self) -> Result<(), Lost> {
        let now = Self::of(&self.path)?;
        if (now.device, now.inode) == (self.device, self.inode) { Ok(()) } else { Err(Lost::Replaced) }
    }
}
