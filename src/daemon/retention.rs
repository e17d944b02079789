//! Retention of one replica: what may be deleted is planned from its listing, deleted, and looked for again.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use replica_backends::{Backend, Error, ErrorKind};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::database::Database;
use super::replica::Replica;
use super::steady::Steady;
use crate::follow::CommitLog;
use crate::follow::log::ReplicaNo;
use crate::history::retention::{Policy, RetentionPlan, plan_retention};
use crate::history::{ObjectName, Seals, plan_key};
use crate::host::{self, News};
use crate::restore::{NamedBackend, Source, read_points};
use crate::segment::Seal;
use crate::ship::{Pruned, Verdict, abort_stale, prune};
use crate::types::{Clock, Generation, Timestamp};

/// What is not needed any more is left alone for so long, or as long as everything is kept if that is shorter.
const GRACE_MAX: Duration = Duration::from_secs(3600);

/// How often a replica is listed that changes meanwhile.
const LISTINGS_MAX: usize = 5;

/// When and what a replica deletes.
#[derive(Debug, Clone)]
pub struct Retention {
    /// What stays.
    pub policy: Policy,
    /// Time between two looks.
    pub check_interval: Duration,
}

/// The grace of a policy that keeps everything for so long.
#[must_use]
pub fn grace_of(everything: Option<Duration>) -> Duration {
    everything.map_or(GRACE_MAX, |kept| kept.min(GRACE_MAX))
}

/// Lists `replica` and plans, again if it changes meanwhile. `seals` are what is known of its objects from before, and
/// afterwards.
///
/// # Errors
/// If the store cannot be read.
pub async fn plan_for(
    replica: &NamedBackend,
    seals: &mut Seals,
    policy: &Policy,
    writing: Option<Generation>,
    now: Timestamp,
) -> Result<RetentionPlan, Error> {
    let mut attempts = 1;
    loop {
        match plan_once(replica, seals, policy, writing, now).await {
            // Its last segment may have been merged before its seal was read.
            Err(error) if error.kind() == ErrorKind::NotFound && attempts < LISTINGS_MAX => attempts += 1,
            planned => return planned,
        }
    }
}

async fn plan_once(
    replica: &NamedBackend,
    seals: &mut Seals,
    policy: &Policy,
    writing: Option<Generation>,
    now: Timestamp,
) -> Result<RetentionPlan, Error> {
    // Before the listing: a point that is made later is of a state that no plan touches yet.
    let points: Vec<_> = read_points(replica.backend.as_ref()).await?.iter().map(|point| point.pinned()).collect();
    let mut source = Source::open(replica).await?;
    source.seals = std::mem::take(seals);
    // Who can write only decides by the store's times, as for what Litestream wrote.
    source.allows_write_only = true;
    let plan = loop {
        match plan_retention(&source.catalog, &source.seals, &points, policy, writing, now) {
            Ok(plan) => break plan,
            Err(needs) => source.learn(&needs).await?,
        }
    };
    let snapshots: BTreeSet<ObjectName> =
        source.catalog.histories().flat_map(|h| &h.snapshots).map(|entry| entry.name).collect();
    source.seals.retain(|name| snapshots.contains(name));
    *seals = source.seals;
    Ok(plan)
}

/// What looking at a replica has to know of the following beside it.
#[derive(Clone)]
pub(super) struct Followed {
    /// The generation that was written last.
    generation: Generation,
    /// Not kept alive: it may hold commits in memory.
    log: Weak<CommitLog>,
    backends: Vec<Arc<dyn Backend>>,
}

impl Followed {
    pub(super) fn new(log: &Arc<CommitLog>, backends: &[Arc<dyn Backend>]) -> Self {
        Self { generation: log.generation(), log: Arc::downgrade(log), backends: backends.to_vec() }
    }
}

impl Database {
    /// Looks at each replica from time to time, if something was shipped to it since: an idle database asks for
    /// nothing.
    ///
    /// These tasks outlive the times of following, of which `followed` tells and which may be far shorter than the time
    /// between two looks, or than one look.
    pub(super) fn schedule_retention(&self, followed: &News<Option<Followed>>) -> JoinSet<()> {
        let mut schedules = JoinSet::new();
        for (number, replica) in self.replicas.iter().enumerate() {
            let Some(retention) = replica.retention.clone().filter(|_| !replica.append_only) else { continue };
            let (clock, database) = (Arc::clone(&self.clock), self.path.display().to_string());
            let steady = Steady::new(Arc::clone(&clock));
            let replica = replica.clone();
            let looks = Looks { number, replica, retention, clock, steady, database, wants_snapshot: false };
            schedules.spawn(looks.go_on(followed.listen()));
        }
        schedules
    }
}

/// The looks at one replica.
struct Looks {
    number: ReplicaNo,
    replica: Replica,
    retention: Retention,
    clock: Arc<dyn Clock>,
    steady: Steady,
    /// For messages.
    database: String,
    /// A snapshot is wanted, and nobody who follows has been asked for it yet.
    wants_snapshot: bool,
}

impl Looks {
    async fn go_on(mut self, mut followed: watch::Receiver<Option<Followed>>) {
        let (mut seals, mut seen) = (Seals::default(), 0);
        let mut due = Instant::from(host::now()) + self.retention.check_interval;
        loop {
            tokio::select! { biased;
                () = time::sleep_until(due) => {}
                changed = followed.changed() => {
                    let Ok(()) = changed else { return };
                    self.ask_for_snapshot(followed.borrow_and_update().as_ref());
                    continue;
                }
            }
            due = Instant::from(host::now()) + self.retention.check_interval;
            let now = followed.borrow().clone();
            let (Some(now), shipped) = (now, self.replica.objects()) else { continue };
            if shipped == seen {
                continue;
            }
            let named =
                NamedBackend { name: self.replica.name.clone(), backend: Arc::clone(&now.backends[self.number]) };
            match self.look(&named, &mut seals, now.generation).await {
                Ok((wants_snapshot, complete)) => {
                    // What a store has not deleted is tried again, even if nothing is shipped until then.
                    seen = if complete { shipped } else { seen };
                    self.wants_snapshot |= wants_snapshot;
                    self.ask_for_snapshot(Some(&now));
                }
                Err(error) => {
                    tracing::error!(db = %self.database, replica = %named.name, %error,
                        "cannot look for what may be deleted; trying again later");
                    self.note(false, error.to_string());
                }
            }
        }
    }

    /// If nobody follows now, those are asked who follow next.
    fn ask_for_snapshot(&mut self, followed: Option<&Followed>) {
        if let Some(log) = followed.filter(|_| self.wants_snapshot).and_then(|now| now.log.upgrade()) {
            log.want_snapshot(self.number, Seal::FOR_RETENTION);
            self.wants_snapshot = false;
        }
    }

    /// Plans and deletes. Returns whether the replica wants a new snapshot, and whether everything is gone that was to
    /// be deleted.
    async fn look(
        &mut self,
        replica: &NamedBackend,
        seals: &mut Seals,
        writing: Generation,
    ) -> Result<(bool, bool), Error> {
        let plan = plan_for(replica, seals, &self.retention.policy, Some(writing), self.steady.now()).await?;
        if !plan.broken.is_empty() {
            tracing::error!(db = %self.database, replica = %replica.name, points = ?plan.broken,
                "not everything that these named points need is there");
        }
        for entry in &plan.delete {
            tracing::debug!(db = %self.database, replica = %replica.name, object = %plan_key(&entry.name),
                "not kept by the retention");
        }
        let pruned = prune(replica.backend.as_ref(), &plan).await?;
        report(&pruned, &replica.name, &self.database);
        self.note(pruned.is_complete(), pruned.to_string());
        self.abort_stale(replica).await;
        Ok((plan.wants_snapshot, pruned.is_complete()))
    }

    /// It costs money, and no more, if that fails.
    async fn abort_stale(&self, replica: &NamedBackend) {
        match abort_stale(replica.backend.as_ref(), self.clock.now()).await {
            Ok(0) => {}
            Ok(uploads) => tracing::info!(db = %self.database, replica = %replica.name, uploads,
                "removed what was left of uploads that were broken off more than a day ago"),
            Err(error) => tracing::debug!(db = %self.database, replica = %replica.name, %error,
                "cannot remove what is left of uploads that were broken off"),
        }
    }

    /// For those who look on.
    fn note(&self, fine: bool, says: String) {
        let verdict = Verdict { at: self.clock.now(), fine, says };
        self.replica.status.lock().unwrap_or_else(PoisonError::into_inner).pruned(verdict);
    }
}

fn report(pruned: &Pruned, replica: &str, database: &str) {
    if pruned.objects > 0 {
        tracing::info!(db = %database, %replica, objects = pruned.objects, bytes = pruned.bytes,
            "deleted what the retention does not keep");
    }
    if let Some(error) = &pruned.failure {
        tracing::error!(db = %database, %replica, %error, "cannot delete; trying again later");
    }
    if let Some(first) = pruned.remaining.first() {
        tracing::error!(db = %database, %replica, objects = pruned.remaining.len(), %first,
            "the store says that objects were deleted, but still lists them");
    }
}
