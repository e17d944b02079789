//! Listing objects in byte order of their keys.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::vec;

use futures::stream::{self, BoxStream, StreamExt};

use super::FileBackend;
use super::failure::{During, Failure};
use super::read::object_meta;
use crate::key::check_prefix;
use crate::temporary::is_object_name;
use crate::{Backend, ObjectMeta, Operation, Result};

/// Objects looked at in one visit to the blocking pool.
const BATCH_COUNT: usize = 512;

/// One name in a folder. Folders end with `/`: so sorted, names are in the order of the keys they stand for
/// (`a.b` before `a/c`, although `a` sorts before `a.b`).
type Entry = String;

/// A walk over a folder, in order. Holds the names of one folder for each level it is in.
#[derive(Debug)]
struct Walk {
    root: PathBuf,
    after: Option<String>,
    levels: Vec<Level>,
}

/// The part of one folder that remains to be walked.
#[derive(Debug)]
struct Level {
    prefix: String,
    entries: vec::IntoIter<Entry>,
}

impl Walk {
    /// A walk over the folder `prefix`, from the first key after `after`.
    fn new(root: &Path, prefix: &str, after: Option<String>) -> Result<Self, Failure> {
        refuse_file(root)?;
        let mut walk = Self { root: root.to_owned(), after, levels: Vec::new() };
        walk.enter(prefix.to_owned())?;
        Ok(walk)
    }

    /// The next object, if there is one.
    fn next(&mut self) -> Result<Option<ObjectMeta>, Failure> {
        while let Some(level) = self.levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                self.levels.pop();
                continue;
            };
            let key = format!("{}{entry}", level.prefix);
            if key.ends_with('/') {
                self.enter(key)?;
            } else if let Some(meta) = look(&self.root.join(&key), key)? {
                return Ok(Some(meta));
            }
        }
        Ok(None)
    }

    /// Up to [`BATCH_COUNT`] objects; none at the end.
    fn batch(&mut self) -> Result<Vec<ObjectMeta>, Failure> {
        let mut batch = Vec::new();
        while batch.len() < BATCH_COUNT {
            match self.next()? {
                Some(meta) => batch.push(meta),
                None => break,
            }
        }
        Ok(batch)
    }

    /// Goes down into the folder `prefix`, leaving out what is not wanted.
    fn enter(&mut self, prefix: String) -> Result<(), Failure> {
        let mut entries = read_folder(&self.root.join(&prefix))?;
        if let Some(after) = &self.after {
            entries.retain(|entry| is_wanted(&prefix, entry, after));
        }
        entries.sort_unstable();
        self.levels.push(Level { prefix, entries: entries.into_iter() });
        Ok(())
    }
}

impl FileBackend {
    /// The objects of the folder `prefix` that sort after `after`. The first of them are looked at before this
    /// returns, so that a store which cannot be read is found out here.
    pub(super) async fn walk(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        check_prefix(prefix).map_err(|problem| self.invalid(Operation::List, prefix, problem))?;
        let (folder, after) = (prefix.to_owned(), after.map(str::to_owned));
        let started = self.blocking(move |store| {
            let mut walk = Walk::new(store.root(), &folder, after)?;
            Ok((walk.batch()?, walk))
        });
        let (first, walk) =
            started.await.map_err(|failure| failure.into_error(Operation::List, prefix, self.location()))?;
        let first = stream::iter(first.into_iter().map(Ok));
        if walk.levels.is_empty() {
            return Ok(first.boxed());
        }
        let (backend, prefix) = (self.clone(), prefix.to_owned());
        let rest = stream::unfold(Some(walk), move |walk| {
            let (backend, prefix) = (backend.clone(), prefix.clone());
            async move {
                let mut walk = walk?;
                let (items, walk) = match backend.blocking(move |_| Ok((walk.batch()?, walk))).await {
                    Ok((batch, _)) if batch.is_empty() => return None,
                    Ok((batch, walk)) => (batch.into_iter().map(Ok).collect(), Some(walk)),
                    Err(failure) => (vec![Err(failure.into_error(Operation::List, &prefix, backend.location()))], None),
                };
                Some((stream::iter::<Vec<_>>(items), walk))
            }
        });
        Ok(first.chain(rest.flatten()).boxed())
    }

    /// The names of the folders in the folder `prefix`, empty ones too.
    pub(super) async fn sub_folders(&self, prefix: &str) -> Result<Vec<String>> {
        check_prefix(prefix).map_err(|problem| self.invalid(Operation::List, prefix, problem))?;
        let folder = self.store.root().join(prefix);
        let root = self.store.root().to_owned();
        let entries = self.blocking(move |_| refuse_file(&root).and_then(|()| read_folder(&folder))).await;
        let entries = entries.map_err(|failure| failure.into_error(Operation::List, prefix, self.location()))?;
        let mut names: Vec<_> = entries.iter().filter_map(|entry| entry.strip_suffix('/')).map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }
}

/// A file in the place of the replica is a mistake, not an empty replica: "no backup" would be the wrong answer.
fn refuse_file(root: &Path) -> Result<(), Failure> {
    match fs::metadata(root) {
        Ok(meta) if !meta.is_dir() => {
            Err(Failure::new("opening the replica", io::Error::from(io::ErrorKind::NotADirectory)))
        }
        _ => Ok(()),
    }
}

/// Whether `entry` of the folder `prefix` is, or may hold, a key that sorts after `after`.
fn is_wanted(prefix: &str, entry: &str, after: &str) -> bool {
    let Some(rest) = after.strip_prefix(prefix) else { return prefix > after };
    entry > rest || (entry.ends_with('/') && rest.starts_with(entry))
}

/// Objects and folders in the folder at `path`, unsorted; none if there is no such folder. Links, unfinished files
/// and names that are not UTF-8 are no part of a replica.
fn read_folder(path: &Path) -> Result<Vec<Entry>, Failure> {
    let entries = match fs::read_dir(path) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        entries => entries.during("opening a folder")?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.during("reading a folder")?;
        let Ok(mut name) = entry.file_name().into_string() else { continue };
        let kind = match entry.file_type() {
            Err(error) if is_gone(&error) => continue,
            kind => kind.during("reading a folder")?,
        };
        if kind.is_dir() {
            name.push('/');
            names.push(name);
        } else if kind.is_file() && is_object_name(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// What a listing says of the file at `path`; nothing if it went away since its name was read.
fn look(path: &Path, key: String) -> Result<Option<ObjectMeta>, Failure> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => object_meta(key, &meta).map(Some).during("looking at an object"),
        Ok(_) => Ok(None),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(Failure::new("looking at an object", error)),
    }
}

/// Whether a path is missing, or leads through a file.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_the_replica_is_an_error_not_an_empty_replica() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.db");
        fs::write(&file, b"SQLite format 3").unwrap();
        assert!(Walk::new(&file, "", None).is_err());
        assert!(Walk::new(&folder.path().join("missing"), "", None).is_ok());
    }

    #[test]
    fn a_folder_is_skipped_only_if_all_its_keys_sort_before() {
        let cases = [
            // entry, after, wanted (in the folder "p/")
            ("b", "p/a", true),
            ("b", "p/b", false),
            ("b", "p/b/c", false),
            ("b", "p/c", false),
            ("b/", "p/b", true),
            ("b/", "p/b/", true),
            ("b/", "p/b/zzz", true),
            ("b/", "p/b.", true),
            ("b/", "p/b0", false),
            ("b/", "p/c", false),
            ("b/", "a", true),
            ("b/", "p", true),
            ("b/", "q", false),
            ("b", "p/", true),
            ("b", "p0", false),
        ];
        for (entry, after, wanted) in cases {
            assert_eq!(is_wanted("p/", entry, after), wanted, "{entry:?} after {after:?}");
        }
    }
}
