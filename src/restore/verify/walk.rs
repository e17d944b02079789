//! From object to object: what each must continue, and what becomes known of the state of the database.

use tokio::sync::mpsc;

use super::{Checked, Comparison, LiveState, VerifyError};
use crate::history::{ObjectName, PlanError, Sealing, check_place, plan_key};
use crate::restore::error::{ObjectFault, Step};
use crate::restore::fetch::{Arrival, ArrivalBody};
use crate::restore::wal_stream::WalStream;
use crate::segment::{DecodeFault, Lz4Fault, PageHashes, Seal, SealKind};
use crate::types::{Generation, Index, Offset, PageSize, Position};

/// A history on its way through.
///
/// Invariant: `hashes` are those of the state at the end of the object before, or `None` if that is not known, because
/// nothing came before or what came was damaged. The next sound snapshot makes it known again.
pub struct Walk {
    pub(super) generation: Generation,
    pub(super) live: Option<LiveState>,
    pub(super) checked: Checked,
    pub(super) hashes: Option<PageHashes>,
    /// The object before and its seal, if it has a sound one.
    pub(super) before: Option<(ObjectName, Box<Seal>)>,
    /// Of a history without seals: the WAL so far.
    pub(super) wal: Option<WalStream>,
    /// Of a history without seals: which index that is.
    pub(super) wal_at: Option<Index>,
    /// Of a history without seals: what the snapshot says.
    pub(super) page_size: Option<PageSize>,
    sealed: Option<bool>,
    last: Option<ObjectName>,
}

impl Walk {
    /// Before the first object.
    pub fn new(generation: Generation, live: Option<LiveState>) -> Self {
        Self {
            generation,
            live,
            checked: Checked::new(generation.to_string()),
            hashes: None,
            before: None,
            wal: None,
            wal_at: None,
            page_size: None,
            sealed: None,
            last: None,
        }
    }

    /// Takes every object in turn. Blocks.
    pub fn run(
        mut self,
        names: Vec<ObjectName>,
        mut arrivals: mpsc::Receiver<Arrival>,
    ) -> Result<Checked, VerifyError> {
        if !names.iter().any(|name| matches!(name, ObjectName::Snapshot(..))) {
            let fault = PlanError::NoSnapshot(self.generation);
            self.checked.fault(names.first().map_or_else(|| self.generation.to_string(), plan_key), fault);
        } else if let Some(first @ ObjectName::Segment(..)) = names.first() {
            self.checked.fault(plan_key(first), "there is no snapshot before it, so it cannot be restored");
        }
        for name in names {
            // Without the rest, the fetching side knows why.
            let Some(arrival) = arrivals.blocking_recv() else { break };
            self.object(name, arrival)?;
        }
        self.checked.proved &= self.hashes.is_some();
        self.checked.state = self.hashes.as_ref().map(|h| (h.size(), h.digest()));
        Ok(self.checked)
    }

    fn object(&mut self, name: ObjectName, arrival: Arrival) -> Result<(), VerifyError> {
        self.checked.objects += 1;
        self.checked.stored_bytes += arrival.object.stored_bytes;
        let Arrival { sealing, body, .. } = arrival;
        // The first object decides: a seal that is missing behind one that is there was cut off.
        let sealed = *self.sealed.get_or_insert(!matches!(sealing, Sealing::Unsealed));
        let done = match (sealed, sealing) {
            (true, Sealing::Sealed(seal)) => return self.sealed_object(name, seal, body),
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
                (self.wal, self.before) = (None, None);
                self.found(name, step)
            }
        }
    }

    fn sealed_object(&mut self, name: ObjectName, seal: Box<Seal>, body: ArrivalBody) -> Result<(), VerifyError> {
        if let Err(error) = check_place(&name, &seal) {
            self.checked.fault(plan_key(&name), error);
            (self.hashes, self.before) = (None, None);
            return Ok(());
        }
        let linked = self.link(name, &seal);
        if let Err(fault) = linked {
            self.checked.fault(plan_key(&name), fault);
            self.hashes = None;
        }
        let done = match seal.kind {
            SealKind::Snapshot => self.snapshot(&seal, body),
            SealKind::Segment | SealKind::Range => self.segment(&seal, body),
        };
        if let Err(step) = done {
            self.hashes = None;
            self.found(name, step)?;
        }
        let (index, offset) = seal.to;
        self.checked.end = Some((Position { generation: self.generation, index, offset }, seal.time));
        self.checked.end_in_source = Some((seal.source.salts, seal.source.offset));
        self.before = Some((name, seal));
        Ok(())
    }

    /// The object begins where the one before it ended, and with the state in which that ended.
    fn link(&self, name: ObjectName, seal: &Seal) -> Result<(), String> {
        let Some((before, ended)) = &self.before else { return Ok(()) };
        let (at, next) = (ended.to, seal.from);
        let same_index = at == next;
        let next_index = next.1 == Offset(0) && at.0.next() == Some(next.0);
        if !same_index && !next_index {
            let (before, next_name) = (*before, name);
            let overlap = next.0 == at.0 && next.1 < at.1;
            let fault = if overlap {
                PlanError::Overlap { before, next: next_name }
            } else {
                PlanError::Hole { before, next: next_name }
            };
            return Err(fault.to_string());
        }
        let continues = next.1 > Offset(0) && seal.kind == SealKind::Segment;
        if continues && (ended.salts, ended.checksum_after) != (seal.salts, seal.checksum_before) {
            return Err(ObjectFault::Chain.to_string());
        }
        let (found, expected) = ((ended.size_after, ended.digest_after), state_before(seal));
        if found != expected {
            return Err(ObjectFault::State { edge: crate::restore::Edge::Before, expected, found }.to_string());
        }
        Ok(())
    }

    /// Takes note of what is wrong with an object. That it could not be read to its end is not wrong with it.
    pub(super) fn found(&mut self, name: ObjectName, step: Step) -> Result<(), VerifyError> {
        match step {
            Step::Fault(fault) => match *fault {
                ObjectFault::Decode(DecodeFault::Lz4(Lz4Fault::Read(error))) => {
                    Err(VerifyError::Interrupted(plan_key(&name), error.to_string()))
                }
                fault => {
                    self.checked.fault(plan_key(&name), fault);
                    Ok(())
                }
            },
            Step::Write(error) => Err(VerifyError::Interrupted(plan_key(&name), error.to_string())),
            Step::WriterStopped => Ok(()),
        }
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

/// A snapshot is the state at its beginning.
fn state_before(seal: &Seal) -> (crate::types::PageCount, crate::segment::StateDigest) {
    match seal.kind {
        SealKind::Snapshot => (seal.size_after, seal.digest_after),
        SealKind::Segment | SealKind::Range => (seal.size_before, seal.digest_before),
    }
}
