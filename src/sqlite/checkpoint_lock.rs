//! Whether somebody is checkpointing.

use std::ffi::c_int;

use rusqlite::ffi;

use super::{Connection, Error};

/// Number of the lock that a checkpoint holds from its beginning to its end (sqlite.org/walformat.html, section 2.3.2).
const CHECKPOINT_LOCK: c_int = 1;

impl Connection {
    /// Whether another connection, of whatever process, is checkpointing, or waits for others in order to.
    ///
    /// The lock is shared for an instant. Meanwhile a PASSIVE checkpoint would do nothing, as if another one were at
    /// work, and every other would try again. The connection must have had a read transaction before.
    ///
    /// # Errors
    /// If there are no locks to be had.
    pub fn somebody_checkpoints(&self) -> Result<bool, Error> {
        let file = self.file()?;
        let lock = |flags: c_int| {
            // SAFETY: `file` is SQLite's open file (see `file`), and its methods are set. A connection that has read in
            // WAL mode has its shared memory, which these locks belong to; this one neither holds this lock nor waits
            // for it, for it is used by this thread alone and is not checkpointing.
            unsafe {
                let methods = (*file.as_ptr()).pMethods;
                match (*methods).xShmLock {
                    Some(lock) if (*methods).iVersion >= 2 => lock(file.as_ptr(), CHECKPOINT_LOCK, 1, flags),
                    _ => ffi::SQLITE_IOERR,
                }
            }
        };
        // Asking for the wal-index first makes sure that there is shared memory.
        self.wal_index()?;
        match lock(ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_SHARED) {
            ffi::SQLITE_BUSY => Ok(true),
            code => {
                self.check(code)?;
                self.check(lock(ffi::SQLITE_SHM_UNLOCK | ffi::SQLITE_SHM_SHARED))?;
                Ok(false)
            }
        }
    }
}
