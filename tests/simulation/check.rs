//! What must hold of a replica, whatever happened: everything that it holds was committed once, and can be restored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;
use lightship::history::{ObjectName, Target};
use lightship::restore::{NamedBackend, RestoreError, RestoreRequest, Silent, restore};
use lightship::segment::{Seal, StateDigest, Tail};
use lightship::types::{Generation, Index, Offset, Position, Timestamp};
use lightship::verify::{self, Outcome};
use tokio::runtime::Runtime;

use super::oracle::{Oracle, Pages, pages_of};
use super::store::Frozen;

/// Looks at replicas from outside, with the code that users restore with.
pub struct Checker {
    runtime: Runtime,
    scratch: PathBuf,
    /// Every commit that each replica has once had, if it must still have it.
    had: BTreeMap<usize, BTreeMap<Commit, Timestamp>>,
    random: Rng,
}

/// A commit of a replica, and where it ends.
type Commit = (Generation, Index, Offset);

impl Checker {
    pub fn new(scratch: &Path, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { runtime, scratch: scratch.to_owned(), had: BTreeMap::new(), random: Rng::with_seed(seed) }
    }

    /// Restores into a file that is removed again.
    fn restore(
        &self,
        replica: &Frozen,
        generation: Option<Generation>,
        target: Target,
    ) -> Result<(Pages, Position), RestoreError> {
        let (bytes, digest, at) = self.restore_file(replica, generation, target)?;
        let pages = pages_of(&bytes).expect("what is restored is a database");
        assert_eq!(pages.digest, digest, "the report says what the file is");
        Ok((pages, at))
    }

    fn restore_file(
        &self,
        replica: &Frozen,
        generation: Option<Generation>,
        target: Target,
    ) -> Result<(Vec<u8>, StateDigest, Position), RestoreError> {
        let output = self.scratch.join("restored");
        let request = RestoreRequest { target, generation, txid: None, output: output.clone(), parallelism: 2 };
        let report = self.runtime.block_on(restore(&[named(replica)], &request, &Silent))?;
        let bytes = std::fs::read(&output).unwrap();
        std::fs::remove_file(&output).unwrap();
        Ok((bytes, report.digest, report.position().expect("there are generations only")))
    }

    /// A file that somebody restores to go on with: the newest state, or an older one.
    pub fn file(&self, replica: &Frozen, random: &mut Rng) -> Option<Vec<u8>> {
        let all: Vec<Commit> = commits(replica).into_keys().collect();
        let (generation, target) = match all.get(random.usize(0..=all.len())) {
            Some((generation, index, offset)) if random.bool() => {
                (Some(*generation), Target::Position(*index, *offset))
            }
            _ => (None, Target::Latest),
        };
        self.restore_file(replica, generation, target).ok().map(|(bytes, ..)| bytes)
    }

    /// The newest state must be a commit, not an older one than number `least`. Returns its number.
    pub fn newest(&self, replica: &Frozen, oracle: &Oracle, least: Option<usize>) -> Result<Option<usize>, String> {
        match self.restore(replica, None, Target::Latest) {
            Ok((pages, at)) => match oracle.find(pages, least.unwrap_or(0)) {
                Some(number) => Ok(Some(number)),
                None => Err(format!(
                    "the newest state, at {at}, is {} commit {:?}, but {least:?} had been shipped",
                    if oracle.knows(pages) { "an older one:" } else { "no commit:" },
                    oracle.last(pages)
                )),
            },
            Err(error) if least.is_some() => Err(format!("the newest state cannot be restored: {error}")),
            Err(_) => Ok(None),
        }
    }

    fn pages_at(&self, replica: &Frozen, at: Position) -> Result<Pages, String> {
        let restored = self.restore(replica, Some(at.generation), Target::Position(at.index, at.offset));
        let restored = restored.map(|(pages, _)| pages);
        restored.map_err(|error| format!("{at} cannot be restored: {error}\n{}", around(replica, at)))
    }

    /// The state at a position must be a commit. Returns its number.
    pub fn at(&self, replica: &Frozen, oracle: &Oracle, at: Position) -> Result<usize, String> {
        let pages = self.pages_at(replica, at)?;
        oracle.find(pages, 0).ok_or_else(|| format!("at {at} is no commit\n{}", around(replica, at)))
    }

    /// Some commits of some generation, in their order, must have been made in this order. What was not seen after
    /// `kept_since` may be on its way out.
    pub fn some_commits(
        &self,
        replica: &Frozen,
        oracle: &Oracle,
        random: &mut Rng,
        kept_since: Option<Timestamp>,
    ) -> Result<(), String> {
        let all: Vec<(Commit, Timestamp)> = commits(replica).into_iter().collect();
        if all.is_empty() {
            return Ok(());
        }
        let (generation, ..) = all[random.usize(0..all.len())].0;
        let of_it: Vec<(Commit, Timestamp)> = all.into_iter().filter(|((g, ..), _)| *g == generation).collect();
        let mut chosen: Vec<usize> = (0..3).map(|_| random.usize(0..of_it.len())).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let mut seen = BTreeMap::new();
        for ((generation, index, offset), time) in chosen.into_iter().map(|at| of_it[at]) {
            let at = Position { generation, index, offset };
            let pages = match self.pages_at(replica, at) {
                Ok(pages) => pages,
                Err(_) if kept_since.is_some_and(|since| time <= since) => continue,
                Err(error) => return Err(format!("seen {time}, kept since {kept_since:?}: {error}")),
            };
            if oracle.find_behind(pages, &mut seen).is_none() {
                let number = oracle.last(pages);
                let near = around(replica, at);
                return Err(format!("at {at} is commit {number:?}, which comes before one of {seen:?}\n{near}"));
            }
        }
        Ok(())
    }

    /// One of the commits that replica `number` has once had, and that was seen after `kept_since`, can be restored.
    ///
    /// What is looked at is decided aside, and decides nothing else.
    pub fn had(
        &mut self,
        (number, replica): (usize, &Frozen),
        oracle: &Oracle,
        kept_since: Option<Timestamp>,
    ) -> Result<(), String> {
        let had = self.had.entry(number).or_default();
        had.extend(commits(replica));
        had.retain(|_, time| kept_since.is_none_or(|since| *time > since));
        let Some((&(generation, index, offset), &time)) = self.random.choice(had.iter()) else { return Ok(()) };
        let drawn = fastrand::get_seed();
        let found = self.at(replica, oracle, Position { generation, index, offset });
        fastrand::seed(drawn);
        found.map(|_| ()).map_err(|error| format!("had, seen {time}, kept since {kept_since:?}: {error}"))
    }

    /// Verification finds nothing, in any history.
    pub fn verify(&self, replica: &Frozen) -> Result<(), String> {
        let options =
            verify::Options { all: true, full: false, scratch: self.scratch.clone(), parallelism: 2, had: None };
        let verified = self.runtime.block_on(verify::verify(&named(replica), None, &options, &Silent));
        let faults: Vec<String> = verified.faults.iter().map(|f| format!("{}: {}", f.object, f.what)).collect();
        if verified.outcome() == Outcome::Failed { Err(format!("verify: {}", faults.join("; "))) } else { Ok(()) }
    }
}

fn named(replica: &Frozen) -> NamedBackend {
    NamedBackend { name: "simulated".to_owned(), backend: Arc::new(replica.clone()) }
}

fn seal_of(key: &str, bytes: &[u8]) -> Result<(ObjectName, Box<Seal>), String> {
    let name = ObjectName::parse(key).ok_or_else(|| format!("{key} is no object's name"))?;
    match Seal::from_tail(bytes, bytes.len() as u64) {
        Ok(Tail::Sealed(seal, _)) => Ok((name, seal)),
        other => Err(format!("{key} has no seal: {other:?}")),
    }
}

fn seals(replica: &Frozen) -> impl Iterator<Item = Result<(ObjectName, Box<Seal>), String>> {
    let objects = replica.objects().filter(|(key, _)| ObjectName::parse(key).is_some());
    objects.map(|(key, bytes)| seal_of(key, bytes))
}

/// What stands in an index, and beside it.
fn around(replica: &Frozen, at: Position) -> String {
    let near = |name: &ObjectName| {
        name.generation() == at.generation && name.index().get().abs_diff(at.index.get()) <= 1
            || name.range().is_some_and(|range| range.from <= at.index && at.index <= range.to)
    };
    let described = seals(replica).flatten().filter(|(name, _)| near(name)).map(|(name, seal)| {
        let commits: Vec<String> =
            seal.commits.iter().map(|commit| format!("{}@{}", commit.end, commit.time)).collect();
        format!(
            "  {} to {}:{} {}: {}",
            name.key().unwrap_or_default(),
            seal.to.0,
            seal.to.1,
            seal.reason,
            commits.join(" ")
        )
    });
    described.collect::<Vec<_>>().join("\n")
}

/// Every object begins and ends with a state that was committed.
pub fn states(replica: &Frozen, oracle: &Oracle) -> Result<(), String> {
    for sealed in seals(replica) {
        let (name, seal) = sealed?;
        let edges = [(seal.digest_before, seal.size_before), (seal.digest_after, seal.size_after)];
        for (digest, size) in edges.into_iter().filter(|(digest, _)| *digest != StateDigest::default()) {
            if !oracle.knows(Pages { digest, count: size.0 }) {
                return Err(format!("{name:?} names a state of {size} pages that was never committed: {digest}"));
            }
        }
    }
    Ok(())
}

/// Every commit of every segment, in their order, and when each was seen.
fn commits(replica: &Frozen) -> BTreeMap<Commit, Timestamp> {
    let mut all = BTreeMap::new();
    for (name, seal) in seals(replica).flatten() {
        if matches!(name, ObjectName::Segment(..)) {
            all.extend(seal.commits.iter().map(|commit| ((seal.generation, seal.to.0, commit.end), commit.time)));
        }
    }
    all
}
