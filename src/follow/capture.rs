//! Pinned or Guarded: reading what was committed.

use fault_points::fault_point;

use super::log::{Mark, Opening, Source};
use super::snapshot::read_pages;
use super::{Follower, Hold, Lost, OpenIndex, Tail};
use crate::segment::{PageHashes, SourceCursor, page_hash};
use crate::sqlite::{self, WalIndex};
use crate::types::{Offset, PageNo, PageSize, Timestamp};
use crate::wal::{Chain, FRAME_HEADER_BYTES, WAL_HEADER_BYTES, WalHeader, frame_bytes};

/// How many bytes of a WAL are captured before the shippers are told.
const STEP_BYTES: u64 = 16 << 20;

impl Follower {
    /// Captures everything that is committed, whatever state the WAL is in. Returns the number of commits.
    pub(super) fn observe(&mut self, now: Timestamp) -> Result<usize, Lost> {
        let index = self.newest_index()?;
        let same = index.salts == self.salts && self.tail.is_some();
        match self.hold {
            Hold::Pinned { .. } if !same => Err(Lost::Unpinned { before: self.salts, after: index.salts }),
            Hold::Pinned { .. } => self.capture(&index, now),
            // Empty, or restarted and not written to: there is nothing to capture and nothing to pin.
            Hold::Guarded if index.frames == 0 => Ok(0),
            Hold::Guarded if same && self.tail_frames() == Some(index.frames) => Ok(0),
            Hold::Guarded => self.leave_guard(now),
        }
    }

    /// What the wal-index says; made anew from the WAL if whoever was writing it has died, as by any reader.
    ///
    /// Marks of locks that are held stay as they are then, and nothing counts as copied back any more, so what is held
    /// protects no less than before (SQLite, `walIndexRecover`).
    pub(super) fn newest_index(&mut self) -> Result<WalIndex, Lost> {
        let index = self.lines[self.held].wal_index();
        if let Err(sqlite::Error::WalIndex(_)) = index {
            self.checkpointer.allow_others()?;
            self.checkpointer.begin_read()?;
            self.checkpointer.end();
            return Ok(self.lines[self.held].wal_index()?);
        }
        Ok(index?)
    }

    /// Guarded, and frames have appeared: usually in a new WAL, but in the old one if a reader kept it from restarting.
    ///
    /// The new pin is taken before the guard is dropped. It is a true pin: as long as the guard is held, frames behind
    /// its mark cannot be copied back, so the new transaction finds a WAL that is not copied back whole.
    fn leave_guard(&mut self, now: Timestamp) -> Result<usize, Lost> {
        let other = 1 - self.held;
        self.lines[other].begin_read()?;
        let index = self.newest_index()?;
        if index.salts != self.salts || self.tail.is_none() {
            self.enter_new_wal(&index)?;
        }
        let commits = self.capture(&index, now)?;
        fault_point!("restart-pinned");
        if self.lease_is_out() {
            self.held_for_lease = true;
        } else {
            self.lines[self.held].end();
        }
        fault_point!("restart-followed");
        self.held = other;
        self.pinned(&index);
        Ok(commits)
    }

    /// The WAL has been restarted under our guard: what follows begins where the old one ended.
    fn enter_new_wal(&mut self, index: &WalIndex) -> Result<(), Lost> {
        let header = self.wal.header()?;
        if header.salts != index.salts {
            return Err(Lost::Salts { wal: header.salts, index: index.salts });
        }
        if header.page_size != self.page_size {
            return Err(Lost::PageSize);
        }
        // The guard alone proves that nothing came between. A restart that does not count up by one (several TRUNCATE
        // checkpoints of an idle WAL do that) is proved a second time, by the database itself.
        if self.tail.is_some() && !header.salts.follow(self.salts) {
            self.prove_unchanged(Lost::Restarted { before: self.salts, after: header.salts })?;
        }
        self.tail = Some(Tail { chain: Chain::begin(&header), offset: WAL_HEADER_BYTES as u64 });
        (self.salts, self.digests_from, self.lease_from) = (header.salts, 0, 0);
        Ok(())
    }

    fn prove_unchanged(&self, otherwise: Lost) -> Result<(), Lost> {
        let mut found = PageHashes::new(self.page_size);
        read_pages(&self.lines[self.held], self.page_size, self.hashes.size(), None, |first, bytes| {
            hash_run(&mut found, self.page_size, first, bytes);
            Ok(())
        })
        .map_err(Lost::ReadDatabase)?;
        if found.digest() == self.hashes.digest() { Ok(()) } else { Err(otherwise) }
    }

    /// Verifies the frames up to the newest commit and appends their commits to the log.
    pub(super) fn capture(&mut self, index: &WalIndex, now: Timestamp) -> Result<usize, Lost> {
        let Some(tail) = &self.tail else { return Ok(0) };
        let frame = frame_bytes(self.page_size) as u64;
        let end = WAL_HEADER_BYTES as u64 + u64::from(index.frames) * frame;
        let mut commits = 0;
        let mut offset = tail.offset;
        while offset < end {
            let step = end.min(offset + (STEP_BYTES / frame).max(1) * frame);
            commits += self.capture_step(step, now)?;
            offset = step;
        }
        match &self.tail {
            Some(tail) if tail.offset == end && tail.chain.checksum != index.checksum => Err(Lost::Checksum),
            _ => Ok(commits),
        }
    }

    fn capture_step(&mut self, end: u64, now: Timestamp) -> Result<usize, Lost> {
        if self.open_index.is_none() {
            self.begin_index()?;
        }
        self.advance_time(now);
        let (Some(tail), Some(open)) = (&mut self.tail, &mut self.open_index) else { return Ok(0) };
        let (hashes, first_page, time, salts) = (&mut self.hashes, &mut self.first_page, self.time, self.salts);
        let (digests_from, ranges) = (self.digests_from, &mut self.ranges);
        let mut marks = Vec::new();
        let mut source = tail.chain;
        self.wal.verify(&mut tail.chain, tail.offset, end, &mut self.buffer, |offset, header, bytes| {
            let hash = page_hash(header.page, &bytes[FRAME_HEADER_BYTES..]);
            hashes.set(header.page, hash);
            ranges.note(header.page);
            if header.page.get() == 1 {
                first_page.insert(hash.0);
            }
            // Cannot fail: the frame is whole, it has just been verified.
            let _ = open.rebased.as_mut().map(|chain| chain.pass(bytes));
            open.offset += bytes.len() as u64;
            if let Some((_, checksum)) = Chain::claimed(bytes) {
                source.checksum = checksum;
            }
            if let Some(size) = header.commit {
                hashes.resize(size);
                let checksum = open.rebased.map_or(source.checksum, |chain| chain.checksum);
                let source = SourceCursor { salts, offset: offset + bytes.len() as u64, checksum: source.checksum };
                let digest = (source.offset >= digests_from).then(|| hashes.digest());
                marks.push(Mark { offset: Offset(open.offset), checksum, source, size, digest, time });
            }
        })?;
        let frames = (end - tail.offset) / frame_bytes(self.page_size) as u64;
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        self.growth.captured(count(frames), count(marks.len() as u64));
        self.commits += marks.len();
        tail.offset = end;
        self.log.append(&marks);
        // An object can end only where the digest is known, so an index can too.
        let can_end = |m: &Mark| m.source.offset == end && m.digest.is_some();
        let full = open.offset >= self.limits.index_bytes && marks.last().is_some_and(can_end);
        if full {
            self.close_index()?;
        }
        Ok(marks.len())
    }

    /// Opens the next index at the point that has been captured. If that is the beginning of the source's WAL the index
    /// holds the source's own bytes; else its frames get a header, salts and checksums of their own.
    fn begin_index(&mut self) -> Result<(), Lost> {
        let Some(tail) = &self.tail else { return Ok(()) };
        let natural = tail.offset == WAL_HEADER_BYTES as u64;
        let header = if natural {
            self.wal.header()?
        } else {
            WalHeader::synthetic(tail.chain.order, self.page_size, 0, self.salts)
        };
        let begin = Mark { offset: Offset(0), checksum: header.checksum, ..self.mark_here() };
        let source = Source::Wal(self.wal.file());
        self.log.open_index(Opening { index: self.next_index, header, source, begin, rebased: !natural });
        let rebased = (!natural).then(|| Chain::begin(&header));
        self.open_index = Some(OpenIndex { rebased, offset: WAL_HEADER_BYTES as u64 });
        Ok(())
    }

    /// The clock may step back; time within a generation does not.
    pub(super) fn advance_time(&mut self, now: Timestamp) {
        self.time = self.time.max(now).max(self.log.not_before());
    }

    /// Ends the open index; frames that follow belong to the next.
    pub(super) fn close_index(&mut self) -> Result<(), Lost> {
        if self.open_index.take().is_some() {
            self.ranges.end_index();
            self.next_index = self.log.close_index().ok_or(Lost::NoIndexLeft)?;
        }
        Ok(())
    }

    /// The point up to which everything has been captured.
    pub(super) fn mark_here(&self) -> Mark {
        let (offset, checksum) = self.tail.as_ref().map_or((0, Default::default()), |t| (t.offset, t.chain.checksum));
        Mark {
            offset: Offset(self.open_index.as_ref().map_or(0, |open| open.offset)),
            checksum,
            source: SourceCursor { salts: self.salts, offset, checksum },
            size: self.hashes.size(),
            digest: Some(self.hashes.digest()),
            time: self.time,
        }
    }

    /// Frames of the source's WAL that have been captured.
    pub(super) fn tail_frames(&self) -> Option<u32> {
        let tail = self.tail.as_ref()?;
        u32::try_from((tail.offset - WAL_HEADER_BYTES as u64) / frame_bytes(self.page_size) as u64).ok()
    }
}

/// Takes note of the pages of one run of [`read_pages`].
pub(super) fn hash_run(hashes: &mut PageHashes, page_size: PageSize, first: PageNo, bytes: &[u8]) {
    for (page, content) in (first.get()..).zip(bytes.chunks_exact(page_size.bytes())) {
        if let Some(page) = PageNo::new(page) {
            hashes.set(page, page_hash(page, content));
        }
    }
}
