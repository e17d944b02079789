//! What a file system means for a database.

use std::io;
use std::path::Path;

use rustix::fs::statfs;

use super::Grade;

/// A kind of file system that somebody should know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// As statfs(2) tells it.
    magic: u32,
    /// What it means.
    pub grade: Grade,
    /// The same in words, and what to do about it.
    pub says: &'static str,
    /// Locks or memory may not be shared between all users of the database.
    is_doubtful: bool,
}

const fn doubtful(magic: u32, grade: Grade, says: &'static str) -> Kind {
    Kind { magic, grade, says, is_doubtful: true }
}

const fn passing(magic: u32, says: &'static str) -> Kind {
    Kind { magic, grade: Grade::Note, says, is_doubtful: false }
}

/// File systems on which SQLite's WAL does not work between machines, or whose events are incomplete, or that do not
/// last.
const KINDS: [Kind; 9] = [
    doubtful(
        0x6969,
        Grade::Wrong,
        "NFS: SQLite's WAL needs memory shared between its users; keep the database on a local disk",
    ),
    doubtful(0xFF53_4D42, Grade::Wrong, "SMB: SQLite's WAL needs memory shared between its users; use a local disk"),
    doubtful(0xFE53_4D42, Grade::Wrong, "SMB: SQLite's WAL needs memory shared between its users; use a local disk"),
    doubtful(0x517B, Grade::Wrong, "SMB: SQLite's WAL needs memory shared between its users; use a local disk"),
    doubtful(0x0102_1997, Grade::Wrong, "9P: SQLite's WAL needs memory shared between its users; use a local disk"),
    doubtful(
        0x786F_4256,
        Grade::Wrong,
        "a folder shared by VirtualBox: locks and shared memory do not work; use a local disk",
    ),
    doubtful(
        0x6573_5546,
        Grade::Note,
        "FUSE: whether locks, shared memory and file events work depends on what is behind it",
    ),
    passing(0x794C_7630, "overlay: the database is lost with the container; put it on a volume"),
    passing(0x0102_1994, "tmpfs: the database is lost when the machine stops"),
];

/// The kind of the file system on which `path` is; `None`: a local one.
///
/// # Errors
/// If it cannot be found out.
pub fn kind_of(path: &Path) -> io::Result<Option<Kind>> {
    // 32 bits, whatever the type that holds it.
    let magic = statfs(path)?.f_type as u32;
    Ok(KINDS.into_iter().find(|kind| kind.magic == magic))
}

/// Why SQLite may not work on the file system on which `path` is, or its folder if it does not exist.
#[must_use]
pub fn doubts(path: &Path) -> Option<&'static str> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let kind = kind_of(path).or_else(|_| kind_of(folder)).ok().flatten();
    kind.filter(|kind| kind.is_doubtful).map(|kind| kind.says)
}
