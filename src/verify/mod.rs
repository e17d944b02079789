//! Is a backup one? Every object of a replica is checked, and what they add up to is compared with the live database.

mod kept;
mod outcome;

use std::path::{Path, PathBuf};
use std::time::Duration;

use replica_backends::ErrorKind;
use tokio::time;

use crate::follow::{self, Observed};
use crate::history::{Bounds, Target, keys};
use crate::host;
use crate::restore::verify::{Checked, Comparison, LiveState, VerifyError, verify_generation, verify_ltx};
use crate::restore::{self, NamedBackend, Progress, RestoreRequest, Silent, Source};
use crate::ship::{Found, HistoryEnd, find_end};
use crate::sqlite;
use crate::types::{Generation, Offset, Position, WriterId};
use crate::wal::Salts;

pub use kept::Kept;
pub use outcome::{Outcome, Verification};

/// How long a replica is waited for that has not got the newest commits yet.
const CATCH_UP: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);
/// A WAL with a salt-1 that is so much lower came before; with another it is one of another file.
const WALS_BEHIND_MAX: u32 = 10_000;
const POLL_MAX: Duration = Duration::from_secs(1);
/// How often a replica is listed anew because what was listed has been merged or removed.
const READS: usize = 10;

/// What to verify, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Every history of the replica, not only the newest.
    pub all: bool,
    /// A temporary restore is made, and SQLite's own check is run on it.
    pub full: bool,
    /// Where the temporary restore is made.
    pub scratch: PathBuf,
    /// How many objects are fetched at the same time.
    pub parallelism: usize,
    /// Up to here everything has been in the replica, if somebody knows.
    pub had: Option<Position>,
}

/// Verifies one replica of the database at `database`, if there is one to compare with.
pub async fn verify(
    replica: &NamedBackend,
    database: Option<&Path>,
    options: &Options,
    progress: &dyn Progress,
) -> Verification {
    let mut verification = Verification::new(&replica.name);
    let live = match database {
        Some(path) if path.exists() => observe(path.to_owned(), &mut verification).await,
        Some(_) => {
            verification.note("the database does not exist, so there is nothing to compare with");
            None
        }
        None => None,
    };
    if let Some(live) = &live {
        wait_for(replica, live).await;
    }
    let checked = match read_again(replica, live, options, progress).await {
        Ok(checked) if checked.is_empty() => {
            verification.inconclusive("it holds no backup");
            return verification;
        }
        Ok(checked) => checked,
        Err(error) => {
            verification.inconclusive(&format!("it cannot be read: {error}"));
            return verification;
        }
    };
    conclude(&mut verification, &checked, live.as_ref());
    if let Some(had) = options.had {
        check_end(&mut verification, &checked, had);
    }
    verification.checked = checked;
    if options.full && verification.outcome() != Outcome::Failed {
        check_restored(replica, options, &mut verification).await;
    }
    verification
}

async fn observe(path: PathBuf, verification: &mut Verification) -> Option<LiveState> {
    let observed = host::blocking(move || follow::observe(&path)).await;
    match observed {
        Ok(Ok(Observed { salts, offset, size, digest })) => Some(LiveState { salts, offset, size, digest }),
        Ok(Err(error)) => {
            verification.inconclusive(&format!("the database cannot be compared with: {error}"));
            None
        }
        Err(panic) => {
            verification.inconclusive(&format!("the database cannot be compared with: {panic}"));
            None
        }
    }
}

/// Waits until the replica has the live state, as it will in a moment if somebody replicates.
async fn wait_for(replica: &NamedBackend, live: &LiveState) {
    let since = host::now();
    let mut pause = POLL;
    while host::since(since) < CATCH_UP {
        match find_end(replica.backend.as_ref(), WriterId(0), None).await {
            Ok(Found { end: Some(HistoryEnd { point, .. }), .. }) => {
                let same = (point.size, point.digest) == (live.size, live.digest);
                if same || !is_before((point.source.salts, point.source.offset), live) {
                    return;
                }
            }
            // Merged or removed while it was looked at.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(Found { end: None, .. }) | Err(_) => return,
        }
        time::sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

/// Whether this place in the source's WAL comes before the live state, in the same WAL or in one shortly before it.
fn is_before((salts, offset): (Salts, u64), live: &LiveState) -> bool {
    if salts == live.salts {
        return offset < live.offset;
    }
    // There was no WAL yet.
    if salts == Salts::default() {
        return live.offset > 0;
    }
    (1..=WALS_BEHIND_MAX).contains(&live.salts.first.wrapping_sub(salts.first))
}

/// A listing is outdated as soon as something is merged or removed.
async fn read_again(
    replica: &NamedBackend,
    live: Option<LiveState>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Vec<Checked>, VerifyError> {
    for _ in 1..READS {
        match read(replica, live, options, progress).await {
            Err(error) if error.is_outdated() => time::sleep(POLL).await,
            other => return other,
        }
    }
    read(replica, live, options, progress).await
}

async fn read(
    replica: &NamedBackend,
    live: Option<LiveState>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Vec<Checked>, VerifyError> {
    let mut source = Source::open(replica).await?;
    let mut histories: Vec<(Option<Generation>, Bounds)> =
        source.bounds(None).await?.into_iter().map(|(generation, bounds)| (Some(generation), bounds)).collect();
    histories.extend(source.ltx.bounds().await?.map(|bounds| (None, bounds)));
    histories.sort_by_key(|(_, bounds)| bounds.end);
    let newest = histories.len().saturating_sub(1);
    let mut checked = Vec::new();
    for (number, (history, _)) in histories.into_iter().enumerate() {
        // Only the newest history is the live database's.
        let live = live.filter(|_| number == newest);
        match history {
            _ if number != newest && !options.all => {}
            Some(generation) => {
                checked.push(verify_generation(&source, generation, live, options.parallelism, progress).await?);
            }
            None => checked.push(verify_ltx(&source, options.parallelism, progress).await?),
        }
    }
    Ok(checked)
}

fn conclude(verification: &mut Verification, checked: &[Checked], live: Option<&LiveState>) {
    for history in checked {
        for fault in &history.faults {
            verification.failed(&fault.object, &fault.what);
        }
        if !history.proved && history.faults.is_empty() {
            let name = &history.history;
            verification.note(&format!("{name}: Litestream wrote it, so checksums are all there is to prove"));
        }
    }
    let (Some(live), Some(newest)) = (live, checked.last()) else { return };
    match newest.comparison {
        Comparison::Same(position) => verification.note(&format!("the database equals {position}")),
        Comparison::Diverged(position) => {
            let what = "its pages are not those that the database has at the same commit";
            verification.failed(&position.to_string(), what);
        }
        Comparison::NotFound if !newest.proved => {
            verification.note("it cannot be compared with the database: there are no digests");
        }
        Comparison::NotFound if newest.end_in_source.is_some_and(|end| is_before(end, live)) => verification
            .inconclusive("it lacks the newest commits of the database; is nobody replicating, or has its end gone?"),
        Comparison::NotFound => verification
            .inconclusive("none of its commits is known to be that of the database now, so they were not compared"),
    }
}

/// An end that is cut off cleanly shows only to somebody who knows what was there.
fn check_end(verification: &mut Verification, checked: &[Checked], had: Position) {
    let ends = checked.iter().filter_map(|history| history.end.map(|(end, _)| end));
    let Some(end) = ends.filter(|end| end.generation == had.generation).max_by_key(|end| (end.index, end.offset))
    else {
        return;
    };
    // At the beginning of an index is behind the end of the one before it.
    let reaches = (end.index, end.offset) >= (had.index, had.offset)
        || (had.offset == Offset(0) && end.index.next() == Some(had.index));
    if !reaches {
        let what = format!("it ends at {end}, but had everything up to {had}: its end is gone");
        verification.failed(&keys::generation_folder(had.generation), &what);
    }
}

/// Restores the newest state into a folder of its own, which is removed again, and has SQLite look at it.
async fn check_restored(replica: &NamedBackend, options: &Options, verification: &mut Verification) {
    let folder = options.scratch.join(format!("lightship-verify-{:016x}", fastrand::u64(..)));
    let output = folder.join("restored.db");
    let request = RestoreRequest {
        target: Target::Latest,
        generation: None,
        txid: None,
        output: output.clone(),
        parallelism: options.parallelism,
    };
    match restore::restore(std::slice::from_ref(replica), &request, &Silent).await {
        Ok(_) => {
            let check = host::blocking(move || sqlite::integrity_check(&output)).await;
            match check {
                Ok(Ok(None)) => verification.note("integrity_check of the restored database is ok"),
                Ok(Ok(Some(problem))) => verification.failed("the restored database", &problem),
                Ok(Err(error)) => verification.failed("the restored database", &error.to_string()),
                Err(panic) => verification.inconclusive(&format!("integrity_check did not end: {panic}")),
            }
        }
        Err(error) => verification.inconclusive(&format!("no temporary restore could be made: {error}")),
    }
    // Nothing more can be done about a folder that cannot be removed; its name says what it is.
    let _ = std::fs::remove_dir_all(&folder);
}
