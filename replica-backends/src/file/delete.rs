//! Deleting objects, and folders that are empty then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use fault_points::fault_point;
use rustix::io::Errno;

use super::FileBackend;
use super::failure::Failure;
use super::store::{Store, Target};
use crate::{Backend, Operation, Result};

impl FileBackend {
    /// Deletes `keys`, in one visit to the blocking pool; one result a key.
    pub(super) async fn delete_all(&self, keys: &[String]) -> Vec<Result<()>> {
        let targets: Vec<_> = keys.iter().map(|key| self.target(key, Operation::Delete)).collect();
        let mut results = Vec::with_capacity(keys.len());
        let mut valid = Vec::with_capacity(keys.len());
        for (index, target) in targets.into_iter().enumerate() {
            results.push(target.map(|target| valid.push((index, target))));
        }
        let failed = self.blocking(move |store| Ok(store.delete(&valid))).await;
        match failed {
            Ok(failures) => {
                for (index, failure) in failures {
                    results[index] = Err(failure.into_error(Operation::Delete, &keys[index], self.location()));
                }
            }
            Err(failure) => {
                let problem = failure.to_string();
                for (result, key) in results.iter_mut().zip(keys).filter(|(result, _)| result.is_ok()) {
                    let failure = Failure::new("deleting", io::Error::other(problem.clone()));
                    *result = Err(failure.into_error(Operation::Delete, key, self.location()));
                }
            }
        }
        results
    }
}

impl Store {
    /// Deletes files, syncs each folder that lost one, and removes folders that are empty then. Returns what
    /// failed, by the index that came with the file.
    fn delete(&self, targets: &[(usize, Target)]) -> BTreeMap<usize, Failure> {
        let mut failures = BTreeMap::new();
        let mut touched: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        for (index, target) in targets {
            match fs::remove_file(&target.path) {
                Ok(()) => touched.entry(target.folder.clone()).or_default().push(*index),
                Err(error) if is_no_object(&error) => {}
                Err(error) => drop(failures.insert(*index, Failure::new("deleting the object", error))),
            }
        }
        fault_point!("file-deleted");
        for (folder, indexes) in &touched {
            // A deletion that may come back after a power cut is not done: each of its keys has failed.
            match self.folders.sync_folder(folder) {
                Err(error) if !is_no_object(&error) => {
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    failures.extend(indexes.iter().map(|index| (*index, Failure::new("syncing the folder", errno))));
                }
                _ => {}
            }
        }
        self.remove_empty(touched.into_keys().collect());
        failures
    }

    /// Removes those of `folders` that are empty, and those above them that are empty then, but never the root.
    fn remove_empty(&self, mut folders: BTreeSet<PathBuf>) {
        let mut removed = false;
        // Deepest first: a path sorts before all that is below it.
        while let Some(folder) = folders.pop_last() {
            if folder != self.root() && fs::remove_dir(&folder).is_ok() {
                removed = true;
                folders.extend(folder.parent().map(PathBuf::from));
            }
        }
        if removed {
            self.folders.forget();
        }
    }
}

/// Whether there is no such object: nothing is there, or a folder is, or the path leads through a file.
fn is_no_object(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::NotFound | Kind::NotADirectory | Kind::IsADirectory)
}
