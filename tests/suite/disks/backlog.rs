//! A WAL that has grown large: all of it is shipped from there, while writers that have little patience go on.
//!
//! `LIGHTSHIP_BACKLOG_MB` is how large.

use std::fs;
use std::time::Duration;

use super::*;
use crate::follow::felt::Felt;
use crate::follow::storm::{assert_followed, storm};

/// A database that somebody has open.
fn scene(mb: u64) -> (Scene, Writer) {
    let mut scene = Scene::with_chain(4096);
    if mb > 800 {
        scene.database_keys = format!("max-wal-mib: {}", 2 * mb);
    }
    let app = Writer::start(python("run_sql.py").arg(scene.db()).args(["--stay", "SELECT * FROM chain"]));
    (scene, app)
}

/// Writes until the WAL is large; then `end_it` ends what it was that kept it from being shipped or copied back, and
/// the replicator that it returns has to catch up, in bounded memory, while writers go on.
fn a_backlog_is_shipped(mb: u64, scene: &Scene, autocheckpoint: &str, end_it: impl FnOnce() -> Replicator) {
    let enough = scene.path("enough");
    let until = ["--until", enough.to_str().unwrap(), "--autocheckpoint", autocheckpoint];
    // So much that SQLite itself refuses none of them.
    let paced = ["--busy-timeout", "0.1", "--pause", "0.02", "--ballast", "100000"];
    let mut writers = storm(scene, &[&until[..], &paced[..]].concat(), &[&[], &[], &["--readers"]]);
    let patience = PATIENCE + Duration::from_secs(mb);
    wait_within(patience, "a large WAL", || scene.wal_mib() >= mb);
    let before = scene.handovers();
    let replicator = end_it();
    let mut memory_max = 0;
    // A handover means that everything, or all but a few megabytes, is shipped.
    wait_within(patience, "a handover", || {
        memory_max = memory_max.max(replicator.resident_megabytes());
        scene.handovers() > before
    });
    fs::write(enough, "").unwrap();
    let felt = Felt::of(scene, &mut writers);
    writers.into_iter().for_each(Writer::leave);
    memory_max = memory_max.max(replicator.resident_megabytes());
    assert_followed(scene, replicator, felt.commits);
    println!("a WAL of {mb} MB, {memory_max} MB of memory at most; {felt}");
    assert!(memory_max < 64, "{memory_max} MB");
    let snapshots = objects(scene.replica()).iter().filter(|object| object.contains("/snapshots/")).count();
    assert_eq!(snapshots, 1, "it was not shipped from the WAL\n{}", scene.log());
    assert!(!scene.log().contains("giving up on replicas"), "{}", scene.log());
    felt.assert_no_refusal_is_ours(Duration::from_millis(100));
}

fn backlog() -> u64 {
    setting("LIGHTSHIP_BACKLOG_MB", 64)
}

#[test]
fn a_backlog_of_a_replica_that_was_dead_is_shipped_from_the_wal() {
    let (mut scene, app) = scene(backlog());
    let failing = scene.path("failing");
    scene.environment = vec![
        ("LD_PRELOAD", faulty_disk(&scene.path(""))),
        ("FAULTY_UNDER", scene.replica().to_owned()),
        ("FAULTY_PERCENT", "100".into()),
        ("FAULTY_WHILE", failing.clone()),
    ];
    let replicator = scene.replicate_and_wait();
    scene.environment.clear();
    fs::write(&failing, "").unwrap();
    a_backlog_is_shipped(backlog(), &scene, "1000", || {
        assert!(scene.log().contains("cannot write to the replica"), "{}", scene.log());
        fs::remove_file(&failing).unwrap();
        replicator
    });
    app.leave();
}

/// An application that leaves checkpoints to the replicator.
#[test]
fn a_backlog_of_a_time_in_which_nobody_replicated_is_shipped_from_the_wal() {
    let (scene, app) = scene(backlog());
    let replicator = scene.replicate_and_wait();
    scene.sql(Shell::Python, "CREATE TABLE t (v); INSERT INTO t VALUES (1);");
    replicator.wait_for(" stored db=");
    replicator.kill();
    a_backlog_is_shipped(backlog(), &scene, "0", || scene.replicate());
    app.leave();
}

#[test]
fn a_backlog_behind_a_long_reader_is_copied_back_when_it_ends() {
    let (scene, app) = scene(backlog());
    let replicator = scene.replicate_and_wait();
    let sql = "BEGIN; SELECT count(*) FROM chain;";
    let reader = Writer::start(python("run_sql.py").arg(scene.db()).args(["--stay", sql]));
    a_backlog_is_shipped(backlog(), &scene, "1000", || {
        reader.leave();
        replicator
    });
    app.leave();
}
