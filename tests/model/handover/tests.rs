//! The whole protocol, and the protocol without each of its steps.

use super::without::{Step, Without};
use super::{COMPLETE, CONTINUES, Handover, KEPT, STILL};
use crate::check::{assert_sound, finds, is_long};

/// Worlds that are small enough to visit every state of them, and differ in what happens.
const WORLDS: [Handover; 5] = [
    // Two of the application's connections.
    Handover { apps: 2, ..SMALL },
    // Snapshots, and checkpoints that empty the WAL.
    Handover { leases: 1, truncates: 1, ..SMALL },
    // The WAL is emptied several times while nobody writes.
    Handover { truncates: 2, restarts: 6, deaths: 0, ..SMALL },
    // Power cuts, after which the application writes other frames than those that were shipped.
    Handover { power_cuts: 1, leases: 1, ..SMALL },
    Handover { commits: 4, ..SMALL },
];

const SMALL: Handover = Handover {
    commits: 3,
    restarts: 4,
    deaths: 1,
    power_cuts: 0,
    truncates: 0,
    apps: 1,
    leases: 0,
    without: Without(&[]),
};

/// Nobody dies.
const ALIVE: Handover = Handover { deaths: 0, ..SMALL };
/// A snapshot is copied.
const COPIED: Handover = Handover { deaths: 0, leases: 1, ..SMALL };
const KILLED: Handover = Handover { power_cuts: 1, ..SMALL };

/// What is left out in which world, and what goes wrong then. Of two steps each does alone what is needed.
const NEEDED: [(Handover, &[Step], &str); 23] = [
    (ALIVE, &[Step::Pin], CONTINUES),
    (ALIVE, &[Step::Guard], COMPLETE),
    (ALIVE, &[Step::APinIsKeptUntilThereIsAnother], CONTINUES),
    (ALIVE, &[Step::AGuardIsKeptUntilThereIsAPin], COMPLETE),
    (ALIVE, &[Step::Sealing], COMPLETE),
    (ALIVE, &[Step::SealingTakesTheWriteLock], CONTINUES),
    (ALIVE, &[Step::SealingCaptures], COMPLETE),
    (ALIVE, &[Step::TheWalIndexDecides], CONTINUES),
    (ALIVE, &[Step::AGuardIsTakenUnderTheWriteLock], COMPLETE),
    (ALIVE, &[Step::WhoStepsAsideKeepsTheWal], CONTINUES),
    (ALIVE, &[Step::WhoStepsAsideMayHaveBecomeAGuard], CONTINUES),
    (ALIVE, &[Step::WhatIsUnshippedIsKeptInMemory], KEPT),
    (ALIVE, &[Step::TheLogIsLookedAtAgain, Step::WhatIsShippedIsWhatWasCaptured], COMPLETE),
    (COPIED, &[Step::AGuardNeedsEverythingCopied], STILL),
    (COPIED, &[Step::WayIsGivenIfEverythingIsCopied], STILL),
    (COPIED, &[Step::ALeaseKeepsItsGuard], STILL),
    (COPIED, &[Step::NoHandoverDuringALease], STILL),
    (COPIED, &[Step::AHoldThatIsNoGuardIsExchanged], STILL),
    (KILLED, &[Step::WhatWasKeptIsLookedAtAgain], KEPT),
    (KILLED, &[Step::ResumeComparesChecksums], COMPLETE),
    (KILLED, &[Step::ResumeComparesSalts, Step::ResumeComparesChecksums], COMPLETE),
    (KILLED, &[Step::ResumeComparesTheState], COMPLETE),
    (KILLED, &[Step::ResumeComparesTheFile], COMPLETE),
];

/// Not needed for any of this, as long as the rest is there. A guard alone proves that nothing came between; the salts
/// prove it once more. The first hold protects as well whatever it is taken for: lock 0 over frames that are not copied
/// back keeps them there, and a mark at the end of a WAL that is copied back whole lets nothing behind it be copied.
const SECOND: [&[Step]; 5] = [
    &[Step::SaltsCountUpByOne],
    &[Step::FirstHoldIsLookedAtTwice],
    &[Step::TheLogIsLookedAtAgain],
    &[Step::WhatIsShippedIsWhatWasCaptured],
    &[Step::ResumeComparesSalts],
];

#[test]
fn nothing_is_lost_in_any_order_of_events() {
    for (number, world) in WORLDS.into_iter().enumerate() {
        assert_sound(world, &format!("handover {number}"));
    }
    if is_long() {
        let all = Handover { commits: 4, truncates: 1, leases: 1, power_cuts: 1, apps: 2, ..SMALL };
        assert_sound(all, "everything at once");
    }
}

#[test]
fn every_step_of_the_handover_is_needed() {
    for (world, without, broken) in NEEDED {
        let way = finds(Handover { without: Without(without), ..world }, broken);
        let way = way.unwrap_or_else(|| panic!("without {without:?} nothing breaks {broken:?}"));
        println!("without {without:?}, not {broken:?}:\n{way}");
    }
}

#[test]
fn what_is_proved_twice_is_not_missed_once() {
    for without in SECOND {
        assert_sound(Handover { without: Without(without), ..KILLED }, &format!("without {without:?}"));
    }
}
