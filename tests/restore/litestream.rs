//! Replicas that the real Litestream 0.3.13 wrote, and replicas of ours that it must be able to read.
//!
//! `LITESTREAM` names the program; otherwise it is where `tests/setup` puts it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lightship::history::{Catalog, ObjectName, Target};
use replica_backends::file::FileBackend;

use super::recording::eventful;
use super::{at, restore_from};

/// The real program; without it these tests fail, because passing would prove nothing.
fn litestream() -> PathBuf {
    let named = std::env::var_os("LITESTREAM").map(PathBuf::from);
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/litestream-0.3.13/bin/litestream");
    let found = named.unwrap_or_else(installed);
    assert!(found.is_file(), "{} is missing: run tests/setup", found.display());
    found
}

fn restored_by(litestream: &Path, replica: &Path, extra: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.db");
    let done = Command::new(litestream)
        .arg("restore")
        .args(extra)
        .arg("-o")
        .arg(&output)
        .arg(format!("file://{}", replica.display()))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(output).unwrap()
}

#[test]
fn what_litestream_wrote_is_restored_as_litestream_restores_it() {
    let litestream = litestream();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/litestream_replica.py");
    for page_size in [512, 1024, 4096, 65_536] {
        let folder = tempfile::tempdir().unwrap();
        let mut make = Command::new("python3");
        make.arg(&script).arg(&litestream).arg(folder.path()).arg(page_size.to_string());
        assert!(make.status().unwrap().success());
        let replica = folder.path().join("replica");
        let (restored, report) = restore_from(Arc::new(FileBackend::new(&replica)), Target::Latest).unwrap();
        assert!(restored == std::fs::read(folder.path().join("expected.db")).unwrap(), "page size {page_size}");
        let indexes = at(&report).0.get();
        assert!(indexes > 3, "page size {page_size}: only {indexes} indexes");
        every_index_is_the_same(&litestream, &replica, page_size);
    }
}

/// Up to the end of each index that has a snapshot before it.
fn every_index_is_the_same(litestream: &Path, replica: &Path, page_size: u32) {
    let backend = Arc::new(FileBackend::new(replica));
    let names = walk(replica);
    let catalog = Catalog::from_listing(names.iter().map(|key| replica_backends::ObjectMeta {
        key: key.clone(),
        size: 1,
        modified: std::time::UNIX_EPOCH,
    }));
    let history = catalog.histories().next().unwrap();
    let first = history.snapshots.first().unwrap().name.index();
    let mut indexes: Vec<_> = history.segments.iter().map(|e| e.name.index()).filter(|i| *i >= first).collect();
    indexes.dedup();
    for index in indexes.into_iter().step_by(3) {
        let (restored, _) = restore_from(backend.clone(), Target::Index(index)).unwrap();
        let expected = restored_by(litestream, replica, &["-index", &index.to_string()]);
        assert!(restored == expected, "page size {page_size}, index {index}");
    }
}

fn walk(folder: &Path) -> Vec<String> {
    let mut keys = walk_all(folder);
    keys.retain(|key| ObjectName::parse(key).is_some());
    keys
}

/// The paths of all files under `folder`.
pub fn walk_all(folder: &Path) -> Vec<String> {
    let mut keys = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                keys.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    keys
}

#[test]
fn what_lightship_writes_is_restored_by_litestream() {
    let litestream = litestream();
    for page_size in [512, 4096, 65_536] {
        let recording = eventful(page_size, true);
        let folder = tempfile::tempdir().unwrap();
        for (key, (bytes, modified_ms)) in &recording.store.objects {
            let path = folder.path().join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            let modified = std::time::UNIX_EPOCH + std::time::Duration::from_millis(*modified_ms);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        let restored = restored_by(&litestream, folder.path(), &[]);
        assert!(restored == recording.states.last().unwrap().bytes, "page size {page_size}");
    }
}
