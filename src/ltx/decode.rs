//! LTX file in, pages out, with everything that the file says of itself verified.

use std::io::{self, BufRead, Read};

use super::{Crc64, HEADER_BYTES, LtxHeader};
use crate::segment::{Lz4Fault, lz4_block, lz4_frame, varint};
use crate::types::{PageCount, PageNo, PageSize};

/// A page's number and flags; all zeros behind the last page.
const PAGE_HEADER_BYTES: usize = 6;
/// The page is an LZ4 block, and its length stands before it. Without this, it is a whole LZ4 frame, as Litestream
/// wrote it before 0.5.16.
const SIZED_BLOCK: u16 = 1;

/// Why bytes are not a whole LTX file. The caller adds the file's name.
#[derive(Debug, thiserror::Error)]
pub enum LtxFault {
    /// The bytes could not be read.
    #[error(transparent)]
    Read(io::Error),
    /// The file ends too soon.
    #[error("it is cut short")]
    Truncated,
    /// Not an LTX file.
    #[error("it is no LTX file (it begins with {0:#010x})")]
    Magic(u32),
    /// A header that nobody writes.
    #[error("its header is damaged ({0})")]
    Header(&'static str),
    /// A page that cannot be where it is.
    #[error("page {page} is not what comes after page {before} in a database of {commit} pages")]
    Order {
        /// The page before it; 0 for none.
        before: u32,
        /// The page found; 0 for the end.
        page: u32,
        /// Size of the database after the file.
        commit: PageCount,
    },
    /// A page that is damaged.
    #[error("page {0}: {1}")]
    Page(u32, Lz4Fault),
    /// A page whose header is damaged.
    #[error("the header of page {0} is damaged")]
    PageHeader(u32),
    /// The index is not that of the pages.
    #[error("its page index is not that of its pages")]
    Index,
    /// The checksum of the whole file.
    #[error("its checksum is {found:016x}, but its content gives {expected:016x}")]
    Checksum {
        /// Of the file.
        found: u64,
        /// Of its content.
        expected: u64,
    },
    /// Something after the end.
    #[error("it does not end where its trailer ends")]
    Trailing,
}

/// Reads one file, page by page, in memory bounded by the page size.
///
/// Pages handed out are not proved until [`Decoder::finish`] has returned: nothing made from them may be published
/// before.
pub struct Decoder<R> {
    input: Counted<R>,
    header: LtxHeader,
    checksum: Crc64,
    index: Index,
    last: u32,
    stored: Vec<u8>,
    page: Vec<u8>,
    ended: bool,
}

/// The index that the pages so far must have. Only its checksum is kept: a large file has a large index.
struct Index {
    checksum: Crc64,
    bytes: u64,
}

impl Index {
    fn push(&mut self, numbers: &[u64]) {
        let mut entry = Vec::with_capacity(24);
        numbers.iter().for_each(|number| varint::put(&mut entry, *number));
        self.checksum.update(&entry);
        self.bytes += entry.len() as u64;
    }
}

impl<R: BufRead> Decoder<R> {
    /// Reads the header of the file that `input` yields.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(input: R) -> Result<Self, LtxFault> {
        let mut input = Counted { input, bytes: 0 };
        let bytes = input.array::<HEADER_BYTES>()?;
        let header = LtxHeader::parse(&bytes)?;
        let mut checksum = Crc64::new();
        checksum.update(&bytes);
        Ok(Self {
            input,
            header,
            checksum,
            index: Index { checksum: Crc64::new(), bytes: 0 },
            last: 0,
            stored: Vec::new(),
            page: vec![0; header.page_size.bytes()],
            ended: false,
        })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &LtxHeader {
        &self.header
    }

    /// The next page with its content; `None` after the last. Page numbers ascend.
    ///
    /// # Errors
    /// If the file is cut short or damaged.
    pub fn next_page(&mut self) -> Result<Option<(PageNo, &[u8])>, LtxFault> {
        if self.ended {
            return Ok(None);
        }
        let start = self.input.bytes;
        let head = self.input.array::<PAGE_HEADER_BYTES>()?;
        self.checksum.update(&head);
        let [a, b, c, d, flags @ ..] = head;
        let (number, flags) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes(flags));
        self.check_order(number)?;
        let Some(page) = PageNo::new(number) else {
            self.ended = true;
            return if flags == 0 { Ok(None) } else { Err(LtxFault::PageHeader(0)) };
        };
        match flags {
            SIZED_BLOCK => self.read_block(number)?,
            0 => lz4_frame(&mut self.input, &mut self.page).map_err(|fault| page_fault(number, fault))?,
            _ => return Err(LtxFault::PageHeader(number)),
        }
        self.checksum.update(&self.page);
        self.index.push(&[u64::from(number), start, self.input.bytes - start]);
        self.last = number;
        Ok(Some((page, &self.page)))
    }

    /// Reads what is left and returns the rolling checksum of the database after the file, if the file keeps one.
    /// Every page handed out is then what was written.
    ///
    /// # Errors
    /// If the file is cut short or damaged.
    pub fn finish(mut self) -> Result<Option<u64>, LtxFault> {
        while self.next_page()?.is_some() {}
        self.index.push(&[0]);
        let mut found = Crc64::new();
        let mut rest = self.index.bytes;
        let mut chunk = [0; 4096];
        while rest > 0 {
            let part = &mut chunk[..rest.min(4096) as usize];
            self.input.fill(part)?;
            found.update(part);
            self.checksum.update(part);
            rest -= part.len() as u64;
        }
        let size = self.input.array::<8>()?;
        self.checksum.update(&size);
        if found.stored() != self.index.checksum.stored() || u64::from_be_bytes(size) != self.index.bytes {
            return Err(LtxFault::Index);
        }
        let post_apply = self.input.array::<8>()?;
        self.checksum.update(&post_apply);
        let (found, expected) = (u64::from_be_bytes(self.input.array()?), self.checksum.stored());
        if found != expected {
            return Err(LtxFault::Checksum { found, expected });
        }
        if !self.input.at_end()? {
            return Err(LtxFault::Trailing);
        }
        let post_apply = u64::from_be_bytes(post_apply);
        match self.header.pre_apply {
            None if post_apply != 0 => Err(LtxFault::Header("flags")),
            None => Ok(None),
            Some(_) => Ok(Some(post_apply)),
        }
    }

    /// Pages ascend and lie within the database; a file that holds the whole of it leaves out the lock page only.
    fn check_order(&self, page: u32) -> Result<(), LtxFault> {
        let (before, commit, size) = (self.last, self.header.commit, self.header.page_size);
        let next = following(before, size);
        let fine = match (page, self.header.is_whole()) {
            (0, true) => next > u64::from(commit.0),
            (0, false) => true,
            (page, true) => u64::from(page) == next && page <= commit.0,
            (page, false) => page > before && page <= commit.0 && page != size.lock_page().get(),
        };
        if fine { Ok(()) } else { Err(LtxFault::Order { before, page, commit }) }
    }

    fn read_block(&mut self, number: u32) -> Result<(), LtxFault> {
        let prefix = self.input.array::<4>()?;
        self.checksum.update(&prefix);
        let bytes = u32::from_be_bytes(prefix) as usize;
        if bytes > stored_bytes_max(self.header.page_size) {
            return Err(LtxFault::PageHeader(number));
        }
        self.stored.resize(bytes, 0);
        self.input.fill(&mut self.stored)?;
        lz4_block(&self.stored, &mut self.page).map_err(|fault| LtxFault::Page(number, fault))
    }
}

/// The page after `page` that holds data.
fn following(page: u32, size: PageSize) -> u64 {
    let next = u64::from(page) + 1;
    if next == u64::from(size.lock_page().get()) { next + 1 } else { next }
}

/// What LZ4 makes of a page that it cannot make smaller.
fn stored_bytes_max(size: PageSize) -> usize {
    size.bytes() + size.bytes() / 255 + 16
}

fn page_fault(page: u32, fault: Lz4Fault) -> LtxFault {
    match fault {
        Lz4Fault::Read(error) => LtxFault::Read(error),
        Lz4Fault::Truncated => LtxFault::Truncated,
        other => LtxFault::Page(page, other),
    }
}

/// An input that knows how much has been read of it.
struct Counted<R> {
    input: R,
    bytes: u64,
}

impl<R: BufRead> Counted<R> {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), LtxFault> {
        self.read_exact(out).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => LtxFault::Truncated,
            _ => LtxFault::Read(error),
        })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LtxFault> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn at_end(&mut self) -> Result<bool, LtxFault> {
        let mut byte = [0];
        loop {
            match self.read(&mut byte) {
                Ok(n) => return Ok(n == 0),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(LtxFault::Read(e)),
            }
        }
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, len: usize) {
        self.bytes += len as u64;
        self.input.consume(len);
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(out)?;
        self.bytes += n as u64;
        Ok(n)
    }
}
