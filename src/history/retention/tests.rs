//! Random histories, random policies, and the real planner as the judge.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use replica_backends::ObjectMeta;

use super::*;
use crate::history::{PlanStop, PlannedEnd, Target, plan};
use crate::segment::{Commit, Seal, SealKind, SourceCursor, StateDigest};
use crate::types::{PageCount, PageSize, WriterId};
use crate::wal::{ByteOrder, Checksum, Salts};

const FRAME: u64 = 536;
const EPOCH_MS: u64 = 1_700_000_000_000;

/// A replica as its listing and its seals show it.
#[derive(Debug, Clone, Default)]
struct Replica {
    objects: BTreeMap<ObjectName, Timestamp>,
    seals: Seals,
    /// Every commit: when, where, in which generation.
    commits: Vec<(Timestamp, Generation, (Index, Offset))>,
}

/// What happens next in a history.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// So many commits in one segment, and the milliseconds between them.
    Segment(u64, u64),
    /// The WAL begins anew.
    Restart,
    /// The same, and a snapshot is taken.
    Snapshot,
    /// A new generation begins.
    Fork,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..4_u64, 1..4_000_000_u64).prop_map(|(n, ms)| Event::Segment(n, ms)),
        3 => Just(Event::Restart),
        2 => Just(Event::Snapshot),
        1 => Just(Event::Fork),
    ]
}

fn seal(generation: Generation, from: (Index, Offset), to: Offset, before: u64, commits: &[Commit], now: u64) -> Seal {
    let kind = if commits.is_empty() { SealKind::Snapshot } else { SealKind::Segment };
    Seal {
        kind,
        generation,
        from,
        to: (from.0, to),
        page_size: PageSize::new(512).unwrap(),
        size_before: PageCount(1),
        size_after: PageCount(1),
        digest_before: StateDigest(before),
        digest_after: StateDigest(before + commits.len() as u64),
        raw_bytes: to.0 - from.1.0,
        content: [0; 32],
        order: ByteOrder::Little,
        salts: Salts::default(),
        checksum_before: Checksum::default(),
        checksum_after: Checksum::default(),
        source: SourceCursor { salts: Salts::default(), offset: 0, checksum: Checksum::default() },
        writer: WriterId(1),
        time: Timestamp(now),
        parent: None,
        software: String::new(),
        reason: String::new(),
        commits: commits.to_vec(),
    }
}

impl Replica {
    fn put(&mut self, name: ObjectName, seal: Seal) {
        self.objects.insert(name, seal.time);
        self.seals.learn(name, Sealing::Sealed(Box::new(seal)));
    }

    /// The history of these events; it ends at the time that is returned.
    fn record(events: &[Event]) -> (Self, Timestamp) {
        let mut replica = Self::default();
        let (mut now, mut state, mut generation) = (EPOCH_MS, 0, Generation(7));
        let (mut index, mut offset, mut fresh) = (Index::default(), Offset(0), true);
        for event in events {
            if fresh || matches!(event, Event::Snapshot) {
                if offset > Offset(0) {
                    (index, offset) = (index.next().unwrap(), Offset(0));
                }
                let seal = seal(generation, (index, Offset(0)), Offset(0), state, &[], now);
                replica.put(ObjectName::Snapshot(generation, index), seal);
                fresh = false;
            }
            match *event {
                Event::Segment(count, gap) => {
                    let from = offset;
                    let (before, mut commits) = (state, Vec::new());
                    for _ in 0..count {
                        (now, state) = (now + gap, state + 1);
                        offset = Offset(offset.0.max(32) + FRAME);
                        commits.push(Commit { end: offset, size: PageCount(1), time: Timestamp(now) });
                        replica.commits.push((Timestamp(now), generation, (index, offset)));
                    }
                    let seal = seal(generation, (index, from), offset, before, &commits, now);
                    replica.put(ObjectName::Segment(generation, index, from), seal);
                }
                Event::Restart if offset > Offset(0) => (index, offset) = (index.next().unwrap(), Offset(0)),
                Event::Restart | Event::Snapshot => {}
                Event::Fork => {
                    generation = Generation(generation.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    (index, offset, fresh, now) = (Index::default(), Offset(0), true, now + 1);
                }
            }
        }
        (replica, Timestamp(now))
    }

    fn catalog(&self) -> Catalog {
        Catalog::from_listing(self.objects.iter().map(|(name, modified)| ObjectMeta {
            key: name.key().unwrap(),
            size: 1,
            modified: modified.to_system_time(),
        }))
    }

    /// The time of the commit with which a restore of `time` from `generation` ends; no two commits have the same.
    fn restores(&self, generation: Generation, time: Timestamp) -> Option<Timestamp> {
        let catalog = self.catalog();
        match plan(catalog.history(generation)?, &self.seals, Target::Time(time)) {
            Ok(plan) => match plan.end {
                PlannedEnd::Commit { time, .. } => Some(time),
                PlannedEnd::LastCommit { .. } => None,
            },
            Err(PlanStop::Needs(needs)) => panic!("seals are not known: {needs:?}"),
            Err(PlanStop::Fault(_)) => None,
        }
    }

    /// What Litestream 0.3 needs to restore the latest state: from the newest snapshot's index on, or from the one
    /// before it, each index with a segment at offset 0 up to the last; or no segment at all.
    fn litestream_restores(&self, generation: Generation) -> bool {
        let catalog = self.catalog();
        let Some(history) = catalog.history(generation) else { return false };
        let Some(snapshot) = history.snapshots.last() else { return false };
        let last = history.segments.last().map(|e| e.name.index().get());
        let begins = history.segments.iter().all(|e| {
            let first = ObjectName::Segment(generation, e.name.index(), Offset(0));
            history.entry(&first).is_some()
        });
        begins && last.is_none_or(|last| last + 1 >= snapshot.name.index().get())
    }

    fn plan(&self, points: &[Pinned], policy: &Policy, now: Timestamp) -> RetentionPlan {
        plan_retention(&self.catalog(), &self.seals, points, policy, None, now).unwrap()
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(3600 * hours)
}

fn policy(everything: u64, tier: Option<(u64, u64)>) -> Policy {
    let tiers = tier.iter().map(|(every, keep)| Tier { every: hours(*every), keep: hours(*keep) }).collect();
    Policy { everything: Some(hours(everything)), tiers, grace: hours(1), append_only: false }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Also if the deletion is interrupted anywhere, and also if retention runs again and again.
    #[test]
    fn every_state_that_the_policy_keeps_can_be_restored_after_any_run(
        events in proptest::collection::vec(event(), 1..60),
        everything in 1..40_u64,
        tier in proptest::option::of((1..10_u64, 1..200_u64)),
        pins in proptest::collection::vec(any::<proptest::sample::Index>(), 0..3),
        cut in any::<proptest::sample::Index>(),
    ) {
        let (full, end) = Replica::record(&events);
        prop_assume!(!full.commits.is_empty());
        let pinned: Vec<Pinned> = pins.iter().map(|pin| {
            let (_, generation, at) = full.commits[pin.index(full.commits.len())];
            Pinned { name: "p".to_owned(), generation, at }
        }).collect();
        let policy = policy(everything, tier);
        let mut replica = full.clone();
        for step in 0..3_u64 {
            let now = Timestamp(end.0 - (2 - step) * 1_800_000);
            let plan = replica.plan(&pinned, &policy, now);
            prop_assert!(plan.broken.is_empty(), "{plan}");
            let deleted = if step == 1 { cut.index(plan.delete.len() + 1) } else { plan.delete.len() };
            for entry in &plan.delete[..deleted] {
                prop_assert!(replica.objects.remove(&entry.name).is_some());
            }
            for (time, generation, at) in &full.commits {
                let is_pinned = pinned.iter().any(|p| (p.generation, p.at) == (*generation, *at));
                if is_pinned || *time >= before(now, hours(everything)) {
                    prop_assert_eq!(replica.restores(*generation, *time), Some(*time), "{}", plan);
                }
            }
            // What a tier keeps: in each of its intervals the last snapshot, if nothing better.
            if let Some((every, keep)) = tier {
                let oldest = before(now, hours(keep));
                let within = |(name, time): &(&ObjectName, &Timestamp)| {
                    matches!(name, ObjectName::Snapshot(..)) && (oldest..=now).contains(time)
                };
                let snapshots = full.objects.iter().filter(within);
                let mut slots: BTreeMap<(Generation, u64), ObjectName> = BTreeMap::new();
                for (name, time) in snapshots {
                    slots.insert((name.generation(), time.0 / (every * 3_600_000)), *name);
                }
                for name in slots.values() {
                    prop_assert!(replica.objects.contains_key(name), "{:?}\n{}", name, plan);
                }
            }
        }
        // The newest state of the newest generation is there, whatever the policy.
        let (time, generation, _) = *full.commits.last().unwrap();
        prop_assert_eq!(replica.restores(generation, time), Some(time));
        prop_assert!(replica.litestream_restores(generation), "{:#?}", replica.objects.keys());
    }

    /// Whatever the clock says, nothing is deleted that would stay if it were right.
    #[test]
    fn a_clock_that_jumps_ahead_deletes_no_more(events in proptest::collection::vec(event(), 1..40)) {
        let (replica, end) = Replica::record(&events);
        let policy = policy(5, None);
        let ahead = Timestamp(end.0 + 10 * 365 * 24 * 3_600_000);
        prop_assert_eq!(replica.plan(&[], &policy, ahead), replica.plan(&[], &policy, end));
        let behind = replica.plan(&[], &policy, Timestamp(EPOCH_MS - 1));
        prop_assert_eq!(behind.delete, []);
    }
}

/// Ten indexes of one segment an hour each, snapshots at 0 and 5.
fn ten_hours() -> (Replica, Timestamp) {
    let mut events = Vec::new();
    for n in 0..10 {
        events.push(if n == 5 { Event::Snapshot } else { Event::Restart });
        events.push(Event::Segment(1, 3_600_000));
    }
    Replica::record(&events)
}

fn keys(plan: &RetentionPlan) -> Vec<String> {
    plan.delete.iter().map(|e| plan_key(&e.name).split_once("0000000000000007/").unwrap().1.to_owned()).collect()
}

#[test]
fn what_comes_before_the_snapshot_that_the_retention_needs_is_deleted_newest_first() {
    let (replica, end) = ten_hours();
    // Three hours and one of grace reach back to index 6; the snapshot before that is the one at 5.
    let plan = replica.plan(&[], &policy(3, None), end);
    let expected = [
        "wal/00000004_00000000.wal.lz4",
        "wal/00000003_00000000.wal.lz4",
        "wal/00000002_00000000.wal.lz4",
        "wal/00000001_00000000.wal.lz4",
        "wal/00000000_00000000.wal.lz4",
        "snapshots/00000000.snapshot.lz4",
    ];
    assert_eq!(keys(&plan), expected);
    assert!(plan.wants_snapshot, "the snapshot at 5 is older than three hours");
    assert!(plan.to_string().ends_with("deletes 6 of 12 objects, 6 bytes"), "{plan}");
    // With an hour more, the state an hour ago needs the old snapshot.
    assert_eq!(keys(&replica.plan(&[], &policy(5, None), end)), [""; 0]);
}

#[test]
fn a_snapshot_is_wanted_when_a_newer_one_would_let_more_be_deleted() {
    let (replica, end) = ten_hours();
    assert!(replica.plan(&[], &policy(3, None), end).wants_snapshot);
    assert!(!replica.plan(&[], &policy(24, None), end).wants_snapshot);
    let append_only = Policy { append_only: true, ..policy(3, None) };
    let plan = replica.plan(&[], &append_only, end);
    assert_eq!((plan.delete, plan.wants_snapshot), (Vec::new(), false));
}

#[test]
fn a_point_keeps_its_snapshot_and_the_segments_up_to_it() {
    let (replica, end) = ten_hours();
    let (_, generation, at) = replica.commits[1];
    let pinned = Pinned { name: "release".to_owned(), generation, at };
    let plan = replica.plan(&[pinned], &policy(3, None), end);
    assert_eq!(keys(&plan).last().unwrap(), "wal/00000002_00000000.wal.lz4");
    let lost = Pinned { name: "lost".to_owned(), generation: Generation(1), at };
    assert_eq!(replica.plan(&[lost], &policy(3, None), end).broken, ["lost"]);
}

#[test]
fn merged_ranges_replace_the_segments_between_the_points_of_a_tier() {
    use crate::history::RangeName;
    use crate::types::Level;
    let (mut replica, end) = ten_hours();
    let index = |n| Index::new(n).unwrap();
    for (from, to) in [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (5, 6)] {
        let level = Level::new(if to - from > 1 { 2 } else { 1 }).unwrap();
        let time = replica.commits[to as usize - 1].0;
        let name = RangeName { from: index(from), to: index(to), time, level };
        replica.objects.insert(ObjectName::Range(Generation(7), name), time);
    }
    // One state in four hours: the ends of the third and of the fourth hour, and the snapshots.
    let plan = replica.plan(&[], &policy(3, Some((2, 48))), end);
    let kept: Vec<String> = plan.keep.keys().map(|name| plan_key(name).replace("0000000000000007/", "")).collect();
    assert!(!kept.iter().any(|key| key.contains("wal/00000000")), "{kept:#?}");
    assert!(kept.iter().any(|key| key.contains("2/00000000-00000003")), "{kept:#?}");
    assert!(kept.iter().any(|key| key.contains("snapshots/00000000")), "{kept:#?}");
    // Shortcuts go first.
    assert!(plan.delete[0].name.range().is_some());
}

#[test]
fn an_old_generation_goes_when_nothing_in_it_is_young_enough() {
    let events = [
        Event::Segment(2, 1_000),
        Event::Fork,
        Event::Segment(1, 10 * 3_600_000),
        Event::Segment(1, 10 * 3_600_000),
        Event::Segment(1, 10 * 3_600_000),
    ];
    let (replica, end) = Replica::record(&events);
    let plan = replica.plan(&[], &policy(15, None), end);
    assert!(plan.delete.iter().all(|e| e.name.generation() == Generation(7)), "{plan}");
    assert_eq!(plan.delete.len(), 2, "{plan}");
    // The state of 29 hours ago is in the old one's gap to the new: it is the old one's last.
    assert_eq!(replica.plan(&[], &policy(31, None), end).delete, []);
}
