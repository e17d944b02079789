//! `verify` on what a replicator really leaves: snapshots, merged segments, ends of indexes, merged ranges of all
//! levels; and what retention leaves of it.

use std::collections::BTreeSet;
use std::time::Duration;

use lightship::daemon::plan_for;
use lightship::history::retention::{Policy, RetentionPlan, Tier};
use lightship::history::{ObjectName, Seals, Thinned};
use lightship::restore::{NamedBackend, Silent};
use lightship::segment::{Seal, SealKind, Tail};
use lightship::ship::prune;
use lightship::verify::{Options, Outcome};
use lightship::wal::{Chain, FRAME_HEADER_BYTES, WAL_HEADER_BYTES, WalHeader, frame_bytes};

use super::stage::Stage;
use crate::restore::store::MemoryStore;
use crate::restore::verify::{damage, decoded, encoded, verified};

const COMMITS: u64 = 200;
const RETENTION: &str = "lightship/retention.json";

/// Snapshots at the beginning and near `snapshots`, ranges of twenty seconds, one minute and two.
async fn recorded(snapshots: &[u64]) -> Stage {
    let mut stage = Stage::new();
    stage.limits.checkpoint_pages = 60;
    stage.limits.merge_intervals = [20, 60, 120].map(|seconds| Some(Duration::from_secs(seconds)));
    let mut running = stage.start().await;
    for n in 0..COMMITS {
        if snapshots.contains(&n) {
            running.follower.log().want_snapshot(0, "test");
        }
        stage.commit(&mut running).await;
    }
    running.stop().await;
    stage
}

/// The replica as it is, where objects can be damaged quickly.
fn store(stage: &Stage) -> MemoryStore {
    let mut store = MemoryStore::default();
    let thinned = stage.replica().join(RETENTION).exists().then(|| RETENTION.to_owned());
    for key in stage.keys().into_iter().chain(thinned) {
        store.put(&key, std::fs::read(stage.replica().join(&key)).unwrap(), 0);
    }
    store
}

fn names(store: &MemoryStore) -> BTreeSet<ObjectName> {
    store.keys().iter().filter_map(|key| ObjectName::parse(key)).collect()
}

fn assert_ok(store: &MemoryStore, what: &str) {
    let found = verified(store);
    assert_eq!(found.outcome(), Outcome::Ok, "{what}: {found}");
}

fn assert_failed(store: &MemoryStore, what: &str) {
    let found = verified(store);
    assert_eq!(found.outcome(), Outcome::Failed, "{what}: {found}");
}

/// The indexes whose beginning can be restored.
fn restorable(names: &BTreeSet<ObjectName>) -> BTreeSet<u32> {
    let mut reached: BTreeSet<u32> = BTreeSet::new();
    let ends = |reached: &BTreeSet<u32>| -> BTreeSet<u32> {
        let steps = names.iter().filter_map(|name| match *name {
            ObjectName::Snapshot(_, index) => Some(index.get()),
            ObjectName::Segment(_, index, offset) => {
                (offset.0 == 0 && reached.contains(&index.get())).then_some(index.get() + 1)
            }
            ObjectName::Range(_, range) => reached.contains(&range.from.get()).then_some(range.to.get()),
        });
        steps.chain(reached.iter().copied()).collect()
    };
    loop {
        let next = ends(&reached);
        if next == reached {
            return reached;
        }
        reached = next;
    }
}

/// `verify` finds nothing wrong with what is there.
pub async fn assert_sound(stage: &Stage) {
    let replica = NamedBackend { name: "test".to_owned(), backend: stage.backend.clone() };
    let options = Options { all: true, full: false, scratch: std::env::temp_dir(), parallelism: 4, had: None };
    let found = lightship::verify::verify(&replica, None, &options, &Silent).await;
    assert_eq!(found.outcome(), Outcome::Ok, "{found}");
}

/// Without any one object, either this is found, or nothing needs the object.
fn assert_every_missing_object_is_found(store: &MemoryStore) {
    let all = names(store);
    let last = *all.iter().filter(|name| name.range().is_none()).max().unwrap();
    let mut found = 0;
    for name in &all {
        let mut less = store.clone();
        less.objects.remove(&name.key().unwrap());
        let outcome = verified(&less);
        if outcome.outcome() == Outcome::Failed {
            found += 1;
            continue;
        }
        let spared = !matches!(name, ObjectName::Segment(..)) && restorable(&all) == restorable(&names(&less));
        assert!(spared || *name == last, "{name:?} is missing: {outcome}");
    }
    assert!(found > all.len() / 3, "{found} of {}", all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_merging_leaves_is_checked() {
    let store = store(&recorded(&[70, 140]).await);
    tokio::task::block_in_place(|| {
        let kinds = |part: &str| store.keys().iter().filter(|key| key.contains(part)).count();
        assert_eq!(kinds("/snapshots/"), 3);
        assert!(kinds("/ranges/") > 8, "{:?}", store.keys());
        let found = verified(&store);
        assert_eq!(found.outcome(), Outcome::Ok, "{found}");
        assert_eq!((found.checked[0].objects, found.checked[0].commits), (store.objects.len(), COMMITS));
        assert!(found.checked[0].proved);
        assert_every_missing_object_is_found(&store);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_cut_flipped_moved_or_doubled_is_found() {
    let store = store(&recorded(&[100]).await);
    tokio::task::block_in_place(|| {
        let keys = store.keys();
        for (number, key) in keys.iter().enumerate() {
            let bytes = &store.objects[key].0;
            let Ok(Tail::Sealed(_, data)) = Seal::from_tail(bytes, bytes.len() as u64) else { panic!("{key}") };
            for keep in [0, data as usize / 2, data as usize, bytes.len() - 20, bytes.len() - 1] {
                assert_failed(&damage(&store, key, |bytes| bytes.truncate(keep)), &format!("{key} cut to {keep}"));
            }
            for at in [data as usize / 2, data as usize + 30, bytes.len() - 5] {
                let flipped = damage(&store, key, |bytes| bytes[at] ^= 1 << fastrand::u32(..8));
                assert_failed(&flipped, &format!("{key} byte {at}"));
            }
            for other in [(number + 1) % keys.len(), fastrand::usize(..keys.len())].map(|n| &keys[n]) {
                // Ranges of two levels from the same index to the same are the same.
                if store.objects[other].0 == *bytes {
                    continue;
                }
                let doubled = damage(&store, other, |other| *other = bytes.to_vec());
                assert_failed(&doubled, &format!("{key} also stands for {other}"));
                let swapped = damage(&doubled, key, |it| *it = store.objects[other].0.to_vec());
                assert_failed(&swapped, &format!("{key} and {other} changed places"));
            }
            let mut doubled = store.clone();
            let unused = keys.iter().find(|k| k.contains("/wal/")).unwrap().replace("00000000_", "0000ffff_");
            doubled.put(&unused, bytes.to_vec(), 0);
            assert_failed(&doubled, &format!("{key} doubled as {unused}"));
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_page_under_seals_and_checksums_that_fit_is_found() {
    let store = store(&recorded(&[100]).await);
    tokio::task::block_in_place(|| {
        let mut tried = 0;
        for key in store.keys() {
            let (mut data, mut seal) = decoded(&store, &key);
            if seal.kind == SealKind::Snapshot {
                let at = fastrand::usize(100..data.len());
                data[at] ^= 1;
            } else if data.is_empty() {
                continue;
            } else {
                let begins = seal.from.1.0 == 0;
                let frames = if begins { WAL_HEADER_BYTES } else { 0 };
                let mut chain = Chain {
                    order: seal.order,
                    page_size: seal.page_size,
                    salts: seal.salts,
                    checksum: seal.checksum_before,
                };
                if begins {
                    chain = Chain::begin(&WalHeader::parse(&data).unwrap());
                }
                // The last frame: of the others, a later one may hold the same page.
                let last = data.len() - frame_bytes(seal.page_size);
                data[last + FRAME_HEADER_BYTES + 300] ^= 1;
                for frame in data[frames..].chunks_mut(frame_bytes(seal.page_size)) {
                    chain.adopt(frame).unwrap();
                }
                seal.checksum_after = chain.checksum;
            }
            assert_failed(&encoded(&store, &key, &data, seal), &key);
            tried += 1;
        }
        assert!(tried > 20);
    });
}

/// What may be deleted if everything is kept for so many seconds, and one state in `every` for `keep`.
async fn planned(stage: &Stage, everything: u64, every: u64, keep: u64) -> RetentionPlan {
    let seconds = Duration::from_secs;
    let tiers = vec![Tier { every: seconds(every), keep: seconds(keep) }];
    let policy = Policy { everything: Some(seconds(everything)), tiers, grace: Duration::ZERO, append_only: false };
    let replica = NamedBackend { name: "test".to_owned(), backend: stage.backend.clone() };
    plan_for(&replica, &mut Seals::default(), &policy, None, Stage::time(stage.commits)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_has_removed_is_not_missed_and_all_else_is() {
    let stage = recorded(&[70, 140]).await;
    for (everything, every, keep) in [(100, 30, 190), (40, 60, 150), (10, 1, 1)] {
        let plan = planned(&stage, everything, every, keep).await;
        assert!(!plan.delete.is_empty());
        let pruned = prune(stage.backend.as_ref(), &plan).await.unwrap();
        assert_eq!(pruned.objects, plan.delete.len());
        let store = store(&stage);
        tokio::task::block_in_place(|| {
            assert_ok(&store, "after retention");
            assert_every_missing_object_is_found(&store);
            // Without the record, the holes are holes.
            let mut untold = store.clone();
            untold.objects.remove(RETENTION);
            let first = names(&store).first().map(ObjectName::index).unwrap();
            assert!(first.get() > 0 || verified(&untold).outcome() == Outcome::Failed);
        });
    }
}

/// The first version only asked what stands behind a hole: a state that retention had kept alone could vanish.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_retention_has_kept_alone_is_missed() {
    let mut store = store(&recorded(&[70, 140]).await);
    tokio::task::block_in_place(|| {
        let snapshots: Vec<_> = names(&store).into_iter().filter(|n| matches!(n, ObjectName::Snapshot(..))).collect();
        let [_, alone, newest] = snapshots[..] else { panic!("{snapshots:?}") };
        for name in names(&store) {
            let begins = name.range().map_or(name.index(), |range| range.from);
            if name != alone && begins < newest.index() {
                store.objects.remove(&name.key().unwrap());
            }
        }
        let mut record = Thinned { before: Stage::time(COMMITS), ..Thinned::default() };
        record.ends.entry(alone.generation()).or_default().insert(alone.index());
        store.put(RETENTION, record.to_json().into_bytes(), 0);
        assert_ok(&store, "a snapshot alone");
        store.objects.remove(&alone.key().unwrap());
        assert_failed(&store, "without it");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_that_is_interrupted_anywhere_is_no_damage() {
    let stage = recorded(&[70, 140]).await;
    let before = store(&stage);
    let plan = planned(&stage, 80, 30, 190).await;
    prune(stage.backend.as_ref(), &plan).await.unwrap();
    let told = String::from_utf8(std::fs::read(stage.replica().join(RETENTION)).unwrap()).unwrap();
    let begun = told.replace("\"deleting\":false", "\"deleting\":true");
    assert_ne!(begun, told);
    tokio::task::block_in_place(|| {
        let mut store = before;
        store.put(RETENTION, begun.into_bytes(), 0);
        for entry in &plan.delete {
            store.objects.remove(&entry.name.key().unwrap());
            assert_ok(&store, &format!("interrupted behind {:?}", entry.name));
        }
        // What is kept is missed all the same.
        let newest = plan.keep.keys().filter(|name| matches!(name, ObjectName::Segment(..))).nth_back(3).unwrap();
        store.objects.remove(&newest.key().unwrap());
        assert_failed(&store, &format!("{newest:?} is missing"));
    });
}
