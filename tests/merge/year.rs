//! A year of one index a minute, as listings only.

use lightship::history::{
    Catalog, ObjectName, PlanError, PlanStop, RangeName, RestorePlan, Sealing, Seals, Target, plan,
};
use lightship::segment::{Commit, Seal, SealKind, SourceCursor, StateDigest};
use lightship::types::{Generation, Index, Level, Offset, PageCount, PageSize, Timestamp, WriterId};
use lightship::wal::{ByteOrder, Checksum, Salts};
use replica_backends::ObjectMeta;

const GENERATION: Generation = Generation(7);
const MINUTE_MS: u64 = 60_000;
/// One commit an index, at its middle; the state at the beginning of index `n` is called `n`.
const END: u64 = 32 + 536;

fn index(number: u32) -> Index {
    Index::new(number).unwrap()
}

fn time_of(index: u32) -> Timestamp {
    Timestamp(u64::from(index) * MINUTE_MS)
}

fn seal_of(name: &ObjectName) -> Seal {
    let from = name.index();
    let (kind, to, end) = match *name {
        ObjectName::Snapshot(..) => (SealKind::Snapshot, (from, Offset(0)), from.get()),
        ObjectName::Segment(..) => (SealKind::Segment, (from, Offset(END)), from.get() + 1),
        ObjectName::Range(_, range) => (SealKind::Range, (range.to, Offset(0)), range.to.get()),
    };
    let commit = Commit { end: Offset(END), size: PageCount(1), time: time_of(end) };
    Seal {
        kind,
        generation: GENERATION,
        from: (from, Offset(0)),
        to,
        page_size: PageSize::SMALLEST,
        size_before: PageCount(1),
        size_after: PageCount(1),
        digest_before: StateDigest(u64::from(from.get())),
        digest_after: StateDigest(u64::from(end)),
        raw_bytes: END,
        content: [0; 32],
        order: ByteOrder::Little,
        salts: Salts::default(),
        checksum_before: Checksum::default(),
        checksum_after: Checksum::default(),
        source: SourceCursor { salts: Salts::default(), offset: 0, checksum: Checksum::default() },
        writer: WriterId(0),
        time: time_of(end),
        parent: None,
        software: String::new(),
        reason: String::new(),
        commits: if kind == SealKind::Snapshot { Vec::new() } else { vec![commit] },
    }
}

/// What a replicator leaves in `minutes`, with a snapshot every so many; segments are kept from `kept_from` on.
fn listing(minutes: u32, snapshot_every: u32, kept_from: u32) -> Vec<ObjectName> {
    let mut names = Vec::new();
    for minute in 0..minutes {
        if minute % snapshot_every == 0 {
            names.push(ObjectName::Snapshot(GENERATION, index(minute)));
        }
        if minute >= kept_from {
            names.push(ObjectName::Segment(GENERATION, index(minute), Offset(0)));
        }
        for (level, lasts) in Level::ALL.into_iter().zip([5, 60, 1440]) {
            let to = minute + 1;
            if to % lasts == 0 {
                let (from, to) = (index(to - lasts), index(to));
                names.push(ObjectName::Range(GENERATION, RangeName { from, to, time: time_of(to.get()), level }));
            }
        }
    }
    names
}

/// The plan, and how many seals had to be read for it.
fn planned(catalog: &Catalog, target: Target) -> (RestorePlan, usize) {
    let history = catalog.histories().next().unwrap();
    let (mut seals, mut read) = (Seals::default(), 0);
    loop {
        match plan(history, &seals, target) {
            Ok(plan) => return (plan, read),
            Err(PlanStop::Needs(needs)) => {
                read += needs.0.len();
                needs.0.iter().for_each(|name| seals.learn(*name, Sealing::Sealed(Box::new(seal_of(name)))));
            }
            Err(PlanStop::Fault(fault)) => panic!("{target:?}: {fault}"),
        }
    }
}

fn catalog(names: &[ObjectName]) -> Catalog {
    let meta = |name: &ObjectName| ObjectMeta { key: name.key().unwrap(), size: 100, modified: std::time::UNIX_EPOCH };
    Catalog::from_listing(names.iter().map(meta))
}

#[test]
fn any_point_of_a_year_needs_few_objects() {
    let (minutes, week) = (365 * 1440, 7 * 1440);
    let names = listing(minutes, week, 0);
    let catalog = catalog(&names);
    let worst_of_week = week - 1;
    for round in 0..20 {
        let minute = match round {
            0 => worst_of_week,
            1 => minutes - 1,
            _ => fastrand::u32(0..minutes),
        };
        let (plan, seals) = planned(&catalog, Target::Time(time_of(minute + 1)));
        let objects = plan.objects().count();
        assert!(objects <= 60 && seals <= 20, "minute {minute}: {objects} objects, {seals} seals");
        let lightship::history::PlannedEnd::Commit { time, .. } = plan.end else { panic!() };
        assert_eq!((time, plan.coarse), (time_of(minute + 1), false));
    }
}

/// The last range leads to a state that was kept: one that comes before it is not the newest up to then.
#[test]
fn where_a_range_is_missing_before_the_wanted_time_nothing_older_is_restored() {
    let range = |from, to| {
        let (time, level) = (time_of(to), Level::ALL[0]);
        ObjectName::Range(GENERATION, RangeName { from: index(from), to: index(to), time, level })
    };
    let all = [ObjectName::Snapshot(GENERATION, index(0)), range(0, 5), range(5, 10)];
    let (whole, _) = planned(&catalog(&all), Target::Time(time_of(12)));
    assert_eq!((whole.steps.len(), whole.coarse), (2, true));
    let catalog = catalog(&[all[0], all[2]]);
    let mut seals = Seals::default();
    all.iter().for_each(|name| seals.learn(*name, Sealing::Sealed(Box::new(seal_of(name)))));
    let Err(PlanStop::Fault(fault)) = plan(catalog.histories().next().unwrap(), &seals, Target::Time(time_of(12)))
    else {
        panic!("something older is restored");
    };
    let missing = ObjectName::Segment(GENERATION, index(0), Offset(0));
    assert!(matches!(*fault, PlanError::Missing { missing: found, .. } if found == missing), "{fault}");
}

/// Retention removes the segments of old times and keeps the ranges.
#[test]
fn where_only_ranges_are_left_the_last_point_kept_is_restored() {
    let (minutes, kept_from) = (3 * 1440, 2 * 1440);
    let catalog = catalog(&listing(minutes, minutes, kept_from));
    let end = u64::from(minutes) * MINUTE_MS;
    let edges = [0, MINUTE_MS, 5 * MINUTE_MS - 1, 5 * MINUTE_MS];
    let random = (0..50).map(|_| fastrand::u64(0..end));
    for wanted in edges.into_iter().chain(random).map(Timestamp) {
        let (plan, _) = planned(&catalog, Target::Time(wanted));
        let lightship::history::PlannedEnd::Commit { time, .. } = plan.end else { panic!() };
        let kept_ms = if wanted.0 >= u64::from(kept_from) * MINUTE_MS { MINUTE_MS } else { 5 * MINUTE_MS };
        assert_eq!(time.0, wanted.0 - wanted.0 % kept_ms, "{wanted}: {plan}");
    }
}
