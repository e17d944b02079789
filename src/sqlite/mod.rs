//! The only module that touches a user's database or its `-shm` file, and the only one that names rusqlite.
//!
//! Every descriptor of these files is opened and closed by SQLite itself: closing one of our own would drop all
//! POSIX locks that this process holds on the file, an embedding application's included (fcntl(2)).

mod connection;
mod database_file;
mod integrity;
pub mod sample;
mod shared_locks;
mod users;
mod wal_index;

pub use connection::{Checkpoint, Connection};
pub use database_file::DatabaseHeader;
pub use integrity::integrity_check;
pub use shared_locks::SharedLock;
pub use wal_index::WalIndex;

/// 3.51.3 fixed a data race between a checkpoint and a WAL restart that could lose commits.
const OLDEST: i32 = 3_051_003;

/// Version of the bundled SQLite.
#[must_use]
pub fn library_version() -> &'static str {
    rusqlite::version()
}

/// Keeps SQLite from setting twenty pages aside for each connection, most of which read one page ever.
///
/// For programs that have SQLite to themselves, before its first use; later it does nothing.
pub fn use_little_memory() {
    let none = std::ptr::null_mut::<std::ffi::c_void>();
    let zero: std::ffi::c_int = 0;
    // SAFETY: this verb takes a pointer, which may be null, and two integers; SQLite refuses the call once it is in
    // use.
    unsafe { rusqlite::ffi::sqlite3_config(rusqlite::ffi::SQLITE_CONFIG_PAGECACHE, none, zero, zero) };
}

/// Refuses to run on a SQLite with the WAL-reset bug.
///
/// # Errors
/// If the library linked at run time is older than 3.51.3.
pub fn check_library() -> Result<(), Error> {
    if rusqlite::version_number() >= OLDEST { Ok(()) } else { Err(Error::Library(library_version())) }
}

/// Why SQLite cannot give access to a database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The linked library has the WAL-reset bug.
    #[error("SQLite {0} is linked, but 3.51.3 or later is needed: older versions can lose commits when a WAL restarts")]
    Library(&'static str),
    /// The file is not a SQLite database.
    #[error("not a SQLite database, or an encrypted one")]
    NotADatabase,
    /// Somebody else has it locked.
    #[error("locked by another process ({0})")]
    Busy(&'static str),
    /// SQLite may not open it or one of its companions.
    #[error("cannot open it, its folder or its -shm file: {0}")]
    CannotOpen(String),
    /// SQLite refused for another reason.
    #[error("{0}")]
    Sqlite(String),
    /// The wal-index could not be read consistently.
    #[error("the wal-index cannot be read: {0}")]
    WalIndex(&'static str),
}

impl Error {
    /// Whether the same call may succeed in a moment.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase,
            Some(ErrorCode::DatabaseBusy) => Self::Busy("SQLITE_BUSY"),
            Some(ErrorCode::DatabaseLocked) => Self::Busy("SQLITE_LOCKED"),
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                Self::CannotOpen(error.to_string())
            }
            _ => Self::Sqlite(error.to_string()),
        }
    }
}
