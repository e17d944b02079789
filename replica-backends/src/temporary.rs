//! Files that are being written, in stores that keep objects in files: they are no objects yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A temporary file that nobody has written to for so long is what a crash left behind.
pub(crate) const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// How often a folder is looked at for such files.
const SWEEP_INTERVAL: Duration = ABANDONED;

/// The longest name a file may have on Linux, in bytes.
const NAME_LEN_MAX: usize = 255;
/// Random hex digits in a temporary name: two writers of one object never meet.
const RANDOM_LEN: usize = 16;
/// What every temporary name ends with, ours and Litestream's.
const SUFFIX: &str = ".tmp";

/// `.<name>.<16 hex>.tmp`, with `name` cut where the whole would be too long for a file name.
///
/// The leading dot keeps it apart from every name Litestream reads.
pub(crate) fn temporary_name(name: &str) -> String {
    temporary_name_with(name, fastrand::u64(..))
}

fn temporary_name_with(name: &str, random: u64) -> String {
    let kept = name.floor_char_boundary(NAME_LEN_MAX - RANDOM_LEN - SUFFIX.len() - 2);
    format!(".{}.{random:016x}{SUFFIX}", &name[..kept])
}

/// A new temporary name in the folder of `path`.
pub(crate) fn temporary_beside(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/{}", temporary_name(name)),
        None => temporary_name(path),
    }
}

/// Whether a file of this name may be an object: neither our temporary files nor Litestream's `<name>.tmp` are.
pub(crate) fn is_object_name(name: &str) -> bool {
    !name.ends_with(SUFFIX)
}

/// Refuses keys whose file would be taken for a temporary one.
pub(crate) fn check_object_name(key: &str) -> Result<(), &'static str> {
    if is_object_name(key) { Ok(()) } else { Err("the name ends in '.tmp', which marks an unfinished file") }
}

/// Whether we made a file of this name: `.<anything>.<16 hex>.tmp`.
pub(crate) fn is_our_temporary_name(name: &str) -> bool {
    let Some(stem) = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(SUFFIX)) else { return false };
    let Some((target, random)) = stem.rsplit_once('.') else { return false };
    !target.is_empty()
        && random.len() == RANDOM_LEN
        && random.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// When folders were last looked at for what crashes left behind.
#[derive(Debug, Default)]
pub(crate) struct Sweeps(Mutex<HashMap<String, Instant>>);

impl Sweeps {
    /// Whether to look at `folder` now. Whoever asks does it: the next one is told so a day later.
    pub(crate) fn is_due(&self, folder: &str) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(folder).is_some_and(|at| at.elapsed() < SWEEP_INTERVAL) {
            return false;
        }
        last.insert(folder.to_owned(), Instant::now());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_looked_at_once_a_day() {
        let sweeps = Sweeps::default();
        assert_eq!(["a", "b", "a", "b"].map(|folder| sweeps.is_due(folder)), [true, true, false, false]);
        let yesterday = Instant::now().checked_sub(SWEEP_INTERVAL).unwrap();
        sweeps.0.lock().unwrap().insert("a".to_owned(), yesterday);
        assert_eq!(["a", "b", "a"].map(|folder| sweeps.is_due(folder)), [true, false, false]);
    }

    #[test]
    fn a_temporary_name_is_recognised_and_is_no_object() {
        for target in ["00000000.snapshot.lz4", "00000000_00001038.wal.lz4", "x", "é", ".hidden", "a.tmpx"] {
            let name = temporary_name_with(target, 0xfeed);
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
            let name = temporary_name_with(&target, u64::MAX);
            assert!(name.len() <= NAME_LEN_MAX && is_our_temporary_name(&name), "{name}");
        }
    }
}
