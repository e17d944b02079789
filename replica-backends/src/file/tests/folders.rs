//! Folders that come, go, and are links.

use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::*;
use crate::{Backend, ByteRange, ErrorKind};

#[tokio::test]
async fn a_folder_that_is_deleted_underneath_is_made_again() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("deep/er/root");
    let store = FileBackend::new(&root);
    store.put_new("a/b/1", body("x")).await.unwrap();
    for (count, gone) in ["a/b", "a", "", "../..", ".."].iter().enumerate() {
        fs::remove_dir_all(root.join(gone).canonicalize().unwrap()).unwrap();
        store.put_new("a/b/1", body("again")).await.unwrap();
        store.put_new(&format!("a/b/stream-{count}"), stream_body("again")).await.unwrap();
    }
    assert_eq!(names(&root.join("a/b")), ["1", "stream-4"]);
}

/// Deletion removes empty folders while puts make them: neither may disturb the other.
#[tokio::test(flavor = "multi_thread")]
async fn puts_and_deletions_may_meet_in_a_folder() {
    let parent = tempfile::tempdir().unwrap();
    let store = FileBackend::new(parent.path());
    let writers = (0..6).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..60 {
                let key = format!("a/b/{writer}-{round}");
                store.put_new(&key, body("x")).await.unwrap();
                store.head(&key).await.unwrap();
                store.delete(&[key]).await.remove(0).unwrap();
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    assert_eq!(names(parent.path()), [""; 0], "the last deletion removes what is empty");
}

#[tokio::test]
async fn folders_that_become_empty_are_removed_but_not_the_root() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("root");
    let store = FileBackend::new(&root);
    for key in ["a/b/c/x", "a/b/y", "a/d/x", "e/x"] {
        store.put_new(key, body("x")).await.unwrap();
    }
    fs::write(root.join("e/foreign"), "").unwrap();
    let keys = ["a/b/c/x", "a/b/y", "e/x", "none/x"].map(str::to_owned);
    assert!(store.delete(&keys).await.iter().all(Result::is_ok));
    assert_eq!(names(&root), ["a", "e"]);
    assert_eq!(names(&root.join("a")), ["d"]);
    assert!(store.delete(&["a/d/x".to_owned()]).await[0].is_ok());
    fs::remove_dir_all(root.join("e")).unwrap();
    assert!(root.is_dir() && names(&root).is_empty());
}

#[tokio::test]
async fn a_root_may_be_a_link_to_a_folder() {
    let parent = tempfile::tempdir().unwrap();
    fs::create_dir(parent.path().join("real")).unwrap();
    symlink("real", parent.path().join("link")).unwrap();
    let store = FileBackend::new(parent.path().join("link"));
    store.put_new("a/x", body("x")).await.unwrap();
    drop(store.get("a/x", ByteRange::All).await.unwrap());
    assert_eq!(store.list_folders("").await.unwrap(), ["a"]);
    assert_eq!(names(&parent.path().join("real/a")), ["x"]);
    assert!(store.delete(&["a/x".to_owned()]).await[0].is_ok());
    assert!(parent.path().join("link").is_symlink() && parent.path().join("real").is_dir());
}

#[tokio::test]
async fn a_file_in_the_place_of_a_folder_is_trouble_and_not_a_conflict() {
    let parent = tempfile::tempdir().unwrap();
    let store = FileBackend::new(parent.path());
    store.put_new("a", body("x")).await.unwrap();
    for key in ["a/b", "a/b/c"] {
        let error = store.put_new(key, body("x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(store.head(key).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn a_sweep_deletes_only_old_temporary_files_of_ours() {
    let parent = tempfile::tempdir().unwrap();
    let store = FileBackend::new(parent.path());
    let sweep = |store: &FileBackend, older_than| store.store.sweep_temporary(older_than).unwrap();
    assert_eq!(sweep(&FileBackend::new(parent.path().join("none")), Duration::ZERO), 0);
    let old = SystemTime::now() - Duration::from_secs(7200);
    fs::create_dir_all(parent.path().join("a/b")).unwrap();
    let ours = ".x.lz4.0123456789abcdef.tmp";
    let cases = [
        (ours, old, false),
        ("a/b/.y.00000000deadbeef.tmp", old, false),
        ("a/.fresh.0123456789abcdef.tmp", SystemTime::now(), true),
        ("a/litestream.tmp", old, true),
        ("a/object", old, true),
        ("a/.hidden", old, true),
    ];
    for (name, modified, _) in cases {
        let file = fs::File::create(parent.path().join(name)).unwrap();
        file.set_modified(modified).unwrap();
    }
    let outside = tempfile::tempdir().unwrap();
    fs::File::create(outside.path().join(ours)).unwrap().set_modified(old).unwrap();
    symlink(outside.path(), parent.path().join("a/link")).unwrap();
    assert_eq!(sweep(&store, Duration::from_secs(3600)), 2);
    for (name, _, kept) in cases {
        assert_eq!(parent.path().join(name).exists(), kept, "{name}");
    }
    assert!(outside.path().join(ours).exists(), "a sweep does not leave the root");
}

/// Nobody called the sweep at first: what each death left behind in the middle of an upload stayed for ever.
#[tokio::test]
async fn what_a_crash_left_behind_is_deleted_when_an_object_is_put() {
    let parent = tempfile::tempdir().unwrap();
    let left = |name: &str, hours: u64| {
        let path = parent.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let written = SystemTime::now() - Duration::from_secs(hours * 3600);
        fs::File::create(&path).unwrap().set_modified(written).unwrap();
        path
    };
    let old = left("dead/snapshots/.00000000.snapshot.lz4.0123456789abcdef.tmp", 25);
    let young = left("dead/snapshots/.00000000.snapshot.lz4.fedcba9876543210.tmp", 23);
    FileBackend::new(parent.path()).put_new("a/x", body("x")).await.unwrap();
    while old.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(young.exists(), "it may be an upload that is slow");
}
