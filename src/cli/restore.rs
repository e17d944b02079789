//! `restore`: a database from its replicas.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Restore, Until};
use super::console::Console;
use super::error::CliError;
use super::replicas::Replicas;
use super::{block_on, listing, replicas};
use crate::config::default_meta_path;
use crate::daemon::page_file;
use crate::history::point::Point;
use crate::history::{PlannedEnd, Target};
use crate::restore::{self, Choice, Progress, Proof, RestoreError, RestoreReport, RestoreRequest, read_points};

const BAR: &str = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// Restores, or with `-dry-run` says what would be restored.
pub fn run(command: &Restore, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(&command.source, command.replica.as_deref(), console)?;
    let output: PathBuf = command.output.clone().or_else(|| replicas.database.clone()).unwrap_or_default();
    if command.if_db_not_exists && output.symlink_metadata().is_ok() {
        console.say(&"database already exists, skipping");
        return Ok(());
    }
    let mut replicas = replicas;
    let point = match &command.until {
        Until::Point(name) => Some(find_point(&mut replicas, name)?),
        _ => None,
    };
    let request = RestoreRequest {
        target: match (&command.until, &point) {
            (_, Some(point)) => Target::Time(point.time),
            (Until::Index(index), _) => Target::Index(*index),
            (Until::Timestamp(time), _) => Target::Time(*time),
            (Until::Latest | Until::Txid(_) | Until::Point(_), _) => Target::Latest,
        },
        generation: point.as_ref().map(|point| point.position.generation).or(command.generation),
        txid: if let Until::Txid(txid) = command.until { Some(txid) } else { None },
        output,
        parallelism: command.parallelism,
    };
    let progress = Terminal::new(*console, command.progress && !command.dry_run);
    let work = async {
        if command.dry_run {
            let choice = restore::plan(&replicas.backends, &request, &progress).await?;
            console.table(&format!("{choice}\n"));
            return Ok(());
        }
        if let Some(point) = &point {
            check_point(point, &restore::plan(&replicas.backends, &request, &progress).await?)?;
        }
        let report = restore::restore(&replicas.backends, &request, &progress).await?;
        progress.finish();
        for uncommitted in &report.uncommitted {
            let (frames, index) = (uncommitted.frames, uncommitted.index);
            console.warn(&format!("index {index} ends with {frames} frames that were never committed; dropped"));
        }
        console.say(&report);
        keep_pages(&replicas, &request.output, &report, console);
        Ok(())
    };
    let done = block_on(async { listing::unless_interrupted(work).await })?.and_then(|done| done);
    progress.finish();
    match done {
        Err(CliError::Restore(error @ RestoreError::NoBackups)) if command.if_replica_exists => {
            console.say(&error);
            Ok(())
        }
        other => other,
    }
}

/// Leaves beside the database what a replicator needs to go on from here by a difference. It is not needed otherwise.
fn keep_pages(replicas: &Replicas, output: &Path, report: &RestoreReport, console: &Console) {
    // If Litestream wrote the history a replicator begins another one.
    let sealed = report.position().filter(|_| report.proof != Proof::Checksums);
    let Some(position) = sealed else { return };
    let configured = replicas.meta_path.clone().filter(|_| replicas.database.as_deref() == Some(output));
    let folder = configured.unwrap_or_else(|| default_meta_path(output));
    let kept = fs::create_dir_all(&folder).and_then(|()| page_file::write(&folder, position, &report.hashes));
    if let Err(error) = kept {
        console.warn(&format!("cannot keep the page hashes in {}: {error}", folder.display()));
    }
}

/// Looks for the point in all replicas, and leaves those that have it, with the same position.
fn find_point(replicas: &mut Replicas, name: &str) -> Result<Point, CliError> {
    let mut found: Option<Point> = None;
    let mut having = Vec::new();
    for replica in &replicas.backends {
        let points = block_on(read_points(replica.backend.as_ref()))?.map_err(CliError::Store)?;
        let Some(point) = points.into_iter().find(|point| point.name == name) else { continue };
        if found.as_ref().is_none_or(|first| first.position == point.position) {
            found.get_or_insert(point);
            having.push(replica.clone());
        }
    }
    replicas.backends = having;
    found.ok_or_else(|| CliError::NoPoint(name.to_owned()))
}

/// The commit that the plan ends with is the point's, and not another of the same millisecond.
fn check_point(point: &Point, choice: &Choice) -> Result<(), CliError> {
    let wanted = point.position;
    let planned = match choice {
        Choice::Generation(choice) => Some(choice.plan.end),
        Choice::Ltx(_) => None,
    };
    match planned {
        Some(PlannedEnd::Commit { at, .. }) if at == (wanted.index, wanted.offset) => Ok(()),
        _ => Err(CliError::PointAmbiguous { name: point.name.clone(), wanted }),
    }
}

/// A bar, if there is a terminal to draw it on.
pub struct Terminal {
    console: Console,
    bar: ProgressBar,
}

impl Terminal {
    /// A bar that is drawn on a terminal, if one is `wanted`.
    pub fn new(console: Console, wanted: bool) -> Self {
        let shown = wanted && std::io::stderr().is_terminal();
        let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        Self { console, bar }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Terminal {
    fn begin(&self, stored_bytes: u64) {
        self.bar.reset();
        self.bar.set_length(stored_bytes);
    }

    fn advance(&self, stored_bytes: u64) {
        self.bar.inc(stored_bytes);
    }

    fn warn(&self, message: &str) {
        self.bar.suspend(|| self.console.warn(&message));
    }
}
