//! Whether other processes have a database open.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use rusqlite::ffi;
use rustix::fs::fstat;

use super::Connection;

/// Where the locks of a database file are (sqlite.org/lockingv3.html): every connection to a database in WAL mode that
/// has read from it holds a shared lock on this range until it is closed.
const SHARED_FIRST: libc::off_t = 0x4000_0002;
const SHARED_BYTES: libc::off_t = 510;

/// How SQLite's open file begins, if the driver is the one for Unix (os_unix.c).
#[repr(C)]
struct UnixFile {
    methods: *const ffi::sqlite3_io_methods,
    driver: *const ffi::sqlite3_vfs,
    inode: *const c_void,
    descriptor: c_int,
}

impl Connection {
    /// Whether another process has the database open, in whatever container it runs.
    ///
    /// # Errors
    /// If the file system has no locks, or the file's name means another file now.
    pub fn has_other_users(&self) -> io::Result<bool> {
        let descriptor = self.descriptor()?;
        // SAFETY: all zeroes is a valid `flock`, which is plain numbers.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        (lock.l_type, lock.l_whence) = (libc::F_WRLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
        (lock.l_start, lock.l_len) = (SHARED_FIRST, SHARED_BYTES);
        // Not by way of rustix, for which the kernel always names a process: the lock of an open file has none.
        // SAFETY: the descriptor is open, and the kernel reads and writes one `flock` during the call.
        let code = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
    }

    /// SQLite's own descriptor of the database file: to close one of ours would drop every lock on the file that this
    /// process has, also those of an application that we are a part of (fcntl(2)).
    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        let file = self.file().map_err(io::Error::other)?.cast::<UnixFile>();
        // SAFETY: a null name asks for the default driver, which lives as long as the program. It is what made the
        // file, for no other is ever named. If it is SQLite's own for Unix, every file of it begins with these fields,
        // is at least so large, and stays where it is while the connection is open.
        let number = unsafe {
            let driver = ffi::sqlite3_vfs_find(std::ptr::null());
            let is_unix = !driver.is_null()
                && std::ffi::CStr::from_ptr((*driver).zName) == c"unix"
                && usize::try_from((*driver).szOsFile).is_ok_and(|bytes| bytes >= size_of::<UnixFile>());
            let is_its = is_unix && (*file.as_ptr()).driver == driver.cast_const();
            if is_its { (*file.as_ptr()).descriptor } else { -1 }
        };
        if number < 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // SAFETY: SQLite keeps it open as long as the connection, which is borrowed.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let named = std::fs::metadata(self.inner.path().unwrap_or_default())?;
        let open = fstat(descriptor)?;
        let is_it = (named.dev(), named.ino()) == (open.st_dev, open.st_ino);
        if is_it { Ok(descriptor) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_belongs_to_no_process_is_somebodys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let application = rusqlite::Connection::open(&path).unwrap();
        application.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (x)").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let mut ours = Connection::open(&path).unwrap();
        ours.begin_read().unwrap();
        assert!(!ours.has_other_users().unwrap());
        // SAFETY: all zeroes is a valid `flock`; the descriptor is open, and the kernel reads it during the call.
        let code = unsafe {
            let mut lock: libc::flock = std::mem::zeroed();
            lock.l_type = libc::F_RDLCK as libc::c_short;
            (lock.l_start, lock.l_len) = (SHARED_FIRST, SHARED_BYTES);
            libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock)
        };
        assert_eq!(code, 0);
        assert!(ours.has_other_users().unwrap());
    }

    #[test]
    fn another_process_is_seen_while_it_has_the_database_open_and_we_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let mut shell = std::process::Command::new("sqlite3")
            .arg(&path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 4];
        let begin = b"PRAGMA journal_mode = wal; CREATE TABLE t (x);\n";
        io::Write::write_all(shell.stdin.as_mut().unwrap(), begin).unwrap();
        io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut said).unwrap();
        let (mut first, mut second) = (Connection::open(&path).unwrap(), Connection::open(&path).unwrap());
        first.begin_read().unwrap();
        second.begin_read().unwrap();
        assert!(first.has_other_users().unwrap());
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(!first.has_other_users().unwrap());
        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        assert!(first.has_other_users().is_err(), "nobody can tell");
    }
}
