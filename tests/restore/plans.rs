//! Planning on listings and seals of every kind: it never panics, asks for finitely many seals, and what it plans is
//! without holes.

use lightship::history::{Catalog, ObjectName, PlanStop, RangeName, RestorePlan, Sealing, Seals, Target, plan};
use lightship::segment::{Commit, Seal, SealFault, SealKind, SourceCursor, StateDigest};
use lightship::types::{Generation, Index, Level, Offset, PageCount, PageSize, Timestamp, WriterId};
use lightship::wal::{ByteOrder, Checksum, Salts};
use proptest::prelude::*;
use replica_backends::ObjectMeta;

const GENERATION: Generation = Generation(7);
const FRAME: u64 = 24 + 512;

/// An object as a writer made it: a piece of one long history, or something else.
#[derive(Debug, Clone)]
struct Object {
    name: ObjectName,
    sealing: Sealing,
    modified: u64,
}

fn seal(kind: SealKind, from: (u32, u64), to: u64, before: u64, after: u64, times: &[u64]) -> Seal {
    let index = Index::new(from.0).unwrap();
    let commits: Vec<_> = times
        .iter()
        .enumerate()
        .map(|(n, t)| Commit {
            end: Offset(to - (times.len() - 1 - n) as u64 * FRAME),
            size: PageCount(1),
            time: Timestamp(*t),
        })
        .collect();
    Seal {
        kind,
        generation: GENERATION,
        from: (index, Offset(from.1)),
        to: (index, Offset(to)),
        page_size: PageSize::SMALLEST,
        size_before: PageCount(1),
        size_after: PageCount(1),
        digest_before: StateDigest(before),
        digest_after: StateDigest(after),
        raw_bytes: to - from.1,
        content: [0; 32],
        order: ByteOrder::Little,
        salts: Salts::default(),
        checksum_before: Checksum::default(),
        checksum_after: Checksum::default(),
        source: SourceCursor { salts: Salts::default(), offset: 0, checksum: Checksum::default() },
        writer: WriterId(0),
        time: Timestamp(times.last().copied().unwrap_or(before * 10)),
        parent: None,
        software: String::new(),
        reason: String::new(),
        commits,
    }
}

/// A whole history: for each index the numbers of commits in its segments, and whether a snapshot begins it.
fn history(indexes: &[(Vec<u8>, bool)]) -> Vec<Object> {
    let (mut objects, mut state) = (Vec::new(), 0_u64);
    for (index, (segments, snapshot)) in (0_u32..).zip(indexes) {
        let at = Index::new(index).unwrap();
        if *snapshot || index == 0 {
            let sealing = Sealing::Sealed(Box::new(seal(SealKind::Snapshot, (index, 0), 0, state, state, &[])));
            objects.push(Object { name: ObjectName::Snapshot(GENERATION, at), sealing, modified: state * 10 });
        }
        let mut offset = 0;
        for commits in segments {
            let commits = u64::from(*commits % 5 + 1);
            let to = offset.max(32) + commits * FRAME;
            let times: Vec<u64> = (1..=commits).map(|n| (state + n) * 10).collect();
            let sealed = seal(SealKind::Segment, (index, offset), to, state, state + commits, &times);
            state += commits;
            let name = ObjectName::Segment(GENERATION, at, Offset(offset));
            objects.push(Object { name, sealing: Sealing::Sealed(Box::new(sealed)), modified: state * 10 });
            offset = to;
        }
    }
    objects
}

fn run(objects: &[Object], target: Target) -> Result<RestorePlan, String> {
    let meta = |o: &Object| ObjectMeta {
        key: o.name.key().unwrap(),
        size: 100,
        modified: Timestamp(o.modified).to_system_time(),
    };
    let catalog = Catalog::from_listing(objects.iter().map(meta));
    let Some(history) = catalog.history(GENERATION) else { return Err("empty".to_owned()) };
    let mut seals = Seals::default();
    for _ in 0..=objects.len() {
        match plan(history, &seals, target) {
            Ok(plan) => return Ok(plan),
            Err(PlanStop::Fault(fault)) => return Err(fault.to_string()),
            Err(PlanStop::Needs(needs)) => {
                assert!(!needs.0.is_empty());
                for name in needs.0 {
                    let object = objects.iter().find(|o| o.name == name).unwrap();
                    seals.learn(name, object.sealing.clone());
                }
            }
        }
    }
    panic!("asked for the same seals again and again");
}

/// The merged ranges of a history: each is a number of the index in which it begins, and how many it holds.
fn with_ranges(mut objects: Vec<Object>, indexes: u32, ranges: &[(u32, u32, u8)]) -> Vec<Object> {
    let state = |objects: &[Object], index: u32| {
        let before = objects.iter().filter(|o| o.name.range().is_none() && o.name.index().get() < index);
        before.map(|o| if let Sealing::Sealed(seal) = &o.sealing { seal.digest_after.0 } else { 0 }).max().unwrap_or(0)
    };
    for (from, len, level) in ranges {
        let from = from % indexes;
        let to = from + 1 + len % (indexes - from);
        let (before, after) = (state(&objects, from), state(&objects, to));
        let times = [after * 10];
        let mut sealed = seal(SealKind::Range, (from, 0), 32 + FRAME, before, after, &times);
        (sealed.raw_bytes, sealed.to) = (32 + FRAME, (Index::new(to).unwrap(), Offset(0)));
        let range = RangeName {
            from: Index::new(from).unwrap(),
            to: Index::new(to).unwrap(),
            time: sealed.time,
            level: Level::ALL[usize::from(*level) % Level::COUNT],
        };
        let object = Object {
            name: ObjectName::Range(GENERATION, range),
            sealing: Sealing::Sealed(Box::new(sealed)),
            modified: after * 10,
        };
        if objects.iter().all(|o| o.name != object.name) {
            objects.push(object);
        }
    }
    objects
}

fn ranges() -> impl Strategy<Value = Vec<(u32, u32, u8)>> {
    prop::collection::vec((any::<u32>(), any::<u32>(), any::<u8>()), 0..6)
}

/// What may befall a history before it is read.
#[derive(Debug, Clone)]
enum Mishap {
    Remove(usize),
    Unseal(usize),
    Damage(usize),
    Rename(usize, usize),
    Touch(usize, u64),
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

fn befall(objects: &mut Vec<Object>, mishap: &Mishap) {
    let len = objects.len();
    let pick = |n: &usize| n % len.max(1);
    match mishap {
        _ if len == 0 => {}
        Mishap::Remove(n) => drop(objects.remove(pick(n))),
        Mishap::Unseal(n) => objects[pick(n)].sealing = Sealing::Unsealed,
        Mishap::Damage(n) => objects[pick(n)].sealing = Sealing::Damaged(SealFault::Damaged("test")),
        Mishap::Rename(a, b) => {
            let name = objects[pick(b)].name;
            let moved = pick(a);
            objects[moved].name = name;
            let keep = objects[moved].clone();
            objects.retain(|o| o.name != name);
            objects.push(keep);
        }
        Mishap::Touch(n, time) => objects[pick(n)].modified = *time,
    }
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

/// Every known seal adjoins the one before it, and the names leave no index out.
fn assert_contiguous(plan: &RestorePlan) {
    let mut at = (plan.snapshot.name.index(), Some(Offset(0)));
    for step in &plan.steps {
        let begins_next = at.0.next() == Some(step.name.index()) && at.1 != Some(Offset(0));
        if begins_next && step.name.offset() == Offset(0) {
            at = (step.name.index(), Some(Offset(0)));
        }
        assert_eq!(at.0, step.name.index(), "{plan}");
        assert!(at.1.is_none_or(|end| end == step.name.offset()), "{plan}");
        at = match step.name.range() {
            Some(range) => (range.to, Some(Offset(0))),
            None => (at.0, step.seal.as_ref().map(|seal| seal.to.1)),
        };
    }
    // What is fetched later must be what the plan says: the states on both sides of each object adjoin.
    let seals: Vec<_> = plan.objects().filter_map(|o| o.seal.as_ref().map(|seal| (o.name, seal))).collect();
    assert!(seals.iter().all(|(name, seal)| seal.from == (name.index(), name.offset())), "{plan}");
}

/// A plan for a position ends there, and nowhere near it.
fn assert_reaches(plan: &RestorePlan, target: Target) {
    let Target::Position(index, offset) = target else { return };
    let lightship::history::PlannedEnd::Commit { at, .. } = plan.end else { panic!("{plan}") };
    let before_index = offset == Offset(0) && at.0.next() == Some(index);
    assert!(at == (index, offset) || before_index, "{plan}");
}

/// Of objects as they were written, each begins with the state with which the one before it ends.
fn assert_joined(plan: &RestorePlan, objects: &[Object]) {
    let sealed =
        plan.objects().map(|planned| match &objects.iter().find(|o| o.name == planned.name).unwrap().sealing {
            Sealing::Sealed(seal) => seal,
            other => panic!("{other:?}"),
        });
    let seals: Vec<_> = sealed.collect();
    assert!(seals.windows(2).all(|pair| pair[0].digest_after == pair[1].digest_before), "{plan}");
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
        assert_joined(&plan, &objects);
        prop_assert!(!plan.coarse);
        let lightship::history::PlannedEnd::Commit { time, .. } = plan.end else { panic!() };
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
    fn arbitrary_keys_never_panic(keys in prop::collection::vec(KEYS, 0..20)) {
        let meta = |key: String| ObjectMeta { key, size: 1, modified: std::time::UNIX_EPOCH };
        let catalog = Catalog::from_listing(keys.into_iter().map(meta));
        for history in catalog.histories() {
            prop_assert!(history.first().map(|e| e.name) <= history.last().map(|e| e.name));
            drop(plan(history, &Seals::default(), Target::Latest));
        }
    }
}
