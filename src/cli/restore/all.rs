//! Every database of a configuration.

use std::path::{Path, PathBuf};

use futures::StreamExt;

use super::one::{Done, restore_one};
use super::terminal::Terminal;
use crate::cli::args::{ConfigSource, Restore, RestoreOutput};
use crate::cli::console::Console;
use crate::cli::error::CliError;
use crate::cli::{block_on, listing, replicas};
use crate::config::DatabaseConfig;
use crate::daemon::Stores;

/// Databases restored at the same time. They share the downloads, and a restore takes some tens of megabytes.
const AT_ONCE: usize = 3;

/// Restores every database, or those below `folder`. One that fails does not keep the others from being restored.
pub fn run(command: &Restore, config: &ConfigSource, folder: Option<&Path>, console: &Console) -> Result<(), CliError> {
    let (config, environment) = replicas::load_config(config, console)?;
    let folder = folder.map(|folder| environment.absolute(folder));
    let wanted = |path: &Path| folder.as_ref().is_none_or(|folder| path.starts_with(folder));
    let databases: Vec<&DatabaseConfig> = config.databases.iter().filter(|d| wanted(&d.path)).collect();
    if databases.is_empty() {
        return Err(CliError::NoDatabases(folder));
    }
    let base = folder.unwrap_or_else(|| common_folder(databases.iter().map(|d| d.path.as_path())));
    let jobs = databases.iter().map(|database| (*database, place(&database.path, &base, &command.output)));
    let work = restore_each(command, jobs.collect(), console);
    let counts = block_on(async { listing::unless_interrupted(work).await })??;
    console.say(&format!("restored {}, skipped {}, failed {}", counts.restored, counts.skipped, counts.failed));
    if counts.failed == 0 {
        Ok(())
    } else {
        Err(CliError::NotAllRestored { failed: counts.failed, all: databases.len() })
    }
}

#[derive(Default)]
struct Counts {
    restored: usize,
    skipped: usize,
    failed: usize,
}

async fn restore_each(command: &Restore, jobs: Vec<(&DatabaseConfig, PathBuf)>, console: &Console) -> Counts {
    let (stores, progress) = (Stores::default(), Terminal::new(*console, false));
    let parallelism = command.parallelism.div_ceil(AT_ONCE.min(jobs.len()));
    let (stores, progress) = (&stores, &progress);
    let restores = jobs.into_iter().map(|(database, output)| async move {
        let opened = replicas::of_database(database, command.replica.as_deref(), stores);
        let done = match opened {
            Ok(replicas) => restore_one(replicas, command, &output, parallelism, progress).await,
            Err(error) => Err(error),
        };
        (output, done)
    });
    let mut restores = futures::stream::iter(restores).buffer_unordered(AT_ONCE);
    let mut counts = Counts::default();
    while let Some((output, done)) = restores.next().await {
        let output = output.display();
        match done {
            Ok(Done::Planned(choice)) => console.table(&format!("database    {output}\n{choice}\n\n")),
            Ok(Done::Restored(report)) => {
                counts.restored += 1;
                console.say(&format!("{output}: {report}"));
            }
            Ok(Done::Skipped(why)) => {
                counts.skipped += 1;
                console.say(&format!("{output}: {why}"));
            }
            Err(error) => {
                counts.failed += 1;
                console.say(&format!("{output}: {error}"));
            }
        }
    }
    counts
}

/// Where a database goes: where it was, or to the same place below another folder.
fn place(path: &Path, base: &Path, output: &RestoreOutput) -> PathBuf {
    match output {
        RestoreOutput::Path(folder) => folder.join(path.strip_prefix(base).unwrap_or(path)),
        RestoreOutput::Place | RestoreOutput::Stdout => path.to_owned(),
    }
}

/// The innermost folder that all of `paths` lie in.
fn common_folder<'p>(mut paths: impl Iterator<Item = &'p Path>) -> PathBuf {
    let parent = |path: &'p Path| path.parent().unwrap_or(path);
    let first = paths.next().map_or(Path::new("/"), parent);
    let common = paths.fold(first, |common, path| {
        common.ancestors().find(|folder| parent(path).starts_with(folder)).unwrap_or(Path::new("/"))
    });
    common.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_keep_their_places_among_each_other() {
        let cases: [(&[&str], &str); 4] = [
            (&["/srv/a.db"], "/srv"),
            (&["/srv/a.db", "/srv/b.db"], "/srv"),
            (&["/srv/x/a.db", "/srv/y/z/a.db"], "/srv"),
            (&["/srv/a.db", "/var/a.db"], "/"),
        ];
        for (paths, folder) in cases {
            let base = common_folder(paths.iter().map(Path::new));
            assert_eq!(base, Path::new(folder));
            let output = RestoreOutput::Path("/new".into());
            let places: std::collections::BTreeSet<_> =
                paths.iter().map(|p| place(Path::new(p), &base, &output)).collect();
            assert!(places.len() == paths.len() && places.iter().all(|p| p.starts_with("/new")), "{places:?}");
        }
    }
}
