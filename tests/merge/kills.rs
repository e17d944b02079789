//! Merges that are cut off between any two of their steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lightship::segment::Decoder;
use replica_backends::Backend;
use replica_backends::layers::{Fault, Faulty};
use replica_backends::{ErrorKind, Operation};

use super::stage::Stage;
use super::verify::assert_sound;
use super::{assert_litestream_restores, setting};

/// A store whose client dies in step number `step` of all merges, before or after the store has done it: nothing
/// reaches the store from then on.
fn dying(stage: &Stage, step: u64, after: bool, dead: &Arc<AtomicBool>) -> Arc<dyn Backend> {
    let (seen, dead, replica) = (AtomicU64::new(0), Arc::clone(dead), stage.replica());
    Arc::new(Faulty::new(Arc::clone(&stage.backend), move |call| {
        if dead.load(Ordering::SeqCst) {
            return Some(Fault::Before(ErrorKind::Unavailable));
        }
        let replaces = call.operation == Operation::Put && replica.join(call.key).exists();
        if !(replaces || call.operation == Operation::Delete) || seen.fetch_add(1, Ordering::SeqCst) + 1 < step {
            return None;
        }
        dead.store(true, Ordering::SeqCst);
        let kind = ErrorKind::Unavailable;
        Some(if after { Fault::After(kind) } else { Fault::Before(kind) })
    }))
}

/// Dies in step `step`, looks at what is left, goes on, and looks again.
async fn die_in(step: u64, after: bool) {
    let mut stage = Stage::new();
    let dead = Arc::new(AtomicBool::new(false));
    let mut running = stage.start_on(dying(&stage, step, after, &dead)).await;
    let mut shipped = 0;
    while !dead.load(Ordering::SeqCst) {
        if stage.commit_unless(&mut running, &dead).await {
            shipped = stage.commits;
        }
        assert!(stage.commits < 400, "there is no step {step}");
        tokio::task::yield_now().await;
    }
    running.kill().await;
    assert_sound(&stage).await;
    stage.check(shipped).await;
    assert_litestream_restores(&stage, shipped);

    let mut running = stage.start().await;
    for _ in 0..3 {
        stage.commit(&mut running).await;
        assert_litestream_restores(&stage, stage.commits);
    }
    for commit in [shipped.saturating_sub(3), shipped, stage.commits] {
        stage.check(commit).await;
    }
    running.stop().await;
    assert_sound(&stage).await;
    assert_litestream_restores(&stage, stage.commits);
    assert_no_leftovers(&stage);
}

/// Each segment begins where the one before it ends.
fn assert_no_leftovers(stage: &Stage) {
    let (mut index, mut end) = (String::new(), 0);
    for key in stage.keys().iter().filter(|key| key.contains("/wal/")) {
        let (at, offset) = key.rsplit_once('/').unwrap().1.split_once('_').unwrap();
        let offset = u64::from_str_radix(&offset[..8], 16).unwrap();
        if index != *at {
            (index, end) = (at.to_owned(), 0);
        }
        assert_eq!(offset, end, "{key} of {:?}", stage.keys());
        let object = std::fs::read(stage.replica().join(key)).unwrap();
        let mut decoder = Decoder::new(object.as_slice());
        while let Some(block) = decoder.next_block().unwrap() {
            end += block.len() as u64;
        }
    }
}

#[tokio::test]
async fn a_merge_of_the_growing_index_may_die_in_any_step() {
    for step in 1..=7 {
        die_in(step, false).await;
        die_in(step, true).await;
    }
}

#[tokio::test]
async fn merges_of_every_kind_may_die_in_any_step() {
    for round in 0..setting("LIGHTSHIP_MERGE_DEATHS", 8) {
        die_in(fastrand::u64(7..110), round % 2 == 0).await;
    }
}
