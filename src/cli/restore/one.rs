//! One database from its replicas.

use std::fs;
use std::path::Path;

use fault_points::fault_point;

use crate::cli::args::{Restore, RestoreOutput, Until};
use crate::cli::error::CliError;
use crate::cli::replicas::Replicas;
use crate::config::default_meta_path;
use crate::daemon::page_file;
use crate::history::Target;
use crate::restore::{
    self, Choice, NamedBackend, Progress, Proof, RestoreError, RestoreReport, RestoreRequest, read_points,
};
use crate::types::{Generation, Position, Txid};

/// What came of it.
pub enum Done {
    /// The database is there.
    Restored(Box<RestoreReport>),
    /// Nothing was to be done but this.
    Planned(Box<Choice>),
    /// Nothing had to be done, and why.
    Skipped(String),
}

/// Restores to `output`, with so many downloads at a time, as far as the flags of `command` want it.
pub async fn restore_one(
    mut replicas: Replicas,
    command: &Restore,
    output: &Path,
    parallelism: usize,
    progress: &dyn Progress,
) -> Result<Done, CliError> {
    if command.if_db_not_exists && output.symlink_metadata().is_ok() {
        return Ok(Done::Skipped("database already exists, skipping".to_owned()));
    }
    let (target, generation, txid) = wanted(&mut replicas, command, progress).await?;
    let request = RestoreRequest { target, generation, txid, output: output.to_owned(), parallelism };
    if command.dry_run {
        return Ok(Done::Planned(Box::new(restore::plan(&replicas.backends, &request, progress).await?)));
    }
    match restore::restore(&replicas.backends, &request, progress).await {
        Ok(report) => {
            fault_point!("restore-published");
            for uncommitted in &report.uncommitted {
                let (frames, index) = (uncommitted.frames, uncommitted.index);
                progress.warn(&format!("index {index} ends with {frames} frames that were never committed; dropped"));
            }
            if command.output != RestoreOutput::Stdout {
                keep_pages(&replicas, output, &report, progress);
            }
            Ok(Done::Restored(Box::new(report)))
        }
        Err(error @ RestoreError::NoBackups) if command.if_replica_exists => Ok(Done::Skipped(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The state that the flags choose.
async fn wanted(
    replicas: &mut Replicas,
    command: &Restore,
    progress: &dyn Progress,
) -> Result<(Target, Option<Generation>, Option<Txid>), CliError> {
    let exactly = |p: Position| (Target::Position(p.index, p.offset), Some(p.generation), None);
    Ok(match &command.until {
        Until::Latest => (Target::Latest, command.generation, None),
        Until::Index(index) => (Target::Index(*index), command.generation, None),
        Until::Timestamp(time) => (Target::Time(*time), command.generation, None),
        Until::Txid(txid) => (Target::Latest, None, Some(*txid)),
        Until::Position(position) => exactly(*position),
        Until::Point(name) => exactly(find_point(replicas, name, progress).await?),
    })
}

/// Looks for the point in all replicas, and leaves those that have it, with the same position.
async fn find_point(replicas: &mut Replicas, name: &str, progress: &dyn Progress) -> Result<Position, CliError> {
    let mut found: Option<Position> = None;
    let (mut having, mut unreadable): (Vec<NamedBackend>, Vec<_>) = (Vec::new(), Vec::new());
    for replica in &replicas.backends {
        let points = match read_points(replica.backend.as_ref()).await {
            Ok(points) => points,
            Err(error) => {
                unreadable.push(RestoreError::Unreadable { name: replica.name.clone(), source: error });
                continue;
            }
        };
        let Some(point) = points.into_iter().find(|point| point.name == name) else { continue };
        if found.is_none_or(|first| first == point.position) {
            found = Some(point.position);
            having.push(replica.clone());
        }
    }
    replicas.backends = having;
    match (found, unreadable.into_iter().next()) {
        (Some(position), None) => Ok(position),
        (Some(position), Some(error)) => {
            progress.warn(&error.to_string());
            Ok(position)
        }
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(CliError::NoPoint(name.to_owned())),
    }
}

/// Leaves beside the database what a replicator needs to go on from here by a difference. It is not needed otherwise.
fn keep_pages(replicas: &Replicas, output: &Path, report: &RestoreReport, progress: &dyn Progress) {
    // If Litestream wrote the history a replicator begins another one.
    let sealed = report.position().filter(|_| report.proof != Proof::Checksums);
    let Some(position) = sealed else { return };
    let configured = replicas.meta_path.clone().filter(|_| replicas.database.as_deref() == Some(output));
    let folder = configured.unwrap_or_else(|| default_meta_path(output));
    let kept = fs::create_dir_all(&folder).and_then(|()| page_file::write(&folder, position, &report.hashes));
    if let Err(error) = kept {
        progress.warn(&format!("cannot keep the page hashes in {}: {error}", folder.display()));
    }
}
