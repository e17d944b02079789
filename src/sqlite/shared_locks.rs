//! Locks of the wal-index that SQLite's own functions do not give by themselves.
//!
//! Numbers: sqlite.org/walformat.html, section 2.3.

use std::ffi::c_int;

use rusqlite::ffi;

use super::{Connection, Error};

/// Number of the lock that a checkpoint holds from its beginning to its end.
const CHECKPOINT_LOCK: c_int = 1;
/// Number of the first of the read locks.
const READ_LOCKS: c_int = 3;
/// The mark of a read lock that nobody uses: behind every frame.
const UNUSED: u32 = u32::MAX;

/// A lock that is held by hand, without a transaction, and shared.
#[derive(Debug)]
pub struct SharedLock(c_int);

impl Connection {
    /// Whether another connection, of whatever process, is checkpointing, or waits for others in order to.
    ///
    /// The lock is shared for an instant. Meanwhile a PASSIVE checkpoint would do nothing, as if another one were at
    /// work, and every other would try again. The connection must have had a read transaction before.
    ///
    /// # Errors
    /// If there are no locks to be had.
    pub fn somebody_checkpoints(&self) -> Result<bool, Error> {
        let shared = self.share(CHECKPOINT_LOCK)?;
        if shared {
            self.let_go(CHECKPOINT_LOCK)?;
        }
        Ok(!shared)
    }

    /// Keeps everything from being copied back, as a reader who needs nothing of the WAL does: lock 0. A transaction
    /// that begins meanwhile on another connection has that lock too, if everything is copied back. `None` if somebody
    /// is copying.
    ///
    /// The connection must have had a read transaction before, and neither begins one nor checkpoints meanwhile.
    ///
    /// # Errors
    /// If there are no locks to be had.
    pub fn keep_file(&self) -> Result<Option<SharedLock>, Error> {
        Ok(self.share(READ_LOCKS)?.then_some(SharedLock(READ_LOCKS)))
    }

    /// Keeps the WAL from restarting without keeping any frame from being copied back: a read lock whose mark is not in
    /// use counts for a restart, which needs all of them, but not for a checkpoint, which looks for older marks. `None`
    /// if all marks are in use.
    ///
    /// The same is asked of the connection as by [`Connection::keep_file`].
    ///
    /// # Errors
    /// If there are no locks to be had.
    pub fn keep_wal(&self) -> Result<Option<SharedLock>, Error> {
        // Readers take the first that is free.
        for number in (1..=4_u8).rev() {
            let lock = READ_LOCKS + c_int::from(number);
            if self.read_mark(number)? != UNUSED || !self.share(lock)? {
                continue;
            }
            // While it is shared nobody can change its mark any more.
            if self.read_mark(number)? == UNUSED {
                return Ok(Some(SharedLock(lock)));
            }
            self.let_go(lock)?;
        }
        Ok(None)
    }

    /// Makes every checkpoint end at once with `SQLITE_BUSY`, as if another one were at work, before it sorts frames,
    /// or waits for readers with the write lock in hand. `None` if one is at work.
    ///
    /// Nor can anybody make a wal-index anew meanwhile: let go of it if that is needed. The same is asked of the
    /// connection as by [`Connection::keep_file`].
    ///
    /// # Errors
    /// If there are no locks to be had.
    pub fn refuse_checkpoints(&self) -> Result<Option<SharedLock>, Error> {
        Ok(self.share(CHECKPOINT_LOCK)?.then_some(SharedLock(CHECKPOINT_LOCK)))
    }

    /// Lets go of a lock that this connection has taken.
    ///
    /// # Errors
    /// Never in practice: letting go waits for nobody.
    pub fn release(&self, SharedLock(lock): SharedLock) -> Result<(), Error> {
        self.let_go(lock)
    }

    /// False if somebody has it for himself.
    fn share(&self, lock: c_int) -> Result<bool, Error> {
        match self.lock(lock, ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_SHARED)? {
            ffi::SQLITE_BUSY => Ok(false),
            code => self.check(code).map(|()| true),
        }
    }

    fn let_go(&self, lock: c_int) -> Result<(), Error> {
        self.check(self.lock(lock, ffi::SQLITE_SHM_UNLOCK | ffi::SQLITE_SHM_SHARED)?)
    }

    fn lock(&self, number: c_int, flags: c_int) -> Result<c_int, Error> {
        // Asking for the wal-index first makes sure that there is shared memory.
        self.map_wal_index()?;
        let file = self.file()?;
        // SAFETY: `file` is SQLite's open file (see `file`), and its methods are set. The connection has shared memory,
        // which these locks belong to. SQLite does not wait for them, and the lock is not one that this connection
        // holds by itself: it is used by this thread alone, is not checkpointing, and a connection that holds a read
        // lock by hand has no transaction.
        Ok(unsafe {
            let methods = (*file.as_ptr()).pMethods;
            match (*methods).xShmLock {
                Some(lock) if (*methods).iVersion >= 2 => lock(file.as_ptr(), number, 1, flags),
                _ => ffi::SQLITE_IOERR,
            }
        })
    }
}
