//! The wal-index: where SQLite says, in shared memory, how far the WAL is committed and copied back.
//!
//! Layout: sqlite.org/walformat.html, section 2. Everything is in native byte order but the salts.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use rusqlite::ffi;

use super::{Connection, Error};
use crate::host;
use crate::types::{PageCount, PageSize};
use crate::wal::{ByteOrder, Checksum, Salts};

/// Size of the first region of the wal-index; SQLite insists on it.
const REGION_BYTES: i32 = 32_768;

// Map in 32-bit words: header (12 words) | copy of the header (12) | checkpoint info, which begins with nBackfill and
// five read marks.
const HEADER_WORDS: usize = 12;
const BACKFILL: usize = 2 * HEADER_WORDS;
const READ_MARKS: usize = BACKFILL + 1;
const VERSION: usize = 0;
const FLAGS: usize = 3;
const FRAMES: usize = 4;
const PAGES: usize = 5;
const FRAME_CHECKSUM: usize = 6;
const SALTS: usize = 8;
const CHECKSUM: usize = 10;

const SUPPORTED_VERSION: u32 = 3_007_000;
/// A writer replaces both copies within a few instructions, but it may be interrupted between them: spin, then sleep.
const SPINS: u32 = 100;
const TRIES: u32 = 300;
const SLEEP: Duration = Duration::from_micros(200);

/// One consistent reading of the wal-index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalIndex {
    /// Frames up to the newest commit (mxFrame).
    pub frames: u32,
    /// Frames that are known to be in the database file (nBackfill).
    pub copied: u32,
    /// Size of the database after the newest commit.
    pub size: PageCount,
    /// Page size; `None` before the first frame was ever written.
    pub page_size: Option<PageSize>,
    /// Salts of the WAL; of the coming one if it has been restarted but not written to.
    pub salts: Salts,
    /// Byte order of the WAL's checksums.
    pub order: ByteOrder,
    /// Running checksum of the last committed frame.
    pub checksum: Checksum,
}

impl WalIndex {
    /// Whether every committed frame is in the database file.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.copied >= self.frames
    }
}

/// The shared memory of the wal-index, as mapped by SQLite for one connection.
#[derive(Debug, Clone, Copy)]
pub struct Mapping(NonNull<AtomicU32>);

// SAFETY: the words are only read, and only atomically; the mapping belongs to no thread.
unsafe impl Send for Mapping {}

impl Connection {
    /// Reads the wal-index. The connection must have had a read transaction before, which maps it.
    ///
    /// # Errors
    /// If it is not mapped, of an unknown version, or torn for good.
    pub fn wal_index(&self) -> Result<WalIndex, Error> {
        self.map_wal_index()?.read()
    }

    /// The frame up to which those see the WAL who share the read lock with this number.
    ///
    /// # Errors
    /// If the wal-index is not mapped.
    pub(super) fn read_mark(&self, number: u8) -> Result<u32, Error> {
        Ok(self.map_wal_index()?.word(READ_MARKS + usize::from(number)))
    }

    pub(super) fn map_wal_index(&self) -> Result<Mapping, Error> {
        let file = self.file()?;
        let mut region: *mut c_void = std::ptr::null_mut();
        // SAFETY: `file` is SQLite's open file, and its methods are set. Asking again for region 0 with the size that
        // SQLite itself uses, without extending, returns the existing mapping and changes nothing.
        let code = unsafe {
            let methods = (*file.as_ptr()).pMethods;
            match (*methods).xShmMap {
                Some(map) if (*methods).iVersion >= 2 => map(file.as_ptr(), 0, REGION_BYTES, 0, &raw mut region),
                _ => ffi::SQLITE_IOERR,
            }
        };
        if code != ffi::SQLITE_READONLY {
            self.check(code)?;
        }
        // The region is page-aligned memory, so it is aligned for words.
        NonNull::new(region.cast::<AtomicU32>()).map(Mapping).ok_or(Error::WalIndex("it does not exist"))
    }
}

impl Mapping {
    fn word(self, at: usize) -> u32 {
        debug_assert!(at < REGION_BYTES as usize / 4);
        // SAFETY: the region has 32 KiB, so word `at` lies within it; SQLite keeps it mapped while the connection is
        // open in WAL mode, and the connection that gave us the mapping is borrowed for the whole call. Other
        // processes write to it at any time, which atomics allow.
        unsafe { (*self.0.as_ptr().add(at)).load(Ordering::Relaxed) }
    }

    fn copy(self, at: usize) -> [u32; HEADER_WORDS] {
        std::array::from_fn(|i| self.word(at + i))
    }

    fn read(self) -> Result<WalIndex, Error> {
        for tried in 0..TRIES {
            let first = self.copy(0);
            fence(Ordering::Acquire);
            let second = self.copy(HEADER_WORDS);
            let copied = self.word(BACKFILL);
            let own = Checksum { first: first[CHECKSUM], second: first[CHECKSUM + 1] };
            if first == second && checksum(&first) == own {
                return decode(&first, copied);
            }
            if tried < SPINS {
                std::hint::spin_loop();
            } else {
                host::pause(SLEEP);
            }
        }
        Err(Error::WalIndex("its two copies differ; a writer may have died in the middle of a commit"))
    }
}

#[expect(clippy::host_endian_bytes, reason = "the wal-index is shared memory of this machine, in its own byte order")]
fn decode(words: &[u32; HEADER_WORDS], copied: u32) -> Result<WalIndex, Error> {
    if words[VERSION] != SUPPORTED_VERSION {
        return Err(Error::WalIndex("unknown version"));
    }
    let [_, big, low, high] = words[FLAGS].to_ne_bytes();
    let page_size = u16::from_ne_bytes([low, high]);
    let salt = |i: usize| u32::from_be_bytes(words[SALTS + i].to_ne_bytes());
    Ok(WalIndex {
        frames: words[FRAMES],
        copied,
        size: PageCount(words[PAGES]),
        page_size: PageSize::from_database_header(page_size),
        salts: Salts { first: salt(0), second: salt(1) },
        order: if big == 0 { ByteOrder::Little } else { ByteOrder::Big },
        checksum: Checksum { first: words[FRAME_CHECKSUM], second: words[FRAME_CHECKSUM + 1] },
    })
}

/// The header's own checksum: the WAL's algorithm in native byte order over the words before it.
fn checksum(words: &[u32; HEADER_WORDS]) -> Checksum {
    let mut sum = Checksum::default();
    for pair in words[..CHECKSUM].chunks_exact(2) {
        sum.first = sum.first.wrapping_add(pair[0]).wrapping_add(sum.second);
        sum.second = sum.second.wrapping_add(pair[1]).wrapping_add(sum.first);
    }
    sum
}
