//! The bytes of the database file, read through SQLite's own descriptor.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use rusqlite::ffi;

use super::{Connection, Error};
use crate::types::{PageCount, PageSize};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
const CHANGE_COUNTER: usize = 24;
const SIZE: usize = 28;
const VERSION_VALID_FOR: usize = 92;
const VERSION: usize = 96;

/// What the first bytes of a database file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseHeader {
    /// The file has no bytes: the application has not made the database yet.
    Empty,
    /// A database.
    Database {
        /// Its page size.
        page_size: PageSize,
        /// Whether it is in WAL mode (read and write version 2).
        wal: bool,
    },
}

impl Connection {
    /// Reads the header without a lock and without reading any schema.
    ///
    /// # Errors
    /// [`Error::NotADatabase`] if there is something else in the file.
    pub fn header(&self) -> Result<DatabaseHeader, Error> {
        let bytes = self.database_bytes()?;
        if bytes == 0 {
            return Ok(DatabaseHeader::Empty);
        }
        let mut header = [0; HEADER_BYTES];
        if bytes < HEADER_BYTES as u64 {
            return Err(Error::NotADatabase);
        }
        self.read_database(0, &mut header)?;
        let page_size = PageSize::from_database_header(u16::from_be_bytes([header[16], header[17]]));
        match page_size {
            Some(page_size) if header.starts_with(MAGIC) => {
                Ok(DatabaseHeader::Database { page_size, wal: header[18..20] == [2, 2] })
            }
            _ => Err(Error::NotADatabase),
        }
    }

    /// Version of the SQLite that last wrote the header, such as 3045001; 0 if there is none, or none that says.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn written_by(&self) -> Result<u32, Error> {
        let mut field = [0; 4];
        self.read_database(VERSION as u64, &mut field)?;
        Ok(u32::from_be_bytes(field))
    }

    /// Size of the database file in bytes.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn database_bytes(&self) -> Result<u64, Error> {
        let file = self.file()?;
        let mut size = 0_i64;
        // SAFETY: `file` is SQLite's open file (see `file`), its methods are set, and `size` outlives the call.
        let code = unsafe {
            let methods = (*file.as_ptr()).pMethods;
            (*methods).xFileSize.map_or(ffi::SQLITE_IOERR, |size_of| size_of(file.as_ptr(), &raw mut size))
        };
        self.check(code)?;
        Ok(u64::try_from(size).unwrap_or(0))
    }

    /// Size of the database in the file, as SQLite takes it: what the header says, if whoever wrote last knew of that
    /// field. The file may be longer (`SQLITE_FCNTL_CHUNK_SIZE` makes it so).
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn database_pages(&self, page_size: PageSize) -> Result<PageCount, Error> {
        let pages = u32::try_from(self.database_bytes()? / u64::from(page_size.get())).unwrap_or(u32::MAX);
        let mut header = [0; HEADER_BYTES];
        self.read_database(0, &mut header)?;
        let field = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let is_current = field(CHANGE_COUNTER) == field(VERSION_VALID_FOR);
        let stated = Some(field(SIZE)).filter(|stated| is_current && (1..=pages).contains(stated));
        Ok(PageCount(stated.unwrap_or(pages)))
    }

    /// Fills `buffer` from `offset` of the database file; what lies behind its end is zero.
    ///
    /// What is read is only meaningful while something keeps checkpoints from changing it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn read_database(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let file = self.file()?;
        let (Ok(len), Ok(offset)) = (c_int::try_from(buffer.len()), i64::try_from(offset)) else {
            return Err(Error::Sqlite("a read beyond what SQLite can address".to_owned()));
        };
        // SAFETY: `file` is SQLite's open file (see `file`), its methods are set, and `buffer` has `len` bytes.
        let code = unsafe {
            let methods = (*file.as_ptr()).pMethods;
            (*methods).xRead.map_or(ffi::SQLITE_IOERR, |read| {
                read(file.as_ptr(), buffer.as_mut_ptr().cast::<c_void>(), len, offset)
            })
        };
        if code == ffi::SQLITE_IOERR_SHORT_READ { Ok(()) } else { self.check(code) }
    }

    /// Waits until the disk has everything that anybody has written to the database file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync_database(&self) -> Result<(), Error> {
        let file = self.file()?;
        // SAFETY: `file` is SQLite's open file (see `file`), and its methods are set.
        let code = unsafe {
            let methods = (*file.as_ptr()).pMethods;
            (*methods).xSync.map_or(ffi::SQLITE_IOERR, |sync| sync(file.as_ptr(), ffi::SQLITE_SYNC_NORMAL))
        };
        self.check(code)
    }

    /// SQLite's own file object of the main database.
    pub(super) fn file(&self) -> Result<NonNull<ffi::sqlite3_file>, Error> {
        let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
        // SAFETY: the handle is open and used by this thread alone; SQLITE_FCNTL_FILE_POINTER stores a pointer that
        // stays valid until the connection is closed, and the caller does not keep it longer than `&self`.
        let code = unsafe {
            ffi::sqlite3_file_control(
                self.inner.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                (&raw mut file).cast::<c_void>(),
            )
        };
        self.check(code)?;
        // SAFETY: a non-null file is SQLite's, so it may be read; without methods it is not open.
        let open = unsafe { !file.is_null() && !(*file).pMethods.is_null() };
        NonNull::new(file).filter(|_| open).ok_or(Error::CannotOpen("the file is not open".to_owned()))
    }
}
