//! The seals of what was written to an encrypted replica that this machine cannot read, kept in the state folder: a
//! generation is continued from the seal of its last object.
//!
//! A text file with a line for each attempt to put an object: checksum, key, name of the encryption, seal (hex; `-` if
//! the object was deleted). It is only ever appended to, before the object can be whole in the store, and written anew
//! when it has grown. It is not synced: after a power cut a new generation may begin.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fault_points::fault_point;
use replica_backends::layers::Memory;

use crate::history::ObjectName;
use crate::segment::Seal;
use crate::types::{Generation, Index};

/// Of every generation snapshots are kept, and the last object and those of so many indexes before its own: what a
/// merge may have left is looked for there.
const INDEXES_BEFORE: u32 = 2;
/// Objects that are kept, whatever else is said.
const OBJECTS_MAX: usize = 8192;
/// Attempts at one object.
const ATTEMPTS_MAX: usize = 64;
/// Lines more than are needed, before the file is written anew.
const SPARE_LINES: usize = 4096;
const DELETED: &str = "-";

/// What one replica was given.
#[derive(Debug)]
pub struct Remembered {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// For each object the attempts to put it: name of the encryption, seal.
    objects: BTreeMap<ObjectName, Vec<(String, Vec<u8>)>>,
    /// `None` if it cannot be written.
    file: Option<File>,
    /// In the file, now and when it was written anew.
    lines: usize,
    lines_kept: usize,
}

impl Remembered {
    /// Reads what the state folder `folder` has of the replica called `name`. What cannot be read is not remembered.
    #[must_use]
    pub fn open(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("written-{:016x}", xxhash_rust::xxh3::xxh3_64(name.as_bytes())));
        let mut state = State::default();
        let text = fs::read(&path).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().filter_map(parse).for_each(|line| state.apply(line));
        let remembered = Self { path, state: Mutex::new(state) };
        remembered.rewrite(&mut remembered.lock());
        remembered
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the file anew, with what is still needed.
    fn rewrite(&self, state: &mut State) {
        state.trim();
        let written = self.write(state);
        match written {
            Ok(file) => state.file = Some(file),
            Err(error) => {
                state.file = None;
                tracing::warn!(path = %self.path.display(), %error,
                    "cannot keep what an encrypted replica was given: after a restart a new generation will begin");
            }
        }
    }

    fn write(&self, state: &mut State) -> io::Result<File> {
        let temporary = self.path.with_extension("tmp");
        let mut out = io::BufWriter::new(File::create(&temporary)?);
        state.lines = 0;
        for (name, attempts) in &state.objects {
            for (head, seal) in attempts {
                out.write_all(line(*name, head, &hex(seal)).as_bytes())?;
                state.lines += 1;
            }
        }
        state.lines_kept = state.lines;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fault_point!("written-synced");
        fs::rename(&temporary, &self.path)?;
        fault_point!("written-renamed");
        OpenOptions::new().append(true).open(&self.path)
    }

    fn append(&self, state: &mut State, lines: &str) {
        let Some(file) = &mut state.file else { return };
        if let Err(error) = file.write_all(lines.as_bytes()) {
            tracing::warn!(path = %self.path.display(), %error, "cannot keep what an encrypted replica was given");
            // What was torn ends the last line; the file is written anew.
            self.rewrite(state);
            return;
        }
        fault_point!("written-appended");
        state.lines += lines.lines().count();
        if state.lines > 2 * state.lines_kept + SPARE_LINES {
            self.rewrite(state);
        }
    }
}

impl Memory for Remembered {
    fn note(&self, key: &str, head: &str, end: &[u8]) {
        let (Some(name), Some(seal)) = (ObjectName::parse(key), Seal::frame_in(end)) else { return };
        let mut state = self.lock();
        state.apply((name, head.to_owned(), Some(seal.to_owned())));
        self.append(&mut state, &line(name, head, &hex(seal)));
    }

    fn recall(&self, key: &str, head: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let attempts = state.objects.get(&ObjectName::parse(key)?)?;
        attempts.iter().find(|(known, _)| known == head).map(|(_, seal)| seal.clone())
    }

    fn forget(&self, keys: &[String]) {
        let mut state = self.lock();
        let names: Vec<ObjectName> = keys.iter().filter_map(|key| ObjectName::parse(key)).collect();
        let known: Vec<_> = names.into_iter().filter(|name| state.objects.remove(name).is_some()).collect();
        let lines: String = known.into_iter().map(|name| line(name, DELETED, DELETED)).collect();
        self.append(&mut state, &lines);
    }
}

impl State {
    fn apply(&mut self, (name, head, seal): (ObjectName, String, Option<Vec<u8>>)) {
        let Some(seal) = seal else {
            self.objects.remove(&name);
            return;
        };
        let attempts = self.objects.entry(name).or_default();
        attempts.push((head, seal));
        let surplus = attempts.len().saturating_sub(ATTEMPTS_MAX);
        attempts.drain(..surplus);
    }

    fn trim(&mut self) {
        let mut last: BTreeMap<Generation, Index> = BTreeMap::new();
        for name in self.objects.keys() {
            let index = last.entry(name.generation()).or_default();
            *index = name.index().max(*index);
        }
        self.objects.retain(|name, _| {
            let from = last.get(&name.generation()).map_or(0, |last| last.get().saturating_sub(INDEXES_BEFORE));
            matches!(name, ObjectName::Snapshot(..)) || name.index().get() >= from
        });
        while self.objects.len() > OBJECTS_MAX {
            self.objects.pop_first();
        }
    }
}

fn line(name: ObjectName, head: &str, seal: &str) -> String {
    let text = format!("{} {head} {seal}", name.key().unwrap_or_default());
    format!("{:016x} {text}\n", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

fn parse(line: &str) -> Option<(ObjectName, String, Option<Vec<u8>>)> {
    let (check, text) = line.split_once(' ')?;
    if check != format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes())) {
        return None;
    }
    let mut fields = text.split(' ');
    let (key, head, seal) = (fields.next()?, fields.next()?, fields.next()?);
    let seal = if seal == DELETED { None } else { Some(unhex(seal)?) };
    Some((ObjectName::parse(key)?, head.to_owned(), seal))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Offset;

    fn segment(index: u32, offset: u64) -> String {
        ObjectName::Segment(Generation(7), Index::new(index).unwrap(), Offset(offset)).key().unwrap()
    }

    /// The end of an object: something, and what looks like the frame of a seal with `body` in it.
    fn end(body: &[u8]) -> Vec<u8> {
        let mut end = b"data".to_vec();
        end.extend([0; 8]);
        end.extend(body);
        end.extend((body.len() as u32).to_le_bytes());
        end.extend([0; 8]);
        end.extend(b"LSHPSEAL");
        end
    }

    #[test]
    fn every_attempt_is_known_after_a_kill_and_what_was_deleted_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = Remembered::open(folder.path(), "r");
        remembered.note(&segment(0, 0), "one", &end(b"first"));
        remembered.note(&segment(0, 0), "two", &end(b"second, longer"));
        remembered.note(&segment(0, 4152), "three", &end(b"third"));
        remembered.note("lightship/verify.json", "four", b"{}");
        remembered.forget(&[segment(0, 4152)]);
        // Killed here, within a line.
        let mut torn = OpenOptions::new().append(true).open(&remembered.path).unwrap();
        torn.write_all(b"0123 generations/").unwrap();
        for _ in 0..2 {
            let again = Remembered::open(folder.path(), "r");
            let recalled = |head: &str| again.recall(&segment(0, 0), head);
            assert_eq!(recalled("one").as_deref(), Some(&end(b"first")[4..]));
            assert_eq!(recalled("two").as_deref(), Some(&end(b"second, longer")[4..]));
            assert_eq!((recalled("three"), again.recall(&segment(0, 4152), "three")), (None, None));
            assert!(Remembered::open(folder.path(), "other").lock().objects.is_empty());
            again.note(&segment(0, 8000), "five", &end(b"5"));
        }
        let again = Remembered::open(folder.path(), "r");
        assert!(again.recall(&segment(0, 8000), "five").is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = Remembered::open(folder.path(), "r");
        let snapshot = ObjectName::Snapshot(Generation(7), Index::default()).key().unwrap();
        remembered.note(&snapshot, "s", &end(b"s"));
        for index in 0..3000_u32 {
            for offset in [0, 4152] {
                remembered.note(&segment(index, offset), "x", &end(b"x"));
            }
            for _ in 0..index % 3 {
                remembered.note(&segment(index, 8000), &index.to_string(), &end(b"again"));
            }
        }
        assert!(remembered.lock().lines < 9000, "{}", remembered.lock().lines);
        let again = Remembered::open(folder.path(), "r");
        assert!(again.recall(&snapshot, "s").is_some());
        assert!(again.recall(&segment(2999, 4152), "x").is_some() && again.recall(&segment(2997, 0), "x").is_some());
        assert!(again.recall(&segment(2996, 0), "x").is_none());
        assert!(again.lock().lines < 12);
    }
}
