//! `restore`: a database from its replicas.

use std::io::IsTerminal;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Restore, Until};
use super::console::Console;
use super::error::CliError;
use super::{block_on, listing, replicas};
use crate::history::Target;
use crate::restore::{self, Progress, RestoreError, RestoreRequest};

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
            Until::Latest | Until::Txid(_) => Target::Latest,
            Until::Index(index) => Target::Index(index),
            Until::Timestamp(time) => Target::Time(time),
        },
        generation: command.generation,
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
        let report = restore::restore(&replicas.backends, &request, &progress).await?;
        progress.finish();
        for uncommitted in &report.uncommitted {
            let (frames, index) = (uncommitted.frames, uncommitted.index);
            console.warn(&format!("index {index} ends with {frames} frames that were never committed; dropped"));
        }
        console.say(&report);
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
