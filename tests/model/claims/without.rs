//! The steps that can be left out.

/// A step of `docs/format.md`, "One writer at a time" and "History that merges".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    ObjectsAreOnlyCreated,
    WhatIsThereIsLookedAt,
    AnEarlierAttemptReachesSoFar,
    AGenerationBeginsWithItsSnapshot,
    NothingIsShippedBehindAHole,
    AnIndexIsEndedBeforeTheNext,
    TheEndIsTheSame,
    AnotherWritersIndexIsEnded,
    WhatIsTakenOverIsLookedAtAgain,
    AnEndInTimeStays,
    AnIndexIsEndedBeforeASnapshot,
    AScheduledSnapshotWaitsForEverythingBefore,
    AScheduledSnapshotNeedsAReplicaThatFollows,
    /// While one is copied the WAL is not handed over, and nobody is found to lag.
    NobodyIsGivenUpDuringASnapshot,
    AGapIsMarked,
    NobodyGoesOnBehindAGap,
    OnlyTheLastWriterLeavesAGap,
    AMergedObjectIsPutBeforeOthersAreDeleted,
    TheLastIsDeletedLast,
    LeftoversAreCleared,
    TheLastLeftoverIsClearedLast,
    RetentionGoesFromTheNewest,
    RetentionKeepsTheNewestSnapshot,
    AForkIsNeverTakenBack,
    AForkHasANewName,
}

/// Steps that are left out.
#[derive(Debug, Clone, Copy)]
pub struct Without(pub &'static [Step]);

impl Without {
    pub fn has(&self, step: Step) -> bool {
        self.0.contains(&step)
    }
}
