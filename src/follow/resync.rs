//! Resynchronising by difference: what happened while nobody followed is not in any WAL, but the pages that differ from
//! the state that the replica ends with can be told by their hashes. They are shipped as one commit in an index of
//! their own, in the same generation.
//!
//! Invariant: with the index applied, the replica's state is the one that was read under the first hold, digest and
//! all. It is made while that hold is kept, each page is compared with its hash, and it does not depend on the source's
//! WAL afterwards.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fault_points::fault_point;
use rustix::fs::statvfs;

use super::attach::ResumePoint;
use super::log::{Mark, Opening, Source, Spool, SpoolWriter};
use super::{Follower, Lost};
use crate::segment::{PageHash, PageHashes, page_hash};
use crate::sqlite::WalIndex;
use crate::types::{Offset, PageNo};
use crate::wal::{Chain, Checksum, FrameHeader, WAL_HEADER_BYTES, WalHeader, frame_bytes};

/// Differences up to this size are worth a generation's unbroken history, whatever part of the database they are.
const SMALL_BYTES: u64 = 1 << 20;

/// The page hashes of states that a replica may end with.
#[derive(Debug)]
pub struct Baseline {
    spool: PathBuf,
    known: Vec<PageHashes>,
    unavailable: Option<String>,
}

impl Baseline {
    /// What is known at first. Differences are put together on the disk of the folder `spool`, if they are large.
    #[must_use]
    pub fn new(spool: &Path, known: Option<PageHashes>) -> Self {
        Self { spool: spool.to_owned(), known: known.into_iter().collect(), unavailable: None }
    }

    /// Takes note of the hashes of one state.
    pub fn learn(&mut self, hashes: PageHashes) {
        self.known.push(hashes);
    }

    /// Takes note that no more can be found out, for this reason: what differs from an unknown state begins a new
    /// generation.
    pub fn give_up(&mut self, reason: String) {
        self.unavailable = Some(reason);
    }

    /// Size and digest are those of `point`, so the hashes are, too.
    pub(super) fn of(&self, point: &ResumePoint) -> Option<&PageHashes> {
        let state = |hashes: &&PageHashes| (hashes.page_size(), hashes.size(), hashes.digest());
        self.known.iter().find(|hashes| state(hashes) == (point.page_size, point.size, point.digest))
    }
}

/// The pages that differ, as an index of one commit.
#[derive(Debug)]
pub(super) struct Difference {
    /// How many.
    pub(super) pages: u32,
    header: WalHeader,
    spool: Arc<Spool>,
    checksum: Checksum,
}

/// Makes the index that leads from the end of `point` to the state `now`, which `read` reads; or says why a new
/// generation is better.
///
/// # Errors
/// If the database cannot be read; [`Lost::HashesUnknown`] if they have to be found out first.
pub(super) fn difference(
    baseline: &Baseline,
    point: &ResumePoint,
    now: &PageHashes,
    index: &WalIndex,
    read: impl FnMut(PageNo, &mut [u8]) -> Result<(), Lost>,
) -> Result<Result<Difference, String>, Lost> {
    let Some(before) = baseline.of(point) else {
        return match &baseline.unavailable {
            Some(reason) => Ok(Err(reason.clone())),
            None => Err(Lost::HashesUnknown(Box::new(point.clone()))),
        };
    };
    let pages = match worth_shipping(before, now, &baseline.spool) {
        Ok(pages) => pages,
        Err(reason) => return Ok(Err(reason)),
    };
    // If the source's WAL is still the same after a restart the index goes on with its frames: hence its salts.
    let header = WalHeader::synthetic(index.order, now.page_size(), 0, index.salts);
    let mut spool = SpoolWriter::new(&baseline.spool);
    let made = spool_frames(&mut spool, before, now, &header, read)?;
    let finished = made.and_then(|checksum| Ok((checksum, spool.finish()?)));
    fault_point!("resync-made");
    Ok(finished.map(|(checksum, spool)| Difference { pages, header, spool: Arc::new(spool), checksum }).map_err(
        |error| format!("the pages that differ cannot be put together in {}: {error}", baseline.spool.display()),
    ))
}

/// How many pages differ; or why a snapshot is better.
fn worth_shipping(before: &PageHashes, now: &PageHashes, folder: &Path) -> Result<u32, String> {
    // A database that has only become smaller needs a commit too, and a commit needs a page.
    let pages = now.pages_that_differ(before).count().max(1) as u64;
    let all = u64::from(now.size().0);
    let bytes = pages * frame_bytes(now.page_size()) as u64;
    if pages >= all {
        return Err("no page of the database is what it was in the replica".to_owned());
    }
    if 2 * pages > all && bytes > SMALL_BYTES {
        return Err(format!("{pages} of {all} pages differ from the replica: a snapshot costs about as much"));
    }
    let free = statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    if bytes > SMALL_BYTES && bytes > free / 2 {
        return Err(format!("{pages} pages differ from the replica, and {} has too little room", folder.display()));
    }
    Ok(u32::try_from(pages).unwrap_or(u32::MAX))
}

/// The inner error is that of the spool.
fn spool_frames(
    spool: &mut SpoolWriter,
    before: &PageHashes,
    now: &PageHashes,
    header: &WalHeader,
    mut read: impl FnMut(PageNo, &mut [u8]) -> Result<(), Lost>,
) -> Result<io::Result<Checksum>, Lost> {
    let size = now.size();
    let first = PageNo::new(1).zip(now.entries().first());
    let mut pages = now.pages_that_differ(before).peekable();
    let nothing_else = first.filter(|_| pages.peek().is_none());
    let mut pages = pages.chain(nothing_else.map(|(page, hash)| (page, PageHash(*hash)))).peekable();
    let mut chain = Chain::begin(header);
    let (mut content, mut frame) = (vec![0; header.page_size.bytes()], Vec::new());
    let mut spooled = spool.push(&header.to_bytes());
    while let (Ok(()), Some((page, hash))) = (&spooled, pages.next()) {
        read(page, &mut content)?;
        if page_hash(page, &content) != hash {
            return Err(Lost::Overwritten(page.get()));
        }
        let commit = pages.peek().is_none().then_some(size);
        spooled = chain
            .write(FrameHeader { page, commit }, &content, &mut frame)
            .map_err(io::Error::other)
            .and_then(|()| spool.push(&frame));
    }
    Ok(spooled.map(|()| chain.checksum))
}

impl Follower {
    /// Puts `difference` behind the end of the replicas that have just been placed.
    pub(super) fn ship_difference(&mut self, difference: Difference, before: &Mark) -> Result<(), Lost> {
        let Difference { pages, header, spool, checksum } = difference;
        let here = self.mark_here();
        let begin = Mark { offset: Offset(0), checksum: header.checksum, ..*before };
        let index = self.next_index;
        self.log.open_index(Opening { index, header, source: Source::Spool(spool), begin, rebased: false });
        let bytes = WAL_HEADER_BYTES as u64 + u64::from(pages) * frame_bytes(self.page_size) as u64;
        self.log.append(&[Mark { offset: Offset(bytes), checksum, ..here }]);
        self.next_index = self.log.close_index().ok_or(Lost::NoIndexLeft)?;
        fault_point!("resync-placed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PageSize;

    fn hashes(fills: &[u8]) -> PageHashes {
        let mut all = PageHashes::new(PageSize::SMALLEST);
        for (n, fill) in (1..).zip(fills) {
            let page = PageNo::new(n).unwrap();
            all.set(page, page_hash(page, &[*fill; 512]));
        }
        all
    }

    fn frames(before: &[u8], now: &[u8]) -> Vec<(u32, Option<u32>)> {
        let header = WalHeader::synthetic(crate::wal::ByteOrder::Big, PageSize::SMALLEST, 0, Default::default());
        let mut spool = SpoolWriter::new(Path::new("/nonexistent"));
        let read = |page: PageNo, bytes: &mut [u8]| {
            bytes.fill(now[page.slot()]);
            Ok(())
        };
        let checksum = spool_frames(&mut spool, &hashes(before), &hashes(now), &header, read).unwrap().unwrap();
        let Spool::Memory(bytes) = spool.finish().unwrap() else { panic!("so little is kept in memory") };
        assert_eq!(WalHeader::parse(&bytes), Ok(header));
        let mut chain = Chain::begin(&header);
        let frames = bytes[WAL_HEADER_BYTES..].chunks(frame_bytes(PageSize::SMALLEST));
        let frames = frames.map(|frame| chain.verify(frame).unwrap()).map(|f| (f.page.get(), f.commit.map(|c| c.0)));
        let frames = frames.collect();
        assert_eq!(chain.checksum, checksum);
        frames
    }

    #[test]
    fn the_pages_that_differ_are_one_commit() {
        assert_eq!(frames(&[1, 2, 3, 4], &[1, 9, 3, 8]), [(2, None), (4, Some(4))]);
        assert_eq!(frames(&[1, 2], &[1, 2, 3]), [(3, Some(3))]);
    }

    #[test]
    fn a_database_that_has_only_become_smaller_needs_a_page_to_say_so() {
        assert_eq!(frames(&[1, 2, 3, 4], &[1, 2]), [(1, Some(2))]);
    }

    #[test]
    fn a_page_that_is_not_what_was_hashed_is_not_shipped() {
        let header = WalHeader::synthetic(crate::wal::ByteOrder::Big, PageSize::SMALLEST, 0, Default::default());
        let mut spool = SpoolWriter::new(Path::new("/nonexistent"));
        let read = |_: PageNo, bytes: &mut [u8]| {
            bytes.fill(77);
            Ok(())
        };
        let lost = spool_frames(&mut spool, &hashes(&[1]), &hashes(&[2]), &header, read).unwrap_err();
        assert!(matches!(lost, Lost::Overwritten(1)));
    }

    #[test]
    fn a_small_difference_is_shipped_whatever_part_it_is_and_another_database_is_not() {
        let folder = std::env::temp_dir();
        let judge = |before: &[u8], now: &[u8]| worth_shipping(&hashes(before), &hashes(now), &folder);
        assert_eq!(judge(&[1, 2, 3], &[1, 8, 9]), Ok(2));
        assert_eq!(judge(&[1, 2, 3], &[1, 2]), Ok(1));
        assert!(judge(&[1, 2, 3], &[7, 8, 9]).unwrap_err().contains("no page"));
        let many = |fill: u8| [vec![1], vec![fill; 5000]].concat();
        assert!(judge(&many(2), &many(3)).unwrap_err().contains("5000 of 5001 pages"));
    }
}
