//! Writers at full speed, and nobody ever pauses.

use std::path::Path;
use std::time::{Duration, Instant};

use super::felt::Felt;
use super::scene::*;

/// Restores again and again until `end`: each must be the state after some commit, and none an older one than the one
/// before. Returns how many there were.
fn restore_until(end: Instant, scene: &Scene) -> u64 {
    let (mut restores, mut last) = (0, 0);
    while Instant::now() < end {
        let length = chain_length(&scene.restored());
        assert!(length >= last, "a restore went back from commit {last} to {length}");
        (restores, last) = (restores + 1, length);
    }
    restores
}

/// Nobody writes any more: nothing is missing, and continuity was never lost.
pub fn assert_followed(scene: &Scene, replicator: Replicator, commits: u64) {
    replicator.stop_well();
    let log = scene.log();
    assert_eq!(chain_length(&scene.source()), commits);
    assert!(scene.source() == scene.restored(), "the restored database is not the source\n{log}");
    assert!(!log.contains("continuity lost"), "{log}");
    assert_eq!(generations(scene.replica()).len(), 1, "{log}");
}

/// Two that checkpoint after every commit, one that asks for FULL, RESTART, TRUNCATE and PASSIVE checkpoints at random,
/// one with long readers.
const AT_FULL_SPEED: [&[&str]; 4] =
    [&["--autocheckpoint", "1"], &["--autocheckpoint", "1"], &["--checkpoints"], &["--readers"]];

/// Four writer processes at full speed. Restores run in a loop beside them; each must be the state after some commit,
/// and the last one the source byte for byte.
///
/// `LIGHTSHIP_STORM_SECONDS` is how long the writers write. A minute or an hour is a good test of a release.
///
/// The first version of the follower never handed over at all: its checkpointing connection had never read, so it did
/// not know that there was a WAL. When that was cured continuity was lost ten times a second: a checkpoint that was
/// refused because another process was at it was taken for proof that frames were left to copy.
///
/// Writers that never pause starve one another, with or without a replicator: SQLite sleeps up to 100 ms between two
/// tries, and whoever sleeps meets the lock between two commits of the others by chance only.
#[test]
fn storm_of_writers_is_followed_without_losing_continuity() {
    let seconds = setting("LIGHTSHIP_STORM_SECONDS", 8);
    let mut scene = Scene::with_chain(4096);
    // Handovers all the time, however fast the storm writes.
    scene.database_keys = "min-checkpoint-page-count: 250".to_owned();
    let felt = follow_a_storm(&scene, seconds);
    let indexes = indexes(scene.replica());
    assert!(indexes as u64 >= seconds / 2, "only {indexes} indexes in {seconds} s");
    felt.assert_no_refusal_is_ours(Duration::from_secs(30));
}

/// Writers at full speed for so many seconds, a replicator, and restores in a loop beside them.
pub fn follow_a_storm(scene: &Scene, seconds: u64) -> Felt {
    // So that the database is not let go of before the storm begins.
    let app = Writer::start(python("run_sql.py").arg(scene.db()).args(["--stay", "SELECT * FROM chain"]));
    let replicator = scene.replicate_and_wait();
    let mut writers = storm(scene, &["--seconds", &seconds.to_string()], &AT_FULL_SPEED);
    let restores = restore_until(Instant::now() + Duration::from_secs(seconds), scene);
    let felt = Felt::of(scene, &mut writers);
    writers.into_iter().for_each(Writer::leave);
    app.leave();
    assert_followed(scene, replicator, felt.commits);
    println!("{restores} restores and {} indexes in {seconds} s; {felt}", indexes(scene.replica()));
    felt
}

/// Starts writers that tell how long they waited, each with arguments of its own and with those of all.
pub fn storm(scene: &Scene, all: &[&str], kinds: &[&[&str]]) -> Vec<Writer> {
    let start = |(n, kind): (u32, &&[&str])| {
        scene.writer(&[&["--writer", &n.to_string(), "--stay", "--waits"], all, kind].concat())
    };
    (1_u32..).zip(kinds).map(start).collect()
}

/// Applications that have not much patience, beside handovers all the time; on a disk that is memory, so that nobody
/// waits for anything else.
#[test]
fn writers_that_wait_for_a_tenth_of_a_second_at_most_are_never_refused() {
    let seconds = setting("LIGHTSHIP_STORM_SECONDS", 8);
    let mut scene = Scene::with_chain_within(Path::new("/dev/shm"), 4096);
    scene.database_keys = "min-checkpoint-page-count: 50".to_owned();
    let replicator = scene.replicate_and_wait();
    let pace = ["--seconds", &seconds.to_string(), "--busy-timeout", "0.1", "--pause", "0.01"];
    let mut writers = storm(&scene, &pace, &[&[], &[], &["--readers"]]);
    let restores = restore_until(Instant::now() + Duration::from_secs(seconds), &scene);
    let felt = Felt::of(&scene, &mut writers);
    writers.into_iter().for_each(Writer::leave);
    assert_followed(&scene, replicator, felt.commits);
    println!("{restores} restores in {seconds} s; {felt}");
    assert_eq!(felt.refused, 0, "{felt}");
    assert!(felt.handovers > seconds, "{felt}");
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
