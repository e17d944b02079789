//! `restore`: a database from its replicas.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Restore, Until};
use super::console::Console;
use super::error::CliError;
use super::replicas::Replicas;
use super::{block_on, replicas};
use crate::config::default_meta_path;
use crate::daemon::page_file;
use crate::history::Target;
use crate::restore::{self, Progress, Proof, RestoreError, RestoreReport, RestoreRequest};

const BAR: &str = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// Restores, or with `-dry-run` says what would be restored.
pub fn run(command: &Restore, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(&command.source, command.replica.as_deref(), console)?;
    let output: PathBuf = command.output.clone().or_else(|| replicas.database.clone()).unwrap_or_default();
    if command.if_db_not_exists && output.symlink_metadata().is_ok() {
        console.say(&"database already exists, skipping");
        return Ok(());
    }
    let request = RestoreRequest {
        target: match command.until {
            Until::Latest => Target::Latest,
            Until::Index(index) => Target::Index(index),
            Until::Timestamp(time) => Target::Time(time),
        },
        generation: command.generation,
        output,
        parallelism: command.parallelism,
    };
    let progress = Terminal::new(*console, command.progress && !command.dry_run);
    let work = async {
        if command.dry_run {
            let choice = restore::plan(&replicas.backends, &request, &progress).await?;
            console.table(&format!("replica     {}\n{}\n", choice.source.name, choice.plan));
            return Ok(());
        }
        let report = restore::restore(&replicas.backends, &request, &progress).await?;
        progress.bar.finish_and_clear();
        for uncommitted in &report.uncommitted {
            let (frames, index) = (uncommitted.frames, uncommitted.index);
            console.warn(&format!("index {index} ends with {frames} frames that were never committed; dropped"));
        }
        console.say(&report);
        keep_pages(&replicas, &request.output, &report, console);
        Ok(())
    };
    let done = block_on(async { unless_interrupted(work).await })?;
    progress.bar.finish_and_clear();
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
    if report.proof == Proof::Checksums {
        // Litestream wrote the history: a replicator begins another one.
        return;
    }
    let configured = replicas.meta_path.clone().filter(|_| replicas.database.as_deref() == Some(output));
    let folder = configured.unwrap_or_else(|| default_meta_path(output));
    let kept = fs::create_dir_all(&folder).and_then(|()| page_file::write(&folder, report.position, &report.hashes));
    if let Err(error) = kept {
        console.warn(&format!("cannot keep the page hashes in {}: {error}", folder.display()));
    }
}

/// Gives up when told to, so that what has been begun is removed.
async fn unless_interrupted(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => Err(CliError::Interrupted),
        _ = interrupt.recv() => Err(CliError::Interrupted),
    }
}

/// A bar, if there is a terminal to draw it on.
struct Terminal {
    console: Console,
    bar: ProgressBar,
}

impl Terminal {
    fn new(console: Console, wanted: bool) -> Self {
        let shown = wanted && std::io::stderr().is_terminal();
        let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        Self { console, bar }
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
