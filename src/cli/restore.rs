//! `restore`: databases from their replicas.

mod all;
mod one;
mod stdout;
mod terminal;

pub use terminal::Terminal;

use std::path::Path;

use super::args::{Restore, RestoreOutput, RestoreSource, Source};
use super::console::Console;
use super::error::CliError;
use super::{block_on, listing, replicas};
use one::Done;

/// Restores, or with `-dry-run` says what would be restored.
pub fn run(command: &Restore, console: &Console) -> Result<(), CliError> {
    match (&command.source, &command.output) {
        (RestoreSource::All { config, folder }, _) => all::run(command, config, folder.as_deref(), console),
        (RestoreSource::One(source), RestoreOutput::Stdout) => stdout::run(command, source, console),
        (RestoreSource::One(source), RestoreOutput::Place) => run_one(command, source, None, console),
        (RestoreSource::One(source), RestoreOutput::Path(path)) => run_one(command, source, Some(path), console),
    }
}

fn run_one(command: &Restore, source: &Source, output: Option<&Path>, console: &Console) -> Result<(), CliError> {
    let replicas = replicas::open(source, command.replica.as_deref(), console)?;
    let output = output.or(replicas.database.as_deref()).unwrap_or(Path::new("")).to_owned();
    let progress = Terminal::new(*console, command.progress && !command.dry_run);
    let work = one::restore_one(replicas, command, &output, command.parallelism, &progress);
    let done = block_on(async { listing::unless_interrupted(work).await })?;
    progress.finish();
    match done?? {
        Done::Planned(choice) => console.table(&format!("{choice}\n")),
        Done::Restored(report) => console.say(&report),
        Done::Skipped(why) => console.say(&why),
    }
    Ok(())
}
