//! Listing what others left in the folder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use futures::{StreamExt, TryStreamExt};

use super::*;
use crate::{Backend, ErrorKind};

async fn keys(store: &FileBackend, prefix: &str, after: Option<&str>) -> Vec<String> {
    store.list(prefix, after).await.unwrap().map_ok(|meta| meta.key).try_collect().await.unwrap()
}

#[tokio::test]
async fn only_objects_are_listed() {
    let root = tempfile::tempdir().unwrap();
    let store = FileBackend::new(root.path());
    store.put_new("wal/00000000_00000000.wal.lz4", body("x")).await.unwrap();
    let wal = root.path().join("wal");
    fs::create_dir(wal.join("00000001_00000000.wal.lz4")).unwrap();
    fs::write(wal.join("00000002_00000000.wal.lz4.tmp"), "Litestream's").unwrap();
    fs::write(wal.join(".00000003_00000000.wal.lz4.0123456789abcdef.tmp"), "ours").unwrap();
    fs::write(wal.join(OsStr::from_bytes(b"00000004\xff.wal.lz4")), "not UTF-8").unwrap();
    symlink("00000000_00000000.wal.lz4", wal.join("00000005_00000000.wal.lz4")).unwrap();
    symlink(".", root.path().join("loop")).unwrap();
    fs::create_dir(root.path().join(OsStr::from_bytes(b"bad\xff"))).unwrap();
    fs::write(root.path().join(OsStr::from_bytes(b"bad\xff")).join("x"), "unreachable").unwrap();
    assert_eq!(keys(&store, "", None).await, ["wal/00000000_00000000.wal.lz4"]);
    assert_eq!(store.list_folders("").await.unwrap(), ["wal"]);
    assert_eq!(store.list_folders("wal/").await.unwrap(), ["00000001_00000000.wal.lz4"]);
}

#[tokio::test]
async fn a_file_that_vanishes_under_a_listing_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    let store = FileBackend::new(root.path());
    let count = 2000;
    for number in 0..count {
        fs::write(root.path().join(format!("{number:06}")), "").unwrap();
    }
    fs::create_dir(root.path().join("z")).unwrap();
    fs::write(root.path().join("z/x"), "").unwrap();
    let mut listing = store.list("", None).await.unwrap();
    assert_eq!(listing.next().await.unwrap().unwrap().key, "000000");
    for number in (1000..count).step_by(2) {
        fs::remove_file(root.path().join(format!("{number:06}"))).unwrap();
    }
    fs::remove_dir_all(root.path().join("z")).unwrap();
    let rest: Vec<_> = listing.map_ok(|meta| meta.key).try_collect().await.unwrap();
    assert_eq!(rest.len(), 999 + 500);
    assert!(rest.is_sorted() && rest.contains(&"001999".to_owned()));
}

/// Folders before the mark are not even opened: a listing that goes on from a mark costs what is left.
#[test]
fn folders_before_the_mark_are_not_opened() {
    if !in_unprivileged_child(concat!(module_path!(), "::folders_before_the_mark_are_not_opened")) {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let store = FileBackend::new(root.path());
    block_on(async {
        for key in ["a/x", "b/x", "c/x"] {
            store.put_new(key, body("x")).await.unwrap();
        }
        let shut = root.path().join("a");
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
        let error = store.list("", None).await.err().unwrap();
        assert_eq!((error.kind(), error.key()), (ErrorKind::PermissionDenied, ""), "{error}");
        assert_eq!(keys(&store, "", Some("a0")).await, ["b/x", "c/x"]);
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
    });
}
