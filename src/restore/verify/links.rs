//! What an object must continue: the one before it, or after a hole that was made on purpose nothing.

use super::walk::{At, Walk};
use crate::history::{ObjectName, PlanError, RangeName, plan_key};
use crate::restore::Edge;
use crate::restore::error::ObjectFault;
use crate::restore::fetch::ArrivalBody;
use crate::restore::verify::VerifyError;
use crate::segment::{PageHashes, Seal, SealKind, StateDigest};
use crate::types::{Index, Offset, PageCount, Timestamp};

impl Walk {
    /// A snapshot or segment stands where the one before it ended, and begins with the state in which that ended.
    pub(super) fn arrive(&mut self, name: ObjectName, seal: &Seal) {
        match (self.at, name) {
            (At::Unknown, _) => {}
            (At::Within(index), ObjectName::Segment(_, same, _)) if index == same => {
                let is_cut = self.is_cut_before(seal);
                if let Some(fault) = self.within_index(name, seal).filter(|_| !is_cut) {
                    self.checked.fault(plan_key(&name), &fault);
                    self.hashes = None;
                }
                if is_cut {
                    self.hashes = None;
                }
            }
            // So that Litestream finds the snapshot behind a gap, the index before it is taken too.
            _ if self.is_gap_filler(seal) => {
                // It repeats the state before the gap, of which retention may have left nothing.
                if self.at != At::Gap {
                    self.hashes = None;
                }
                return;
            }
            // What comes behind a gap continues nothing.
            (At::Gap, ObjectName::Snapshot(..)) => self.hashes = None,
            _ => self.arrive_at_index(name, seal),
        }
        if let (index, Offset(0)) = seal.from {
            self.reach(index);
        }
    }

    fn is_gap_filler(&self, seal: &Seal) -> bool {
        seal.is_gap() && seal.from.1 == Offset(0) && (self.at == At::Gap || self.may_end_here(seal.time))
    }

    /// Of an index that is being deleted something in the middle may be gone first: stores do not always do all of what
    /// they are asked for.
    fn is_cut_before(&self, seal: &Seal) -> bool {
        let is_hole = self.before.as_ref().is_some_and(|(_, ended)| seal.from.1 > ended.to.1);
        is_hole && self.may_be_missing(seal.time)
    }

    fn within_index(&self, name: ObjectName, seal: &Seal) -> Option<String> {
        let (before, ended) = self.before.as_ref()?;
        let (before, next) = (*before, name);
        if seal.from.1 < ended.to.1 {
            return Some(PlanError::Overlap { before, next }.to_string());
        }
        if seal.from.1 > ended.to.1 {
            return Some(PlanError::Hole { before, next }.to_string());
        }
        // The end of an index has no frames of its own.
        let same_wal = seal.is_end() || (ended.salts, ended.order) == (seal.salts, seal.order);
        if !same_wal || ended.checksum_after != seal.checksum_before {
            return Some(ObjectFault::Chain.to_string());
        }
        self.state_fault(state_before(seal))
    }

    /// The first object of an index.
    fn arrive_at_index(&mut self, name: ObjectName, seal: &Seal) {
        let (index, offset) = seal.from;
        let adjoins = offset == Offset(0) && self.beginning() == Some(index);
        let is_kept = self.context.before_snapshots.contains(&index);
        let may_stand_alone = matches!(name, ObjectName::Snapshot(..)) || is_kept;
        let may_be_cut = may_stand_alone && self.may_end_here(seal.time)
            || self.may_be_missing(seal.time)
            || self.is_other_beginning(name, seal);
        if adjoins {
            if let Some(fault) = self.state_fault(state_before(seal)) {
                // An index that is kept in part ends in another state.
                if !(may_be_cut && self.is_open()) {
                    self.checked.fault(plan_key(&name), &fault);
                }
                self.hashes = None;
            } else if let Some(end) = self.missing_end(seal.time) {
                self.checked.fault(end, &"it is missing: nothing says that its index ends there");
            }
        } else {
            if !may_be_cut {
                self.found_hole(name);
            }
            self.hashes = None;
        }
    }

    /// Of two writers who began one generation at the same time in an empty replica, at different indexes, one takes
    /// its snapshot back, unless it dies before. That one is the first of the history and nothing follows it, and the
    /// other one was needed.
    fn is_other_beginning(&self, name: ObjectName, seal: &Seal) -> bool {
        let Some((ObjectName::Snapshot(..), before)) = &self.before else { return false };
        let is_second = self.checked.objects == 2 && matches!(name, ObjectName::Snapshot(..));
        is_second && before.writer != seal.writer && !seal.is_scheduled()
    }

    /// The key of the object that should stand between here and the next index.
    fn missing_end(&self, next: Timestamp) -> Option<String> {
        let (At::Within(index), Some((_, before))) = (self.at, &self.before) else { return None };
        let is_there = before.is_end() || before.to.1 >= Offset::LIMIT;
        let may_be = is_there || self.context.ends.contains(&index) || self.may_be_missing(next);
        (!may_be).then(|| plan_key(&ObjectName::Segment(self.generation, index, before.to.1)))
    }

    /// Retention was interrupted, and what comes before something seen at `next` may be missing.
    pub(super) fn may_be_missing(&self, next: Timestamp) -> bool {
        // What was removed is older than that, and so is what stands before it. What follows may reach beyond.
        let last = self.before.as_ref().map(|(_, seal)| seal.time);
        self.context.deleting_before.is_some_and(|before| next <= before || last.is_some_and(|last| last <= before))
    }

    /// Whether it is right that nothing leads on from here to something seen at `next`.
    fn may_end_here(&self, next: Timestamp) -> bool {
        let ends = &self.context.ends;
        match self.at {
            At::Unknown | At::Gap => true,
            At::Beginning(index) => ends.contains(&index) || self.may_be_missing(next),
            At::Within(index) => {
                let without_name = self.before.as_ref().is_some_and(|(_, seal)| seal.to.1 >= Offset::LIMIT);
                let known = ends.contains(&index) || index.next().is_some_and(|next| ends.contains(&next));
                known || without_name || self.may_be_missing(next)
            }
        }
    }

    fn state_fault(&self, expected: (PageCount, StateDigest)) -> Option<String> {
        let hashes = self.hashes.as_ref()?;
        let found = (hashes.size(), hashes.digest());
        let fault = ObjectFault::State { edge: Edge::Before, expected, found };
        (found != expected).then(|| fault.to_string())
    }

    /// A merged range: applied to the state at its beginning it gives that at its end. Where finer objects have been
    /// removed, the history goes on behind it.
    pub(super) fn range(
        &mut self,
        name: ObjectName,
        range: RangeName,
        seal: Box<Seal>,
        body: ArrivalBody,
    ) -> Result<(), VerifyError> {
        if let Some(index) = self.beginning().filter(|index| !self.reached.contains(index)) {
            if self.is_open() && self.may_end_here(seal.time) {
                // An index that is kept in part ends in another state.
                self.note_state(index, None);
            } else {
                self.reach(index);
            }
        }
        let base = self.states.get(&range.from).cloned().flatten();
        if !self.reached.contains(&range.from) && !self.may_be_missing(seal.time) && self.at != At::Unknown {
            self.checked.fault(plan_key(&name), &"nothing leads to where it begins: an object before it is missing");
        }
        let before = (seal.size_before, seal.digest_before);
        if let Some(found) = base.as_ref().map(|h| (h.size(), h.digest())).filter(|found| *found != before) {
            let fault = ObjectFault::State { edge: Edge::Before, expected: before, found };
            self.checked.fault(plan_key(&name), &fault);
            self.pass_by(&name);
            return Ok(());
        }
        let (here, commits) = (std::mem::replace(&mut self.hashes, base), self.checked.commits);
        let applied = self.segment(&seal, body);
        let reached = std::mem::replace(&mut self.hashes, here);
        self.checked.commits = commits;
        if let Err(step) = applied {
            self.found(name, step)?;
            self.pass_by(&name);
            return Ok(());
        }
        self.join(name, range, seal, reached);
        Ok(())
    }

    /// Behind a merged range that is sound by itself.
    fn join(&mut self, name: ObjectName, range: RangeName, seal: Box<Seal>, reached: Option<PageHashes>) {
        let after = (seal.size_after, seal.digest_after);
        if self.beginning().or_else(|| self.before_gap()) == Some(range.to) {
            let Some(found) = self.hashes.as_ref().map(|h| (h.size(), h.digest())) else {
                self.hashes = reached;
                return;
            };
            if found == after {
                return;
            }
            // An index that is kept in part ends in another state.
            if !(matches!(self.at, At::Within(_)) && self.is_open() && self.may_end_here(seal.time)) {
                let fault = ObjectFault::State { edge: Edge::After, expected: after, found };
                self.checked.fault(plan_key(&name), &fault);
                return;
            }
        } else if !self.leads_on(range) && !self.may_end_here(seal.time) {
            self.found_hole(name);
        }
        (self.hashes, self.at) = (reached, At::Beginning(range.to));
        self.reach(range.to);
        self.compare(seal.to, Some((seal.source.salts, seal.source.offset)));
        self.note_end(name, seal);
    }

    /// The index that would begin here if there were no gap.
    fn before_gap(&self) -> Option<Index> {
        let (_, end) = self.before.as_ref().filter(|_| self.at == At::Gap)?;
        end.to.0.next()
    }

    /// The last object is a segment, and not the end of its index.
    fn is_open(&self) -> bool {
        self.before.as_ref().is_some_and(|(_, seal)| seal.kind == SealKind::Segment && !seal.is_end())
    }

    /// Whether a merged range leads on from here: this one, or one that is still to come.
    fn leads_on(&self, range: RangeName) -> bool {
        let reaches = |here| self.context.ranges.get(&here).is_some_and(|last| *last >= range.to);
        self.beginning().is_some_and(|here| here == range.from || reaches(here))
    }
}

/// A snapshot is the state at its beginning.
fn state_before(seal: &Seal) -> (PageCount, StateDigest) {
    match seal.kind {
        SealKind::Snapshot => (seal.size_after, seal.digest_after),
        SealKind::Segment | SealKind::Range => (seal.size_before, seal.digest_before),
    }
}
