//! A connection that holds locks and reads files, and never writes to the database.

use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{OpenFlags, ffi};

use super::Error;
use crate::host;

/// A writer at full speed leaves gaps of a microsecond between its commits: the first tries follow one another at once,
/// for about a millisecond. SQLite's own busy handler sleeps up to 100 ms and starves.
const BUSY_SPINS: i32 = 150;
/// How long each later try sleeps.
const BUSY_SLEEP: Duration = Duration::from_micros(50);
/// How long a read transaction is tried for.
const READ_PATIENCE: Duration = Duration::from_secs(1);
/// After so many tries the lock is given up: some 20 ms.
const BUSY_TRIES: i32 = 300;

/// What a PASSIVE checkpoint has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// Another connection is checkpointing; nothing was done.
    Busy,
    /// `copied` of the WAL's `frames` frames are in the database file now.
    Done {
        /// Frames in the WAL.
        frames: u32,
        /// Frames that are in the database file.
        copied: u32,
    },
}

impl Checkpoint {
    /// Whether every one of exactly `frames` frames is in the database file.
    #[must_use]
    pub fn is_complete(self, frames: u32) -> bool {
        self == Self::Done { frames, copied: frames }
    }
}

/// One connection to a user's database.
///
/// It never checkpoints by itself, neither after a commit (there is none) nor on close: a checkpoint on close could
/// copy an old WAL into a file that has been replaced underneath.
#[derive(Debug)]
pub struct Connection {
    pub(super) inner: rusqlite::Connection,
}

impl Connection {
    /// Opens an existing database. Takes no lock yet, and does not read the schema.
    ///
    /// # Errors
    /// If the file does not exist or may not be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut inner = rusqlite::Connection::open_with_flags(path, flags)?;
        inner.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        inner.busy_handler(Some(wait_a_little))?;
        let connection = Self { inner };
        connection.disable_lookaside()?;
        connection.disable_autocheckpoint()?;
        Ok(connection)
    }

    /// Frees the memory that SQLite sets aside for preparing statements: a hundred kilobytes for each connection, and
    /// these prepare next to nothing.
    fn disable_lookaside(&self) -> Result<(), Error> {
        let none = ptr::null_mut::<c_void>();
        let zero: c_int = 0;
        // SAFETY: the handle is open and used by this thread alone; this verb takes a pointer, which may be null, and
        // two integers.
        let code =
            unsafe { ffi::sqlite3_db_config(self.inner.handle(), ffi::SQLITE_DBCONFIG_LOOKASIDE, none, zero, zero) };
        self.check(code)
    }

    fn disable_autocheckpoint(&self) -> Result<(), Error> {
        // SAFETY: the handle is open, and used by this thread alone: `Connection` is not `Sync`.
        let code = unsafe { ffi::sqlite3_wal_autocheckpoint(self.inner.handle(), 0) };
        self.check(code)
    }

    /// Starts a read transaction at the newest commit and takes a read lock on the WAL.
    ///
    /// `schema_version` is read because it needs the header only: the user's schema, whatever is in it, is not parsed.
    ///
    /// # Errors
    /// If the file is no database, or cannot be locked.
    pub fn begin_read(&mut self) -> Result<(), Error> {
        let since = host::now();
        loop {
            match self.try_begin_read() {
                // Readers wait for nobody in WAL mode but for a writer that is interrupted while it publishes a commit,
                // and for a recovery of the WAL: both are short, unless the machine is very busy.
                Err(error) if error.is_busy() && host::since(since) < READ_PATIENCE => {
                    host::pause(Duration::from_millis(1));
                }
                other => return other,
            }
        }
    }

    fn try_begin_read(&mut self) -> Result<(), Error> {
        self.inner.execute_batch("BEGIN")?;
        let read = self.inner.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0));
        if let Err(error) = read {
            self.end();
            return Err(error.into());
        }
        Ok(())
    }

    /// Takes the write lock, trying for a short, bounded time. Nothing is written.
    ///
    /// # Errors
    /// [`Error::Busy`] if writers did not let go of it in time.
    pub fn begin_write(&mut self) -> Result<(), Error> {
        Ok(self.inner.execute_batch("BEGIN IMMEDIATE")?)
    }

    /// Ends the transaction, if there is one, and lets go of its locks.
    pub fn end(&mut self) {
        if !self.inner.is_autocommit() {
            // A rollback of a transaction that wrote nothing only releases locks; it has no way to fail.
            let _ = self.inner.execute_batch("ROLLBACK");
        }
    }

    /// Ends the transaction and closes the connection as SQLite does by default: the last connection of all processes
    /// copies back what is left of the WAL, and removes it. Only for a WAL that is copied back whole.
    pub fn close_as_last(mut self) {
        self.end();
        // If either fails the WAL stays, which does no harm.
        let _ = self.inner.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
        let _ = self.inner.close();
    }

    /// Copies as much of the WAL into the database file as readers allow, waiting for nobody.
    ///
    /// # Errors
    /// If SQLite fails to read or write; somebody else's checkpoint is not an error.
    pub fn checkpoint_passive(&mut self) -> Result<Checkpoint, Error> {
        self.checkpoint(ffi::SQLITE_CHECKPOINT_PASSIVE)
    }

    /// Copies all of the WAL into the database file and empties it, waiting a little for others. Never in the normal
    /// course of things: only for a WAL that nobody could read any more once it is closed.
    ///
    /// # Errors
    /// If SQLite fails to read or write.
    pub fn checkpoint_truncate(&mut self) -> Result<Checkpoint, Error> {
        self.checkpoint(ffi::SQLITE_CHECKPOINT_TRUNCATE)
    }

    fn checkpoint(&mut self, mode: c_int) -> Result<Checkpoint, Error> {
        let (mut frames, mut copied): (c_int, c_int) = (-1, -1);
        // SAFETY: the handle is open and used by this thread alone; both pointers are to live integers; a null name
        // means all attached databases, of which there is one.
        let code = unsafe {
            ffi::sqlite3_wal_checkpoint_v2(self.inner.handle(), ptr::null(), mode, &raw mut frames, &raw mut copied)
        };
        if code == ffi::SQLITE_BUSY {
            return Ok(Checkpoint::Busy);
        }
        self.check(code)?;
        match (u32::try_from(frames), u32::try_from(copied)) {
            (Ok(frames), Ok(copied)) => Ok(Checkpoint::Done { frames, copied }),
            _ => Err(Error::Sqlite("the connection that checkpoints has not opened the WAL".to_owned())),
        }
    }

    /// Switches the database to WAL mode: the one change that this program can make to a database, and only if the
    /// configuration allows it.
    ///
    /// # Errors
    /// If the database is in use, or cannot have a WAL (its folder is read-only, or its file system shares no memory).
    pub fn convert_to_wal(&mut self) -> Result<(), Error> {
        let mode = self.inner.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
        if mode == "wal" {
            return Ok(());
        }
        Err(Error::Sqlite(format!("the journal mode stays {mode:?}")))
    }

    pub(super) fn check(&self, code: c_int) -> Result<(), Error> {
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into())
    }
}

fn wait_a_little(tries: i32) -> bool {
    if tries >= BUSY_TRIES {
        return false;
    }
    if tries < BUSY_SPINS {
        // Not a yield: on a busy machine that could cost a whole time slice.
        std::hint::spin_loop();
    } else {
        host::pause(BUSY_SLEEP);
    }
    true
}
