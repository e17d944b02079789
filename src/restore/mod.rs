//! The way back: list, plan, fetch, decode and check, apply, verify, publish.
//!
//! Nothing appears under the target's name before every object has been verified and the file is on disk.

mod apply;
mod attempts;
mod choose;
mod error;
mod extent;
mod fetch;
mod forward;
mod image;
mod ltx;
mod newest;
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

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fault_points::fault_point;
use tokio::sync::mpsc;

pub use choose::{Choice, GenerationChoice};
pub use error::{ApplyError, ObjectFault, RestoreError};
pub use extent::{Cost, Extent, Gap, Granularity};
pub use forward::{Forward, rebuild_hashes};
pub use image::Edge;
pub use ltx::{LtxChoice, LtxObjectFault, LtxSource};
pub use points::read_points;
pub use replay::Uncommitted;
pub use report::{Proof, Reached, RestoreReport};
pub use source::{NamedBackend, Source};

use crate::history::{PlannedEnd, PlannedObject, RestorePlan, Target};
use crate::host;
use crate::types::{Clock, Generation, SystemClock, Txid};
use apply::{Applied, Job};
use attempts::Attempts;
use fetch::Arrival;
use newest::Split;
use publish::Staged;

/// Arrivals that wait to be decoded. Their memory is bounded elsewhere; with few of them the decoder would often sleep.
const ARRIVALS_AHEAD: usize = 64;
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
    let mut attempts = Attempts::default();
    loop {
        let choice = attempts.next(replicas, request, progress).await?;
        let staged = Staged::create(&request.output)?;
        fault_point!("restore-staged");
        let report = match choice {
            Choice::Generation(choice) => match fill(&staged, &choice, attempts.in_order, request, progress).await {
                Ok(done) => RestoreReport::new(choice.source.name, request.target, &choice.plan, done),
                Err(error) => {
                    attempts.note(choice.plan, error)?;
                    continue;
                }
            },
            Choice::Ltx(choice) => match ltx::fill(&staged, choice, request, progress).await {
                Ok(report) => report,
                Err(error) => {
                    attempts.note_listed(error)?;
                    continue;
                }
            },
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
    Attempts::default().next(replicas, request, progress).await
}

/// Fetches, decodes, applies and verifies everything that the plan names.
async fn fill(
    staged: &Staged,
    choice: &GenerationChoice,
    in_order: bool,
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
    let split = if in_order { None } else { Split::of(plan) };
    let objects = split.as_ref().map_or_else(|| plan.objects().cloned().collect(), |split| split.order(plan));
    let applying = move |arrivals| match split {
        Some(split) => newest::apply(&job, &split, arrivals),
        None => apply::apply(&job, arrivals),
    };
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
    let working = host::receiving(move || work(arrivals));
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
        // Without a listener there is no error of fetching, so this one came first.
        (Err(error), _) => Err(RestoreError::Unreadable { name: name.to_owned(), source: error }),
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

/// Moves orphans out of the way and gives the file its name.
fn publish(staged: Staged, output: &Path, progress: &dyn Progress) -> Result<(), RestoreError> {
    fault_point!("restore-applied");
    for (orphan, aside) in sidecars::move_aside(output, SystemClock.now())? {
        progress.warn(&format!(
            "{} belonged to an earlier database and was moved to {}",
            orphan.display(),
            aside.display()
        ));
    }
    staged.publish()
}
