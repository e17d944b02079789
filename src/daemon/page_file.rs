//! The file `pages` of the state folder: the hash of every page of one state, and the position of that state in the
//! history. With it a database that has changed while nobody followed is compared with what its replica ends with.
//!
//! Nothing depends on it: it is used only if its digest is the one in a seal of the replica, and it can be brought
//! forward, or made anew, from the replica.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use fault_points::fault_point;
use xxhash_rust::xxh3::Xxh3;

use crate::segment::PageHashes;
use crate::types::{Generation, Index, Offset, PageSize, Position};

const NAME: &str = "pages";
const STAGED: &str = "pages.next";

// Byte map; numbers are little-endian:
//   magic (8) | page size (4) | index (4) | generation (8) | offset (8) | pages (8) | hash of each page (8 each)
//   | XXH3 of everything before (8)
const MAGIC: &[u8; 8] = b"LSHPPAG1";
const PAGE_SIZE: usize = MAGIC.len();
const INDEX: usize = PAGE_SIZE + 4;
const GENERATION: usize = INDEX + 4;
const OFFSET: usize = GENERATION + 8;
const PAGES: usize = OFFSET + 8;
const HEADER_BYTES: usize = PAGES + 8;
/// Hashes that are read or written at once.
const RUN: usize = 8 << 10;

/// The page hashes of a state, and where it lies in a history.
#[derive(Debug, Clone)]
pub struct KnownPages {
    /// Everything before this position has led to the state.
    pub position: Position,
    /// Its pages.
    pub hashes: PageHashes,
}

/// Writes the file into `folder`, in the place of the one that is there.
///
/// It is not synced: what a power cut leaves of it has a wrong checksum.
///
/// # Errors
/// If it cannot be written.
pub fn write(folder: &Path, position: Position, hashes: &PageHashes) -> io::Result<()> {
    stage(folder, position, hashes)?;
    publish_staged(folder)
}

/// Writes the file under another name, because no replica has got that far yet.
///
/// # Errors
/// If it cannot be written.
pub fn stage(folder: &Path, position: Position, hashes: &PageHashes) -> io::Result<()> {
    let mut out = Summed { inner: BufWriter::new(File::create(folder.join(STAGED))?), sum: Xxh3::new() };
    fault_point!("pages-created");
    out.write_all(&header(position, hashes))?;
    let mut bytes = Vec::with_capacity(8 * RUN);
    for run in hashes.entries().chunks(RUN) {
        bytes.clear();
        run.iter().for_each(|hash| bytes.extend_from_slice(&hash.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    let Summed { mut inner, sum } = out;
    inner.write_all(&sum.digest().to_le_bytes())?;
    inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    fault_point!("pages-staged");
    Ok(())
}

/// Gives the staged file its name.
///
/// # Errors
/// If there is none, or it cannot be renamed.
pub fn publish_staged(folder: &Path) -> io::Result<()> {
    fs::rename(folder.join(STAGED), folder.join(NAME))?;
    fault_point!("pages-renamed");
    Ok(())
}

/// Reads the file of `folder`; says why if there is none that can be used.
///
/// # Errors
/// Why not, in words.
pub fn read(folder: &Path) -> Result<KnownPages, String> {
    let file = match File::open(folder.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("there are none yet".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let damaged = || "their file is damaged".to_owned();
    let len = file.metadata().map_err(|e| e.to_string())?.len();
    parse(BufReader::new(file), len).map_err(|e| e.to_string())?.ok_or_else(damaged)
}

/// `None` if it is damaged.
fn parse(input: impl Read, len: u64) -> io::Result<Option<KnownPages>> {
    let mut input = Summed { inner: input, sum: Xxh3::new() };
    let mut header = [0; HEADER_BYTES];
    // The length is checked first, so that a damaged one does not ask for memory.
    if len < HEADER_BYTES as u64 + 8 || !(len - HEADER_BYTES as u64).is_multiple_of(8) {
        return Ok(None);
    }
    input.read_exact(&mut header)?;
    let pages = (len - HEADER_BYTES as u64) / 8 - 1;
    if !header.starts_with(MAGIC) || u64_at(&header, PAGES) != pages {
        return Ok(None);
    }
    let mut entries = Vec::with_capacity(usize::try_from(pages).map_err(io::Error::other)?);
    let mut bytes = vec![0; 8 * RUN];
    while (entries.len() as u64) < pages {
        let run = RUN.min(usize::try_from(pages).unwrap_or(RUN) - entries.len());
        input.read_exact(&mut bytes[..8 * run])?;
        entries.extend(bytes[..8 * run].as_chunks::<8>().0.iter().map(|hash| u64::from_le_bytes(*hash)));
    }
    let sum = input.sum.digest();
    let mut footer = [0; 8];
    input.inner.read_exact(&mut footer)?;
    let known = (u64::from_le_bytes(footer) == sum).then(|| position_of(&header)).flatten();
    Ok(known.map(|(position, page_size)| KnownPages { position, hashes: PageHashes::from_entries(page_size, entries) }))
}

fn header(position: Position, hashes: &PageHashes) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..PAGE_SIZE].copy_from_slice(MAGIC);
    header[PAGE_SIZE..INDEX].copy_from_slice(&hashes.page_size().get().to_le_bytes());
    header[INDEX..GENERATION].copy_from_slice(&position.index.get().to_le_bytes());
    header[GENERATION..OFFSET].copy_from_slice(&position.generation.0.to_le_bytes());
    header[OFFSET..PAGES].copy_from_slice(&position.offset.0.to_le_bytes());
    header[PAGES..].copy_from_slice(&(hashes.entries().len() as u64).to_le_bytes());
    header
}

fn position_of(header: &[u8; HEADER_BYTES]) -> Option<(Position, PageSize)> {
    let page_size = PageSize::new(u32_at(header, PAGE_SIZE))?;
    let index = Index::new(u32_at(header, INDEX))?;
    let generation = Generation(u64_at(header, GENERATION));
    Some((Position { generation, index, offset: Offset(u64_at(header, OFFSET)) }, page_size))
}

fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| header[at + i]))
}

fn u64_at(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| header[at + i]))
}

/// Sums what passes.
struct Summed<T> {
    inner: T,
    sum: Xxh3,
}

impl<W: Write> Summed<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<R: Read> Summed<R> {
    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.sum.update(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(pages: u64) -> KnownPages {
        let index = Index::new(7).unwrap();
        let position = Position { generation: Generation(1 << 60), index, offset: Offset(1 << 33) };
        let entries = (0..pages).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        KnownPages { position, hashes: PageHashes::from_entries(PageSize::new(65_536).unwrap(), entries) }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        for pages in [0, 1, 3, RUN as u64, 20_001] {
            let folder = tempfile::tempdir().unwrap();
            let wanted = known(pages);
            write(folder.path(), wanted.position, &wanted.hashes).unwrap();
            let found = read(folder.path()).unwrap();
            assert_eq!(found.position, wanted.position);
            assert_eq!(found.hashes.entries(), wanted.hashes.entries());
            assert_eq!(
                (found.hashes.digest(), found.hashes.page_size()),
                (wanted.hashes.digest(), wanted.hashes.page_size())
            );
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
        }
    }

    #[test]
    fn it_is_not_read_before_a_replica_has_got_that_far() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().contains("none yet"));
        let wanted = known(5);
        stage(folder.path(), wanted.position, &wanted.hashes).unwrap();
        assert!(read(folder.path()).unwrap_err().contains("none yet"));
        publish_staged(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap().hashes.entries().len(), 5);
    }

    #[test]
    fn a_file_that_is_cut_or_damaged_anywhere_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = known(5);
        write(folder.path(), wanted.position, &wanted.hashes).unwrap();
        let whole = fs::read(folder.path().join(NAME)).unwrap();
        for len in 0..whole.len() {
            fs::write(folder.path().join(NAME), &whole[..len]).unwrap();
            assert!(read(folder.path()).is_err(), "cut to {len} bytes");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(folder.path().join(NAME), bytes).unwrap();
            assert!(read(folder.path()).is_err(), "damaged at {at}");
        }
    }
}
