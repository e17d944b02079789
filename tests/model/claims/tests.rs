//! The whole protocol, and the protocol without each of its steps.

use super::without::{Step, Without};
use super::{BELIEVED, Claims, LITESTREAM, RESTORABLE};
use crate::check::{assert_sound, finds, is_long};

/// One replicator.
const ONE: Claims = Claims {
    writers: 1,
    twins: false,
    commits: 4,
    indexes: 1,
    deaths: 1,
    lost_answers: 1,
    gaps: 0,
    snapshots: 1,
    merges: 1,
    prunes: 0,
    without: Without(&[]),
};
/// One that is killed while it puts in order what it left when it was killed.
const KILLED: Claims = Claims { merges: 2, deaths: 2, commits: 5, ..ONE };
/// Two, which may be stopped for ever at any request.
const TWO: Claims = Claims { writers: 2, merges: 0, snapshots: 0, ..ONE };
/// A replica that falls behind, and another replicator that goes on with it.
const GAPS: Claims = Claims { gaps: 1, lost_answers: 0, commits: 3, ..TWO };
/// One merges what it has shipped, and so makes names free, while another is about to go on behind that.
const MERGED: Claims = Claims { merges: 1, indexes: 0, ..TWO };
const THINNED: Claims = Claims { prunes: 1, ..ONE };

const WORLDS: [(&str, Claims); 9] = [
    ("one", KILLED),
    ("one falls behind", Claims { gaps: 1, ..ONE }),
    ("retention", THINNED),
    ("two", TWO),
    ("two, one merges", MERGED),
    ("two of one name", Claims { twins: true, ..TWO }),
    ("two, gaps", Claims { snapshots: 1, ..GAPS }),
    ("two, snapshots", Claims { snapshots: 1, lost_answers: 0, ..TWO }),
    ("three", Claims { writers: 3, deaths: 0, lost_answers: 0, commits: 3, ..TWO }),
];

/// What is left out in which world, and what goes wrong then.
const NEEDED: [(Claims, &[Step], &str); 23] = [
    (TWO, &[Step::ObjectsAreOnlyCreated], RESTORABLE),
    (TWO, &[Step::WhatIsThereIsLookedAt], BELIEVED),
    (ONE, &[Step::AnEarlierAttemptReachesSoFar], BELIEVED),
    (ONE, &[Step::AGenerationBeginsWithItsSnapshot], RESTORABLE),
    (ONE, &[Step::NothingIsShippedBehindAHole], RESTORABLE),
    (TWO, &[Step::AnIndexIsEndedBeforeTheNext], RESTORABLE),
    (TWO, &[Step::TheEndIsTheSame], RESTORABLE),
    (MERGED, &[Step::AnotherWritersIndexIsEnded], RESTORABLE),
    (MERGED, &[Step::WhatIsTakenOverIsLookedAtAgain], RESTORABLE),
    (TWO, &[Step::AnEndInTimeStays], RESTORABLE),
    (Claims { snapshots: 1, ..TWO }, &[Step::AnIndexIsEndedBeforeASnapshot], RESTORABLE),
    (ONE, &[Step::AScheduledSnapshotWaitsForEverythingBefore], RESTORABLE),
    (Claims { snapshots: 1, ..GAPS }, &[Step::AScheduledSnapshotNeedsAReplicaThatFollows], RESTORABLE),
    (Claims { snapshots: 1, ..GAPS }, &[Step::NobodyIsGivenUpDuringASnapshot], RESTORABLE),
    (GAPS, &[Step::AGapIsMarked], RESTORABLE),
    (GAPS, &[Step::NobodyGoesOnBehindAGap], RESTORABLE),
    (GAPS, &[Step::OnlyTheLastWriterLeavesAGap], RESTORABLE),
    (ONE, &[Step::AMergedObjectIsPutBeforeOthersAreDeleted], RESTORABLE),
    (ONE, &[Step::TheLastIsDeletedLast], RESTORABLE),
    (ONE, &[Step::LeftoversAreCleared], LITESTREAM),
    (KILLED, &[Step::TheLastLeftoverIsClearedLast], RESTORABLE),
    (THINNED, &[Step::RetentionGoesFromTheNewest], RESTORABLE),
    (THINNED, &[Step::RetentionKeepsTheNewestSnapshot], RESTORABLE),
];

/// These keep two that go on for ever from getting into each other's way again and again; nothing is lost without them.
const SECOND: [&[Step]; 2] = [&[Step::AForkIsNeverTakenBack], &[Step::AForkHasANewName]];

#[test]
fn histories_never_mix_and_every_object_can_be_restored() {
    for (name, world) in WORLDS {
        assert_sound(world, name);
    }
    if is_long() {
        let all = Claims { snapshots: 1, merges: 1, gaps: 1, deaths: 2, indexes: 2, ..TWO };
        assert_sound(all, "everything at once");
    }
}

#[test]
fn every_step_of_publication_is_needed() {
    for (world, without, broken) in NEEDED {
        let way = finds(Claims { without: Without(without), ..world }, broken);
        let way = way.unwrap_or_else(|| panic!("without {without:?} nothing breaks {broken:?}"));
        println!("without {without:?}, not {broken:?}:\n{way}");
    }
}

#[test]
fn a_fork_that_is_taken_back_loses_nothing() {
    for without in SECOND {
        for twins in [false, true] {
            assert_sound(Claims { twins, without: Without(without), ..TWO }, &format!("without {without:?}"));
        }
    }
}
