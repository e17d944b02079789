//! A disk that writes 12 MB a second.

use std::time::Duration;

use super::*;
use crate::follow::felt::Felt;
use crate::follow::storm::{assert_followed, follow_a_storm, storm};

/// What it writes in a second.
const KB_PER_SECOND: u64 = 12_000;

/// Makes the disk of all files whose path begins with `under` slow, for those who start with this in their environment.
/// `cache`: so much the kernel takes at once, and writes later.
fn slow_disk(scene: &Scene, under: PathBuf, cache_kb: u64) -> Vec<(&'static str, PathBuf)> {
    let number = |number: u64| PathBuf::from(number.to_string());
    vec![
        ("LD_PRELOAD", faulty_disk(&scene.path(""))),
        ("FAULTY_UNDER", under),
        ("FAULTY_SLOW", number(KB_PER_SECOND)),
        ("FAULTY_CACHE", number(cache_kb)),
        ("FAULTY_QUEUE", scene.path("queue")),
    ]
}

/// Database and replica are on one slow disk, and nobody ever pauses: most of what everybody does is to wait for it.
#[test]
fn storm_of_writers_on_a_slow_disk_is_followed_without_losing_continuity() {
    let seconds = setting("LIGHTSHIP_STORM_SECONDS", 8);
    let mut scene = Scene::with_chain(4096);
    scene.database_keys = "min-checkpoint-page-count: 250".to_owned();
    scene.environment = slow_disk(&scene, scene.path(""), 1024);
    follow_a_storm(&scene, seconds).assert_no_refusal_is_ours(Duration::from_secs(30));
}

/// A reader keeps the WAL from being copied back while a large part of the database is written anew. When it ends the
/// disk needs many seconds for that; writers must not wait for it. `LIGHTSHIP_BACKLOG_MB` is how large the WAL is.
///
/// SQLite has the disk take what was copied only when it copies the last frame, and it copied that with our write lock
/// held: 300 MB were a quarter of a second on a fast disk, for which every writer had to wait.
#[test]
fn backlog_is_written_to_a_slow_disk_without_the_write_lock() {
    let mb = setting("LIGHTSHIP_BACKLOG_MB", 64);
    let mut scene = Scene::with_chain(4096);
    // Only the replicator feels how slow the disk is, so what is waited for is its own doing.
    scene.environment = slow_disk(&scene, scene.db(), 1 << 20);
    scene.database_keys = format!("max-wal-mib: {}", 1024.max(2 * mb));
    let replicator = scene.replicate_and_wait();
    scene.environment.clear();
    let sql = "BEGIN; SELECT count(*) FROM chain;";
    let reader = Writer::start(python("run_sql.py").arg(scene.db()).args(["--stay", sql]));
    let (large, enough) = (scene.path("large"), scene.path("enough"));
    let until = |file: &Path, more: &[&'static str]| {
        let all = ["--busy-timeout", "0.1", "--autocheckpoint", "0", "--until", file.to_str().unwrap()];
        storm(&scene, &all, &[more, more])
    };
    // So many commits that there is always one between a look and the next.
    let mut writers = until(&enough, &["--pause", "0.001"]);
    writers.extend(until(&large, &["--pause", "0.02", "--ballast", "200000"]));
    let patience = PATIENCE + Duration::from_secs(mb);
    wait_within(patience, "a large WAL", || scene.wal_mib() >= mb);
    std::fs::write(large, "").unwrap();
    let before = scene.handovers();
    reader.leave();
    wait_within(patience, "a handover", || scene.handovers() > before);
    std::fs::write(enough, "").unwrap();
    let felt = Felt::of(&scene, &mut writers);
    writers.into_iter().for_each(Writer::leave);
    assert_followed(&scene, replicator, felt.commits);
    println!("{mb} MB were copied; {felt}");
    let takes = Duration::from_millis(mb * 1_000_000 / KB_PER_SECOND);
    assert!(felt.held.max < takes / 10, "the disk takes {takes:?} for {mb} MB: {felt}\n{}", scene.log());
}
