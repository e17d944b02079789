//! A store that lies: deletions that do not happen, and listings that are old or in the wrong order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::proxy::{Fault, Proxy, Request};
use super::stage::*;

/// Answers of `restore` and `verify` by way of the proxy.
fn by_way_of(proxy: &Proxy, stage: &Stage, arguments: &[&str]) -> (Option<i32>, String) {
    let output = stage.scene.path("by-way");
    let mut command = lightship();
    log_in(&mut command);
    command.args(arguments);
    if arguments[0] == "restore" {
        command.arg("-o").arg(&output);
    }
    let ended = command.arg(format!("s3://bucket.localhost:{}/app", proxy.address.port())).output().unwrap();
    let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    (ended.status.code(), text)
}

fn lies_about_deletion(count: &Arc<AtomicUsize>) -> impl FnMut(&Request) -> Fault + Send + use<> {
    let count = Arc::clone(count);
    move |request| {
        count.fetch_add(usize::from(request.is_deletion()), Ordering::Relaxed);
        if request.is_deletion() { Fault::LieAboutDeletion } else { Fault::None }
    }
}

/// What is still there is named, and it is tried again when the next look is due, and not before.
#[test]
fn a_deletion_that_does_not_happen_is_noticed_and_tried_again_when_the_next_look_is_due() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 50\nmerge-intervals: []".to_owned();
    let proxy = Proxy::before(stage.server.address);
    let keys = "sync-interval: 10ms, retention: 1s, retention-check-interval: 1s, snapshot-interval: 500ms";
    let stage = stage.via_with(proxy.address, keys);
    let asked = Arc::new(AtomicUsize::new(0));
    proxy.set(lies_about_deletion(&asked));
    let replicator = stage.replicate_and_wait();
    let first = stage.keys().into_iter().find(|key| key.contains("/snapshots/")).unwrap();
    let mut writer = stage.scene.writer(&["--seconds", "6", "--pause", "0.01", "--stay"]);
    writer.commits();
    replicator.wait_for("the store says that objects were deleted, but still lists them");
    // Nothing is shipped any more, and what is left is still asked for: once a look, of which there is one a second.
    let before = (asked.load(Ordering::Relaxed), stage.scene.log().matches("but still lists them").count());
    std::thread::sleep(Duration::from_millis(3500));
    let after = (asked.load(Ordering::Relaxed), stage.scene.log().matches("but still lists them").count());
    assert!(after.1 > before.1 && after.1 <= before.1 + 4, "{before:?} {after:?}");
    assert!(after.0 > before.0, "{before:?} {after:?}");
    assert!(stage.keys().contains(&first), "nothing has been deleted");
    wait_until("status to name it", || {
        let retention = stage.scene.status(&[]).0["replicas"][0]["retention"].clone();
        retention["fine"] == false && retention["says"].as_str().unwrap().contains("still lists")
    });
    proxy.set(|_| Fault::None);
    wait_until("the first snapshot to be deleted", || !stage.keys().contains(&first));
    replicator.stop_well();
    writer.leave();
    let log = stage.scene.log();
    assert!(stage.restored() == stage.scene.source(), "{log}");
    assert_eq!(by_way_of(&proxy, &stage, &["verify"]).0, Some(0), "{log}");
}

/// Merging leaves what it could not delete, inside of what was merged.
#[test]
fn merging_and_restarts_beside_deletions_that_do_not_happen_restore_to_the_same() {
    let mut stage = Stage::new();
    stage.scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via_with(proxy.address, "sync-interval: 10ms");
    let asked = Arc::new(AtomicUsize::new(0));
    proxy.set(lies_about_deletion(&asked));
    for _ in 0..2 {
        let replicator = stage.replicate_and_wait();
        let mut writer = stage.scene.writer(&["--commits", "150", "--pause", "0.005", "--stay"]);
        writer.commits();
        replicator.stop_well();
        writer.leave();
    }
    let log = stage.scene.log();
    let merges = log.matches("segments merged").count();
    assert!(merges > 0 && asked.load(Ordering::Relaxed) <= 2 * merges + 20, "{merges} {asked:?}\n{log}");
    let source = stage.scene.source();
    assert!(stage.restored() == source, "{log}");
    assert!(stage.restored_by(&litestream("LITESTREAM", "0.3.13")).unwrap() == source, "{log}");
    let (code, said) = by_way_of(&proxy, &stage, &["verify"]);
    assert_eq!(code, Some(0), "{said}\n{log}");
    assert!(!log.contains("CONFLICT") && log.matches("new generation db=").count() == 1, "{log}");
}

/// A listing that is refused is better than one that is believed: what comes out of order may be incomplete.
#[test]
fn a_listing_in_the_wrong_order_is_refused_by_everybody_and_waited_for_at_the_start() {
    let mut stage = Stage::new();
    // What is merged may be one object, of which there is only one order.
    stage.scene.database_keys = "merge-intervals: []".to_owned();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via_with(proxy.address, "sync-interval: 10ms");
    let replicator = stage.replicate_and_wait();
    let mut writer = stage.scene.writer(&["--commits", "20", "--pause", "0.05", "--stay"]);
    writer.commits();
    replicator.stop_well();
    proxy.set(|_| Fault::ShuffledList);
    for command in ["restore", "verify", "generations"] {
        let (code, said) = by_way_of(&proxy, &stage, &[command]);
        assert!(code != Some(0) && said.contains("order"), "{command}: {code:?} {said}");
    }
    let replicator = stage.replicate();
    wait_for_of_start(&stage.scene, 2, "order");
    proxy.set(|_| Fault::None);
    wait_for_of_start(&stage.scene, 2, "continuing the generation");
    replicator.stop_well();
    writer.leave();
    assert!(stage.restored() == stage.scene.source(), "{}", stage.scene.log());
}

/// Whoever is told what was there some time ago restores what was there then, or says that something is missing. A
/// replicator that begins with such a listing finds names taken: it overwrites nothing.
#[test]
fn an_old_listing_never_makes_anything_wrong_and_nothing_is_overwritten() {
    let stage = Stage::new();
    let proxy = Proxy::before(stage.server.address);
    let stage = stage.via_with(proxy.address, "sync-interval: 10ms");
    let mut lengths = Vec::new();
    for round in 0..3 {
        let replicator = stage.replicate_and_wait();
        let mut writer = stage.scene.writer(&["--commits", "25", "--pause", "0.02", "--stay"]);
        writer.commits();
        replicator.stop_well();
        writer.leave();
        if round == 0 {
            // The listings that everybody is told from now on.
            assert_eq!(by_way_of(&proxy, &stage, &["restore"]).0, Some(0));
            lengths.push(chain_length(&std::fs::read(stage.scene.path("by-way")).unwrap()));
            std::fs::remove_file(stage.scene.path("by-way")).unwrap();
            proxy.set(|request| if request.is_list() { Fault::StaleList } else { Fault::None });
        }
    }
    let (code, said) = by_way_of(&proxy, &stage, &["restore"]);
    match code {
        Some(0) => lengths.push(chain_length(&std::fs::read(stage.scene.path("by-way")).unwrap())),
        _ => assert!(said.contains("generations/"), "{said}"),
    }
    let source = stage.scene.source();
    assert!(lengths.iter().all(|length| *length <= chain_length(&source)), "{lengths:?}");
    let log = stage.scene.log();
    assert!(stage.restored() == source, "{log}");
    assert_eq!(by_way_of(&Proxy::before(stage.server.address), &stage, &["verify", "-all"]).0, Some(0), "{log}");
    super::faults::assert_nothing_was_overwritten(&proxy.requests());
}
