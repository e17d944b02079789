//! What stands beside merged objects: segments that a merge has left, and ranges before a gap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use lightship::history::{Target, covers};
use lightship::restore::{NamedBackend, RestoreRequest, Silent, restore};
use lightship::segment::{Seal, Tail};
use replica_backends::layers::{Fault, Faulty};
use replica_backends::{ErrorKind, Operation};

use super::stage::{Stage, assert_is_state};
use super::verify::assert_sound;

fn seal(bytes: &[u8]) -> Seal {
    match Seal::from_tail(bytes, bytes.len() as u64).unwrap() {
        Tail::Sealed(seal, _) => *seal,
        other => panic!("{other:?}"),
    }
}

/// A merge was interrupted, so one of the segments stands beside the object that it was merged into. A position behind
/// that segment, which only the merged object holds, was not found.
#[tokio::test]
async fn a_position_behind_what_a_merge_has_left_is_restored() {
    let mut stage = Stage::new();
    let mut running = stage.start().await;
    let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for _ in 0..30 {
        stage.commit(&mut running).await;
        for key in stage.keys().into_iter().filter(|key| key.contains("/wal/")) {
            // It may be gone already.
            if let Ok(bytes) = std::fs::read(stage.replica().join(&key)) {
                seen.entry(key).or_insert(bytes);
            }
        }
    }
    running.kill().await;
    let keys: Vec<String> = stage.keys().into_iter().filter(|key| key.contains("/wal/")).collect();
    let read = |key: &String| std::fs::read(stage.replica().join(key)).unwrap();
    let outer = keys.iter().map(|key| seal(&read(key))).max_by_key(|seal| seal.commits.len()).unwrap();
    let is_left = |inner: &Seal| inner.from > outer.from && inner.to < outer.to && covers(&outer, inner);
    let (left, inner) =
        seen.iter().map(|(key, bytes)| (key, seal(bytes))).find(|(_, inner)| is_left(inner)).expect("one was merged");
    std::fs::write(stage.replica().join(left), &seen[left]).unwrap();

    let at = outer.commits.iter().position(|commit| commit.end > inner.to.1).unwrap();
    let output = stage.path("restored");
    let request = RestoreRequest {
        target: Target::Position(outer.to.0, outer.commits[at].end),
        generation: None,
        txid: None,
        output: output.clone(),
        parallelism: 2,
    };
    let replica = NamedBackend { name: "test".to_owned(), backend: Arc::clone(&stage.backend) };
    restore(&[replica], &request, &Silent).await.unwrap();
    let commit = (outer.commits[at].time.0 - Stage::time(0).0) / 1000;
    assert_is_state(&output, commit);
}

/// A replica dies when it has got a range, and before it has got the end of the last index of it. What comes later is
/// behind a gap, before which the range ends as well as the segments.
#[tokio::test]
async fn a_range_that_ends_before_a_gap_is_no_damage() {
    let mut stage = Stage::new();
    stage.limits.checkpoint_pages = 60;
    stage.limits.merge_intervals = [Some(Duration::from_secs(20)), None, None];
    (stage.limits.tail_bytes, stage.limits.wal_bytes) = (4 << 10, 400 << 10);
    // 0: it lives; 1: it is dead; 2: it lives again.
    let life = Arc::new(AtomicU8::new(0));
    let dead = Arc::new(AtomicBool::new(false));
    let (state, died) = (Arc::clone(&life), Arc::clone(&dead));
    let backend = Faulty::new(Arc::clone(&stage.backend), move |call| {
        let is_range = call.operation == Operation::Put && call.key.starts_with("lightship/ranges/");
        if is_range && state.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            died.store(true, Ordering::SeqCst);
            return None;
        }
        (state.load(Ordering::SeqCst) == 1).then_some(Fault::Before(ErrorKind::Unavailable))
    });
    let mut running = stage.start_on(Arc::new(backend)).await;
    while !dead.load(Ordering::SeqCst) {
        stage.commit_unless(&mut running, &dead).await;
        assert!(stage.commits < 400, "there was no range");
    }
    for _ in 0..700 {
        stage.commit_unless(&mut running, &dead).await;
        tokio::task::yield_now().await;
    }
    life.store(2, Ordering::SeqCst);
    for _ in 0..10 {
        stage.commit(&mut running).await;
    }
    running.stop().await;
    let gap = |key: &String| seal(&std::fs::read(stage.replica().join(key)).unwrap()).is_gap();
    let gaps = stage.keys().iter().filter(|key| key.contains("/wal/") && gap(key)).count();
    assert_eq!(gaps, 2, "one where the history ends, and one before the snapshot: {:?}", stage.keys());
    assert_sound(&stage).await;
    stage.check(stage.commits).await;
}

/// A merge fails, and while it is undone the store fails again. The merged object was replaced by its first segment
/// although another one was not there again, and the commits of that one were lost.
#[tokio::test]
async fn an_undo_that_fails_leaves_the_merged_object_where_it_is() {
    for failing in 2..6 {
        let mut stage = Stage::new();
        let (deletions, replica) = (AtomicU8::new(0), stage.replica());
        let failed = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&failed);
        let backend = Faulty::new(Arc::clone(&stage.backend), move |call| match call.operation {
            Operation::Delete => {
                let is_last = deletions.fetch_add(1, Ordering::SeqCst) + 1 == failing;
                is_last.then_some(Fault::Before(ErrorKind::Unavailable))
            }
            // What was deleted is put again.
            Operation::Put
                if deletions.load(Ordering::SeqCst) >= failing
                    && !replica.join(call.key).exists()
                    && call.key.contains("/wal/")
                    && !noticed.swap(true, Ordering::SeqCst) =>
            {
                Some(Fault::Before(ErrorKind::Unavailable))
            }
            _ => None,
        });
        let mut running = stage.start_on(Arc::new(backend)).await;
        for _ in 0..20 {
            stage.commit(&mut running).await;
        }
        running.stop().await;
        assert!(failed.load(Ordering::SeqCst), "the store has failed twice");
        assert_sound(&stage).await;
        for commit in 1..=stage.commits {
            stage.check(commit).await;
        }
    }
}
