//! One database: waits for it, follows it, keeps its shippers at work, and begins anew when continuity is lost.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use replica_backends::Backend;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time;

use super::pace::{GLANCES, Pace, glance};
use super::state::{StateError, StateFolder};
use crate::follow::watch::Watcher;
use crate::follow::{self, Attached, CommitLog, Follower, Limits, Lost, Need, ResumePoint, Resumption, Tick};
use crate::ship::{Author, Conflict, ReplicaStatus, Shipper, find_resume_point};
use crate::sqlite::{self, Connection, DatabaseHeader};
use crate::types::{Clock, Generation, WriterId};

/// How long a stop waits for the replicas to get the last commits.
const DRAIN: Duration = Duration::from_secs(30);
/// Waits between attempts to begin following.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Opens the store of a replica; asked again whenever following begins, because a database that appears later decides
/// what the owner and the modes of its replica are.
pub type OpenBackend = Arc<dyn Fn(&Path) -> Arc<dyn Backend> + Send + Sync>;

/// A place that a database is shipped to.
#[derive(Clone)]
pub struct Replica {
    /// Its name in the configuration.
    pub name: String,
    /// The store, for the database at a path.
    pub open: OpenBackend,
    /// The least time between the beginnings of two uploads.
    pub sync_interval: Duration,
    /// How often a snapshot is taken; `None`: only when one is needed.
    pub snapshot_interval: Option<Duration>,
    /// Its progress.
    pub status: Arc<Mutex<ReplicaStatus>>,
}

/// A database to replicate.
#[derive(Clone)]
pub struct Database {
    /// Its path as configured; it may be a symbolic link.
    pub path: PathBuf,
    /// Its state folder.
    pub meta_path: PathBuf,
    /// How often the wal-index is looked at even if no event came.
    pub poll_interval: Duration,
    /// Whether a database in rollback mode may be switched to WAL mode.
    pub convert_to_wal: bool,
    /// When to hand over.
    pub limits: Limits,
    /// Where it is shipped to.
    pub replicas: Vec<Replica>,
    /// How many large uploads of all databases may be under way.
    pub streams: Arc<Semaphore>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Why a database is not being followed at the moment.
#[derive(Debug, thiserror::Error)]
enum NotNow {
    #[error("there is no database yet")]
    Missing,
    #[error("the file is empty: the application has not created the database yet")]
    Empty,
    #[error(
        "it is in rollback-journal mode and convert-to-wal is false; run PRAGMA journal_mode=wal in the application"
    )]
    RollbackMode,
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("cannot read the replica: {0}")]
    Replica(#[from] replica_backends::Error),
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<sqlite::Error> for NotNow {
    fn from(error: sqlite::Error) -> Self {
        Self::Lost(Lost::Sqlite(error))
    }
}

/// Everything that following needs; the state folder stays locked as long as this lives.
struct Begun {
    attached: Attached,
    author: Author,
    backends: Vec<Arc<dyn Backend>>,
    _state: StateFolder,
}

/// Why following ended.
enum Ended {
    Stopped,
    Lost(Lost),
    Conflict(Conflict),
}

impl Database {
    /// Replicates until `stop` turns true. Returns whether every replica has every commit that was captured.
    pub async fn run(self, watcher: Option<Arc<Watcher>>, mut stop: watch::Receiver<bool>) -> bool {
        let wake = Arc::new(Notify::new());
        let (mut failures, mut said) = (0, String::new());
        let mut forked_from: Option<Generation> = None;
        // Commits are known to be in the source that a replica has not got, and nobody follows.
        let mut behind = false;
        let mut last_try = false;
        loop {
            if let Some(watcher) = &watcher {
                self.start_watching(watcher, &wake);
            }
            match self.begin(forked_from).await {
                Ok(begun) => {
                    (failures, said) = (0, String::new());
                    let (ended, complete) = self.follow(begun, &wake, watcher.as_deref(), &mut stop).await;
                    match ended {
                        Ended::Stopped => return complete,
                        Ended::Lost(lost) => {
                            tracing::warn!(db = %self.name(), reason = %lost, "continuity lost");
                            behind = !complete || !matches!(lost, Lost::Deleted);
                            if *stop.borrow() && !last_try {
                                // What was committed last is to be shipped too: once more, from where the replicas end.
                                last_try = true;
                                continue;
                            }
                        }
                        Ended::Conflict(conflict) => {
                            behind = true;
                            tracing::error!(db = %self.name(), "{conflict}");
                            forked_from = Some(conflict.generation);
                        }
                    }
                }
                Err(reason) => {
                    let text = reason.to_string();
                    if text != said {
                        self.say(&reason);
                        said = text;
                    }
                    failures += 1;
                }
            }
            if *stop.borrow() {
                return !behind;
            }
            let wait = RETRY_FIRST.saturating_mul(1 << failures.min(8)).min(RETRY_MAX);
            tokio::select! {
                () = time::sleep(wait) => {}
                () = wake.notified() => {}
                _ = stop.changed() => return !behind,
            }
        }
    }

    fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    fn say(&self, reason: &NotNow) {
        match reason {
            NotNow::Missing | NotNow::Empty => tracing::info!(db = %self.name(), "waiting: {reason}"),
            _ => tracing::error!(db = %self.name(), error = %reason, "cannot follow the database; will keep trying"),
        }
    }

    fn start_watching(&self, watcher: &Watcher, wake: &Arc<Notify>) {
        // The real path too: a symbolic link's events happen where it points.
        let real = std::fs::canonicalize(&self.path).ok();
        for path in [Some(self.path.clone()), real].into_iter().flatten() {
            if path.parent().is_some_and(Path::is_dir)
                && let Err(error) = watcher.watch(&path, wake)
            {
                tracing::warn!(db = %self.name(), %error, "cannot watch the folder for changes; polling only");
            }
        }
    }

    /// Everything up to a follower that has its first hold.
    async fn begin(&self, forked_from: Option<Generation>) -> Result<Begun, NotNow> {
        let prepare = self.clone();
        let state = blocking(move || prepare.prepare()).await?;
        let author = Author::new(state.writer());
        let mut points: Vec<Option<ResumePoint>> = Vec::new();
        let backends: Vec<Arc<dyn Backend>> = self.replicas.iter().map(|r| (r.open)(&self.path)).collect();
        let mut unread = None;
        for (replica, backend) in self.replicas.iter().zip(&backends) {
            let point = find_resume_point(backend.as_ref()).await.unwrap_or_else(|error| {
                tracing::warn!(db = %self.name(), replica = %replica.name, %error,
                    "cannot read the replica: it gets a snapshot when it can be written again");
                unread = Some(error);
                None
            });
            points.push(point.filter(|point| Some(point.generation) != forked_from));
        }
        if let Some(error) = unread.filter(|_| points.iter().all(Option::is_none)) {
            return Err(error.into());
        }
        let (path, limits, now) = (self.path.clone(), self.limits.clone(), self.clock.now());
        let attached = blocking(move || follow::attach(&path, limits, &points, fresh_generation(), now)).await?;
        Ok(Begun { attached, author, backends, _state: state })
    }

    /// Makes sure that there is a database in WAL mode, and that nobody else replicates it.
    fn prepare(&self) -> Result<StateFolder, NotNow> {
        if !self.path.exists() {
            return Err(NotNow::Missing);
        }
        let mut connection = Connection::open(&self.path)?;
        match connection.header()? {
            DatabaseHeader::Empty => return Err(NotNow::Empty),
            DatabaseHeader::Database { wal: true, .. } => {}
            DatabaseHeader::Database { wal: false, .. } if self.convert_to_wal => {
                tracing::warn!(db = %self.name(),
                    "the database is in rollback-journal mode: switching it to WAL mode, without which it cannot be \
                     followed (convert-to-wal: false forbids this)");
                connection.convert_to_wal()?;
            }
            DatabaseHeader::Database { wal: false, .. } => return Err(NotNow::RollbackMode),
        }
        Ok(StateFolder::open(&self.meta_path, WriterId(random()))?)
    }

    async fn follow(
        &self,
        begun: Begun,
        wake: &Notify,
        watcher: Option<&Watcher>,
        stop: &mut watch::Receiver<bool>,
    ) -> (Ended, bool) {
        let Begun { attached, author, backends, _state } = begun;
        let Attached { follower, resumption } = attached;
        let log = Arc::clone(follower.log());
        self.announce(&log, &resumption);
        let (finish, finished) = watch::channel(false);
        let mut shippers = self.start_shippers(&log, &author, backends, &finished);
        let snapshots = self.schedule_snapshots(&log);
        let (ended, follower) = self.tick_until(follower, (wake, watcher), stop, &mut shippers).await;
        drop(snapshots);
        if !matches!(ended, Ended::Stopped) {
            log.detach();
        }
        let _ = finish.send(true);
        let drained = time::timeout(DRAIN, async { while shippers.join_next().await.is_some() {} }).await.is_ok();
        let complete = drained && log.is_all_shipped();
        if !complete {
            tracing::error!(db = %self.name(), unshipped_wal_bytes = log.unshipped_bytes(),
                "stopped before every replica had everything; what is missing ships at the next start");
        }
        drop(follower);
        (ended, complete)
    }

    fn announce(&self, log: &CommitLog, resumption: &Resumption) {
        let generation = log.generation();
        match resumption {
            Resumption::New(reason) => tracing::info!(db = %self.name(), %generation, reason, "new generation"),
            how => tracing::info!(db = %self.name(), %generation, ?how, "continuing the generation"),
        }
    }

    fn start_shippers(
        &self,
        log: &Arc<CommitLog>,
        author: &Author,
        backends: Vec<Arc<dyn Backend>>,
        finished: &watch::Receiver<bool>,
    ) -> JoinSet<Result<(), Conflict>> {
        let mut shippers = JoinSet::new();
        for (number, (replica, backend)) in self.replicas.iter().zip(backends).enumerate() {
            let shipper = Shipper {
                log: Arc::clone(log),
                replica: number,
                name: replica.name.clone(),
                database: self.name().to_string(),
                backend,
                author: author.clone(),
                sync_interval: replica.sync_interval,
                streams: Arc::clone(&self.streams),
                status: Arc::clone(&replica.status),
            };
            shippers.spawn(shipper.run(finished.clone()));
        }
        shippers
    }

    fn schedule_snapshots(&self, log: &Arc<CommitLog>) -> JoinSet<()> {
        let mut schedules = JoinSet::new();
        for (number, replica) in self.replicas.iter().enumerate() {
            let Some(interval) = replica.snapshot_interval else { continue };
            let log = Arc::clone(log);
            schedules.spawn(async move {
                loop {
                    time::sleep(interval).await;
                    log.want_snapshot(number, "snapshot-interval");
                }
            });
        }
        schedules
    }

    /// One tick: where it can block if it may, here if it is over in no time, not at all if there is nothing to do.
    async fn tick(&self, mut follower: Follower, check: bool) -> (Follower, Result<Tick, Lost>) {
        let now = self.clock.now();
        match follower.need() {
            Need::Nothing(again_at) if !check => (follower, Ok(Tick { again_at, ..Tick::default() })),
            Need::Light if !check => {
                let ticked = follower.look(now);
                (follower, ticked)
            }
            _ => {
                blocking(move || {
                    let checked = if check { follower.check_identity() } else { Ok(()) };
                    let ticked = checked.and_then(|()| follower.tick(now));
                    (follower, ticked)
                })
                .await
            }
        }
    }

    /// Ticks on every event, on every poll and when the follower asks for it.
    async fn tick_until(
        &self,
        mut follower: Follower,
        (wake, watcher): (&Notify, Option<&Watcher>),
        stop: &mut watch::Receiver<bool>,
        shippers: &mut JoinSet<Result<(), Conflict>>,
    ) -> (Ended, Option<Follower>) {
        let mut news = follower.log().subscribe();
        let mut checked = Instant::now();
        let mut pace = Pace::new(watcher, follower.path());
        let mut glances = GLANCES;
        loop {
            let stopping = *stop.borrow();
            let check = checked.elapsed() >= self.poll_interval;
            let ticked;
            (follower, ticked) = self.tick(follower, check).await;
            if check {
                checked = Instant::now();
            }
            let tick = match ticked {
                Ok(_) if stopping => return (Ended::Stopped, Some(follower)),
                Ok(tick) => tick,
                Err(lost) => return (Ended::Lost(lost), Some(follower)),
            };
            let now = Instant::now();
            let poll = now + pace.after(tick.commits, now).min(glance(glances)).min(self.poll_interval);
            glances = (glances + 1).min(GLANCES);
            let until = tick.again_at.map_or(poll, |at| at.min(poll));
            let waits = follower.waits_for_shippers();
            news.borrow_and_update();
            tokio::select! {
                () = wake.notified() => glances = 0,
                () = time::sleep_until(until.into()) => {}
                _ = news.changed(), if waits => {}
                _ = stop.changed() => {}
                Some(ended) = shippers.join_next() => {
                    match ended {
                        Ok(Err(conflict)) => return (Ended::Conflict(conflict), Some(follower)),
                        Ok(Ok(())) => {}
                        Err(error) => std::panic::resume_unwind(error.into_panic()),
                    }
                }
            }
        }
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // Only a panic ends such a task early, and a panic is a bug: it goes on where it can be seen.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn fresh_generation() -> Generation {
    Generation(random())
}

fn random() -> u64 {
    // Without the operating system's randomness the clock has to do: names need to differ, not to be secret.
    getrandom::u64().unwrap_or_else(|_| fastrand::u64(..))
}
