//! What happens to a database file beside being written to.

use std::fs;
use std::time::Duration;

use super::scene::*;

const TABLE: &str = "PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, v);";

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Checks that the replica gets what is in the source, and stops.
fn ends_equal(scene: &Scene, replicator: Replicator) {
    replicator.stop_well();
    assert!(scene.source() == scene.restored(), "the restored database is not the source\n{}", scene.log());
}

fn query(scene: &Scene, sql: &str) -> String {
    let out = scene.path("answer");
    scene.sql(Shell::Cli, &format!(".once {}\n{sql}", out.display()));
    fs::read_to_string(out).unwrap().trim().to_owned()
}

#[test]
fn database_behind_a_symbolic_link_is_followed() {
    let mut scene = Scene::with_chain(4096);
    let link = scene.path("link.db");
    std::os::unix::fs::symlink(scene.db(), &link).unwrap();
    scene.configured_path = link;
    let replicator = scene.replicate_and_wait();
    let mut writer = scene.writer(&["--commits", "20", "--stay"]);
    writer.commits();
    ends_equal(&scene, replicator);
}

/// They wait for every reader, with the write lock in hand; and a replicator always reads.
#[test]
fn checkpoints_of_the_applications_that_wait_for_readers_need_not_wait_for_us() {
    let scene = Scene::with_chain(4096);
    let replicator = scene.replicate_and_wait();
    let kinds: [&[&str]; 2] = [&["--checkpoints", "--patience", "20"], &["--writer", "2"]];
    let common = ["--commits", "60", "--pause", "0.01", "--stay"];
    let mut writers = kinds.map(|kind| scene.writer(&[&common, kind].concat()));
    let commits: u64 = writers.iter_mut().map(Writer::commits).sum();
    writers.into_iter().for_each(Writer::leave);
    assert_eq!(commits, 120, "{}", scene.log());
    assert!(scene.log().contains("gave way to a checkpoint"), "{}", scene.log());
    ends_equal(&scene, replicator);
}

#[test]
fn database_and_its_folder_may_appear_later() {
    let mut scene = Scene::new();
    scene.configured_path = scene.path("later/app.db");
    let replicator = scene.replicate();
    replicator.wait_for("there is no database yet");
    fs::create_dir(scene.path("later")).unwrap();
    pause(200);
    fs::write(&scene.configured_path, "").unwrap();
    pause(200);
    Shell::Cli.run(&scene.configured_path, TABLE);
    Shell::Python.run(&scene.configured_path, "INSERT INTO t VALUES (1, 'first');");
    replicator.wait_for("snapshot written");
    replicator.stop_well();
    Shell::Python.run(&scene.configured_path, "PRAGMA wal_checkpoint(TRUNCATE);");
    assert!(fs::read(&scene.configured_path).unwrap() == scene.restored());
}

#[test]
fn database_in_rollback_mode_is_converted_and_said_so() {
    let scene = Scene::new();
    scene.sql(Shell::Cli, "CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
    let replicator = scene.replicate_and_wait();
    replicator.wait_for("switching it to WAL mode");
    scene.sql(Shell::Cli, "INSERT INTO t VALUES (1, 2);");
    assert_eq!(query(&scene, "PRAGMA journal_mode;"), "wal");
    ends_equal(&scene, replicator);
}

#[test]
fn database_in_rollback_mode_stays_untouched_if_it_may_not_be_converted() {
    let mut scene = Scene::new();
    scene.database_keys = "convert-to-wal: false".to_owned();
    scene.sql(Shell::Cli, "CREATE TABLE t (id INTEGER PRIMARY KEY, v);");
    let before = fs::read(scene.db()).unwrap();
    let replicator = scene.replicate();
    replicator.wait_for("PRAGMA journal_mode=wal");
    pause(300);
    assert!(fs::read(scene.db()).unwrap() == before, "the database was written");
    assert!(objects(scene.replica()).is_empty());
    // The application follows the advice.
    scene.sql(Shell::Cli, "PRAGMA journal_mode = wal; INSERT INTO t VALUES (1, 2);");
    replicator.wait_for("snapshot written");
    ends_equal(&scene, replicator);
}

#[test]
fn database_that_is_deleted_and_made_again_begins_a_new_generation() {
    let scene = Scene::with_chain(4096);
    let replicator = scene.replicate_and_wait();
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        fs::remove_file(scene.path(name)).unwrap();
    }
    replicator.wait_for("the database file was deleted");
    scene.sql(Shell::Python, &format!("{TABLE} INSERT INTO t VALUES (1, 'new');"));
    wait_until("a second generation", || generations(scene.replica()).len() == 2);
    scene.sql(Shell::Python, "INSERT INTO t VALUES (2, 'newer');");
    ends_equal(&scene, replicator);
}

/// Each TRUNCATE of an idle WAL counts its salt up, so the next WAL does not follow ours by one.
#[test]
fn idle_database_may_be_truncated_again_and_again() {
    let mut scene = Scene::with_chain(4096);
    scene.database_keys = "min-checkpoint-page-count: 1".to_owned();
    let replicator = scene.replicate_and_wait();
    for _ in 0..5 {
        scene.writer(&["--commits", "3"]).commits();
        pause(100);
        for _ in 0..3 {
            scene.sql(Shell::Python, "PRAGMA wal_checkpoint(TRUNCATE);");
        }
    }
    ends_equal(&scene, replicator);
    assert!(!scene.log().contains("continuity lost"), "{}", scene.log());
    assert_eq!(generations(scene.replica()).len(), 1);
}

/// While it is followed the journal mode cannot change: SQLite needs the database for itself for that.
#[test]
fn journal_mode_cannot_be_flipped_while_it_is_followed() {
    let scene = Scene::with_chain(4096);
    let replicator = scene.replicate_and_wait();
    let answer = query(&scene, "PRAGMA journal_mode;");
    assert_eq!(answer, "wal");
    let flip = python("run_sql.py")
        .arg(scene.db())
        .args(["--stay", "PRAGMA busy_timeout = 100; PRAGMA journal_mode = delete;"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(!flip.status.success(), "the journal mode could be changed");
    scene.writer(&["--commits", "20"]).commits();
    ends_equal(&scene, replicator);
}

/// An application in exclusive locking mode lets nobody else in: that is said, and followed as soon as it is over.
#[test]
fn database_locked_exclusively_is_followed_when_it_is_let_go() {
    let scene = Scene::with_chain(4096);
    let sql = "PRAGMA locking_mode = EXCLUSIVE; CREATE TABLE e (x); INSERT INTO e VALUES (1);";
    let app = Writer::start(python("run_sql.py").arg(scene.db()).args(["--stay", sql]));
    let replicator = scene.replicate();
    replicator.wait_for("locked by another process");
    app.leave();
    replicator.wait_for("snapshot written");
    ends_equal(&scene, replicator);
}

/// One of two replicas stands on a disk that is full for a while. The other one does not notice, and the
/// first catches up.
#[test]
fn full_replica_delays_no_other_and_catches_up() {
    if !in_mount_namespace("follow::events::full_replica_delays_no_other_and_catches_up") {
        return;
    }
    let mut scene = Scene::with_chain(4096);
    let disk = scene.path("small-disk");
    fs::create_dir(&disk).unwrap();
    mount_tmpfs(&disk, "1m");
    scene.replicas.push(disk.join("replica"));
    let replicator = scene.replicate_and_wait();
    let ballast = disk.join("ballast");
    // Whatever fits: the disk is full afterwards.
    let _ = fs::write(&ballast, vec![1; 2 << 20]);
    let mut writer = scene.writer(&["--commits", "200", "--stay"]);
    writer.commits();
    replicator.wait_for("cannot write to the replica; will keep trying");
    wait_until("the other replica to have everything", || chain_length(&scene.restored()) == 200);
    fs::remove_file(ballast).unwrap();
    remount_tmpfs(&disk, "64m");
    replicator.wait_for("the replica can be written again");
    replicator.stop_well();
    drop(writer);
    let source = scene.source();
    assert!(source == scene.restored());
    assert!(source == scene.restored_from(&scene.replicas[1], &[]).unwrap());
}
