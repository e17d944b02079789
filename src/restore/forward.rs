//! Page hashes of the state that a replica ends with, for a replicator that wants to continue it: brought forward by
//! the objects behind a state that is known, or rebuilt from a snapshot on. Nothing is written, and memory is bounded.

use tokio::sync::mpsc;

use super::apply::{self, Job};
use super::choose::{GenerationChoice, plan_from};
use super::error::{ApplyError, ObjectFault, RestoreError, Step};
use super::fetch::{Arrival, ArrivalBody, ArrivalReader};
use super::image::Edge;
use super::source::{NamedBackend, Source};
use super::wal_stream::WalStream;
use super::{Silent, fetch_and, outcome};
use crate::history::{Entry, PlannedObject, Sealing, Target, check_place};
use crate::host;
use crate::segment::{Decoder, PageHashes, Seal, page_hash};
use crate::types::{Generation, Index, Offset, PageCount, Position};
use crate::wal::Chain;

/// Objects fetched at the same time.
const PARALLELISM: usize = 4;

/// The way from a known state to the end of its generation, before anything is fetched.
#[derive(Debug)]
pub struct Forward {
    source: Source,
    from: Position,
    segments: Vec<PlannedObject>,
}

impl Forward {
    /// Plans the way from `from` to the end.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn plan(replica: &NamedBackend, from: Position) -> replica_backends::Result<Self> {
        let source = Source::open(replica).await?;
        let behind = source.catalog.history(from.generation).map_or(&[][..], |h| h.segments_from(from.index));
        let is_passed = |e: &&Entry| e.name.index() == from.index && e.name.offset() <= from.offset;
        // The last object that begins at or before the known state may end behind it.
        let passed = behind.iter().take_while(is_passed).count().saturating_sub(1);
        let planned = |e: &Entry| PlannedObject { name: e.name, stored_bytes: e.stored_bytes, seal: None };
        let segments = behind[passed..].iter().map(planned).collect();
        Ok(Self { source, from, segments })
    }

    /// How many objects are to be fetched.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.segments.len()
    }

    /// What is to be fetched, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.stored_bytes).sum()
    }

    /// Goes it, beginning with `hashes`. No state may need more than `size_max_bytes`.
    ///
    /// # Errors
    /// If an object cannot be read or is damaged, or does not lead to the state that its seal names.
    pub async fn run(self, hashes: PageHashes, size_max_bytes: u64) -> Result<PageHashes, RestoreError> {
        let Self { source, from, segments } = self;
        let count = segments.len();
        let applying = move |arrivals| apply_all(hashes, (from.index, from.offset), size_max_bytes, count, arrivals);
        let (fetched, applied) = fetch_and(&source, segments, PARALLELISM, &Silent, applying).await;
        outcome(&source.name, fetched, applied)
    }
}

/// The page hashes at the end of `generation`, from its newest snapshot on, if `allow` agrees to read so many bytes;
/// the bytes otherwise. No state may need more than `size_max_bytes`.
///
/// # Errors
/// If the generation cannot be restored.
pub async fn rebuild_hashes(
    replica: &NamedBackend,
    generation: Generation,
    size_max_bytes: u64,
    allow: impl FnOnce(u64) -> bool,
) -> Result<Result<PageHashes, u64>, RestoreError> {
    let unreadable = |source| RestoreError::Unreadable { name: replica.name.clone(), source };
    let source = Source::open(replica).await.map_err(unreadable)?;
    let GenerationChoice { source, plan } = plan_from(source, generation, Target::Latest).await?;
    if !allow(plan.stored_bytes()) {
        return Ok(Err(plan.stored_bytes()));
    }
    let objects = plan.objects().cloned().collect();
    // Only histories of Litestream need room for frames whose commit has not been seen, and these have no digest.
    let job = Job { plan, file: None, spill: std::env::temp_dir(), size_max_bytes };
    let applying = move |arrivals| apply::apply(&job, arrivals);
    let (fetched, applied) = fetch_and(&source, objects, PARALLELISM, &Silent, applying).await;
    Ok(Ok(outcome(&source.name, fetched, applied)?.hashes))
}

fn apply_all(
    mut hashes: PageHashes,
    from: (Index, Offset),
    size_max_bytes: u64,
    count: usize,
    mut arrivals: mpsc::Receiver<Arrival>,
) -> Result<PageHashes, ApplyError> {
    for _ in 0..count {
        let Arrival { object, sealing, body } = host::receive(&mut arrivals).ok_or(ApplyError::Interrupted)?;
        let name = object.name;
        let seal = match sealing {
            Sealing::Sealed(seal) => seal,
            Sealing::Unsealed => return Err(ObjectFault::SealMissing.of(name)),
            Sealing::Damaged(fault) => return Err(ObjectFault::Seal(fault).of(name)),
        };
        check_place(&name, &seal)?;
        if seal.to > from {
            apply_one(&mut hashes, from, size_max_bytes, &seal, body).map_err(|step| step.at(name))?;
        }
    }
    Ok(hashes)
}

/// Takes note of the frames behind `from`. The state digest proves that none was missing before them.
fn apply_one(
    hashes: &mut PageHashes,
    from: (Index, Offset),
    size_max_bytes: u64,
    seal: &Seal,
    body: ArrivalBody,
) -> Result<(), Step> {
    let page_size = hashes.page_size();
    if seal.page_size != page_size {
        return Err(ObjectFault::PageSize(seal.page_size, page_size).into());
    }
    let largest = seal.commits.iter().map(|commit| commit.size).max().unwrap_or_default();
    if largest.bytes(page_size) > size_max_bytes {
        return Err(ObjectFault::Size(largest.bytes(page_size)).into());
    }
    let chain = Chain { order: seal.order, page_size, salts: seal.salts, checksum: seal.checksum_before };
    let begins = seal.from.1 == Offset(0);
    let mut wal = if begins { WalStream::new(page_size) } else { WalStream::within(chain, seal.from.1) };
    let mut decoder = Decoder::new(ArrivalReader::new(body));
    while let Some(block) = decoder.next_block()? {
        wal.feed(block, |frame| -> Result<(), ObjectFault> {
            if (seal.to.0, frame.end) <= from {
                return Ok(());
            }
            let page = frame.header.page;
            if page.get() <= largest.0 {
                hashes.set(page, page_hash(page, frame.content));
            }
            if let Some(size) = frame.header.commit {
                hashes.resize(PageCount(size.0.min(largest.0)));
            }
            Ok(())
        })?;
    }
    if decoder.finish()?.as_ref() != Some(seal) {
        return Err(ObjectFault::Changed.into());
    }
    let (expected, found) = ((seal.size_after, seal.digest_after), (hashes.size(), hashes.digest()));
    if expected == found { Ok(()) } else { Err(ObjectFault::State { edge: Edge::After, expected, found }.into()) }
}
