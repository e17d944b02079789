//! Which replica and which generation to restore from, and the plan for it.

use futures::future::join_all;

use super::error::RestoreError;
use super::source::{NamedBackend, Source};
use super::{Progress, RestoreRequest};
use crate::history::{Bounds, PlanStop, RestorePlan, Target, plan};
use crate::types::Generation;

/// A replica and what to restore from it.
#[derive(Debug)]
pub struct Choice {
    /// The replica.
    pub source: Source,
    /// What to restore.
    pub plan: RestorePlan,
}

/// A generation of one of the sources.
struct Candidate {
    source: usize,
    generation: Generation,
    has_snapshot: bool,
    bounds: Bounds,
}

/// Lists all replicas, chooses the generation that serves `request` best, and plans its restore.
///
/// # Errors
/// If nothing can be read, nothing is there, or what is there cannot be restored.
pub async fn choose(
    replicas: &[NamedBackend],
    request: &RestoreRequest,
    progress: &dyn Progress,
) -> Result<Choice, RestoreError> {
    let surveys = join_all(replicas.iter().map(|replica| survey(replica, request.generation))).await;
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
        return Err(nothing(&sources, unreadable, request.generation));
    };
    let source = sources.swap_remove(best.source);
    for error in unreadable {
        progress.warn(&format!("{error}; restoring from replica {} instead", source.name));
    }
    if !best.has_snapshot {
        let usable = candidates.iter().rev().filter(|c| c.has_snapshot);
        let alternative = usable.max_by_key(|c| request.target.preference(c.bounds)).map(|c| c.generation);
        return Err(RestoreError::NoSnapshot { generation: best.generation, alternative });
    }
    plan_from(source, best.generation, request.target).await
}

/// Lists a replica, and reads two seals a generation.
async fn survey(
    replica: &NamedBackend,
    only: Option<Generation>,
) -> replica_backends::Result<(Source, Vec<Candidate>)> {
    let mut source = Source::open(replica).await?;
    let known = source.bounds(only).await?;
    let candidate = |(generation, bounds): (Generation, Bounds)| {
        let history = source.catalog.history(generation);
        let has_snapshot = history.is_some_and(|h| !h.snapshots.is_empty());
        Candidate { source: 0, generation, has_snapshot, bounds }
    };
    let candidates = known.into_iter().map(candidate).collect();
    Ok((source, candidates))
}

fn nothing(sources: &[Source], unreadable: Vec<RestoreError>, wanted: Option<Generation>) -> RestoreError {
    if let Some(error) = unreadable.into_iter().next() {
        return error;
    }
    match wanted {
        Some(generation) if sources.iter().any(|s| !s.catalog.is_empty()) => RestoreError::NoGeneration(generation),
        _ => RestoreError::NoBackups,
    }
}

/// Plans the restore of `target` from one generation.
pub(super) async fn plan_from(
    mut source: Source,
    generation: Generation,
    target: Target,
) -> Result<Choice, RestoreError> {
    loop {
        let history = source.catalog.history(generation).ok_or(RestoreError::NoGeneration(generation))?;
        let needs = match plan(history, &source.seals, target) {
            Ok(plan) => return Ok(Choice { source, plan }),
            Err(PlanStop::Fault(fault)) => return Err(RestoreError::Plan { name: source.name, source: fault }),
            Err(PlanStop::Needs(needs)) => needs,
        };
        if let Err(error) = source.learn(&needs).await {
            return Err(RestoreError::Unreadable { name: source.name, source: error });
        }
    }
}
