//! One database, followed and shipped in this process by a clock that the test owns: a second a commit.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lightship::follow::{Baseline, Follower, Limits, attach};
use lightship::restore::{NamedBackend, Progress, RestoreReport, RestoreRequest, restore};
use lightship::ship::{AllStreams, Author, Conflict, Merges, Merging, ReplicaStatus, Shipper, Silence, Streams};
use lightship::types::{Clock, Generation, Timestamp, WriterId};
use replica_backends::Backend;
use replica_backends::file::FileBackend;
use replica_backends::layers::Meter;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// When the first commit was made.
pub const EPOCH_MS: u64 = 1_700_000_000_000;
const ROWS: u64 = 300;

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Progress for Warnings {
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

/// The replicator's half, while it runs.
pub struct Running {
    pub follower: Follower,
    shipper: JoinHandle<Result<(), Conflict>>,
    stop: watch::Sender<bool>,
}

/// The shipper's clock: it stands still until it is set.
#[derive(Debug, Clone, Default)]
pub struct Hours(Arc<AtomicU64>);

impl Hours {
    pub fn pass(&self, hours: u64) {
        self.0.fetch_add(hours, Ordering::SeqCst);
    }
}

impl Clock for Hours {
    fn now(&self) -> Timestamp {
        Timestamp(EPOCH_MS + self.0.load(Ordering::SeqCst) * 3_600_000)
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst) * 3600)
    }
}

pub struct Stage {
    folder: TempDir,
    app: Connection,
    pub commits: u64,
    pub backend: Arc<dyn Backend>,
    pub limits: Limits,
    pub hours: Hours,
}

impl Stage {
    /// A database whose every state can be recognised: commit `n` has appended `n` and written it over an older row.
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let app = Connection::open(folder.path().join("app.db")).unwrap();
        app.execute_batch(
            "PRAGMA page_size = 1024; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
             PRAGMA synchronous = off;
             CREATE TABLE log (n INTEGER PRIMARY KEY); CREATE TABLE t (id INTEGER PRIMARY KEY, n, v BLOB);",
        )
        .unwrap();
        let backend = Arc::new(FileBackend::new(folder.path().join("replica")));
        // About sixty commits an index.
        let limits = Limits {
            checkpoint_pages: 300,
            checkpoint_apart: Duration::ZERO,
            checkpoint_interval: None,
            ..Limits::default()
        };
        Self { folder, app, commits: 0, backend, limits, hours: Hours::default() }
    }

    /// For files of a test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn replica(&self) -> PathBuf {
        self.folder.path().join("replica")
    }

    pub fn time(commit: u64) -> Timestamp {
        Timestamp(EPOCH_MS + commit * 1000)
    }

    /// Begins to follow, continuing what the replica has.
    pub async fn start(&self) -> Running {
        self.start_on(Arc::clone(&self.backend)).await
    }

    /// The same, with another way to the replica.
    pub async fn start_on(&self, backend: Arc<dyn Backend>) -> Running {
        let path = self.folder.path().join("app.db");
        let end = lightship::ship::find_end(self.backend.as_ref(), WriterId(1), None).await.unwrap().end;
        let point = end.map(|end| end.point);
        if let Some(point) = &point {
            lightship::ship::clear_leftovers(self.backend.as_ref(), point.generation, point.index).await.unwrap();
        }
        let baseline = Baseline::new(self.folder.path(), None);
        let attached =
            attach(&path, self.limits.clone(), &[point], &baseline, Generation(7), Self::time(self.commits)).unwrap();
        let (stop, stopped) = watch::channel(false);
        let shipper = Shipper {
            log: Arc::clone(attached.follower.log()),
            replica: 0,
            name: "test".to_owned(),
            database: "app.db".to_owned(),
            backend,
            author: Author::new(WriterId(1)),
            sync_interval: Duration::ZERO,
            streams: Streams::new(&AllStreams::default()),
            status: Arc::new(Mutex::new(ReplicaStatus::default())),
            take_over: Mutex::default(),
            merges: Mutex::new(Merges::new(Merging::Growing)),
            ended: Arc::default(),
            silence: Silence::new(Arc::new(self.hours.clone())),
        };
        let shipper = tokio::spawn(shipper.run(stopped));
        let mut running = Running { follower: attached.follower, shipper, stop };
        running.settle(self.commits, &AtomicBool::new(false)).await;
        running
    }

    /// One commit, shipped before this returns.
    pub async fn commit(&mut self, running: &mut Running) {
        self.write();
        running.settle(self.commits, &AtomicBool::new(false)).await;
    }

    /// One commit that nobody has seen yet.
    pub fn write(&mut self) {
        self.commits += 1;
        let n = self.commits;
        let sql = format!(
            "BEGIN; INSERT INTO log VALUES ({n}); INSERT OR REPLACE INTO t VALUES ({}, {n}, randomblob({})); COMMIT",
            n % ROWS,
            n % 700 + 1
        );
        self.app.execute_batch(&sql).unwrap();
    }

    /// The same, but it may not be shipped any more once `dead` is true. Returns whether it is.
    pub async fn commit_unless(&mut self, running: &mut Running, dead: &AtomicBool) -> bool {
        self.write();
        running.settle(self.commits, dead).await
    }

    /// Restores `commit`, checks that it is that state, and says what it took.
    pub async fn check(&self, commit: u64) -> (RestoreReport, u64) {
        self.restore(commit, &Warnings::default()).await
    }

    /// The same, with what it warned of instead of its report.
    pub async fn check_saying(&self, commit: u64) -> (Vec<String>, u64) {
        let warnings = Warnings::default();
        let (_, gets) = self.restore(commit, &warnings).await;
        (warnings.0.into_inner().unwrap(), gets)
    }

    async fn restore(&self, commit: u64, progress: &dyn Progress) -> (RestoreReport, u64) {
        let meter = Arc::new(Meter::new(Arc::clone(&self.backend)));
        let output = self.folder.path().join(format!("restored-{}", fastrand::u64(..)));
        let target = lightship::history::Target::Time(Timestamp(Self::time(commit).0 + 500));
        let request = RestoreRequest { target, generation: None, txid: None, output: output.clone(), parallelism: 8 };
        let backend: Arc<dyn Backend> = meter.clone();
        let report = restore(&[NamedBackend { name: "test".to_owned(), backend }], &request, progress).await.unwrap();
        assert_is_state(&output, commit);
        std::fs::remove_file(output).unwrap();
        (report, meter.counters().get.requests)
    }

    /// How many objects there are whose key contains `part`.
    pub fn count(&self, part: &str) -> usize {
        self.keys().iter().filter(|key| key.contains(part)).count()
    }

    pub fn keys(&self) -> Vec<String> {
        let root = self.replica();
        let (mut keys, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    keys.push(entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        keys.retain(|key| key.ends_with(".lz4"));
        keys.sort_unstable();
        keys
    }
}

impl Running {
    /// Ticks until everything up to `commit` is in the replica, or `dead` is true; returns whether it is.
    pub async fn settle(&mut self, commit: u64, dead: &AtomicBool) -> bool {
        self.settle_at(Stage::time(commit), dead).await
    }

    /// The same, at any time.
    pub async fn settle_at(&mut self, now: Timestamp, dead: &AtomicBool) -> bool {
        loop {
            self.follower.tick(now).unwrap();
            if self.follower.log().is_all_shipped() {
                return true;
            }
            if dead.load(Ordering::SeqCst) {
                return false;
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }

    pub async fn stop(self) {
        self.stop.send(true).unwrap();
        self.shipper.await.unwrap().unwrap();
    }

    /// Ticks until the shipper has found another writer's object.
    pub async fn conflict(mut self) -> Conflict {
        while !self.shipper.is_finished() {
            self.follower.tick(Stage::time(0)).unwrap();
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        self.shipper.await.unwrap().unwrap_err()
    }

    /// As a SIGKILL would: whatever is under way is not done to the end.
    pub async fn kill(self) {
        self.shipper.abort();
        assert!(self.shipper.await.unwrap_err().is_cancelled());
    }
}

/// The database at `path` is what the application had after `commit`.
pub fn assert_is_state(path: &Path, commit: u64) {
    let database = Connection::open(path).unwrap();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned();
    assert_eq!((count("SELECT count(*) FROM log"), count("SELECT ifnull(max(n), 0) FROM log")), (commit, commit));
    assert_eq!(count("SELECT count(*) FROM t"), commit.min(ROWS));
    let right =
        format!("SELECT count(*) FROM t WHERE n % {ROWS} = id AND n + {ROWS} > {commit} AND length(v) = n % 700 + 1");
    assert_eq!(count(&right), commit.min(ROWS), "commit {commit}");
    let checked: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(checked, "ok");
}
