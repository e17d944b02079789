//! What stands beside merged objects: segments that a merge has left.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

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
        assert_nothing_is_lost(&mut stage, backend).await;
        assert!(failed.load(Ordering::SeqCst), "the store has failed twice");
    }
}

async fn assert_nothing_is_lost(stage: &mut Stage, backend: Faulty) {
    let mut running = stage.start_on(Arc::new(backend)).await;
    for _ in 0..20 {
        stage.commit(&mut running).await;
    }
    running.stop().await;
    assert_sound(stage).await;
    for commit in 1..=stage.commits {
        stage.check(commit).await;
    }
}

/// A merge fails, and while it is undone another writer, who has seen the merged object, removes the last segment
/// beside it. Were the merged object replaced by its first segment then, the commits of the last one would be lost.
#[tokio::test]
async fn a_merge_that_another_writer_has_relied_on_is_not_undone() {
    let mut stage = Stage::new();
    let (deletions, replica) = (AtomicU8::new(0), stage.replica());
    let (last, removed) = (Mutex::new(None), Arc::new(AtomicBool::new(false)));
    let noticed = Arc::clone(&removed);
    let backend = Faulty::new(Arc::clone(&stage.backend), move |call| match call.operation {
        Operation::Delete => {
            let fails = deletions.fetch_add(1, Ordering::SeqCst) == 1;
            fails.then_some(Fault::Before(ErrorKind::Unavailable))
        }
        // What is put first is the last segment.
        Operation::Put if deletions.load(Ordering::SeqCst) >= 2 && !noticed.load(Ordering::SeqCst) => {
            let mut last = last.lock().unwrap();
            match last.take() {
                None => *last = Some(call.key.to_owned()),
                Some(key) => {
                    std::fs::remove_file(replica.join(key)).unwrap();
                    noticed.store(true, Ordering::SeqCst);
                }
            }
            None
        }
        _ => None,
    });
    assert_nothing_is_lost(&mut stage, backend).await;
    assert!(removed.load(Ordering::SeqCst), "a merge was undone");
}
