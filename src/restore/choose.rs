//! Which replica and which generation to restore from, and the plan for it.

use std::collections::BTreeSet;
use std::fmt;

use futures::future::join_all;

use super::error::RestoreError;
use super::ltx::LtxChoice;
use super::source::{NamedBackend, Source};
use super::{Progress, RestoreRequest};
use crate::history::{Bounds, ObjectName, PlanStop, RestorePlan, Sealing, Target, plan};
use crate::segment::SealFault;
use crate::types::Generation;

/// What to restore from: which replica serves best, and in which of the two kinds of history it holds.
#[derive(Debug)]
pub enum Choice {
    /// A generation, written by Lightship or Litestream 0.3.
    Generation(GenerationChoice),
    /// Files of Litestream 0.5.
    Ltx(LtxChoice),
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, plan): (_, &dyn fmt::Display) = match self {
            Self::Generation(choice) => (&choice.source.name, &choice.plan),
            Self::Ltx(choice) => (&choice.source.name, &choice.plan),
        };
        write!(f, "replica     {name}\n{plan}")
    }
}

/// A replica and what to restore from it.
#[derive(Debug)]
pub struct GenerationChoice {
    /// The replica.
    pub source: Source,
    /// What to restore.
    pub plan: RestorePlan,
}

/// A history in one of the sources.
struct Candidate {
    source: usize,
    lineage: Lineage,
    has_snapshot: bool,
    bounds: Bounds,
}

/// Which history of a replica.
#[derive(Clone, Copy)]
enum Lineage {
    Generation(Generation),
    Ltx,
}

impl Candidate {
    fn generation(&self) -> Option<Generation> {
        if let Lineage::Generation(generation) = self.lineage { Some(generation) } else { None }
    }
}

/// Lists all replicas, chooses the generation that serves `request` best, and plans its restore without `avoided`.
///
/// # Errors
/// If nothing can be read, nothing is there, or what is there cannot be restored.
pub async fn choose(
    replicas: &[NamedBackend],
    request: &RestoreRequest,
    avoided: &BTreeSet<ObjectName>,
    progress: &dyn Progress,
) -> Result<Choice, RestoreError> {
    let surveys = join_all(replicas.iter().map(|replica| survey(replica, request))).await;
    let (mut sources, mut candidates, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for (replica, survey) in replicas.iter().zip(surveys) {
        match survey {
            Ok((source, found)) => {
                candidates.extend(found.into_iter().map(|c: Candidate| Candidate { source: sources.len(), ..c }));
                sources.push(source);
            }
            Err(source) => unreadable.push(RestoreError::Unreadable { name: replica.name.clone(), source }),
        }
    }
    // The first of equals wins; `max_by_key` returns the last.
    let best = candidates.iter().rev().max_by_key(|c| request.target.preference(c.bounds));
    let Some(best) = best else {
        return Err(nothing(&sources, unreadable, request));
    };
    let mut source = sources.swap_remove(best.source);
    for name in avoided {
        source.seals.learn(*name, Sealing::Damaged(SealFault::Damaged("a restore with it failed")));
    }
    for error in unreadable {
        progress.warn(&format!("{error}; restoring from replica {} instead", source.name));
    }
    let generation = match best.lineage {
        Lineage::Ltx => return Ok(Choice::Ltx(LtxChoice::plan(source, request).await?)),
        Lineage::Generation(generation) => generation,
    };
    if !best.has_snapshot {
        let usable = candidates.iter().rev().filter(|c| c.has_snapshot);
        let alternative = usable.max_by_key(|c| request.target.preference(c.bounds)).and_then(Candidate::generation);
        return Err(RestoreError::NoSnapshot { generation, alternative });
    }
    Ok(Choice::Generation(plan_from(source, generation, request.target).await?))
}

/// Lists a replica, and reads two seals a generation and two headers of LTX files.
async fn survey(
    replica: &NamedBackend,
    request: &RestoreRequest,
) -> replica_backends::Result<(Source, Vec<Candidate>)> {
    let mut source = Source::open(replica).await?;
    let mut candidates = Vec::new();
    if request.txid.is_none() {
        for (generation, bounds) in source.bounds(request.generation).await? {
            let history = source.catalog.history(generation);
            let has_snapshot = history.is_some_and(|h| !h.snapshots.is_empty());
            candidates.push(Candidate { source: 0, lineage: Lineage::Generation(generation), has_snapshot, bounds });
        }
    }
    // An index is a place within a generation.
    if request.generation.is_none()
        && !matches!(request.target, Target::Index(_) | Target::Position(..))
        && let Some(bounds) = source.ltx.bounds().await?
    {
        candidates.push(Candidate { source: 0, lineage: Lineage::Ltx, has_snapshot: true, bounds });
    }
    Ok((source, candidates))
}

fn nothing(sources: &[Source], unreadable: Vec<RestoreError>, request: &RestoreRequest) -> RestoreError {
    if let Some(error) = unreadable.into_iter().next() {
        return error;
    }
    let holds_something = sources.iter().any(|s| !s.catalog.is_empty() || !s.ltx.catalog.is_empty());
    match (request.generation, request.txid) {
        (Some(generation), _) if holds_something => RestoreError::NoGeneration(generation),
        (None, Some(txid)) if holds_something => RestoreError::NoTxid(txid),
        _ => RestoreError::NoBackups,
    }
}

/// Plans the restore of `target` from one generation.
pub(super) async fn plan_from(
    mut source: Source,
    generation: Generation,
    target: Target,
) -> Result<GenerationChoice, RestoreError> {
    loop {
        let history = source.catalog.history(generation).ok_or(RestoreError::NoGeneration(generation))?;
        let needs = match plan(history, &source.seals, target) {
            Ok(plan) => return Ok(GenerationChoice { source, plan }),
            Err(PlanStop::Fault(fault)) => return Err(RestoreError::Plan { name: source.name, source: fault }),
            Err(PlanStop::Needs(needs)) => needs,
        };
        if let Err(error) = source.learn(&needs).await {
            return Err(RestoreError::Unreadable { name: source.name, source: error });
        }
    }
}
