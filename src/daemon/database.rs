//! One database: waits for it, follows it, keeps its shippers at work, and begins anew when continuity is lost.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fault_points::fault_point;
use replica_backends::Backend;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time;

use super::baseline::Keeper;
use super::ends::Ends;
use super::fork::Fork;
use super::names::fresh_writer;
use super::not_now::NotNow;
use super::replica::Replica;
use super::reporter::Report;
use super::rest::{Leave, Left, Reading, let_go, rest};
use super::retention::Followed;
use super::schedule::Schedules;
use super::state::StateFolder;
use crate::follow::watch::Watcher;
use crate::follow::{Attached, CommitLog, Fingerprint, Follower, Limits, Lost, ResumePoint, Resumption};
use crate::host::{self, News};
use crate::segment::Seal;
use crate::ship::{Author, Conflict, Merges, Shipper, Silence};
use crate::sqlite::{Connection, DatabaseHeader};
use crate::types::{Clock, Position};

/// How long a stop waits for the replicas to get the last commits.
const DRAIN: Duration = Duration::from_secs(30);
/// Waits between attempts to begin following.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

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
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Of each replica, the last object of another writer that is to be gone on with.
pub(super) type Others = Vec<Option<Box<Seal>>>;

/// Everything that following needs; the state folder stays locked as long as this lives.
struct Begun {
    attached: Attached,
    author: Author,
    backends: Vec<Arc<dyn Backend>>,
    others: Others,
    keeper: Keeper,
    _state: StateFolder,
}

/// How the ticking ended.
pub(super) enum Following {
    /// The database may be read and locked until this follower is dropped.
    Ended(Ended, Box<Follower>),
    /// Nothing is open any more.
    LetGo(Fingerprint),
}

/// What outlives the times of following.
struct Times {
    schedules: Schedules,
    followed: News<Option<Followed>>,
    report: Arc<Report>,
}

/// Why following ended.
pub(super) enum Ended {
    Stopped,
    /// It was let go of, and now somebody uses it again.
    Used,
    Lost(Lost),
    Conflict(Conflict),
}

impl Database {
    /// Replicates until `stop` turns true. Returns whether every replica has every commit that was captured.
    pub async fn run(self, watcher: Option<Arc<Watcher>>, mut stop: watch::Receiver<bool>) -> bool {
        let wake = Arc::new(Notify::new());
        let (mut failures, mut said) = (0, String::new());
        let mut fork: Option<Fork> = None;
        // Commits are known to be in the source that a replica has not got, and nobody follows.
        let mut behind = false;
        let mut last_try = false;
        let followed = News::new(None);
        let _looks = self.schedule_retention(&followed);
        let times = Times { schedules: Schedules::new(&self.replicas), followed, report: Arc::default() };
        let _reporter = self.start_reporter(&times.report);
        let mut reading = Reading::new();
        loop {
            if let Some(watcher) = &watcher {
                self.start_watching(watcher, &wake);
            }
            let stopping = *stop.borrow();
            match self.begin(fork.as_ref()).await {
                Ok(begun) => {
                    let leave = reading.leave_after(begun.attached.took);
                    fork = fork.map(Fork::begun);
                    (failures, said) = (0, String::new());
                    let (ended, complete) =
                        self.follow((begun, leave), &wake, watcher.as_deref(), &mut stop, &times).await;
                    match ended {
                        Ended::Stopped => return complete,
                        Ended::Used => continue,
                        Ended::Lost(lost) => {
                            tracing::warn!(db = %self.name(), reason = %lost, "continuity lost");
                            behind = !complete || !matches!(lost, Lost::Deleted);
                        }
                        Ended::Conflict(conflict) => {
                            behind = true;
                            tracing::error!(db = %self.name(), "{conflict}");
                            times.report.conflicts(&conflict);
                            fork = Some(Fork::of(&conflict));
                            fault_point!("fork-found");
                        }
                    }
                    // A fork is begun at once: until then nothing of ours is safe.
                    if fork.as_ref().is_some_and(Fork::is_pending) && !*stop.borrow() {
                        continue;
                    }
                    if *stop.borrow() && !last_try {
                        // What was committed last is to be shipped too: once more, from where the replicas end.
                        last_try = true;
                        continue;
                    }
                }
                Err(reason) => {
                    // What was committed meanwhile is not known.
                    behind |= !matches!(reason, NotNow::Missing | NotNow::Empty);
                    if said != reason.to_string() {
                        said = self.say(&reason, &times.report);
                    }
                    failures += 1;
                }
            }
            if stopping {
                return !behind;
            }
            let wait = RETRY_FIRST.saturating_mul(1 << failures.min(8)).min(RETRY_MAX);
            tokio::select! { biased;
                // Where there was no database a moment ago there may be one now.
                Ok(()) = stop.changed() => if behind { return false },
                () = wake.notified() => {}
                () = time::sleep(wait) => {}
            }
        }
    }

    pub(super) fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Says why it is not followed; returns that in words.
    fn say(&self, reason: &NotNow, report: &Report) -> String {
        report.waits(reason);
        match reason {
            NotNow::Missing | NotNow::Empty => tracing::info!(db = %self.name(), "waiting: {reason}"),
            _ => tracing::error!(db = %self.name(), error = %reason, "cannot follow the database; will keep trying"),
        }
        reason.to_string()
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
    async fn begin(&self, fork: Option<&Fork>) -> Result<Begun, NotNow> {
        let prepare = self.clone();
        let mut state = blocking(move || prepare.prepare()).await?;
        let pending = fork.filter(|fork| fork.is_pending());
        if pending.is_some() {
            state.rename_writer(fresh_writer());
            fault_point!("fork-renamed");
        }
        let mut author = Author::new(state.writer());
        let backends: Vec<Arc<dyn Backend>> = self.replicas.iter().map(|r| (r.open)(&self.path)).collect();
        let Ends { points, mut others, unread, not_before } = self.find_ends(&backends, author.writer, fork).await?;
        let parent = pending.map(|fork| fork.parent).or_else(|| newest(&points));
        let (mut attached, keeper) = self.attach(points, &backends, not_before).await?;
        if matches!(attached.resumption, Resumption::New(_)) {
            author.parent = parent;
        }
        if let Some(fork) = pending {
            attached.resumption = Resumption::New(fork.reason());
            (0..self.replicas.len()).for_each(|n| attached.follower.log().need_snapshot(n, fork.reason()));
            fault_point!("fork-attached");
        }
        let log = attached.follower.log();
        unread.into_iter().for_each(|replica| log.believe(replica));
        let follows = |n| log.place(n).is_some();
        others.iter_mut().enumerate().filter(|(n, _)| !follows(*n)).for_each(|(_, other)| *other = None);
        Ok(Begun { attached, author, backends, others, keeper, _state: state })
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
        Ok(StateFolder::open(&self.meta_path, fresh_writer())?)
    }

    async fn follow(
        &self,
        (begun, leave): (Begun, Leave),
        wake: &Notify,
        watcher: Option<&Watcher>,
        stop: &mut watch::Receiver<bool>,
        times: &Times,
    ) -> (Ended, bool) {
        let Begun { attached, author, backends, others, keeper, _state } = begun;
        let Attached { follower, resumption, took: _ } = attached;
        let log = Arc::clone(follower.log());
        self.announce(&log, &resumption);
        times.report.follows(&log);
        let finish = News::new(false);
        times.followed.tell(|followed| *followed = Some(Followed::new(&log, &backends)));
        let Schedules { snapshots, validations } = &times.schedules;
        let schedules = (snapshots.start(&log), validations.start(&self.path, &self.replicas, &backends, &self.clock));
        let mut shippers = self.start_shippers(&log, &author, (backends, others), &finish);
        let (mut following, keeper) =
            self.tick_until((follower, keeper, leave), (wake, watcher), stop, &mut shippers).await;
        drop(schedules);
        if let Following::Ended(_, follower) = &mut following {
            follower.allow_checkpoints();
        }
        if !matches!(following, Following::Ended(Ended::Stopped, _)) {
            log.detach();
        }
        finish.tell(|finish| *finish = true);
        let drained = time::timeout(DRAIN, async { while shippers.join_next().await.is_some() {} }).await.is_ok();
        let complete = drained && log.is_all_shipped();
        if !complete {
            tracing::error!(db = %self.name(), unshipped_wal_bytes = log.unshipped_bytes(),
                "stopped before every replica had everything; what is missing ships at the next start");
        }
        times.report.stops(matches!(following, Following::LetGo(_)));
        (self.close(following, keeper, wake, stop).await, complete)
    }

    /// Closes the database: as the last one who had it open, if that is what we are.
    async fn close(
        &self,
        following: Following,
        mut keeper: Keeper,
        wake: &Notify,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        match following {
            Following::LetGo(seen) if rest(&seen, self.poll_interval, wake, stop).await => Ended::Stopped,
            Following::LetGo(_) => Ended::Used,
            Following::Ended(Ended::Stopped, follower) if follower.may_let_go() => {
                let (left, _) = let_go(*follower, keeper, &self.path, self.clock.now()).await;
                let done = matches!(left, Left::Yes(_));
                tracing::debug!(db = %self.name(), done, "nobody else has the database open: closing it for good");
                Ended::Stopped
            }
            Following::Ended(ended, follower) => {
                blocking(move || keeper.keep_last(&follower)).await;
                ended
            }
        }
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
        (backends, others): (Vec<Arc<dyn Backend>>, Others),
        finish: &News<bool>,
    ) -> JoinSet<Result<(), Conflict>> {
        let mut shippers = JoinSet::new();
        for (number, ((replica, backend), other)) in self.replicas.iter().zip(backends).zip(others).enumerate() {
            let shipper = Shipper {
                log: Arc::clone(log),
                replica: number,
                name: replica.name.clone(),
                database: self.name().to_string(),
                backend,
                author: author.clone(),
                sync_interval: replica.sync_interval,
                streams: replica.streams.clone(),
                status: Arc::clone(&replica.status),
                take_over: Mutex::new(other),
                merges: Mutex::new(Merges::new(replica.merging)),
                ended: Arc::default(),
                silence: Silence::new(Arc::clone(&self.clock)),
            };
            shippers.spawn(shipper.run(finish.listen()));
        }
        shippers
    }
}

/// Runs `work` where it may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match host::blocking(work).await {
        Ok(value) => value,
        // Only a panic ends such a task early, and a panic is a bug: it goes on where it can be seen.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Where the newest of the histories ends.
fn newest(points: &[Option<ResumePoint>]) -> Option<Position> {
    let newest = points.iter().flatten().max_by_key(|point| point.time)?;
    Some(Position { generation: newest.generation, index: newest.index, offset: newest.offset })
}
