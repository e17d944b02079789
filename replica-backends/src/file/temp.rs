//! A file that is being written beside its target, and goes away unless it is published.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Ownership;

/// The longest name a file may have on Linux, in bytes.
const NAME_LEN_MAX: usize = 255;
/// Random hex digits in a temporary name: two writers of one object never meet.
const RANDOM_LEN: usize = 16;
/// What every temporary name ends with, ours and Litestream's.
const SUFFIX: &str = ".tmp";

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
            let path = folder.join(temporary_name(name, fastrand::u64(..)));
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

/// `.<name>.<16 hex>.tmp`, with `name` cut where the whole would be too long for a file name.
///
/// The leading dot keeps it apart from every name Litestream reads.
fn temporary_name(name: &str, random: u64) -> String {
    let kept = name.floor_char_boundary(NAME_LEN_MAX - RANDOM_LEN - SUFFIX.len() - 2);
    format!(".{}.{random:016x}{SUFFIX}", &name[..kept])
}

/// Whether a file of this name may be an object: neither our temporary files nor Litestream's `<name>.tmp` are.
pub(super) fn is_object_name(name: &str) -> bool {
    !name.ends_with(SUFFIX)
}

/// Whether we made a file of this name: `.<anything>.<16 hex>.tmp`.
pub(super) fn is_our_temporary_name(name: &str) -> bool {
    let Some(stem) = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(SUFFIX)) else { return false };
    let Some((target, random)) = stem.rsplit_once('.') else { return false };
    !target.is_empty()
        && random.len() == RANDOM_LEN
        && random.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_is_recognised_and_is_no_object() {
        for target in ["00000000.snapshot.lz4", "00000000_00001038.wal.lz4", "x", "é", ".hidden", "a.tmpx"] {
            let name = temporary_name(target, 0xfeed);
            assert_eq!(name, format!(".{target}.000000000000feed.tmp"));
            assert!(is_our_temporary_name(&name) && !is_object_name(&name), "{name}");
            assert!(is_object_name(target) && !is_our_temporary_name(target), "{target}");
        }
        for foreign in ["a.tmp", ".tmp", "..tmp", ".a.0123.tmp", "..0123456789abcdef.tmp", ".a.0123456789ABCDEF.tmp"] {
            assert!(!is_our_temporary_name(foreign) && !is_object_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_temporary_name_fits_however_long_the_target() {
        for target in ["x".repeat(255), "é".repeat(127), "x".repeat(233), "x".repeat(234)] {
            let name = temporary_name(&target, u64::MAX);
            assert!(name.len() <= NAME_LEN_MAX && is_our_temporary_name(&name), "{name}");
        }
    }
}
