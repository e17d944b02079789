//! Disks that say EIO now and then, and one that becomes read-only.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::*;

/// Starts a replicator for which so many reads, writes and syncs of the files below `under` fail while the file
/// `failing` exists.
fn follow_failing(scene: &Scene, under: &Path, percent: u64) -> Replicator {
    let mut command = scene.replicate_command();
    command.env("LD_PRELOAD", faulty_disk(&scene.path(""))).env("FAULTY_UNDER", under);
    command.env("FAULTY_WHILE", scene.path("failing")).env("FAULTY_PERCENT", percent.to_string());
    Replicator::start(command, scene.path("log"))
}

/// Follows a database while they fail, then without, and looks at the result. Returns what was said.
fn fail_below(scene: &Scene, under: &Path, percent: u64) -> String {
    let failing = scene.path("failing");
    let replicator = follow_failing(scene, under, percent);
    replicator.wait_for(" stored db=");
    let mut writer = scene.writer(&["--pause", "0.003", "--autocheckpoint", "30"]);
    for _ in 0..setting("LIGHTSHIP_EIO_ROUNDS", 1) {
        fs::write(&failing, "").unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        let position = reported(&scene.log()).unwrap();
        let stored = scene.restored_from(scene.replica(), &["-position", &position]);
        chain_length(&stored.unwrap_or_else(|error| panic!("{position} is lost: {error}\n{}", scene.log())));
        fs::remove_file(&failing).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    writer.child.kill().unwrap();
    writer.child.wait().unwrap();
    replicator.stop_well();
    let log = scene.log();
    assert_restores(scene, &log);
    log
}

fn scene() -> Scene {
    let mut scene = Scene::with_chain(4096);
    scene.database_keys = "min-checkpoint-page-count: 60\ncheckpoint-interval: 150ms".to_owned();
    scene
}

#[test]
fn a_replica_whose_disk_says_eio_has_nothing_that_is_not_whole_and_catches_up() {
    let scene = scene();
    let log = fail_below(&scene, scene.replica(), 30);
    assert!(log.contains("cannot write to the replica"), "{log}");
}

/// From the first file that is to be kept there to the last.
#[test]
fn a_state_folder_whose_disk_says_eio_costs_nothing_but_a_warning() {
    let scene = scene();
    let failing = scene.path("failing");
    fs::write(&failing, "").unwrap();
    let replicator = follow_failing(&scene, &scene.path(".app.db-lightship"), 100);
    replicator.wait_for(" stored db=");
    let before = scene.handovers();
    let writer = scene.writer(&["--pause", "0.003", "--autocheckpoint", "30"]);
    wait_until("a handover", || scene.handovers() > before);
    drop(writer);
    replicator.stop_well();
    let log = scene.log();
    assert_restores(&scene, &log);
    for kept in ["cannot keep the writer's name", "cannot keep the page hashes"] {
        assert!(log.contains(kept), "{log}");
    }
    assert_eq!(generations(scene.replica()).len(), 1, "{log}");
}

/// Nothing is shipped that was not read as it was written, and the database is not harmed.
#[test]
fn a_database_whose_disk_says_eio_is_followed_again_when_it_can_be_read() {
    let scene = scene();
    let log = fail_below(&scene, &scene.db(), 10);
    assert!(log.contains("I/O error") || log.contains("Input/output error"), "{log}");
}

#[test]
fn a_replica_whose_disk_becomes_read_only_catches_up_when_it_can_be_written_again() {
    let name = "disks::errors::a_replica_whose_disk_becomes_read_only_catches_up_when_it_can_be_written_again";
    if !in_mount_namespace(name) {
        return;
    }
    let mut scene = scene();
    let disk = scene.path("disk");
    fs::create_dir(&disk).unwrap();
    mount_tmpfs(&disk, "64m");
    scene.replicas = vec![disk.join("replica")];
    let remount = |how: &str| {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,{how}")]).arg(&disk);
        command.output().unwrap().status.success()
    };
    let replicator = scene.replicate_and_wait();
    let writer = scene.writer(&["--pause", "0.003"]);
    // Not while a file is open for writing.
    wait_until("a moment to make it read-only", || remount("ro"));
    replicator.wait_for("cannot write to the replica; will keep trying");
    let position = reported(&scene.log()).unwrap();
    chain_length(&scene.restored_from(scene.replica(), &["-position", &position]).unwrap());
    assert!(remount("rw"));
    replicator.wait_for("the replica can be written again");
    drop(writer);
    replicator.stop_well();
    assert_restores(&scene, &scene.log());
}

#[test]
fn deletions_that_a_store_only_says_it_has_done_are_told() {
    let mut scene = scene();
    let replica = scene.path("thinned");
    scene.more_replicas =
        format!("      - {{name: thinned, type: file, path: {}, snapshot-interval: 200ms}}\n", replica.display());
    let replicator = scene.replicate_and_wait();
    let mut writer = scene.writer(&["--pause", "0.003", "--commits", "300", "--autocheckpoint", "0"]);
    writer.commits();
    replicator.stop_well();
    let snapshots = || objects(&replica).iter().filter(|object| object.contains("/snapshots/")).count();
    let before = snapshots();
    assert!(before > 1, "{:?}", objects(&replica));
    let prune = || {
        let mut command = lightship();
        command.args(["retention", "-retention", "1ms", &url(&replica)]);
        command
    };
    let lies = prune()
        .env("LD_PRELOAD", faulty_disk(&scene.path("")))
        .env("FAULTY_UNDER", &replica)
        .env("FAULTY_UNLINK", "lies")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[lies.stdout, lies.stderr].concat()).into_owned();
    assert!(!lies.status.success() && said.contains("is still listed"), "{said}");
    assert_eq!(snapshots(), before);
    assert!(prune().output().unwrap().status.success());
    assert!(snapshots() < before);
    assert!(scene.source() == scene.restored_from(&replica, &[]).unwrap());
}
