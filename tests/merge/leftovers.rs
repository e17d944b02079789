//! What stands beside merged objects: segments that a merge has left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use lightship::history::{Target, covers};
use lightship::restore::{NamedBackend, RestoreRequest, Silent, restore};
use lightship::segment::{Seal, Tail};
use lightship::types::Generation;
use replica_backends::layers::{Fault, Faulty};
use replica_backends::{ErrorKind, Operation};

use super::assert_litestream_restores;
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

/// What stands beside merged objects, and is in them.
fn covered(replica: &Path) -> Vec<PathBuf> {
    let folder = replica.join("generations").join(Generation(7).to_string()).join("wal");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "lz4"));
    paths.sort_unstable();
    let seals: Vec<Seal> = paths.iter().map(|path| seal(&std::fs::read(path).unwrap())).collect();
    let is_covered = |n: usize| seals[..n].iter().any(|outer| covers(outer, &seals[n]));
    (0..paths.len()).filter(|n| is_covered(*n)).map(|n| paths[n].clone()).collect()
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
    assert_eq!(covered(&stage.replica()), Vec::<PathBuf>::new());
    assert_litestream_restores(stage, stage.commits);
}

/// A merge fails: its segments cannot be deleted, or not all of them. Once the merged object was taken back then, which
/// lost commits when that failed, too.
#[tokio::test]
async fn what_a_merge_could_not_delete_is_deleted_later() {
    for failing in 2..6 {
        let mut stage = Stage::new();
        let (deletions, replica) = (AtomicU8::new(0), stage.replica());
        let left = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&left);
        let backend = Faulty::new(Arc::clone(&stage.backend), move |call| {
            let fails = call.operation == Operation::Delete && deletions.fetch_add(1, Ordering::SeqCst) + 1 == failing;
            if fails && !covered(&replica).is_empty() {
                noticed.store(true, Ordering::SeqCst);
            }
            fails.then_some(Fault::Before(ErrorKind::Unavailable))
        });
        assert_nothing_is_lost(&mut stage, backend).await;
        assert!(left.load(Ordering::SeqCst), "a merge was interrupted");
    }
}

/// A merge fails. Another writer has seen the merged object and what it holds, and deletes that some requests later;
/// or the store does so itself, whose answer was late. If the merged object had been taken back meanwhile, the commits
/// would be lost.
#[tokio::test]
async fn a_merge_that_another_writer_relies_on_is_not_undone() {
    for later in 0..12 {
        let mut stage = Stage::new();
        let (deletions, replica) = (AtomicU8::new(0), stage.replica());
        let (seen, calls) = (Mutex::new(Vec::new()), AtomicU8::new(0));
        let deleted = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&deleted);
        let backend = Faulty::new(Arc::clone(&stage.backend), move |call| {
            let mut seen = seen.lock().unwrap();
            if !seen.is_empty() && calls.fetch_add(1, Ordering::SeqCst) == later {
                for path in seen.drain(..) {
                    // It may be gone already.
                    let _ = std::fs::remove_file(path);
                }
                noticed.store(true, Ordering::SeqCst);
            }
            let fails = call.operation == Operation::Delete && deletions.fetch_add(1, Ordering::SeqCst) == 1;
            if fails {
                *seen = covered(&replica);
            }
            fails.then_some(Fault::Before(ErrorKind::Unavailable))
        });
        assert_nothing_is_lost(&mut stage, backend).await;
        assert!(deleted.load(Ordering::SeqCst), "a merge was interrupted");
    }
}

/// Litestream would not see what is shipped behind segments that could not be deleted.
#[tokio::test]
async fn a_store_that_refuses_deletions_gets_no_merged_object() {
    let mut stage = Stage::new();
    let (replica, replaced) = (stage.replica(), Arc::new(AtomicBool::new(false)));
    let noticed = Arc::clone(&replaced);
    let backend = Faulty::new(Arc::clone(&stage.backend), move |call| {
        if call.operation == Operation::Put && replica.join(call.key).exists() {
            noticed.store(true, Ordering::SeqCst);
        }
        (call.operation == Operation::Delete).then_some(Fault::Before(ErrorKind::PermissionDenied))
    });
    assert_nothing_is_lost(&mut stage, backend).await;
    assert!(!replaced.load(Ordering::SeqCst));
}
