//! From object to object: what each must continue, and what becomes known of the state of the database.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;

use super::chunk::{Chunk, Context, standing};
use super::{Checked, Comparison, LiveState, VerifyError};
use crate::history::{ObjectName, PlanError, Sealing, check_place, plan_key};
use crate::host;
use crate::restore::error::{ObjectFault, Step};
use crate::restore::fetch::{Arrival, ArrivalBody};
use crate::restore::wal_stream::WalStream;
use crate::segment::{DecodeFault, Lz4Fault, PageHashes, Seal};
use crate::types::{Generation, Index, Offset, PageSize, Position};

/// A history on its way through. A clone of it is a place to come back to.
///
/// Invariant: `hashes` are those of the state at `at`, or `None` if that is not known, because nothing came before or
/// what came was damaged. The next sound snapshot makes it known again.
#[derive(Clone)]
pub struct Walk {
    pub(super) generation: Generation,
    pub(super) live: Option<LiveState>,
    pub(super) checked: Checked,
    pub(super) context: Context,
    pub(super) hashes: Option<PageHashes>,
    pub(super) at: At,
    /// The last object that led here and its seal, if it has a sound one.
    pub(super) before: Option<(ObjectName, Box<Seal>)>,
    /// States where a merged range begins that is still to come; `None` for one that is not known.
    pub(super) states: BTreeMap<Index, Option<PageHashes>>,
    /// All indexes whose beginning was reached.
    pub(super) reached: BTreeSet<Index>,
    /// Of a history without seals: the WAL so far.
    pub(super) wal: Option<WalStream>,
    /// Of a history without seals: which index that is.
    pub(super) wal_at: Option<Index>,
    /// Of a history without seals: what the snapshot says.
    pub(super) page_size: Option<PageSize>,
    sealed: Option<bool>,
    last: Option<ObjectName>,
}

/// Where in a history the walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Nothing is known: before everything, or behind something damaged.
    Unknown,
    /// At the beginning of this index.
    Beginning(Index),
    /// Behind a segment of this index.
    Within(Index),
    /// Behind the end of a history that goes on with a snapshot.
    Gap,
}

impl Walk {
    /// Before the first object.
    pub fn new(generation: Generation, live: Option<LiveState>) -> Self {
        Self {
            generation,
            live,
            checked: Checked::new(generation.to_string()),
            context: Context::default(),
            hashes: None,
            at: At::Unknown,
            before: None,
            states: BTreeMap::new(),
            reached: BTreeSet::new(),
            wal: None,
            wal_at: None,
            page_size: None,
            sealed: None,
            last: None,
        }
    }

    /// Takes every object of `chunk` in turn. Blocks.
    pub fn run(mut self, chunk: Chunk, mut arrivals: mpsc::Receiver<Arrival>) -> Result<Self, VerifyError> {
        self.context = chunk.context;
        if self.context.sealed {
            self.sealed = Some(true);
        }
        for object in chunk.objects {
            // Without the rest, the fetching side knows why.
            let Some(arrival) = host::receive(&mut arrivals) else { break };
            let (ranges, here) = (&self.context.ranges, standing(&object.name));
            self.states.retain(|from, _| ranges.get(from).is_some_and(|last| *last >= here));
            self.object(object.name, arrival)?;
        }
        Ok(self)
    }

    /// What was found.
    pub fn finish(mut self) -> Checked {
        self.checked.proved &= self.hashes.is_some();
        self.checked.state = self.hashes.as_ref().map(|h| (h.size(), h.digest()));
        self.checked
    }

    fn object(&mut self, name: ObjectName, arrival: Arrival) -> Result<(), VerifyError> {
        let is_kept = self.context.before_snapshots.contains(&name.index());
        if self.last.is_none() && !matches!(name, ObjectName::Snapshot(..)) && !is_kept {
            self.checked.fault(plan_key(&name), &"there is no snapshot before it, so it cannot be restored");
        }
        self.checked.objects += 1;
        self.checked.stored_bytes += arrival.object.stored_bytes;
        let Arrival { sealing, body, .. } = arrival;
        // A seal that is missing behind one that is there was cut off.
        let sealed = *self.sealed.get_or_insert(!matches!(sealing, Sealing::Unsealed));
        let done = match (sealed, sealing) {
            (true, Sealing::Sealed(seal)) => {
                self.last = Some(name);
                return self.sealed_object(name, seal, body);
            }
            (true, Sealing::Unsealed) => Err(ObjectFault::SealMissing.into()),
            (_, Sealing::Damaged(fault)) => Err(ObjectFault::Seal(fault).into()),
            (false, Sealing::Unsealed) => {
                self.checked.proved = false;
                self.unsealed(name, body)
            }
            (false, Sealing::Sealed(_)) => Err(ObjectFault::SealUnexpected(self.last.unwrap_or(name)).into()),
        };
        self.last = Some(name);
        match done {
            Ok(()) => Ok(()),
            Err(step) => {
                self.wal = None;
                self.pass_by(&name);
                self.found(name, step)
            }
        }
    }

    fn sealed_object(&mut self, name: ObjectName, seal: Box<Seal>, body: ArrivalBody) -> Result<(), VerifyError> {
        if let Err(error) = check_place(&name, &seal) {
            self.checked.fault(plan_key(&name), &error);
            self.pass_by(&name);
            return Ok(());
        }
        match name {
            ObjectName::Range(_, range) => return self.range(name, range, seal, body),
            ObjectName::Segment(..) if self.is_leftover(&seal) => return self.leftover(name, &seal, body),
            ObjectName::Segment(..) | ObjectName::Snapshot(..) => {}
        }
        self.arrive(name, &seal);
        let done = match name {
            ObjectName::Snapshot(..) => self.snapshot(&seal, body),
            _ if seal.is_end() => self.end(&seal, body),
            _ => self.segment(&seal, body),
        };
        if let Err(step) = done {
            self.hashes = None;
            self.found(name, step)?;
        }
        self.at = match name {
            ObjectName::Snapshot(_, index) => At::Beginning(index),
            _ if seal.is_gap() => At::Gap,
            _ => At::Within(seal.to.0),
        };
        if let At::Beginning(index) = self.at {
            self.reach(index);
        }
        self.note_end(name, seal);
        Ok(())
    }

    /// From here on this object is what came before.
    pub(super) fn note_end(&mut self, name: ObjectName, seal: Box<Seal>) {
        let (index, offset) = seal.to;
        self.checked.end = Some((Position { generation: self.generation, index, offset }, seal.time));
        self.checked.end_in_source = Some((seal.source.salts, seal.source.offset));
        self.before = Some((name, seal));
    }

    /// Behind an object that cannot be used. A merged range is missed only where nothing else leads on.
    pub(super) fn pass_by(&mut self, name: &ObjectName) {
        match *name {
            ObjectName::Range(_, range) if self.beginning() == Some(range.to) => return,
            ObjectName::Range(_, range) => self.note_state(range.to, None),
            ObjectName::Snapshot(_, index) | ObjectName::Segment(_, index, Offset(0)) => self.note_state(index, None),
            ObjectName::Segment(..) => {}
        }
        if let Some(next) = self.beginning() {
            self.note_state(next, None);
        }
        if let ObjectName::Segment(_, index, _) = *name
            && let Some(next) = index.next()
        {
            self.note_state(next, None);
        }
        (self.hashes, self.before, self.at) = (None, None, At::Unknown);
    }

    /// The index whose beginning this is, if nothing is missing behind the segments so far.
    pub(super) fn beginning(&self) -> Option<Index> {
        match self.at {
            At::Beginning(index) => Some(index),
            At::Within(index) => index.next(),
            At::Unknown | At::Gap => None,
        }
    }

    /// The walk stands at the beginning of `index`.
    pub(super) fn reach(&mut self, index: Index) {
        let state = if self.context.ranges.contains_key(&index) { self.hashes.clone() } else { None };
        self.note_state(index, state);
    }

    /// `state` is that at the beginning of `index`, if it is known.
    pub(super) fn note_state(&mut self, index: Index, state: Option<PageHashes>) {
        self.reached.insert(index);
        if self.context.ranges.contains_key(&index) {
            let known = self.states.entry(index).or_default();
            if known.is_none() {
                *known = state;
            }
        }
    }

    /// Whether everything in a segment has been seen already, as part of one that it was merged into.
    fn is_leftover(&self, seal: &Seal) -> bool {
        let Some((ObjectName::Segment(..), outer)) = &self.before else { return false };
        seal.from > outer.from && crate::history::covers(outer, seal)
    }

    /// Takes note of what is wrong with an object. That it could not be read to its end is not wrong with it.
    pub(super) fn found(&mut self, name: ObjectName, step: Step) -> Result<(), VerifyError> {
        match step {
            Step::Fault(fault) => match *fault {
                ObjectFault::Decode(DecodeFault::Lz4(Lz4Fault::Read(error))) => {
                    Err(VerifyError::Interrupted(plan_key(&name), error.to_string()))
                }
                fault => {
                    self.checked.fault(plan_key(&name), &fault);
                    Ok(())
                }
            },
            Step::Write(error) => Err(VerifyError::Interrupted(plan_key(&name), error.to_string())),
            Step::WriterStopped => Ok(()),
        }
    }

    /// Takes note of a hole before `name`.
    pub(super) fn found_hole(&mut self, name: ObjectName) {
        let what = match &self.before {
            Some((before, _)) => PlanError::Hole { before: *before, next: name }.to_string(),
            None => "nothing leads to where it begins: an object before it is missing".to_owned(),
        };
        self.checked.fault(plan_key(&name), &what);
    }

    /// Compares the state after a commit with the live one.
    pub(super) fn compare(&mut self, at: (Index, Offset), in_source: Option<(crate::wal::Salts, u64)>) {
        let (Some(live), Some(hashes)) = (&self.live, &self.hashes) else { return };
        let position = Position { generation: self.generation, index: at.0, offset: at.1 };
        if (hashes.size(), hashes.digest()) == (live.size, live.digest) {
            self.checked.comparison = Comparison::Same(position);
        } else if live.offset > 0
            && in_source == Some((live.salts, live.offset))
            && !matches!(self.checked.comparison, Comparison::Same(_))
        {
            self.checked.comparison = Comparison::Diverged(position);
        }
    }
}
