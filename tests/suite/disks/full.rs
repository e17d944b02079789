//! The disk under the database and its state folder is full.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// Fills a disk to its last byte. Returns the file with which.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = File::create(&path).unwrap();
    for len in [64 << 10, 1] {
        let piece = vec![0; len];
        let error = std::iter::repeat_with(|| file.write_all(&piece)).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
    path
}

/// Nothing can be copied back and no state be kept; what was committed before is shipped, and nothing is lost.
#[test]
fn a_database_whose_disk_is_full_is_followed_on_and_nothing_is_lost() {
    let name = "disks::full::a_database_whose_disk_is_full_is_followed_on_and_nothing_is_lost";
    if !in_mount_namespace(name) {
        return;
    }
    let (disk, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    mount_tmpfs(disk.path(), "32m");
    let mut scene = Scene::with_chain_within(disk.path(), 4096);
    scene.replicas = vec![elsewhere.path().join("replica")];
    scene.database_keys = "min-checkpoint-page-count: 1000\ncheckpoint-interval: 1h".to_owned();
    let replicator = scene.replicate_and_wait();
    let mut writer = scene.writer(&["--pause", "0.001", "--autocheckpoint", "0"]);
    wait_until("some WAL", || fs::metadata(scene.path("app.db-wal")).is_ok_and(|wal| wal.len() > 2 << 20));
    let filler = fill(disk.path());
    // It ends with SQLITE_FULL.
    assert!(!writer.child.wait().unwrap().success());
    std::thread::sleep(Duration::from_millis(500));
    fs::remove_file(filler).unwrap();
    let before = scene.handovers();
    let writer = scene.writer(&["--writer", "2", "--pause", "0.001", "--autocheckpoint", "0"]);
    wait_until("a handover", || scene.handovers() > before);
    drop(writer);
    replicator.stop_well();
    assert_restores(&scene, &scene.log());
    assert_eq!(generations(scene.replica()).len(), 1, "{}", scene.log());
}
