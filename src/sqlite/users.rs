//! Whether other processes have a database open.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

/// Where the locks of a database file are (sqlite.org/lockingv3.html): every connection to a database in WAL mode that
/// has read from it holds a shared lock on this range until it is closed.
const SHARED_FIRST: u64 = 0x4000_0002;
const SHARED_BYTES: u64 = 510;

/// Looks at the locks of other processes on one database file.
///
/// It has a descriptor of its own, whose closing drops all locks that this process has on the file (fcntl(2)). So it
/// must be opened before the first connection of this process, and dropped after the last.
#[derive(Debug)]
pub struct OtherUsers(File);

impl OtherUsers {
    /// Of the database at `path`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Whether another process has a connection, in whatever container it runs.
    ///
    /// # Errors
    /// If the file system has no locks.
    pub fn exist(&self) -> io::Result<bool> {
        let wanted = Flock {
            start: SHARED_FIRST,
            length: SHARED_BYTES,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        Ok(fcntl_getlk(&self.0, &wanted)?.is_some())
    }
}
