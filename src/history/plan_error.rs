//! Why a restore cannot be planned.

use super::timeline::Bounds;
use super::{NeedsSeals, ObjectName, RangeName, plan_key as key};
use crate::segment::{Seal, SealFault, SealKind};
use crate::types::{Generation, Index, Level, Offset, Timestamp};

/// Why there is no plan. Every message names the object, or the range that can be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Segments without a snapshot to replay them over.
    #[error("generation {0} has no snapshot, so it cannot be restored; choose another one with -generation")]
    NoSnapshot(Generation),
    /// The wanted time comes before everything.
    #[error(
        "{wanted} is before the first restorable point: generation {generation} reaches from {} to {}",
        bounds.begin,
        bounds.end
    )]
    TooEarly {
        /// Of which generation.
        generation: Generation,
        /// What was asked for.
        wanted: Timestamp,
        /// What there is.
        bounds: Bounds,
    },
    /// The wanted index comes before everything.
    #[error("no snapshot of generation {generation} has an index of {wanted} or less; the first is {first}")]
    IndexTooLow {
        /// Of which generation.
        generation: Generation,
        /// What was asked for.
        wanted: Index,
        /// What there is.
        first: Index,
    },
    /// The wanted position is not the end of a commit, or not of one that is kept.
    #[error(
        "no commit of generation {generation} that is kept ends at {}:{}; points -around TIME lists those that are",
        wanted.0,
        wanted.1
    )]
    NoCommit {
        /// Of which generation.
        generation: Generation,
        /// What was asked for.
        wanted: (Index, Offset),
    },
    /// A position was asked for, but only seals tell where commits end.
    #[error(
        "Litestream wrote generation {0}, so where its commits end is not known; choose a state with -timestamp or \
         -index"
    )]
    CommitsUnknown(Generation),
    /// An object is missing although a later one is there.
    #[error(
        "{} is missing, but {} exists: the history has a hole there; restore a point before it with -timestamp or \
         -index, or use another replica",
        key(missing),
        key(next)
    )]
    Missing {
        /// The object that should be there.
        missing: ObjectName,
        /// The one that shows it.
        next: ObjectName,
    },
    /// Something between two objects is missing, or belongs elsewhere.
    #[error(
        "{} does not continue {}: an object between them is missing; restore a point before it with -timestamp or \
         -index, or use another replica",
        key(next),
        key(before)
    )]
    Hole {
        /// The last object before the hole.
        before: ObjectName,
        /// The first one after it.
        next: ObjectName,
    },
    /// Two objects hold the same bytes of the WAL.
    #[error("{} begins before {} ends: two writers, or an object in the wrong place", key(next), key(before))]
    Overlap {
        /// The first of the two.
        before: ObjectName,
        /// The second.
        next: ObjectName,
    },
    /// An object of a sealed generation has no seal.
    #[error("{}: its seal is missing; its end may be cut off", key(.0))]
    SealMissing(ObjectName),
    /// A seal that cannot be used.
    #[error("{}: {}", key(.0), .1)]
    Seal(ObjectName, SealFault),
    /// The seal is another object's.
    #[error("{}: its seal is that of {}/{}:{}; the object has been renamed or swapped", key(.0), .1, .2, .3)]
    Misplaced(ObjectName, Generation, Index, Offset),
}

/// Why planning stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanStop {
    /// These seals have to be read first; then plan again.
    Needs(NeedsSeals),
    /// There is no plan.
    Fault(Box<PlanError>),
}

impl From<NeedsSeals> for PlanStop {
    fn from(needs: NeedsSeals) -> Self {
        Self::Needs(needs)
    }
}

impl From<PlanError> for PlanStop {
    fn from(error: PlanError) -> Self {
        Self::Fault(Box::new(error))
    }
}

/// Whether `seal` is that of the object called `name`.
///
/// # Errors
/// If it is another object's.
pub(crate) fn check_place(name: &ObjectName, seal: &Seal) -> Result<(), PlanError> {
    let (index, offset) = seal.from;
    let own = match seal.kind {
        SealKind::Snapshot => ObjectName::Snapshot(seal.generation, index),
        SealKind::Segment => ObjectName::Segment(seal.generation, index, offset),
        SealKind::Range => {
            // How coarse a range is decides where it is kept; what it is does not depend on it.
            let level = name.range().map_or(Level::ALL[0], |range| range.level);
            ObjectName::Range(seal.generation, RangeName { from: index, to: seal.to.0, time: seal.time, level })
        }
    };
    if own == *name { Ok(()) } else { Err(PlanError::Misplaced(*name, seal.generation, index, offset)) }
}
