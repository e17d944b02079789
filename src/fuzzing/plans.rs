//! Planning on listings and seals of every kind: it never panics, asks for finitely many seals, and what it plans is
//! without holes, and is what was asked for.
#![expect(clippy::unwrap_used, reason = "a fuzz target panics when something is not as it must be")]

use replica_backends::ObjectMeta;

use crate::history::{Catalog, ObjectName, PlanStop, PlannedEnd, RangeName, RestorePlan, Sealing, Seals, Target, plan};
use crate::segment::{Commit, Seal, SealFault, SealKind, SourceCursor, StateDigest};
use crate::types::{Generation, Index, Level, Offset, PageCount, PageSize, Timestamp, WriterId};
use crate::wal::{ByteOrder, Checksum, Salts};

const GENERATION: Generation = Generation(7);
const FRAME: u64 = 24 + 512;
/// Milliseconds from each commit to the next.
const APART: u64 = 10;

/// Decisions read from arbitrary bytes; zeros when these are used up.
struct Choices<'b>(&'b [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    fn index(&mut self) -> Index {
        Index::new(u32::from(self.below(6))).unwrap_or_default()
    }
}

/// A plan for the history, the mishaps and the target that these bytes stand for.
pub fn restore_plan(input: &[u8]) {
    let mut choices = Choices(input);
    let indexes: Vec<(Vec<u8>, bool)> = (0..1 + choices.below(5))
        .map(|_| ((0..1 + choices.below(4)).map(|_| choices.byte()).collect(), choices.below(2) == 0))
        .collect();
    let ranges: Vec<(u32, u32, u8)> =
        (0..choices.below(6)).map(|_| (choices.byte().into(), choices.byte().into(), choices.byte())).collect();
    let plain = history(&indexes);
    let whole = Truth::of(&plain);
    let mut objects = with_ranges(plain, indexes.len() as u32, &ranges);
    let mishaps: Vec<Mishap> = (0..choices.below(5)).map(|_| choices.mishap()).collect();
    mishaps.iter().for_each(|mishap| befall(&mut objects, mishap));
    let target = choices.target();
    let Ok(plan) = run(&objects, target) else { return };
    assert_contiguous(&plan);
    assert_reaches(&plan, target);
    // What does not join is found when it is restored: the digests do not fit.
    if mishaps.iter().all(|mishap| matches!(mishap, Mishap::Remove(_))) && is_joined(&plan, &objects) {
        whole.assert_is_wanted(&plan, target);
    }
}

impl Choices<'_> {
    fn mishap(&mut self) -> Mishap {
        let (kind, at) = (self.below(8), usize::from(self.byte()));
        match kind {
            0 => Mishap::Unseal(at),
            1 => Mishap::Damage(at),
            2 => Mishap::Rename(at, self.byte().into()),
            3 => Mishap::Touch(at, self.byte().into()),
            _ => Mishap::Remove(at),
        }
    }

    fn target(&mut self) -> Target {
        match self.below(4) {
            0 => Target::Latest,
            1 => Target::Index(self.index()),
            2 => {
                let (index, frames) = (self.index(), u64::from(self.below(8)));
                Target::Position(index, Offset(if frames == 0 { 0 } else { 32 + frames * FRAME }))
            }
            _ => Target::Time(Timestamp(u64::from(self.byte()) * 2)),
        }
    }
}

/// The commits that there were: index and time of each.
struct Truth(Vec<(Index, Timestamp)>);

impl Truth {
    fn of(objects: &[Object]) -> Self {
        let commits = objects.iter().filter_map(|object| match &object.sealing {
            Sealing::Sealed(seal) => Some(seal.commits.iter().map(|commit| (seal.from.0, commit.time))),
            _ => None,
        });
        Self(commits.flatten().collect())
    }

    /// Of a history of which only objects are missing, what is planned is the state that was wanted, or one that
    /// says of itself that it is not. The newest may be older than it was: a clean cut cannot be seen.
    fn assert_is_wanted(&self, plan: &RestorePlan, target: Target) {
        let PlannedEnd::Commit { time, .. } = plan.end else { panic!("a seal is passed by: {plan}") };
        let wanted = |is_wanted: &dyn Fn(&(Index, Timestamp)) -> bool| {
            self.0.iter().rfind(|commit| is_wanted(commit)).map_or(Timestamp(0), |commit| commit.1)
        };
        let next = plan.next.map(|name| name.index());
        match target {
            Target::Time(_) if plan.coarse => {}
            Target::Time(_) if plan.beyond_end => assert_eq!(next, None, "{plan}"),
            Target::Time(until) => assert_eq!(time, wanted(&|commit| commit.1 <= until), "{plan}"),
            // Only the index behind it shows that it is whole.
            Target::Index(last) if plan.beyond_end || next != last.next() => {}
            Target::Index(last) => assert_eq!(time, wanted(&|commit| commit.0 <= last), "{plan}"),
            Target::Latest | Target::Position(..) => {}
        }
    }
}

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
        time: Timestamp(times.last().copied().unwrap_or(before * APART)),
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
            objects.push(Object { name: ObjectName::Snapshot(GENERATION, at), sealing, modified: state * APART });
        }
        let mut offset = 0;
        for commits in segments {
            let commits = u64::from(*commits % 5 + 1);
            let to = offset.max(32) + commits * FRAME;
            let times: Vec<u64> = (1..=commits).map(|n| (state + n) * APART).collect();
            let sealed = seal(SealKind::Segment, (index, offset), to, state, state + commits, &times);
            state += commits;
            let name = ObjectName::Segment(GENERATION, at, Offset(offset));
            objects.push(Object { name, sealing: Sealing::Sealed(Box::new(sealed)), modified: state * APART });
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
        let times = [after * APART];
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
            modified: after * APART,
        };
        if objects.iter().all(|o| o.name != object.name) {
            objects.push(object);
        }
    }
    objects
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
    let PlannedEnd::Commit { at, .. } = plan.end else { panic!("{plan}") };
    let before_index = offset == Offset(0) && at.0.next() == Some(index);
    assert!(at == (index, offset) || before_index, "{plan}");
}

/// Whether each object, as it was written, begins with the state with which the one before it ends.
fn is_joined(plan: &RestorePlan, objects: &[Object]) -> bool {
    let sealed =
        plan.objects().map(|planned| match &objects.iter().find(|o| o.name == planned.name).unwrap().sealing {
            Sealing::Sealed(seal) => seal,
            other => panic!("{other:?}"),
        });
    let seals: Vec<_> = sealed.collect();
    seals.windows(2).all(|pair| pair[0].digest_after == pair[1].digest_before)
}

#[cfg(test)]
mod tests;
