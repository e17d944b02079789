//! Retention of one replica: what may be deleted is planned from its listing, deleted, and looked for again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use replica_backends::Error;
use tokio::task::JoinSet;
use tokio::time;

use super::database::{Database, Replica};
use crate::follow::CommitLog;
use crate::history::retention::{Policy, RetentionPlan, plan_retention};
use crate::history::{ObjectName, Seals};
use crate::restore::{NamedBackend, Source, read_points};
use crate::ship::{Pruned, prune};
use crate::types::{Clock, Generation, Timestamp};

/// What is not needed any more is left alone for so long, or as long as everything is kept if that is shorter.
const GRACE_MAX: Duration = Duration::from_secs(3600);

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

/// Lists `replica` and plans. `seals` are what is known of its objects from before, and afterwards.
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
    // Before the listing: a point that is made later is of a state that no plan touches yet.
    let points: Vec<_> = read_points(replica.backend.as_ref()).await?.iter().map(|point| point.pinned()).collect();
    let mut source = Source::open(replica).await?;
    source.seals = std::mem::take(seals);
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

impl Database {
    /// Looks at each replica from time to time, if something was shipped to it since: an idle database asks for nothing.
    pub(super) fn schedule_retention(
        &self,
        log: &Arc<CommitLog>,
        backends: &[Arc<dyn replica_backends::Backend>],
    ) -> JoinSet<()> {
        let mut schedules = JoinSet::new();
        for (number, (replica, backend)) in self.replicas.iter().zip(backends).enumerate() {
            let Some(retention) = replica.retention.clone().filter(|r| !r.policy.append_only) else { continue };
            let named = NamedBackend { name: replica.name.clone(), backend: Arc::clone(backend) };
            let (log, replica, clock) = (Arc::clone(log), replica.clone(), Arc::clone(&self.clock));
            let database = self.path.display().to_string();
            schedules.spawn(async move {
                let (mut seals, mut seen) = (Seals::default(), 0);
                loop {
                    time::sleep(retention.check_interval).await;
                    let shipped = shipped(&replica);
                    if shipped == seen {
                        continue;
                    }
                    let writing = Some(log.generation());
                    match check(&named, &mut seals, &retention.policy, writing, clock.as_ref(), &database).await {
                        Ok(wants_snapshot) => {
                            seen = shipped;
                            if wants_snapshot {
                                log.want_snapshot(number, "retention");
                            }
                        }
                        Err(error) => tracing::error!(db = %database, replica = %named.name, %error,
                            "cannot look for what may be deleted; trying again later"),
                    }
                }
            });
        }
        schedules
    }
}

fn shipped(replica: &Replica) -> u64 {
    replica.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner).objects
}

/// Returns whether the replica wants a new snapshot.
async fn check(
    replica: &NamedBackend,
    seals: &mut Seals,
    policy: &Policy,
    writing: Option<Generation>,
    clock: &dyn Clock,
    database: &str,
) -> Result<bool, Error> {
    let plan = plan_for(replica, seals, policy, writing, clock.now()).await?;
    if !plan.broken.is_empty() {
        tracing::error!(db = %database, replica = %replica.name, points = ?plan.broken,
            "not everything that these named points need is there");
    }
    let pruned = prune(replica.backend.as_ref(), &plan).await?;
    report(&pruned, &replica.name, database);
    Ok(plan.wants_snapshot)
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
