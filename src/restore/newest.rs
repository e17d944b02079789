//! Newest objects first, so that each page is written once, whatever the length of the history.
//!
//! The digest of the state that comes out is the proof, so nothing on the way is hashed. If it is another one, or an
//! object is not what it should be, the caller puts the database together in order, which finds out what is wrong.

use std::io::BufRead;

use tokio::sync::mpsc;

use super::apply::{Applied, Job, put_together};
use super::error::{ApplyError, ObjectFault, Step};
use super::fetch::{Arrival, ArrivalReader};
use super::image::{Edge, Expected, ImagePort, ImageWriter};
use super::replay::{Replay, Replayed, check_size};
use crate::history::{PlannedEnd, PlannedObject, RestorePlan, Sealing, check_place};
use crate::host;
use crate::segment::{Commit, Decoder, Scratch, Seal, SealKind};
use crate::types::{Index, Offset, PageCount, PageNo, PageSet, PageSize};
use crate::wal::{Chain, FRAME_HEADER_BYTES, WAL_HEADER_BYTES, frame_bytes};

/// Once no more than this part of the pages is missing, the disk begins with the others: what still comes is little to
/// write, but may be much to decode.
const UNSETTLED_SHARE: u32 = 64;

/// A plan in two parts: objects that lead to a state with a known digest, and what has to be applied to that in order.
#[derive(Debug)]
pub struct Split {
    /// The state after the first part.
    proof: Expected,
    page_size: PageSize,
    /// How many objects the first part has.
    first: usize,
}

impl Split {
    /// `None` if no digest is known beforehand: Litestream wrote the history.
    pub fn of(plan: &RestorePlan) -> Option<Self> {
        let page_size = plan.snapshot.seal.as_ref()?.page_size;
        let objects = 1 + plan.steps.len();
        let last = plan.objects().last()?;
        match plan.end {
            PlannedEnd::Commit { digest: Some(digest), size, .. } => {
                let proof = Expected { object: last.name, edge: Edge::After, size, digest };
                Some(Self { proof, page_size, first: objects })
            }
            // Only a part of the last object is wanted.
            PlannedEnd::Commit { digest: None, .. } => {
                let seal = last.seal.as_ref()?;
                let (size, digest) = (seal.size_before, seal.digest_before);
                let proof = Expected { object: last.name, edge: Edge::Before, size, digest };
                Some(Self { proof, page_size, first: objects - 1 })
            }
            PlannedEnd::LastCommit { .. } => None,
        }
    }

    /// The objects of `plan` in the order in which [`apply`] wants them.
    pub fn order(&self, plan: &RestorePlan) -> Vec<PlannedObject> {
        let mut objects: Vec<_> = plan.objects().cloned().collect();
        objects[..self.first].reverse();
        objects
    }
}

/// Carries out `job`. Blocks; must not run on an async thread.
///
/// # Errors
/// What is strange, or why the file cannot be written.
pub fn apply(job: &Job, split: &Split, mut arrivals: mpsc::Receiver<Arrival>) -> Result<Applied, ApplyError> {
    let (hashes, replayed) = put_together(job.file.as_ref(), false, |port| fill(job, split, &mut arrivals, port))?;
    Ok(Applied { hashes, replayed })
}

fn fill(
    job: &Job,
    split: &Split,
    arrivals: &mut mpsc::Receiver<Arrival>,
    port: ImagePort,
) -> Result<Replayed, ApplyError> {
    let size = split.proof.size;
    let mut image = port.begin(split.page_size)?;
    check_size(size, &image, job.size_max_bytes).map_err(|fault| fault.of(split.proof.object))?;
    if split.first > 1 {
        image.reserve(size)?;
    } else {
        image.resize(size)?;
    }
    let rest = &job.plan.steps[split.first - 1..];
    let mut filling = Filling::new(&mut image, size);
    for left in (0..split.first).rev() {
        if filling.is_complete() && rest.is_empty() {
            break;
        }
        let arrival = host::receive(arrivals).ok_or(ApplyError::Interrupted)?;
        if !filling.is_complete() {
            filling.object(arrival, left == 0)?;
        }
    }
    image.expect(split.proof)?;
    let PlannedEnd::Commit { at, size, .. } = job.plan.end else { return Err(ApplyError::Interrupted) };
    let Some(next) = rest.first() else {
        image.flush()?;
        return Ok(Replayed { at, size, uncommitted: Vec::new() });
    };
    let before = job.plan.objects().nth(split.first - 1).map_or(job.plan.snapshot.name, |object| object.name);
    let mut replay = Replay::after(&job.plan, image, (before, split.proof.size), next, job.size_max_bytes, &job.spill);
    for _ in rest {
        replay.segment(host::receive(arrivals).ok_or(ApplyError::Interrupted)?)?;
    }
    replay.finish()
}

/// The state so far, from its end backwards.
struct Filling<'i> {
    image: &'i mut ImageWriter,
    /// Of the database at its end.
    size: PageCount,
    /// The pages that are done: what is older is no longer wanted.
    done: PageSet,
    done_count: u32,
    /// The least size that the database had from here on; pages behind it were cut off once.
    limit: PageCount,
    /// Where the object after this one begins.
    until: Option<(Index, Offset)>,
    scratch: Scratch,
}

impl<'i> Filling<'i> {
    fn new(image: &'i mut ImageWriter, size: PageCount) -> Self {
        let (done, scratch) = (PageSet::default(), Scratch::default());
        Self { image, size, done, done_count: 0, limit: size, until: None, scratch }
    }

    /// Whether older objects have nothing to add. The lock page is never written.
    fn is_complete(&self) -> bool {
        let lock_page = self.image.page_size().lock_page().get();
        let wanted = self.size.0 - u32::from(lock_page <= self.size.0);
        self.limit == self.size && self.done_count >= wanted
    }

    fn object(&mut self, arrival: Arrival, is_snapshot: bool) -> Result<(), ApplyError> {
        let Arrival { object, sealing, body } = arrival;
        let name = object.name;
        let seal = match sealing {
            Sealing::Sealed(seal) => seal,
            Sealing::Unsealed => return Err(ObjectFault::SealMissing.of(name)),
            Sealing::Damaged(fault) => return Err(ObjectFault::Seal(fault).of(name)),
        };
        check_place(&name, &seal)?;
        if object.seal.is_some_and(|planned| planned != seal) {
            return Err(ObjectFault::Changed.of(name));
        }
        let adjoins = |until| seal.to == until || (seal.to.0.next() == Some(until.0) && until.1 == Offset(0));
        if !self.until.is_none_or(adjoins) || is_snapshot != (seal.kind == SealKind::Snapshot) {
            return Err(ObjectFault::Gap.of(name));
        }
        self.until = Some(seal.from);
        if seal.page_size != self.image.page_size() {
            return Err(ObjectFault::PageSize(seal.page_size, self.image.page_size()).of(name));
        }
        let decoder = Decoder::unproved(ArrivalReader::new(body), std::mem::take(&mut self.scratch));
        let filled = if is_snapshot { self.snapshot(decoder) } else { self.segment(&seal, decoder) };
        filled.map_err(|step| step.at(name))
    }

    /// Writes those pages of a segment or range that are not done.
    fn segment(&mut self, seal: &Seal, mut decoder: Decoder<impl BufRead>) -> Result<(), Step> {
        let limits = limits(&seal.commits, self.limit);
        let header_bytes = if seal.from.1 == Offset(0) && !seal.is_end() { WAL_HEADER_BYTES } else { 0 };
        let mut units = Units::new(header_bytes, frame_bytes(self.image.page_size()));
        // Within an object, the later of two versions of a page wins: older ones are written over.
        let mut fresh: Vec<PageNo> = Vec::new();
        let mut commit = 0;
        let Self { image, done, .. } = self;
        while let Some(block) = decoder.next_block()? {
            units.feed(block, |frame| -> Result<(), Step> {
                let (page, committed) = Chain::claimed_page(frame).ok_or(ObjectFault::OpenEnd)?;
                let limit = limits.get(commit).ok_or(ObjectFault::OpenEnd)?;
                if page.get() <= limit.0 && !done.contains(page) {
                    image.page(page, &frame[FRAME_HEADER_BYTES..])?;
                    fresh.push(page);
                }
                commit += usize::from(committed.is_some());
                Ok(())
            })?;
        }
        if commit != limits.len() {
            return Err(ObjectFault::OpenEnd.into());
        }
        self.finish(decoder)?;
        self.limit = limits.first().copied().unwrap_or(self.limit);
        let before = self.done_count;
        self.done_count += fresh.into_iter().map(|page| u32::from(self.done.insert(page))).sum::<u32>();
        let nearly_all = self.size.0 - self.size.0 / UNSETTLED_SHARE;
        if before < nearly_all && nearly_all <= self.done_count {
            self.image.settle()?;
        }
        Ok(())
    }

    /// Writes those pages of the snapshot that are not done.
    fn snapshot(&mut self, mut decoder: Decoder<impl BufRead>) -> Result<(), Step> {
        let mut units = Units::new(0, self.image.page_size().bytes());
        let mut count = 0_u32;
        let Self { image, done, limit, .. } = self;
        while let Some(block) = decoder.next_block()? {
            units.feed(block, |content| -> Result<(), Step> {
                count = count.saturating_add(1);
                match PageNo::new(count).filter(|page| page.get() <= limit.0 && !done.contains(*page)) {
                    Some(page) => Ok(image.page(page, content)?),
                    None => Ok(()),
                }
            })?;
        }
        self.finish(decoder)
    }

    fn finish(&mut self, decoder: Decoder<impl BufRead>) -> Result<(), Step> {
        self.scratch = decoder.finish_and_keep()?.1;
        Ok(())
    }
}

/// For each commit, the least size of the database from it on: what lies behind it was cut off by it or a later one.
fn limits(commits: &[Commit], after: PageCount) -> Vec<PageCount> {
    let mut limits: Vec<PageCount> = commits.iter().map(|commit| commit.size).collect();
    let mut least = after;
    for limit in limits.iter_mut().rev() {
        least = least.min(*limit);
        *limit = least;
    }
    limits
}

/// Cuts bytes that come in pieces of any length into pieces of `unit` bytes, behind a header.
struct Units {
    header_left: usize,
    unit: usize,
    carry: Vec<u8>,
}

impl Units {
    fn new(header_bytes: usize, unit: usize) -> Self {
        Self { header_left: header_bytes, unit, carry: Vec::new() }
    }

    fn feed<E>(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let skipped = self.header_left.min(bytes.len());
        self.header_left -= skipped;
        let mut bytes = &bytes[skipped..];
        if !self.carry.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(self.unit - self.carry.len()));
            self.carry.extend_from_slice(part);
            bytes = rest;
            if self.carry.len() < self.unit {
                return Ok(());
            }
            each(&self.carry)?;
            self.carry.clear();
        }
        let mut whole = bytes.chunks_exact(self.unit);
        whole.by_ref().try_for_each(&mut each)?;
        self.carry.extend_from_slice(whole.remainder());
        Ok(())
    }
}
