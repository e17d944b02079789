//! Writers at full speed, and nobody ever pauses.

use std::time::{Duration, Instant};

use super::scene::*;

/// Four writer processes at full speed, two that checkpoint after every commit, one that asks for FULL, RESTART,
/// TRUNCATE and PASSIVE checkpoints at random, one with long readers. Restores run in a loop beside them; each must be
/// the state after some commit, and the last one the source byte for byte.
///
/// `LIGHTSHIP_STORM_SECONDS` is how long the writers write. A minute or an hour is a good test of a release.
///
/// The first version of the follower never handed over at all: its checkpointing connection had never read, so it did
/// not know that there was a WAL. When that was cured continuity was lost ten times a second: a checkpoint that was
/// refused because another process was at it was taken for proof that frames were left to copy.
#[test]
fn storm_of_writers_is_followed_without_losing_continuity() {
    let seconds = setting("LIGHTSHIP_STORM_SECONDS", 8);
    let mut scene = Scene::with_chain(4096);
    // Handovers all the time, however fast the storm writes.
    scene.database_keys = "min-checkpoint-page-count: 250".to_owned();
    // So that the database is not let go of before the storm begins.
    let app = Writer::start(python("run_sql.py").arg(scene.db()).args(["--stay", "SELECT * FROM chain"]));
    let replicator = scene.replicate_and_wait();
    let time = format!("{seconds}");
    let kinds: [&[&str]; 4] =
        [&["--autocheckpoint", "1"], &["--autocheckpoint", "1"], &["--checkpoints"], &["--readers"]];
    let mut writers: Vec<Writer> = (1_u32..)
        .zip(kinds)
        .map(|(n, kind)| scene.writer(&[&["--writer", &n.to_string(), "--seconds", &time, "--stay"], kind].concat()))
        .collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut restores, mut last) = (0, 0);
    while Instant::now() < end {
        let length = chain_length(&scene.restored());
        assert!(length >= last, "a restore went back from commit {last} to {length}");
        (restores, last) = (restores + 1, length);
    }
    let commits: u64 = writers.iter_mut().map(Writer::commits).sum();
    writers.into_iter().for_each(Writer::leave);
    app.leave();
    replicator.stop_well();
    assert_eq!(chain_length(&scene.source()), commits);
    assert!(scene.source() == scene.restored(), "the restored database is not the source");
    let log = scene.log();
    assert!(!log.contains("continuity lost"), "{log}");
    assert_eq!(generations(scene.replica()).len(), 1, "{log}");
    let indexes = indexes(scene.replica());
    println!("{commits} commits in {seconds} s, {restores} restores meanwhile, {indexes} indexes");
    assert!(indexes as u64 >= seconds / 2, "only {indexes} indexes in {seconds} s");
}

/// A database that is followed has, byte for byte, the content that it would have if it were not.
#[test]
fn following_leaves_no_trace_in_the_database() {
    let workload = ["--writer", "7", "--commits", "600", "--pause", "0.001", "--autocheckpoint", "100"];
    let databases: Vec<Vec<u8>> = [false, true]
        .into_iter()
        .map(|follow| {
            let mut scene = Scene::with_chain(4096);
            scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
            let replicator = follow.then(|| scene.replicate_and_wait());
            let mut writer = scene.writer(&workload);
            assert_eq!(writer.commits(), 600);
            writer.leave();
            if let Some(replicator) = replicator {
                replicator.stop_well();
                assert!(indexes(scene.replica()) > 5, "{}", scene.log());
            }
            scene.source()
        })
        .collect();
    assert!(databases[0] == databases[1], "following has changed the database");
}

/// The first version waited for events alone. An event tells of frames that were written, but a commit with
/// `synchronous=FULL`, SQLite's default, is published only when the disk has them: it was seen a second later, by the
/// poll. Half a second is far more than a disk needs, and far less than the poll.
#[test]
fn commit_that_waits_for_the_disk_is_shipped_without_waiting_for_the_poll() {
    let mut scene = Scene::with_chain(4096);
    scene.database_keys = "monitor-interval: 30s".to_owned();
    let replicator = scene.replicate_and_wait();
    for _ in 0..5 {
        let before = objects(scene.replica());
        let mut writer = scene.writer(&["--commits", "1", "--synchronous", "FULL", "--stay"]);
        writer.commits();
        let since = Instant::now();
        wait_until("the commit", || objects(scene.replica()).iter().any(|it| !before.contains(it)));
        assert!(since.elapsed() < Duration::from_millis(500), "shipped after {:?}", since.elapsed());
        std::thread::sleep(Duration::from_millis(300));
    }
    replicator.stop_well();
}
