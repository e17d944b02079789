//! The sign of another process: to the kernel the application is one, though it runs in ours.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The bytes that every user of a database holds a shared lock on (sqlite.org/lockingv3.html).
const SHARED_FIRST: libc::off_t = 0x4000_0002;
const SHARED_BYTES: libc::off_t = 510;

/// A lock that belongs to an open file instead of a process, so it is another's to SQLite's own in this process.
///
/// To close a file would drop SQLite's locks on it, so those that were opened stay open until the world ends.
#[derive(Debug, Default)]
pub struct Presence {
    files: Vec<File>,
}

impl Presence {
    /// The database at `path` is the one that is used from now on.
    pub fn move_to(&mut self, path: &Path) {
        self.files.push(File::options().read(true).write(true).open(path).unwrap());
    }

    /// All of the file, read without closing it.
    pub fn read(&self) -> Option<Vec<u8>> {
        let file = self.files.last()?;
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    /// Somebody is there.
    pub fn come(&self) {
        self.lock(libc::F_RDLCK);
    }

    /// Nobody is.
    pub fn go(&self) {
        self.lock(libc::F_UNLCK);
    }

    fn lock(&self, kind: libc::c_int) {
        let Some(file) = self.files.last() else { return };
        // SAFETY: all zeroes is a valid `flock`, which is plain numbers.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = libc::c_short::try_from(kind).unwrap();
        lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap();
        (lock.l_start, lock.l_len) = (SHARED_FIRST, SHARED_BYTES);
        // SAFETY: the descriptor is open, and the kernel reads one `flock` during the call.
        let code = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    }
}
