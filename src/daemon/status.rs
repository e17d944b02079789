//! What a replicator is doing, for `status`: a small file in the state folder of each database.
//!
//! Nobody is asked and no port is opened: the file is replaced when something has changed, at most every two seconds,
//! and holds times where others would hold durations, so that it stays true while nothing happens. It is locked as long
//! as its replicator lives, so that a reader knows whether one does. It is not synced: after a power cut nobody runs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use replica_backends::layers::{Counters, OperationCounters};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::follow::{Behind, Histogram, Standing};
use crate::host;
use crate::ship::{ReplicaStatus, Verdict};
use crate::types::{Position, Timestamp};

const NAME: &str = "status.json";
/// Of the file; a reader refuses every other.
const VERSION: u32 = 1;

/// What is known of one database. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// 1.
    pub version: u32,
    /// Process id of the replicator.
    pub pid: u32,
    /// When this was written.
    pub written_ms: u64,
    /// What is done with the database.
    pub state: State,
    /// Why it waits.
    pub reason: Option<String>,
    /// The generation that is written.
    pub generation: Option<String>,
    /// WALs handed over since the start.
    pub handovers: u64,
    /// How long each handover held the write lock.
    pub write_lock: LockTimes,
    /// Generations that were left to another replicator since the start.
    pub conflicts: u64,
    /// The last of these conflicts, in words.
    pub last_conflict: Option<String>,
    /// In the order of the configuration.
    pub replicas: Vec<ReplicaReport>,
}

/// What is done with a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It cannot be followed now.
    #[default]
    Waiting,
    /// There is no database yet.
    NoDatabase,
    /// It is followed.
    Following,
    /// Nobody has it open, everything is shipped, and it is only looked at from outside.
    Resting,
}

/// How long writers had to wait, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockTimes {
    /// How often.
    pub count: u64,
    /// Half of the times were no longer.
    pub p50_us: u64,
    /// 99 % of the times were no longer.
    pub p99_us: u64,
    /// 99.9 % of the times were no longer; 0 if an earlier version has written it.
    #[serde(default)]
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl From<&Histogram> for LockTimes {
    fn from(times: &Histogram) -> Self {
        let micros = |took: std::time::Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let of = |share| micros(times.per_mille(share));
        let (p50_us, p99_us, p999_us) = (of(500), of(990), of(999));
        Self { count: times.count(), p50_us, p99_us, p999_us, max_us: micros(times.max()) }
    }
}

/// What is known of one replica. Counts are since the start of the replicator.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// Its name.
    pub name: String,
    /// Whether it gets what is committed.
    pub state: ReplicaState,
    /// Why not.
    pub reason: Option<String>,
    /// What is the matter with its store, as a word: one of [`replica_backends::Reason`]'s.
    pub failing: Option<String>,
    /// Whether it lasts until an operator does something.
    pub needs_operator: bool,
    /// Since when nothing succeeds.
    pub failing_since_ms: Option<u64>,
    /// Everything before this has been shipped.
    pub position: Option<String>,
    /// When the newest commit in it was seen.
    pub time_ms: Option<u64>,
    /// When something was shipped last.
    pub shipped_ms: Option<u64>,
    /// Objects shipped.
    pub objects: u64,
    /// Bytes of the WAL that are not shipped.
    pub behind_bytes: u64,
    /// Commits that are not shipped.
    pub behind_commits: u64,
    /// When the oldest of them was seen.
    pub behind_since_ms: Option<u64>,
    /// Requests, by kind.
    pub requests: Requests,
    /// The last verification.
    pub verify: Option<Result>,
    /// The last run of retention.
    pub retention: Option<Result>,
}

/// Whether a replica gets what is committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicaState {
    /// Nothing is known, because the database is not followed.
    #[default]
    Waiting,
    /// It does.
    Following,
    /// It cannot go on without a snapshot, and there is none yet.
    NeedsSnapshot,
    /// It gets a snapshot.
    TakesSnapshot,
    /// Its store fails; it is tried again and again.
    Failing,
}

/// What came of something that is done from time to time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Result {
    /// When.
    pub time_ms: u64,
    /// Whether it is as it should be.
    pub fine: bool,
    /// In words.
    pub says: String,
}

impl From<&Verdict> for Result {
    fn from(verdict: &Verdict) -> Self {
        Self { time_ms: verdict.at.0, fine: verdict.fine, says: verdict.says.clone() }
    }
}

impl From<&Result> for Verdict {
    fn from(result: &Result) -> Self {
        Self { at: Timestamp(result.time_ms), fine: result.fine, says: result.says.clone() }
    }
}

/// Requests by kind: what is tried again within, or sent in parts, counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Requests {
    pub put: Count,
    pub get: Count,
    pub head: Count,
    pub list: Count,
    pub delete: Count,
}

/// Of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub requests: u64,
    /// That failed.
    pub errors: u64,
    /// Bytes of objects.
    pub bytes: u64,
}

impl From<Counters> for Requests {
    fn from(counters: Counters) -> Self {
        let count = |c: OperationCounters| Count { requests: c.requests, errors: c.errors, bytes: c.bytes };
        let Counters { put, get, head, list, delete } = counters;
        Self { put: count(put), get: count(get), head: count(head), list: count(list), delete: count(delete) }
    }
}

impl ReplicaReport {
    /// `standing`, and `place` behind what it has: in the log, if the database is followed. `now` is the time at this
    /// moment.
    pub(super) fn new(
        name: &str,
        status: &ReplicaStatus,
        (standing, place): (Option<Standing>, Option<(Position, Timestamp)>),
        now: Timestamp,
    ) -> Self {
        let ago = |at: std::time::Instant| {
            now.0.saturating_sub(u64::try_from(host::since(at).as_millis()).unwrap_or(u64::MAX))
        };
        let (mut state, mut reason, mut behind) = (ReplicaState::Waiting, None, Behind::default());
        match standing {
            Some(Standing::Follows(lacks)) => (state, behind) = (ReplicaState::Following, lacks),
            Some(Standing::NeedsSnapshot(why)) => (state, reason) = (ReplicaState::NeedsSnapshot, Some(why)),
            Some(Standing::TakesSnapshot) => state = ReplicaState::TakesSnapshot,
            None => {}
        }
        if let Some(failing) = &status.failing {
            (state, reason) = (ReplicaState::Failing, Some(failing.text.clone()));
        }
        let (position, time) = place.or(status.position.zip(status.time)).unzip();
        Self {
            name: name.to_owned(),
            state,
            reason,
            failing: status.failing.as_ref().map(|failing| failing.reason.to_string()),
            needs_operator: status.failing.as_ref().is_some_and(|failing| failing.reason.needs_operator()),
            failing_since_ms: status.failing.as_ref().map(|failing| ago(failing.since)),
            position: position.map(|position| position.to_string()),
            time_ms: time.map(|time| time.0),
            shipped_ms: status.shipped_at.map(ago),
            objects: status.objects,
            behind_bytes: behind.bytes,
            behind_commits: behind.commits,
            behind_since_ms: behind.since.map(|since| since.0),
            requests: status.requests.counters().into(),
            verify: status.verified.as_ref().map(Result::from),
            retention: status.retention.as_ref().map(Result::from),
        }
    }
}

/// The file, as its writer has it.
#[derive(Debug)]
pub(super) struct StatusFile {
    folder: PathBuf,
    /// The one that was written last; its lock tells that we live.
    held: Option<File>,
}

impl StatusFile {
    /// In the state folder at `folder`, which need not exist yet.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), held: None }
    }

    /// Replaces the file, unless it is that of another replicator which lives.
    pub(super) fn write(&mut self, status: DatabaseStatus) -> io::Result<()> {
        let path = self.folder.join(NAME);
        if !self.folder.is_dir() || self.held.is_none() && read(&self.folder).is_some_and(|(_, lives)| lives) {
            return Ok(());
        }
        let text = serde_json::to_vec(&DatabaseStatus { version: VERSION, pid: std::process::id(), ..status })?;
        let temporary = self.folder.join("status.tmp");
        let mut file = File::create(&temporary)?;
        // Before it has its name, so nobody can be in the way. Without locks a reader only learns less.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        file.write_all(&text)?;
        fs::rename(&temporary, &path)?;
        self.held = Some(file);
        Ok(())
    }
}

/// What the state folder at `folder` tells, and whether the replicator that wrote it lives; `None` if there is nothing
/// that this version can read.
#[must_use]
pub fn read(folder: &Path) -> Option<(DatabaseStatus, bool)> {
    let path = folder.join(NAME);
    loop {
        let mut file = File::open(&path).ok()?;
        let lives = flock(&file, FlockOperation::NonBlockingLockShared).is_err();
        let same =
            |now: fs::Metadata| file.metadata().is_ok_and(|then| (then.dev(), then.ino()) == (now.dev(), now.ino()));
        if !lives && !fs::metadata(&path).is_ok_and(same) {
            // Replaced since it was opened.
            continue;
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).ok()?;
        let status: DatabaseStatus = serde_json::from_slice(&text).ok()?;
        return (status.version == VERSION).then_some((status, lives));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_what_was_written_and_whether_its_writer_lives() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).is_none());
        let (mut file, mut other) = (StatusFile::new(folder.path()), StatusFile::new(folder.path()));
        for handovers in 1..4 {
            file.write(DatabaseStatus { handovers, ..DatabaseStatus::default() }).unwrap();
            other.write(DatabaseStatus::default()).unwrap();
            let (found, lives) = read(folder.path()).unwrap();
            assert_eq!((found.handovers, lives, found.pid), (handovers, true, std::process::id()));
        }
        drop(file);
        assert!(!read(folder.path()).unwrap().1, "nobody holds it");
        other.write(DatabaseStatus::default()).unwrap();
        assert!(read(folder.path()).unwrap().1);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [NAME]);
    }

    #[test]
    fn what_is_no_status_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{}", "[]", "{\"version\": 2}"] {
            fs::write(folder.path().join(NAME), text).unwrap();
            assert!(read(folder.path()).is_none(), "{text}");
        }
        StatusFile::new(&folder.path().join("none")).write(DatabaseStatus::default()).unwrap();
        assert!(!folder.path().join("none").exists(), "no folder is made for it");
    }
}
