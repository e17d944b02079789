//! `demo`: the whole cycle on a database made for the purpose, with a replicator that is killed twice.

mod observer;
mod processes;
mod screen;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time;

use super::args::Demo;
use super::console::Console;
use super::error::CliError;
use crate::history::Target;
use crate::restore::{self, Proof, RestoreError, RestoreRequest, Silent};
use crate::sqlite::sample;
use observer::Observer;
use processes::{Replicator, Writer};
use screen::Screen;

/// Between two looks at the replica.
const LOOK: Duration = Duration::from_millis(3);
const LINE: Duration = Duration::from_millis(500);
/// How long each act takes.
const QUIET: Duration = Duration::from_millis(2300);
const KILLED: Duration = Duration::from_millis(700);
const AGAIN: Duration = Duration::from_millis(2500);
/// When commits cannot be counted, this long is enough for the last of them to arrive.
const SILENCE: Duration = Duration::from_secs(2);
/// Nothing should take that long, on any machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why the demo did not show what it is to show.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The operating system refuses.
    #[error("cannot {0}: {1}")]
    Io(&'static str, io::Error),
    /// SQLite refuses.
    #[error(transparent)]
    Sqlite(#[from] crate::sqlite::Error),
    /// The replica cannot be read.
    #[error(transparent)]
    Store(#[from] replica_backends::Error),
    /// The restore failed.
    #[error(transparent)]
    Restore(#[from] Box<RestoreError>),
    /// The writer failed.
    #[error("the writer ended before it was told to")]
    WriterEnded,
    /// The replicator failed.
    #[error("the replicator ended by itself; it says why in {}", .0.display())]
    ReplicatorEnded(PathBuf),
    /// It takes too long.
    #[error("{0} took longer than {1:?}")]
    Slow(&'static str, Duration),
    /// What must not be.
    #[error("the restored database is NOT the source: {0}")]
    Different(String),
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted,
    /// Any of these, with the files at hand.
    #[error("{error}; everything is kept in {}", folder.display())]
    Kept {
        /// What went wrong.
        error: Box<DemoError>,
        /// Where the files are.
        folder: PathBuf,
    },
}

impl DemoError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io(what, error)
    }
}

/// Runs the demo; or one of its processes, if that is what is asked for.
pub fn run(command: &Demo, console: &Console) -> Result<(), CliError> {
    if let Some(path) = &command.write {
        return Ok(writer::run(path, console)?);
    }
    let folder = new_folder()?;
    let played = super::block_on(async {
        tokio::select! {
            played = play(&folder, *console) => played,
            error = interruption() => Err(error),
        }
    })?;
    match played {
        Ok(()) => Ok(fs::remove_dir_all(&folder).map_err(DemoError::io("remove the demo's folder"))?),
        Err(DemoError::Interrupted) => {
            let _ = fs::remove_dir_all(&folder);
            Err(DemoError::Interrupted.into())
        }
        Err(error) => Err(DemoError::Kept { error: Box::new(error), folder }.into()),
    }
}

fn new_folder() -> Result<PathBuf, DemoError> {
    let folder = std::env::temp_dir().join(format!("lightship-demo-{:08x}", fastrand::u32(..)));
    fs::create_dir(&folder).map_err(DemoError::io("make a folder for the demo"))?;
    Ok(folder)
}

async fn interruption() -> DemoError {
    let signals = signal(SignalKind::interrupt()).and_then(|first| Ok((first, signal(SignalKind::terminate())?)));
    let Ok((mut interrupt, mut terminate)) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = interrupt.recv() => DemoError::Interrupted,
        _ = terminate.recv() => DemoError::Interrupted,
    }
}

async fn play(folder: &Path, console: Console) -> Result<(), DemoError> {
    let (database, replica, log) = (folder.join("shop.db"), folder.join("replica"), folder.join("replicator.log"));
    let screen = Screen::new(console);
    screen.say("Lightship demo: a database in use is followed, its replicator is killed twice, and nothing is lost.\n");
    let writer = Writer::start(&database).await?;
    screen.fact("database", &database.display());
    screen.fact("writer", &format_args!("process {}, about 100 commits a second", writer.pid()));
    let replicator = Replicator::start(&database, &replica, &log)?;
    screen.fact("replicator", &format_args!("process {}: lightship replicate shop.db file://...", replicator.pid()));
    let mut stage = Stage {
        screen,
        writer,
        replicator: Some(replicator),
        observer: Observer::new(&replica),
        shown: 0,
        uncounted: false,
    };

    stage.until_snapshot().await?;
    stage.screen.say("");
    stage.screen = Screen::new(console);
    stage.screen.heading();
    stage.writer.go().await?;
    stage.show_for(QUIET).await?;
    stage.kill("SIGKILL: the replicator is gone, the writer goes on").await?;
    stage.show_for(KILLED).await?;
    let before = stage.observer.generations();
    stage.replicator = Some(Replicator::start(&database, &replica, &log)?);
    stage.screen.event("the replicator is started again");
    stage.until_news(&before).await?;
    stage.show_for(AGAIN).await?;
    stage.writer.stop().await?;
    stage.until_complete().await?;
    stage.kill("SIGKILL again: the replicator cannot tidy up anything").await?;

    stage.screen.say("");
    restore_and_compare(&stage, &database, &folder.join("restored.db")).await
}

/// Everybody who takes part.
struct Stage {
    screen: Screen,
    writer: Writer,
    replicator: Option<Replicator>,
    observer: Observer,
    /// Commits whose lag has been shown.
    shown: usize,
    /// A new generation began, with a snapshot that nobody can count commits in.
    uncounted: bool,
}

impl Stage {
    async fn look(&mut self) -> Result<(), DemoError> {
        time::sleep(LOOK).await;
        if let Some(replicator) = &mut self.replicator {
            replicator.check()?;
        }
        self.observer.look().await?;
        self.writer.listen();
        Ok(())
    }

    async fn until_snapshot(&mut self) -> Result<(), DemoError> {
        let begun = Instant::now();
        while !self.observer.has_snapshot().await? {
            self.look().await?;
            in_time(begun, "the first snapshot")?;
        }
        Ok(())
    }

    async fn show_for(&mut self, time: Duration) -> Result<(), DemoError> {
        let begun = Instant::now();
        let mut line = begun + LINE;
        while begun.elapsed() < time {
            self.look().await?;
            if Instant::now() >= line {
                line += LINE;
                self.show();
            }
        }
        Ok(())
    }

    fn show(&mut self) {
        let (made, arrived) = (&self.writer.commits, &self.observer.arrivals);
        if self.uncounted {
            return;
        }
        let known = made.len().min(arrived.len());
        let lags = (self.shown..known).map(|i| arrived[i].saturating_sub(made[i])).collect();
        self.screen.numbers(made.len(), arrived.len(), lags);
        self.shown = known.max(self.shown);
    }

    async fn kill(&mut self, what: &str) -> Result<(), DemoError> {
        if let Some(replicator) = self.replicator.take() {
            replicator.kill().await?;
        }
        self.screen.event(what);
        Ok(())
    }

    /// Waits for the first object after a restart, and says what became of the generation.
    async fn until_news(&mut self, before: &[crate::types::Generation]) -> Result<(), DemoError> {
        let (begun, had) = (Instant::now(), self.observer.arrivals.len());
        while self.observer.arrivals.len() == had {
            self.look().await?;
            in_time(begun, "the replicator's second start")?;
        }
        let after = self.observer.generations();
        let name = after.last().map(ToString::to_string).unwrap_or_default();
        self.uncounted = after != before;
        self.screen.event(&if self.uncounted {
            format!("the WAL had moved on: it began generation {name} with a new snapshot")
        } else {
            format!("it went on where it had been: generation {name} continues")
        });
        Ok(())
    }

    async fn until_complete(&mut self) -> Result<(), DemoError> {
        let begun = Instant::now();
        let complete = |stage: &Self| match stage.uncounted {
            true => begun.elapsed() > SILENCE,
            false => stage.observer.arrivals.len() >= stage.writer.commits.len(),
        };
        while !complete(self) {
            self.look().await?;
            in_time(begun, "the arrival of the last commits")?;
        }
        self.show();
        self.screen.event("the writer has stopped, and every commit is in the replica");
        Ok(())
    }
}

fn in_time(begun: Instant, what: &'static str) -> Result<(), DemoError> {
    if begun.elapsed() < PATIENCE { Ok(()) } else { Err(DemoError::Slow(what, PATIENCE)) }
}

async fn restore_and_compare(stage: &Stage, database: &Path, restored: &Path) -> Result<(), DemoError> {
    let request = RestoreRequest {
        target: Target::Latest,
        generation: None,
        txid: None,
        output: restored.to_owned(),
        parallelism: super::args::PARALLELISM,
    };
    let begun = Instant::now();
    let report = restore::restore(std::slice::from_ref(&stage.observer.replica), &request, &Silent).await;
    let report = report.map_err(Box::new)?;
    let verified = if report.proof == Proof::Digest { "verified" } else { "NOT verified" };
    stage.screen.fact("restored", &format_args!("the commit of {}, in {:.0?}", report.time, begun.elapsed()));
    stage.screen.fact("digest", &format_args!("{} {verified}", report.digest));

    // Everybody else is gone, so that the source can be put into one file, too.
    sample::settle(database)?;
    let (source, copy) = (read(database)?, read(restored)?);
    if source != copy {
        let at = source.iter().zip(&copy).position(|(a, b)| a != b).unwrap_or(source.len().min(copy.len()));
        return Err(DemoError::Different(format!(
            "{} and {} bytes, first difference at {at}",
            source.len(),
            copy.len()
        )));
    }
    stage.screen.fact("compared", &format_args!("{} bytes, all equal to the source's", copy.len()));
    let (check, made) = (sample::check(restored)?, stage.writer.commits.len() as u64);
    stage.screen.fact("checked", &format_args!("integrity {}; {} orders of {made}", check.integrity, check.orders));
    if check.integrity != "ok" || check.orders != made {
        return Err(DemoError::Different("SQLite finds it damaged, or orders are missing".to_owned()));
    }
    stage.screen.say("\nThe restored database is the source, byte for byte. No commit was lost.");
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, DemoError> {
    fs::read(path).map_err(DemoError::io("read a database"))
}

/// Microseconds since 1970: the clock that writer and demo share.
fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
