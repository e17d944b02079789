//! A replicator: the daemon's own code for one database, on a runtime of its own whose time is simulated.

use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use lightship::daemon::{Database, Replica, Retention, grace_of};
use lightship::follow::Limits;
use lightship::history::retention::{Policy, Tier};
use lightship::host;
use lightship::ship::{AllStreams, Merging, ReplicaStatus, Streams};
use lightship::types::{Position, Timestamp};
use replica_backends::Backend;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::machine::Machine;
use super::store::Store;
use super::time::WallClock;

/// What the configuration says; it stays the same while a world lasts.
#[derive(Debug, Clone)]
pub struct Settings {
    limits: Limits,
    poll_interval: Duration,
    replicas: Vec<ReplicaSettings>,
}

#[derive(Debug, Clone)]
struct ReplicaSettings {
    sync_interval: Duration,
    snapshot_interval: Option<Duration>,
    merging: Merging,
    retention: Option<Retention>,
    validation_interval: Option<Duration>,
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn pick<T: Copy>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(0..from.len())]
}

impl Settings {
    pub fn new(random: &mut Rng, replicas: usize) -> Self {
        let limits = Limits {
            checkpoint_pages: pick(random, &[1, 5, 20, 100, 1000]),
            checkpoint_apart: pick(random, &[0, 100, 1000]) * MS,
            checkpoint_interval: pick(random, &[None, Some(SECOND), Some(10 * SECOND), Some(60 * SECOND)]),
            tail_bytes: pick(random, &[2 << 10, 64 << 10, 12 << 20]),
            wal_bytes: pick(random, &[200 << 10, 1 << 30]),
            index_bytes: pick(random, &[30 << 10, 300 << 10, Limits::default().index_bytes]),
            merge_intervals: pick(
                random,
                &[
                    [None; 3],
                    [Some(10 * SECOND), Some(40 * SECOND), Some(160 * SECOND)],
                    Limits::default().merge_intervals,
                ],
            ),
            // Drawn aside, so that everything else is as it was without it.
            burst_frames_min: pick(&mut random.clone(), &[5, 50, Limits::default().burst_frames_min]),
            page_check_interval: pick(random, &[None, Some(5 * SECOND), Some(86_400 * SECOND)]),
        };
        let poll_interval = pick(random, &[20, 100, 1000]) * MS;
        Self { limits, poll_interval, replicas: (0..replicas).map(|_| ReplicaSettings::new(random)).collect() }
    }

    /// Whether this replica keeps everything for ever.
    pub fn keeps_everything(&self, replica: usize) -> bool {
        self.replicas[replica].retention.is_none()
    }

    /// Whatever this replica has of what was seen after that it must keep, though its clock has said `latest` once;
    /// `None`: everything.
    pub fn kept_since(&self, replica: usize, latest: Timestamp) -> Option<Timestamp> {
        let Policy { everything, grace, .. } = &self.replicas[replica].retention.as_ref()?.policy;
        let kept = (*everything)? + *grace;
        Some(Timestamp(latest.0.saturating_sub(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX))))
    }

    /// Whether segments stay as they are put.
    pub fn never_merges(&self) -> bool {
        self.replicas.iter().all(|replica| replica.merging == Merging::Never)
    }

    fn database(&self, path: &Path, state: &Path, stores: &[Store], clock: &WallClock) -> Database {
        let replicas = self.replicas.iter().zip(stores).enumerate();
        Database {
            path: path.to_owned(),
            meta_path: state.to_owned(),
            poll_interval: self.poll_interval,
            convert_to_wal: true,
            limits: self.limits.clone(),
            replicas: replicas.map(|(number, (settings, store))| settings.replica(number, store)).collect(),
            clock: Arc::new(clock.clone()),
        }
    }
}

impl ReplicaSettings {
    fn new(random: &mut Rng) -> Self {
        let everything = pick(random, &[5, 60, 3600]) * SECOND;
        let tiers = vec![Tier { every: 20 * SECOND, keep: 600 * SECOND }];
        let tiers = if random.bool() { tiers } else { Vec::new() };
        let policy =
            Policy { everything: Some(everything), tiers, grace: grace_of(Some(everything)), append_only: false };
        let check_interval = pick(random, &[1, 20, 300]) * SECOND;
        Self {
            sync_interval: pick(random, &[0, 10, 50, 1000]) * MS,
            snapshot_interval: pick(random, &[None, Some(5 * SECOND), Some(60 * SECOND)]),
            merging: pick(random, &[Merging::Never, Merging::Finished, Merging::Growing, Merging::Growing]),
            retention: random.bool().then_some(Retention { policy, check_interval }),
            validation_interval: pick(random, &[None, None, Some(20 * SECOND)]),
        }
    }

    fn replica(&self, number: usize, store: &Store) -> Replica {
        let store: Arc<dyn Backend> = Arc::new(store.clone());
        Replica {
            name: format!("r{number}"),
            open: Arc::new(move |_| Arc::clone(&store)),
            streams: Streams::new(&AllStreams::default()),
            sync_interval: self.sync_interval,
            snapshot_interval: self.snapshot_interval,
            merging: self.merging,
            retention: self.retention.clone(),
            append_only: false,
            validation_interval: self.validation_interval,
            status: Arc::new(Mutex::new(ReplicaStatus::default())),
        }
    }
}

/// One that runs. Dropped, it has been killed.
pub struct Replicator {
    machine: Rc<Machine>,
    clock: WallClock,
    stop: watch::Sender<bool>,
    statuses: Vec<Arc<Mutex<ReplicaStatus>>>,
    running: Option<JoinHandle<bool>>,
    runtime: Runtime,
}

impl Replicator {
    pub fn start(
        settings: &Settings,
        (path, state): (&Path, &Path),
        stores: &[Store],
        clock: &WallClock,
        machine: &Rc<Machine>,
    ) -> Self {
        let database = settings.database(path, state, stores, clock);
        let statuses = database.replicas.iter().map(|replica| Arc::clone(&replica.status)).collect();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (stop, stopped) = watch::channel(false);
        let running = Some(runtime.spawn(database.run(None, stopped)));
        Self { machine: Rc::clone(machine), clock: clock.clone(), stop, statuses, running, runtime }
    }

    /// Lets it do its work for a while.
    pub fn go_on(&mut self, length: Duration) {
        let clock = self.clock.clone();
        host::simulate(Some(self.machine.clone()));
        self.runtime.block_on(async move {
            clock.enter();
            tokio::time::sleep(length).await;
            clock.leave();
        });
        host::simulate(None);
        if self.running.as_ref().is_some_and(JoinHandle::is_finished) {
            let ended = self.runtime.block_on(self.running.take().unwrap());
            assert!(*self.stop.borrow(), "the replicator has ended by itself: {ended:?}");
            panic!("it was to be waited for");
        }
    }

    /// Stops it in an orderly way. Returns whether every replica has everything that was captured.
    pub fn stop(mut self) -> bool {
        let running = self.running.take().unwrap();
        let clock = self.clock.clone();
        host::simulate(Some(self.machine.clone()));
        self.stop.send_replace(true);
        let complete = self.runtime.block_on(async move {
            clock.enter();
            let ended = tokio::time::timeout(Duration::from_secs(600), running).await;
            clock.leave();
            ended
        });
        host::simulate(None);
        complete.expect("it stops when it is told to").expect("it does not panic")
    }

    /// Up to where each replica has everything, as the replicator says.
    pub fn positions(&self) -> Vec<Option<Position>> {
        let position =
            |status: &Arc<Mutex<ReplicaStatus>>| status.lock().unwrap_or_else(PoisonError::into_inner).position;
        self.statuses.iter().map(position).collect()
    }
}
