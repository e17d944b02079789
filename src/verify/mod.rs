//! Is a backup one? Every object of a replica is checked, and what they add up to is compared with the live database.

mod outcome;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::follow::{self, Observed};
use crate::history::{Bounds, Target};
use crate::restore::verify::{Checked, Comparison, LiveState, VerifyError, verify_generation, verify_ltx};
use crate::restore::{self, NamedBackend, Progress, RestoreRequest, Silent, Source};
use crate::ship::find_resume_point;
use crate::sqlite;
use crate::types::{Generation, WriterId};
use crate::wal::Salts;

pub use outcome::{Outcome, Verification};

/// How long a replica is waited for that has not got the newest commits yet.
const CATCH_UP: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);
/// How often a replica is read again because it changed while it was read, or because something was wrong: what
/// retention and merging do meanwhile must not look like damage.
const READS: usize = 3;

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
    let mut last: Option<Vec<Checked>> = None;
    for _ in 0..READS {
        match read(replica, live, options, progress).await {
            Ok(checked) if checked.is_empty() => {
                verification.inconclusive("it holds no backup");
                return verification;
            }
            // Twice the same answer is the answer.
            Ok(checked) if is_sound(&checked) || last.as_ref().is_some_and(|last| is_same(last, &checked)) => {
                last = Some(checked);
                break;
            }
            Ok(checked) => last = Some(checked),
            Err(error) if error.is_outdated() => {}
            Err(error) => {
                verification.inconclusive(&format!("it cannot be read: {error}"));
                return verification;
            }
        }
    }
    let Some(checked) = last else {
        verification.inconclusive("it changed each time while it was being read");
        return verification;
    };
    conclude(&mut verification, &checked, live.as_ref());
    verification.checked = checked;
    if options.full && verification.outcome() != Outcome::Failed {
        check_restored(replica, options, &mut verification).await;
    }
    verification
}

async fn observe(path: PathBuf, verification: &mut Verification) -> Option<LiveState> {
    let observed = tokio::task::spawn_blocking(move || follow::observe(&path)).await;
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
    let since = Instant::now();
    while since.elapsed() < CATCH_UP {
        let Ok(Some(point)) = find_resume_point(replica.backend.as_ref(), WriterId(0), None).await else { return };
        let same = (point.size, point.digest) == (live.size, live.digest);
        if same || !is_before((point.source.salts, point.source.offset), live) {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether this place in the source's WAL comes before the live state, in the same WAL or in the one before it.
fn is_before((salts, offset): (Salts, u64), live: &LiveState) -> bool {
    if salts == live.salts { offset < live.offset } else { live.salts.follow(salts) }
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

fn is_sound(checked: &[Checked]) -> bool {
    checked.iter().all(|c| c.faults.is_empty() && !matches!(c.comparison, Comparison::Diverged(_)))
}

fn is_same(a: &[Checked], b: &[Checked]) -> bool {
    let shape = |all: &[Checked]| -> Vec<_> {
        all.iter().map(|c| (c.history.clone(), c.faults.clone(), c.comparison)).collect()
    };
    shape(a) == shape(b)
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
            let check = tokio::task::spawn_blocking(move || sqlite::integrity_check(&output)).await;
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
