//! Deleting what a crash left behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::failure::Failure;
use super::store::Store;
use crate::temporary::is_our_temporary_name;

/// A sweep under way.
struct Sweep {
    /// What was last written after this stays.
    before: SystemTime,
    folders: Vec<PathBuf>,
    swept_count: u64,
    first_error: Option<io::Error>,
}

impl Store {
    /// Deletes our temporary files that were last written more than `older_than` ago, wherever they are below the
    /// root. Goes on after a failure and reports the first.
    pub(super) fn sweep_temporary(&self, older_than: Duration) -> Result<u64, Failure> {
        let Some(before) = SystemTime::now().checked_sub(older_than) else { return Ok(0) };
        let mut sweep = Sweep { before, folders: vec![self.root().to_owned()], swept_count: 0, first_error: None };
        while let Some(folder) = sweep.folders.pop() {
            if let Err(error) = sweep.folder(&folder) {
                sweep.note(error);
            }
        }
        match sweep.first_error {
            None => Ok(sweep.swept_count),
            Some(error) => Err(Failure::new("sweeping temporary files", error)),
        }
    }
}

impl Sweep {
    fn folder(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            if let Err(error) = entry.and_then(|entry| self.entry(&entry)) {
                self.note(error);
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &fs::DirEntry) -> io::Result<()> {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            self.folders.push(entry.path());
        } else if kind.is_file()
            && entry.file_name().to_str().is_some_and(is_our_temporary_name)
            && entry.metadata()?.modified()? <= self.before
        {
            fs::remove_file(entry.path())?;
            self.swept_count += 1;
        }
        Ok(())
    }

    /// Keeps the first error. What went away by itself is none.
    fn note(&mut self, error: io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.first_error.get_or_insert(error);
        }
    }
}
