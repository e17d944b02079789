//! The steps that can be left out.

/// A step of `docs/architecture.md`, "How a WAL is followed without losing a frame".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Pin,
    Guard,
    APinIsKeptUntilThereIsAnother,
    AGuardIsKeptUntilThereIsAPin,
    /// The whole of `BEGIN IMMEDIATE`.
    Sealing,
    /// A read transaction in its place.
    SealingTakesTheWriteLock,
    SealingCaptures,
    AGuardNeedsEverythingCopied,
    TheWalIndexDecides,
    AGuardIsTakenUnderTheWriteLock,
    /// After the second transaction has begun.
    WayIsGivenIfEverythingIsCopied,
    WhoStepsAsideKeepsTheWal,
    /// If everything was copied back meanwhile.
    WhoStepsAsideMayHaveBecomeAGuard,
    WhatIsUnshippedIsKeptInMemory,
    /// After an entry's bytes were read from the WAL.
    TheLogIsLookedAtAgain,
    /// The running checksum of what is shipped is the one that was captured.
    WhatIsShippedIsWhatWasCaptured,
    SaltsCountUpByOne,
    ALeaseKeepsItsGuard,
    NoHandoverDuringALease,
    FirstHoldIsLookedAtTwice,
    AHoldThatIsNoGuardIsExchanged,
    WhatWasKeptIsLookedAtAgain,
    ResumeComparesSalts,
    ResumeComparesChecksums,
    ResumeComparesTheState,
    ResumeComparesTheFile,
}

/// Steps that are left out.
#[derive(Debug, Clone, Copy)]
pub struct Without(pub &'static [Step]);

impl Without {
    pub fn has(&self, step: Step) -> bool {
        self.0.contains(&step)
    }
}
