//! Two replicas, one of which is behind the other: it gets a snapshot, and the other one's history goes on.

use std::fs;

use super::resync::{filled, is_one_history, replicate_once, says_difference};
use super::scene::*;

/// It has lost its disk.
#[test]
fn replica_that_has_nothing_gets_a_snapshot_while_the_other_gets_the_difference() {
    let mut scene = filled(300);
    scene.replicas.push(scene.path("second"));
    replicate_once(&scene);
    let generation = generations(scene.replica());
    fs::remove_dir_all(&scene.replicas[1]).unwrap();
    scene.sql(Shell::Python, "UPDATE t SET v = randomblob(99) WHERE id < 9; PRAGMA wal_checkpoint(TRUNCATE);");
    replicate_once(&scene);
    wait_until("the snapshot", || !objects(&scene.replicas[1]).is_empty());
    scene.sql(Shell::Python, "UPDATE t SET v = randomblob(99) WHERE id = 1;");
    replicate_once(&scene);
    says_difference(&scene);
    assert!(scene.source() == scene.restored_from(&scene.replicas[1], &[]).unwrap());
    assert_eq!(generations(&scene.replicas[1]), generation);
    is_one_history(&scene);
}

/// The other replica goes on meanwhile, so this one gets a snapshot several indexes later. Litestream 0.3 stops with a
/// panic if such a snapshot lies more than one index behind the last segment.
#[test]
fn replica_that_missed_several_indexes_can_be_restored_at_once_and_tells_of_its_gap() {
    let mut scene = filled(300);
    let second = scene.path("second");
    scene.replicas.push(second.clone());
    replicate_once(&scene);
    scene.sql(Shell::Python, "UPDATE t SET v = randomblob(99) WHERE id < 5; PRAGMA wal_checkpoint(TRUNCATE);");
    replicate_once(&scene);
    let before = scene.source();
    scene.replicas.pop();
    for n in 0..4 {
        scene.sql(Shell::Python, &format!("UPDATE t SET v = 'x' WHERE id = {n}; PRAGMA wal_checkpoint(TRUNCATE);"));
        replicate_once(&scene);
    }
    scene.replicas.push(second.clone());
    replicate_once(&scene);
    let source = scene.source();
    assert!(source == scene.restored_from(&second, &[]).unwrap());
    let theirs = scene.restored_by(&litestream("LITESTREAM", "0.3.13"), &second);
    assert!(source == theirs.unwrap(), "{:?}\n{}", objects(&second), scene.log());

    let told = lightship().args(["points", "-json", &url(&second)]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told.as_array().unwrap().len(), 1, "{told:#}");
    let gaps = told[0]["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{told:#}\n{:?}", objects(&second));
    let at = gaps[0]["from"].as_str().unwrap();
    assert!(before == scene.restored_from(&second, &["-timestamp", at]).unwrap(), "{at}");
    let verified = lightship().args(["verify", "-all", &url(&second)]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    scene.sql(Shell::Python, "UPDATE t SET v = 'y' WHERE id = 9;");
    replicate_once(&scene);
    assert!(scene.source() == scene.restored_from(&second, &[]).unwrap());
    assert!(scene.source() == scene.restored_by(&litestream("LITESTREAM", "0.3.13"), &second).unwrap());
    is_one_history(&scene);
}
