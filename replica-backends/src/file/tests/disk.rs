//! Disks that are full or read-only: real ones, mounted in a mount namespace of the test's own.

use futures::{StreamExt, stream};

use super::*;
use crate::{Backend, ByteRange, ErrorKind};

/// Runs `test` in a mount namespace, as root in it. Mounts made there are gone when it ends.
fn in_mount_namespace(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    in_child(if is_root { &["unshare", "--mount"] } else { &["unshare", "--mount", "--map-root-user"] }, test)
}

fn mount(arguments: &[&str], at: &Path) {
    let status = Command::new("mount").args(arguments).arg(at).status();
    let done = status.is_ok_and(|status| status.success());
    assert!(done, "this test must be allowed to mount a tmpfs, as root or in a user namespace: mount {arguments:?}");
}

/// A disk of one MiB, and a store on it.
fn small_disk() -> (tempfile::TempDir, FileBackend) {
    let folder = tempfile::tempdir().unwrap();
    mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], folder.path());
    let store = FileBackend::new(folder.path().join("root"));
    (folder, store)
}

#[test]
fn full_disk_is_told_and_leaves_no_temporary_file() {
    if !in_mount_namespace(concat!(module_path!(), "::full_disk_is_told_and_leaves_no_temporary_file")) {
        return;
    }
    let (folder, store) = small_disk();
    block_on(async {
        store.put_new("a/small", body("fits")).await.unwrap();
        let two_mib = Bytes::from(vec![7; 2 << 20]);
        let chunk = Bytes::from(vec![7; 100_000]);
        let whole = Body::from(two_mib);
        let streamed = Body::stream(move || {
            stream::repeat_with({
                let chunk = chunk.clone();
                move || Ok(chunk.clone())
            })
            .boxed()
        });
        for body in [whole, streamed] {
            let error = store.put_new("a/large", body).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Full, "{error}");
            assert!(error.is_retryable());
            assert_eq!(names(&folder.path().join("root/a")), ["small"]);
        }
        store.put_new("a/again", Body::from(Bytes::from(vec![7; 900_000]))).await.unwrap();
        drop(store.get("a/again", ByteRange::All).await.unwrap());
    });
    Command::new("umount").arg(folder.path()).status().unwrap();
}

/// Permission bits do not stop root; a read-only mount does.
#[test]
fn read_only_disk_is_told_and_can_be_read() {
    if !in_mount_namespace(concat!(module_path!(), "::read_only_disk_is_told_and_can_be_read")) {
        return;
    }
    let (folder, store) = small_disk();
    block_on(async {
        store.put_new("a/x", body("x")).await.unwrap();
        mount(&["-o", "remount,ro"], folder.path());
        // A store that knows its folders, and one that does not.
        for store in [store, FileBackend::new(folder.path().join("root"))] {
            for key in ["a/y", "new/folder/x"] {
                let error = store.put_new(key, body("x")).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            }
            let error = store.put_new("a/x", body("x")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
            let error = store.delete(&["a/x".to_owned()]).await.remove(0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            drop(store.get("a/x", ByteRange::All).await.unwrap());
            assert_eq!(store.list("", None).await.unwrap().count().await, 1);
        }
    });
    Command::new("umount").arg(folder.path()).status().unwrap();
}
