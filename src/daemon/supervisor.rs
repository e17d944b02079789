//! All databases of a configuration, from start to stop.

use std::sync::{Arc, Mutex};

use replica_backends::layers::{AgeKeys, Memory, Meter};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::backend::Stores;
use super::remembered::Remembered;
use super::retention::{Retention, grace_of};
use super::{Database, Replica};
use crate::config::{Config, DatabaseConfig, ReplicaConfig, ReplicaKind, ReplicaTarget};
use crate::doctor::doubts;
use crate::follow::Limits;
use crate::follow::watch::Watcher;
use crate::history::retention::{Policy, Tier};
use crate::ship::{Merging, ReplicaStatus};
use crate::types::SystemClock;

/// Replicates everything that `config` names until `stop` turns true.
///
/// Returns whether every replica has everything that was captured.
pub async fn run(config: &Config, mut stop: watch::Receiver<bool>) -> bool {
    let watcher = match Watcher::new() {
        Ok(watcher) => Some(Arc::new(watcher)),
        Err(error) => {
            tracing::warn!(%error, "no file system events: changes are found by polling (monitor-interval) only");
            None
        }
    };
    let stores = Arc::new(Stores::default());
    let mut databases = JoinSet::new();
    for database in &config.databases {
        announce(database);
        databases.spawn(to_database(database, &stores).run(watcher.clone(), stop.clone()));
    }
    if databases.is_empty() {
        // Nothing to do, but a command may run beside us. An error means that nobody can stop us any more.
        let _ = stop.wait_for(|stop| *stop).await;
    }
    let mut complete = true;
    while let Some(ended) = databases.join_next().await {
        complete &= match ended {
            Ok(complete) => complete,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
    }
    complete
}

/// What is written cannot be read here.
fn is_blind(keys: &AgeKeys) -> bool {
    keys.can_write() && !keys.can_read_back()
}

fn announce(database: &DatabaseConfig) {
    tracing::info!(path = %database.path.display(), "initialized db");
    if let Some(doubts) = doubts(&database.path) {
        tracing::warn!(path = %database.path.display(), "the database lies on a doubtful file system: {doubts}");
    }
    for replica in &database.replicas {
        match &replica.target {
            ReplicaTarget::File { path } => tracing::info!(name = %replica.name, r#type = "file",
                sync_interval = ?replica.sync_interval, path = %path.display(), "replicating to"),
            target => tracing::info!(name = %replica.name, r#type = %target.kind(),
                sync_interval = ?replica.sync_interval, at = %target, "replicating to"),
        }
        if is_blind(&replica.age) {
            let why =
                if replica.age.can_read() { "no identity belongs to a recipient" } else { "there are no identities" };
            tracing::info!(name = %replica.name, why, "encrypted with age, and cannot be read back: a generation is \
                continued by what the state folder remembers");
        }
    }
}

fn to_database(config: &DatabaseConfig, stores: &Arc<Stores>) -> Database {
    Database {
        path: config.path.clone(),
        meta_path: config.meta_path.clone(),
        poll_interval: config.monitor_interval,
        convert_to_wal: config.convert_to_wal,
        limits: Limits {
            checkpoint_pages: config.min_checkpoint_page_count,
            checkpoint_interval: config.checkpoint_interval,
            wal_bytes: config.max_wal_bytes,
            merge_intervals: config.merge_intervals,
            page_check_interval: config.page_check_interval,
            ..Limits::default()
        },
        replicas: config.replicas.iter().map(|replica| to_replica(config, replica, stores)).collect(),
        clock: Arc::new(SystemClock),
    }
}

/// What the configuration of a replica keeps.
#[must_use]
pub fn policy_of(config: &ReplicaConfig) -> Policy {
    let tiers = config.retention_tiers.iter().map(|tier| Tier { every: tier.every, keep: tier.keep });
    Policy {
        everything: config.retention,
        tiers: tiers.collect(),
        grace: grace_of(config.retention),
        append_only: config.append_only,
    }
}

/// Stores of the cloud are paid for by the request.
fn merging(database: &DatabaseConfig, replica: &ReplicaConfig) -> Merging {
    match replica.target.kind() {
        // Merging replaces and deletes.
        _ if replica.append_only || database.merge_intervals.iter().all(Option::is_none) => Merging::Never,
        ReplicaKind::File | ReplicaKind::Sftp => Merging::Growing,
        // Of many WebDAV servers an object is missing for a moment when it is replaced: that is rare then.
        ReplicaKind::S3 | ReplicaKind::Gcs | ReplicaKind::Abs | ReplicaKind::Webdav => Merging::Finished,
    }
}

fn to_replica(database: &DatabaseConfig, config: &ReplicaConfig, stores: &Arc<Stores>) -> Replica {
    let streams = stores.streams(&config.target);
    let (replica, meta_path, stores) = (config.clone(), database.meta_path.clone(), Arc::clone(stores));
    let is_blind = is_blind(&config.age);
    let status = ReplicaStatus::default();
    let tally = status.requests.clone();
    Replica {
        name: config.name.clone(),
        open: Arc::new(move |database| {
            // Read anew each time: meanwhile another may have held the state folder.
            let memory = is_blind.then(|| Arc::new(Remembered::open(&meta_path, &replica.name)) as Arc<dyn Memory>);
            Arc::new(Meter::counting(stores.open(&replica, database, memory), &tally))
        }),
        streams,
        sync_interval: config.sync_interval,
        snapshot_interval: config.snapshot_interval,
        merging: merging(database, config),
        retention: config
            .retention
            .map(|_| Retention { policy: policy_of(config), check_interval: config.retention_check_interval }),
        append_only: config.append_only,
        validation_interval: config.validation_interval,
        status: Arc::new(Mutex::new(status)),
    }
}
