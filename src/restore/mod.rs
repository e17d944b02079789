//! The way back: list, plan, fetch, decode and check, apply, verify, publish.
//!
//! Nothing appears under the target's name before every object has been verified and the file is on disk.

mod apply;
mod choose;
mod error;
mod fetch;
mod forward;
mod image;
mod ltx;
mod pending;
mod points;
mod publish;
mod replay;
mod report;
mod sidecars;
mod snapshot;
mod source;
pub mod verify;
mod wal_stream;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

pub use choose::{Choice, GenerationChoice};
pub use error::{ApplyError, ObjectFault, RestoreError};
pub use forward::{Forward, rebuild_hashes};
pub use image::Edge;
pub use ltx::{LtxChoice, LtxObjectFault, LtxSource};
pub use points::read_points;
pub use replay::Uncommitted;
pub use report::{Proof, Reached, RestoreReport};
pub use source::{NamedBackend, Source};

use crate::history::{ObjectName, PlanError, PlannedEnd, PlannedObject, RestorePlan, Target};
use crate::types::{Clock, Generation, SystemClock, Txid};
use apply::{Applied, Job};
use fetch::Arrival;
use publish::Staged;

/// Arrivals that wait to be decoded, beside those being fetched.
const ARRIVALS_AHEAD: usize = 4;
/// How often a restore begins anew because objects it had planned were merged or removed meanwhile.
const PLANS_MAX: usize = 3;
/// Damaged merged ranges for which a restore begins anew.
const AVOIDED_MAX: usize = 64;

/// What to restore, and where to.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Which state.
    pub target: Target,
    /// Only from this generation.
    pub generation: Option<Generation>,
    /// Only from files of Litestream 0.5, and not beyond this transaction.
    pub txid: Option<Txid>,
    /// The file to create; it must not exist.
    pub output: PathBuf,
    /// How many objects are fetched at the same time; at least one is.
    pub parallelism: usize,
}

/// Who wants to know how a restore gets on.
pub trait Progress: Send + Sync {
    /// So many bytes will be fetched.
    fn begin(&self, stored_bytes: u64) {
        let _ = stored_bytes;
    }

    /// So many more bytes have been fetched.
    fn advance(&self, stored_bytes: u64) {
        let _ = stored_bytes;
    }

    /// Something that the user should know, though the restore goes on.
    fn warn(&self, message: &str) {
        let _ = message;
    }
}

/// Nobody wants to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

/// Restores the wanted state from the replica that serves it best.
///
/// # Errors
/// Why not; nothing has been published then, and nothing is left behind.
pub async fn restore(
    replicas: &[NamedBackend],
    request: &RestoreRequest,
    progress: &dyn Progress,
) -> Result<RestoreReport, RestoreError> {
    publish::refuse_existing(&request.output)?;
    sidecars::check_unused(&request.output)?;
    let (mut plans, mut avoided) = (1, BTreeSet::new());
    loop {
        let choice = choose::choose(replicas, request, &avoided, progress).await?;
        let staged = Staged::create(&request.output)?;
        let (restored, doubtful) = match choice {
            Choice::Generation(choice) => {
                let filled = fill(&staged, &choice, request, progress).await;
                let doubtful = filled.as_ref().map_or_else(|e| doubtful_ranges(e, &choice.plan), |_| Vec::new());
                let report = |done| RestoreReport::new(choice.source.name, request.target, &choice.plan, done);
                (filled.map(report), doubtful)
            }
            Choice::Ltx(choice) => (ltx::fill(&staged, choice, request, progress).await, Vec::new()),
        };
        let report = match restored {
            Ok(report) => report,
            Err(error) if is_outdated(&error) && plans < PLANS_MAX => {
                plans += 1;
                continue;
            }
            Err(error) if doubtful.is_empty() || avoided.len() + doubtful.len() > AVOIDED_MAX => return Err(error),
            Err(error) => {
                progress.warn(&format!("{error}; restoring from finer objects instead"));
                avoided.extend(doubtful);
                continue;
            }
        };
        publish(staged, &request.output, progress)?;
        return Ok(report);
    }
}

/// What [`restore`] would do.
///
/// # Errors
/// Why it would fail before it fetches anything.
pub async fn plan(
    replicas: &[NamedBackend],
    request: &RestoreRequest,
    progress: &dyn Progress,
) -> Result<Choice, RestoreError> {
    choose::choose(replicas, request, &BTreeSet::new(), progress).await
}

/// Fetches, decodes, applies and verifies everything that the plan names.
async fn fill(
    staged: &Staged,
    choice: &GenerationChoice,
    request: &RestoreRequest,
    progress: &dyn Progress,
) -> Result<Applied, RestoreError> {
    let GenerationChoice { source, plan } = choice;
    let available = staged.available_bytes();
    let needed = needed_bytes(plan);
    let no_space = |needed| RestoreError::NoSpace { output: request.output.clone(), needed, available };
    if needed > available {
        return Err(no_space(needed));
    }
    let file = Some(staged.file()?);
    let job = Job { plan: plan.clone(), file, spill: staged.spill_path(), size_max_bytes: available };
    progress.begin(plan.stored_bytes());
    let objects = plan.objects().cloned().collect();
    let applying = move |arrivals| apply::apply(&job, arrivals);
    let (fetched, applied) = fetch_and(source, objects, request.parallelism, progress, applying).await;
    if let Err(error) = &applied
        && let Some(bytes) = space_missing(error)
    {
        return Err(no_space(bytes.max(needed).max(available.saturating_add(1))));
    }
    outcome(&source.name, fetched, applied)
}

/// Fetches `objects`, and hands them to `work` on a thread that may block.
async fn fetch_and<T: Send + 'static>(
    source: &Source,
    objects: Vec<PlannedObject>,
    parallelism: usize,
    progress: &dyn Progress,
    work: impl FnOnce(mpsc::Receiver<Arrival>) -> Result<T, ApplyError> + Send + 'static,
) -> (replica_backends::Result<()>, Result<T, ApplyError>) {
    let (out, arrivals) = mpsc::channel(ARRIVALS_AHEAD);
    let working = tokio::task::spawn_blocking(move || work(arrivals));
    let fetching = fetch::fetch(Arc::clone(&source.backend), objects, parallelism, progress, out);
    let (fetched, worked) = tokio::join!(fetching, working);
    (fetched, worked.unwrap_or(Err(ApplyError::WriterStopped)))
}

/// What came of fetching and of the work: of two errors, the one that is the cause of the other.
fn outcome<T>(
    name: &str,
    fetched: replica_backends::Result<()>,
    worked: Result<T, ApplyError>,
) -> Result<T, RestoreError> {
    match (fetched, worked) {
        (Err(error), Err(ApplyError::Interrupted) | Ok(_)) => {
            Err(RestoreError::Unreadable { name: name.to_owned(), source: error })
        }
        (_, Err(error)) => Err(RestoreError::Apply { name: name.to_owned(), source: error }),
        (Ok(()), Ok(done)) => Ok(done),
    }
}

/// The size in bytes, as far as it is known, that turned out to be too much for the disk; `None` for other errors.
fn space_missing(error: &ApplyError) -> Option<u64> {
    match error {
        ApplyError::Write(error) => (error.kind() == io::ErrorKind::StorageFull).then_some(0),
        ApplyError::Object(_, fault) => match **fault {
            ObjectFault::Size(bytes) => Some(bytes),
            _ => None,
        },
        _ => None,
    }
}

/// Size of the largest state that the plan knows of, in bytes.
fn needed_bytes(plan: &RestorePlan) -> u64 {
    let Some(snapshot) = &plan.snapshot.seal else { return 0 };
    let end = match plan.end {
        PlannedEnd::Commit { size, .. } => size,
        PlannedEnd::LastCommit { .. } => snapshot.size_after,
    };
    end.max(snapshot.size_after).bytes(snapshot.page_size)
}

/// Whether the objects planned are no longer those that are there, so that another plan may succeed.
fn is_outdated(error: &RestoreError) -> bool {
    match error {
        RestoreError::Unreadable { source, .. } => source.kind() == replica_backends::ErrorKind::NotFound,
        RestoreError::Apply { source: ApplyError::Object(_, fault), .. } => matches!(**fault, ObjectFault::Changed),
        _ => false,
    }
}

/// The merged ranges that a restore may fail for: the one that is at fault, or, if what follows does not continue the
/// state, any of them. Finer objects hold what they hold, so it is worth trying without.
fn doubtful_ranges(error: &RestoreError, plan: &RestorePlan) -> Vec<ObjectName> {
    let RestoreError::Apply { source, .. } = error else { return Vec::new() };
    let ranges = plan.steps.iter().map(|step| step.name).filter(|name| name.range().is_some());
    match source {
        ApplyError::Object(name, _) | ApplyError::Plan(PlanError::Misplaced(name, ..)) if name.range().is_some() => {
            vec![*name]
        }
        ApplyError::Object(_, fault) if matches!(**fault, ObjectFault::State { edge: Edge::Before, .. }) => {
            ranges.collect()
        }
        _ => Vec::new(),
    }
}

/// Moves orphans out of the way and gives the file its name.
fn publish(staged: Staged, output: &Path, progress: &dyn Progress) -> Result<(), RestoreError> {
    for (orphan, aside) in sidecars::move_aside(output, SystemClock.now())? {
        progress.warn(&format!(
            "{} belonged to an earlier database and was moved to {}",
            orphan.display(),
            aside.display()
        ));
    }
    staged.publish()
}
