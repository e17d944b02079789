//! Segments over a snapshot: every frame is verified, every commit is where its seal says, and the database is
//! compared with the seals on both sides of each object.

use std::path::Path;

use super::error::{ApplyError, ObjectFault, Step};
use super::fetch::{Arrival, ArrivalBody, ArrivalReader};
use super::image::{Edge, Expected, ImageWriter};
use super::pending::Pending;
use super::wal_stream::{Frame, WalStream};
use crate::history::{ObjectName, PlanError, PlannedEnd, PlannedObject, RestorePlan, Sealing, check_place, covers};
use crate::segment::{Commit, Decoder, Seal};
use crate::types::{Index, Offset, PageCount};
use crate::wal::{Chain, Salts};

/// Frames at the end of an index that no commit followed; they are not part of any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncommitted {
    /// In which index.
    pub index: Index,
    /// How many.
    pub frames: usize,
}

/// The database after the objects so far.
#[derive(Debug)]
pub struct Replay<'p> {
    plan: &'p RestorePlan,
    image: ImageWriter,
    size: PageCount,
    size_max_bytes: u64,
    at: (Index, Offset),
    last: ObjectName,
    /// The seal of the last object, if it is of the current index.
    applied: Option<Box<Seal>>,
    wal: WalStream,
    salts_before: Option<Salts>,
    pending: Pending,
    uncommitted: Vec<Uncommitted>,
}

impl<'p> Replay<'p> {
    /// Continues the snapshot of `plan`, which has been written. No state may need more than `size_max_bytes`.
    pub fn new(plan: &'p RestorePlan, image: ImageWriter, size: PageCount, size_max_bytes: u64, spill: &Path) -> Self {
        let page_size = image.page_size();
        let index = plan.snapshot.name.index();
        Self {
            plan,
            image,
            size,
            size_max_bytes,
            at: (index, Offset(0)),
            last: plan.snapshot.name,
            applied: None,
            wal: WalStream::new(page_size),
            salts_before: None,
            pending: Pending::new(page_size, spill),
            uncommitted: Vec::new(),
        }
    }

    /// Continues the state that `before` ends with, a database of `size`, where `next` begins.
    pub fn after(
        plan: &'p RestorePlan,
        image: ImageWriter,
        (before, size): (ObjectName, PageCount),
        next: &PlannedObject,
        size_max_bytes: u64,
        spill: &Path,
    ) -> Self {
        let mut replay = Self::new(plan, image, size, size_max_bytes, spill);
        replay.last = before;
        if let Some(seal) = next.seal.as_ref().filter(|seal| seal.from.1 > Offset(0)) {
            let Seal { order, page_size, salts, checksum_before: checksum, .. } = **seal;
            replay.wal = WalStream::within(Chain { order, page_size, salts, checksum }, seal.from.1);
        }
        replay
    }

    /// Replays one object.
    pub fn segment(&mut self, arrival: Arrival) -> Result<(), ApplyError> {
        let Arrival { object, sealing, body } = arrival;
        let name = object.name;
        if self.is_leftover(&name, &sealing) {
            return Ok(());
        }
        self.place(name)?;
        match (self.plan.is_sealed(), sealing) {
            (true, Sealing::Sealed(seal)) => {
                check_place(&name, &seal)?;
                if object.seal.is_some_and(|planned| planned != seal) {
                    return Err(ObjectFault::Changed.of(name));
                }
                self.sealed(name, &seal, body).map_err(|step| step.at(name))?;
            }
            (true, Sealing::Unsealed) => return Err(ObjectFault::SealMissing.of(name)),
            (_, Sealing::Damaged(fault)) => return Err(ObjectFault::Seal(fault).of(name)),
            (false, Sealing::Unsealed) => self.unsealed(name, body).map_err(|step| step.at(name))?,
            (false, Sealing::Sealed(_)) => return Err(ObjectFault::SealUnexpected(self.plan.snapshot.name).of(name)),
        }
        self.last = name;
        Ok(())
    }

    /// Whether everything in the object has been applied already, as part of one that it was merged into.
    fn is_leftover(&self, name: &ObjectName, sealing: &Sealing) -> bool {
        let (Some(outer), Sealing::Sealed(inner)) = (&self.applied, sealing) else { return false };
        check_place(name, inner).is_ok() && inner.from > outer.from && covers(outer, inner)
    }

    /// Ends the replay: what was reached, and what was left over.
    pub fn finish(mut self) -> Result<Replayed, ApplyError> {
        self.end_index();
        if matches!(self.plan.end, PlannedEnd::Commit { at, .. } if at != self.at) {
            return Err(ObjectFault::Changed.of(self.last));
        }
        self.image.resize(self.size)?;
        Ok(Replayed { at: self.at, size: self.size, uncommitted: self.uncommitted })
    }

    /// The object begins where the one before it ended.
    fn place(&mut self, name: ObjectName) -> Result<(), ApplyError> {
        let whole = |name: ObjectName| !matches!(name, ObjectName::Segment(..));
        let begins_index = self.last.index() != name.index() || whole(self.last) || whole(name);
        if begins_index {
            self.end_index();
            self.salts_before = self.wal.header().map(|h| h.salts);
            self.wal = WalStream::new(self.image.page_size());
            self.applied = None;
        }
        let (before, next) = (self.last, name);
        match name.offset().cmp(&self.wal.received()) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(PlanError::Hole { before, next }.into()),
            std::cmp::Ordering::Less => Err(PlanError::Overlap { before, next }.into()),
        }
    }

    fn end_index(&mut self) {
        if !self.pending.is_empty() {
            self.uncommitted.push(Uncommitted { index: self.last.index(), frames: self.pending.len() });
            self.pending.clear();
        }
    }

    fn sealed(&mut self, name: ObjectName, seal: &Seal, body: ArrivalBody) -> Result<(), Step> {
        if seal.page_size != self.image.page_size() {
            return Err(ObjectFault::PageSize(seal.page_size, self.image.page_size()).into());
        }
        if !seal.is_end()
            && let Some(chain) = self.wal.chain()
            && (chain.salts, chain.checksum, chain.order) != (seal.salts, seal.checksum_before, seal.order)
        {
            return Err(ObjectFault::Chain.into());
        }
        let before = (seal.size_before, seal.digest_before);
        self.image.expect(Expected { object: name, edge: Edge::Before, size: before.0, digest: before.1 })?;
        if seal.is_end() {
            return self.end_object(seal, body);
        }
        let stop = self.stop_within(name, seal);
        let mut commits = Commits {
            seal,
            seen: 0,
            stop,
            size: self.size,
            size_max_bytes: self.size_max_bytes,
            image: &mut self.image,
        };
        let mut decoder = Decoder::new(ArrivalReader::new(body));
        while let Some(block) = decoder.next_block()? {
            self.wal.feed(block, |frame| commits.frame(frame))?;
        }
        if commits.seen != seal.commits.len() {
            return Err(ObjectFault::OpenEnd.into());
        }
        if decoder.finish()?.as_ref() != Some(seal) {
            return Err(ObjectFault::Changed.into());
        }
        self.check_wal(seal)?;
        match stop {
            Some(stop) => {
                (self.at, self.size) = ((name.index(), stop.end), stop.size);
                self.image.resize(self.size)?;
            }
            None => {
                (self.at, self.size) = (seal.to, seal.size_after);
                self.image.resize(self.size)?;
                let after = (seal.size_after, seal.digest_after);
                self.image.expect(Expected { object: name, edge: Edge::After, size: after.0, digest: after.1 })?;
            }
        }
        self.applied = Some(Box::new(seal.clone()));
        Ok(())
    }

    /// The object that ends an index has no data; it continues the WAL that it ends.
    fn end_object(&mut self, seal: &Seal, body: ArrivalBody) -> Result<(), Step> {
        if self.wal.chain().is_some_and(|chain| chain.checksum != seal.checksum_before) {
            return Err(ObjectFault::Chain.into());
        }
        let decoded = Decoder::new(ArrivalReader::new(body)).finish()?;
        if decoded.as_ref() != Some(seal) {
            return Err(ObjectFault::Changed.into());
        }
        self.at = seal.to;
        Ok(())
    }

    /// The commit at which to stop, if it is within this object and not its last.
    fn stop_within(&self, name: ObjectName, seal: &Seal) -> Option<Commit> {
        let PlannedEnd::Commit { at, .. } = self.plan.end else { return None };
        // A merged range has no point within it.
        let here = matches!(name, ObjectName::Segment(..)) && seal.from < at && at < seal.to;
        let commit = || seal.commits.iter().find(|c| (seal.to.0, c.end) == at).copied();
        here.then(commit).flatten()
    }

    /// The seal's account of the WAL is that of the frames.
    fn check_wal(&self, seal: &Seal) -> Result<(), ObjectFault> {
        let Some(chain) = self.wal.chain() else { return Err(ObjectFault::OpenEnd) };
        let begins_wal = seal.from.1 == Offset(0);
        if begins_wal && self.wal.header().is_some_and(|h| h.checksum != seal.checksum_before) {
            return Err(ObjectFault::SealField("the header checksum"));
        }
        if (chain.salts, chain.order) != (seal.salts, seal.order) {
            return Err(ObjectFault::SealField("the salts"));
        }
        if chain.checksum != seal.checksum_after {
            return Err(ObjectFault::SealField("the WAL checksum"));
        }
        if self.wal.at_frame_end() { Ok(()) } else { Err(ObjectFault::OpenEnd) }
    }

    fn unsealed(&mut self, name: ObjectName, body: ArrivalBody) -> Result<(), Step> {
        let mut decoder = Decoder::new(ArrivalReader::new(body));
        let Self { wal, pending, image, size, at, .. } = self;
        let size_max_bytes = self.size_max_bytes;
        while let Some(block) = decoder.next_block()? {
            wal.feed(block, |frame| -> Result<(), Step> {
                pending.push(frame.header.page, frame.content)?;
                let Some(committed) = frame.header.commit else { return Ok(()) };
                check_size(committed, image, size_max_bytes)?;
                pending.drain(|page, content| -> Result<(), Step> {
                    if page.get() <= committed.0 {
                        image.page(page, content)?;
                    }
                    Ok(())
                })?;
                if committed < *size {
                    image.resize(committed)?;
                }
                (*size, *at) = (committed, (name.index(), frame.end));
                Ok(())
            })?;
        }
        if decoder.finish()?.is_some() {
            return Err(ObjectFault::Changed.into());
        }
        if let (Some(before), Some(header)) = (self.salts_before, self.wal.header())
            && !header.salts.follow(before)
        {
            return Err(ObjectFault::WalMissing { found: header.salts, before }.into());
        }
        Ok(())
    }
}

/// What a replay arrived at.
#[derive(Debug)]
pub struct Replayed {
    /// The end of the last commit.
    pub at: (Index, Offset),
    /// Size of the database.
    pub size: PageCount,
    /// What no commit followed.
    pub uncommitted: Vec<Uncommitted>,
}

/// Compares the commits of a sealed object, one after the other, with those of its seal, and writes their pages.
struct Commits<'a> {
    seal: &'a Seal,
    seen: usize,
    stop: Option<Commit>,
    size: PageCount,
    size_max_bytes: u64,
    image: &'a mut ImageWriter,
}

impl Commits<'_> {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Step> {
        let commit = *self.seal.commits.get(self.seen).ok_or(ObjectFault::OpenEnd)?;
        let wanted = self.stop.is_none_or(|stop| frame.end <= stop.end);
        // Pages behind the end of the transaction's database are cut off by its commit anyway.
        if wanted && frame.header.page.get() <= commit.size.0 {
            self.image.page(frame.header.page, frame.content)?;
        }
        match frame.header.commit {
            None if frame.end >= commit.end => Err(ObjectFault::Commit(commit.end).into()),
            None => Ok(()),
            Some(size) if (frame.end, size) == (commit.end, commit.size) => self.commit(commit, wanted),
            Some(_) => Err(ObjectFault::Commit(frame.end).into()),
        }
    }

    fn commit(&mut self, commit: Commit, wanted: bool) -> Result<(), Step> {
        self.seen += 1;
        check_size(commit.size, self.image, self.size_max_bytes)?;
        if wanted && commit.size < self.size {
            self.image.resize(commit.size)?;
        }
        self.size = commit.size;
        Ok(())
    }
}

/// A size that the disk has no room for is not taken at its word: memory for its hashes would be asked for.
pub fn check_size(size: PageCount, image: &ImageWriter, max_bytes: u64) -> Result<(), ObjectFault> {
    let bytes = size.bytes(image.page_size());
    if bytes > max_bytes { Err(ObjectFault::Size(bytes)) } else { Ok(()) }
}
