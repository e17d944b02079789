use proptest::prelude::*;
use replica_backends::ObjectMeta;

use super::*;

fn ranges() -> impl Strategy<Value = Vec<(u32, u32, u8)>> {
    prop::collection::vec((any::<u32>(), any::<u32>(), any::<u8>()), 0..6)
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        any::<usize>().prop_map(Mishap::Remove),
        any::<usize>().prop_map(Mishap::Unseal),
        any::<usize>().prop_map(Mishap::Damage),
        any::<(usize, usize)>().prop_map(|(a, b)| Mishap::Rename(a, b)),
        any::<(usize, u32)>().prop_map(|(a, t)| Mishap::Touch(a, u64::from(t))),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        Just(Target::Latest),
        (0_u64..400).prop_map(|t| Target::Time(Timestamp(t))),
        (0_u32..6).prop_map(|i| Target::Index(Index::new(i).unwrap())),
    ]
}

/// Any target: a position that is the end of a commit, or not.
fn any_target() -> impl Strategy<Value = Target> {
    let position = (0_u32..6, 0_u64..8).prop_map(|(index, frames)| {
        let offset = if frames == 0 { 0 } else { 32 + frames * FRAME };
        Target::Position(Index::new(index).unwrap(), Offset(offset))
    });
    prop_oneof![target(), position]
}

fn indexes() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    prop::collection::vec((prop::collection::vec(any::<u8>(), 1..5), any::<bool>()), 1..6)
}

/// Two objects have changed places, and the search for a time met the wrong one.
#[test]
fn a_misplaced_object_is_in_no_plan() {
    let mut objects = history(&[(vec![0; 3], false), (vec![0; 4], false)]);
    befall(&mut objects, &Mishap::Rename(11_681_546_209_973_793_157, 11_105_344_388_859_820_889));
    if let Ok(plan) = run(&objects, Target::Time(Timestamp(70))) {
        assert_contiguous(&plan);
    }
}

/// What is asked for is the end of an index. An earlier state was planned, without a word, when the last segment of the
/// index had gone.
#[test]
fn an_index_that_has_lost_its_end_is_refused() {
    let whole = history(&[(vec![0; 3], true), (vec![0; 2], false)]);
    let first = Target::Index(Index::default());
    assert!(run(&whole, first).is_ok());
    // Of one in the middle the digests tell, when it is restored.
    for lost in [1, 3] {
        let mut objects = whole.clone();
        befall(&mut objects, &Mishap::Remove(lost));
        assert!(run(&objects, first).is_err_and(|error| error.contains("missing")), "{lost}");
    }
}

/// The newest history of a replica that is given up after `indexes`, and gets a snapshot `missed` indexes later; in the
/// order in which its objects are put. `early`: the one for Litestream before the snapshot.
fn with_gap(indexes: &[(Vec<u8>, bool)], missed: u32, early: bool) -> Vec<Object> {
    let mut objects = history(indexes);
    let Sealing::Sealed(last) = objects[objects.len() - 1].sealing.clone() else { unreachable!() };
    let state = last.digest_after.0;
    let end = |index: u32, offset: u64| {
        let mut seal = seal(SealKind::Segment, (index, offset), offset, state, state, &[]);
        "goes on with a snapshot".clone_into(&mut seal.reason);
        let name = ObjectName::Segment(GENERATION, seal.from.0, seal.from.1);
        Object { name, sealing: Sealing::Sealed(Box::new(seal)), modified: 0 }
    };
    objects.push(end(last.to.0.get(), last.to.1.0));
    let at = last.to.0.get() + 1 + missed;
    let snapshot = seal(SealKind::Snapshot, (at, 0), 0, state + 9, state + 9, &[]);
    let name = ObjectName::Snapshot(GENERATION, snapshot.from.0);
    objects.push(Object { name, sealing: Sealing::Sealed(Box::new(snapshot)), modified: 0 });
    if missed > 0 {
        let place = objects.len() - usize::from(early);
        objects.insert(place, end(at - 1, 0));
    }
    let segment = seal(SealKind::Segment, (at, 0), 32 + FRAME, state + 9, state + 10, &[(state + 10) * APART]);
    let name = ObjectName::Segment(GENERATION, segment.from.0, Offset(0));
    objects.push(Object { name, sealing: Sealing::Sealed(Box::new(segment)), modified: 0 });
    objects
}

/// Keys like those of a replica, and others.
const KEYS: &str = concat!(
    "(generations/)?[0-9a-f]{16}/(wal|snapshots)/[0-9a-fA]{8}(_[0-9a-f]{8,9})?",
    r"\.(wal|snapshot)\.lz4(\.tmp)?|.{0,20}"
);

proptest! {
    #[test]
    fn a_whole_history_yields_the_commit_that_was_asked_for(
        indexes in indexes(),
        ranges in ranges(),
        target in target(),
    ) {
        let plain = history(&indexes);
        let last_time = plain.iter().map(|o| o.modified).max().unwrap();
        let objects = with_ranges(plain, indexes.len() as u32, &ranges);
        prop_assert_eq!(objects.iter().map(|o| o.modified).max(), Some(last_time));
        let last = objects.iter().map(|o| o.modified).max().unwrap();
        let plan = run(&objects, target).unwrap();
        assert_contiguous(&plan);
        prop_assert!(is_joined(&plan, &objects));
        prop_assert!(!plan.coarse);
        let PlannedEnd::Commit { time, .. } = plan.end else { panic!() };
        match target {
            Target::Latest => prop_assert_eq!(time.0, last),
            Target::Time(wanted) => prop_assert_eq!(time.0, (wanted.0 - wanted.0 % 10).min(last)),
            Target::Index(wanted) => {
                let plain = objects.iter().filter(|o| o.name.range().is_none() && o.name.index() <= wanted);
                let reached = plain.map(|o| o.modified).max();
                prop_assert_eq!(Some(time.0), reached);
            }
            Target::Position(..) => unreachable!(),
        }
    }

    #[test]
    fn whatever_befell_a_history_a_plan_is_without_holes(
        indexes in indexes(),
        ranges in ranges(),
        mishaps in prop::collection::vec(mishap(), 0..4),
        target in any_target(),
    ) {
        let mut objects = with_ranges(history(&indexes), indexes.len() as u32, &ranges);
        mishaps.iter().for_each(|m| befall(&mut objects, m));
        match run(&objects, target) {
            Ok(plan) => {
                assert_contiguous(&plan);
                assert_reaches(&plan, target);
            }
            Err(message) => prop_assert!(!message.is_empty()),
        }
    }

    #[test]
    fn at_whatever_object_of_a_gap_a_writer_dies_the_newest_state_that_is_there_is_restored(
        indexes in indexes(),
        missed in 0_u32..4,
        early in any::<bool>(),
    ) {
        let objects = with_gap(&indexes, missed, early);
        for put in 1..=objects.len() {
            let there = &objects[..put];
            let newest = there.iter().map(|object| match &object.sealing {
                Sealing::Sealed(seal) => seal.digest_after,
                other => panic!("{other:?}"),
            });
            let newest = newest.max_by_key(|digest| digest.0);
            let ends = matches!(&there[put - 1].sealing, Sealing::Sealed(seal) if seal.is_gap());
            let has_snapshot = put + 1 >= objects.len();
            let plan = run(there, Target::Latest);
            let Ok(plan) = plan else { return Err(TestCaseError::fail(format!("{put} objects: {plan:?}"))) };
            let PlannedEnd::Commit { digest, .. } = plan.end else { panic!("{plan}") };
            prop_assert_eq!(digest, newest, "{} objects: {}", put, plan);
            prop_assert_eq!(plan.cut_off, ends && !has_snapshot, "{} objects: {}", put, plan);
            let late = run(there, Target::Time(Timestamp(1 << 40))).unwrap();
            prop_assert_eq!((late.beyond_end, late.cut_off), (true, plan.cut_off), "{} objects: {}", put, late);
            prop_assert_eq!(late.end, plan.end);
        }
    }

    #[test]
    fn arbitrary_keys_never_panic(keys in prop::collection::vec(KEYS, 0..20)) {
        let meta = |key: String| ObjectMeta { key, size: 1, modified: std::time::UNIX_EPOCH };
        let catalog = Catalog::from_listing(keys.into_iter().map(meta));
        for history in catalog.histories() {
            prop_assert!(history.first().map(|e| e.name) <= history.last().map(|e| e.name));
            drop(plan(history, &Seals::default(), Target::Latest));
        }
    }
}
