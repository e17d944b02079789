//! What is durable when a put returns, and what happens when the disk refuses to say so.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;

use super::*;
use crate::file::Ownership;
use crate::file::store::Store;
use crate::{Backend, ErrorKind};

/// A store whose syncs are answered by `sync`, which is told the path.
fn store_with(root: &Path, sync: impl Fn(&Path) -> io::Result<()> + Send + Sync + 'static) -> FileBackend {
    use std::os::fd::AsRawFd;
    let sync = move |file: &File| sync(&fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap());
    FileBackend::of(Store::with_sync(root.to_owned(), Ownership::default(), Arc::new(sync)))
}

/// The file is synced while only its temporary name exists, complete; then, under its final name, its folder.
#[tokio::test]
async fn everything_is_synced_in_order_and_once() {
    let parent = tempfile::tempdir().unwrap();
    let parent = parent.path().canonicalize().unwrap();
    let root = parent.join("root");
    let log = Arc::new(Mutex::new(Vec::new()));
    let (entries, base) = (Arc::clone(&log), parent.clone());
    let store = store_with(&root, move |path| {
        let is_published = base.join("root/a/b/x").exists() || base.join("root/a/b/y").exists();
        let name = path.strip_prefix(&base).unwrap().to_str().unwrap().to_owned();
        let name = if name.ends_with(".tmp") {
            format!("file holding {:?}", fs::read_to_string(path).unwrap())
        } else {
            format!("folder {name:?}")
        };
        entries.lock().unwrap().push((name, is_published));
        Ok(())
    });
    let take = || std::mem::take(&mut *log.lock().unwrap());
    let entry = |name: &str, is_published| (name.to_owned(), is_published);
    for (key, body) in [("a/b/x", body("content")), ("a/b/y", stream_body("content"))] {
        store.put_new(key, body.clone()).await.unwrap();
        let expected_put = [entry("file holding \"content\"", false), entry("folder \"root/a/b\"", true)];
        let synced = take();
        let (folders, put) = synced.split_at(synced.len() - 2);
        assert_eq!(put, expected_put);
        if key == "a/b/x" {
            let expected =
                [entry("folder \"\"", false), entry("folder \"root\"", false), entry("folder \"root/a\"", false)];
            assert_eq!(folders, expected);
        } else {
            assert!(folders.is_empty(), "known folders are not synced again: {folders:?}");
        }
        // The loser's caller will be content with what is there, so that must be durable too.
        store.put_new(key, body).await.unwrap_err();
        assert_eq!(take(), [entry("folder \"root/a/b\"", true)]);
        assert!(store.delete(&[key.to_owned()]).await[0].is_ok());
        assert_eq!(take(), [entry("folder \"root/a/b\"", false)]);
        fs::create_dir_all(root.join("a/b")).unwrap();
        store.store.folders.ensure(&root.join("a/b")).unwrap();
        take();
    }
}

/// While a put is under way its folder is removed, and made again by another put that has not synced it yet: the
/// first put must not return before that is done too.
#[tokio::test]
async fn a_folder_that_was_made_again_during_a_put_is_synced() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().canonicalize().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let shared: Arc<OnceLock<FileBackend>> = Arc::default();
    let (entries, hook, base) = (Arc::clone(&log), Arc::clone(&shared), root.clone());
    let store = store_with(&root, move |path| {
        if path.extension().is_some_and(|extension| extension == "tmp") {
            hook.get().unwrap().store.folders.forget();
        } else if let Ok(folder) = path.strip_prefix(&base) {
            entries.lock().unwrap().push(folder.to_str().unwrap().to_owned());
        }
        Ok(())
    });
    shared.set(store.clone()).unwrap();
    for (key, made_before) in [("a/b/x", true), ("a/b/y", false)] {
        store.put_new(key, body("x")).await.unwrap();
        let synced = std::mem::take(&mut *log.lock().unwrap());
        let folders = ["", "a"].map(str::to_owned);
        let put = synced.iter().position(|folder| folder == "a/b").unwrap();
        assert_eq!(synced[put + 1..], folders, "after the folder of {key}: {synced:?}");
        assert_eq!(synced[..put] == folders, made_before, "{synced:?}");
    }
}

/// The kernel may drop the bytes after a failed fsync and answer the next one with success, so nothing that was
/// not synced at the first try is ever published.
#[tokio::test]
async fn a_failed_sync_of_the_file_is_final() {
    let parent = tempfile::tempdir().unwrap();
    let syncs = Arc::new(Mutex::new(0));
    let count = Arc::clone(&syncs);
    let store = store_with(parent.path(), move |path| {
        if path.extension().is_some_and(|extension| extension == "tmp") {
            *count.lock().unwrap() += 1;
            return Err(Errno::IO.into());
        }
        Ok(())
    });
    for body in [body("x"), stream_body("x")] {
        let error = store.put_new("a/x", body).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("syncing the object"), "{error}");
        assert_eq!(names(&parent.path().join("a")), [""; 0]);
    }
    assert_eq!(*syncs.lock().unwrap(), 2, "one sync a put");
}

/// Left in place, the object would be found by the retry, believed, and lost at the next power cut.
#[tokio::test]
async fn an_object_whose_entry_cannot_be_synced_is_withdrawn() {
    let parent = tempfile::tempdir().unwrap();
    let store = store_with(parent.path(), |path| match path.ends_with("a") {
        true => Err(Errno::IO.into()),
        false => Ok(()),
    });
    let error = store.put_new("a/x", body("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("syncing the folder"), "{error}");
    assert_eq!(names(&parent.path().join("a")), [""; 0]);
}

#[tokio::test]
async fn a_folder_whose_entry_cannot_be_synced_is_not_believed_in() {
    let parent = tempfile::tempdir().unwrap();
    let broken = Arc::new(Mutex::new(true));
    let is_broken = Arc::clone(&broken);
    let root = parent.path().to_owned();
    let store = store_with(parent.path(), move |path| match path == root && *is_broken.lock().unwrap() {
        true => Err(Errno::IO.into()),
        false => Ok(()),
    });
    for _ in 0..2 {
        let error = store.put_new("a/x", body("x")).await.unwrap_err();
        assert!(error.to_string().contains("syncing the parent"), "{error}");
    }
    *broken.lock().unwrap() = false;
    store.put_new("a/x", body("x")).await.unwrap();
}

#[tokio::test]
async fn a_file_system_that_cannot_sync_folders_is_served() {
    let parent = tempfile::tempdir().unwrap();
    let store = store_with(parent.path(), |path| match path.is_dir() {
        true => Err(Errno::INVAL.into()),
        false => Ok(()),
    });
    store.put_new("a/x", body("x")).await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_cannot_be_synced_has_failed_for_each_of_its_keys() {
    let parent = tempfile::tempdir().unwrap();
    let good = FileBackend::new(parent.path());
    for key in ["a/x", "a/y", "b/x"] {
        good.put_new(key, body("x")).await.unwrap();
    }
    // The kernel reports a lost write once; asked again it says that all is well.
    let told = Mutex::new(false);
    let store = store_with(parent.path(), move |path| match path.ends_with("a") {
        true if !std::mem::replace(&mut *told.lock().unwrap(), true) => Err(Errno::IO.into()),
        _ => Ok(()),
    });
    let results = store.delete(&["a/x", "b/x", "a/y", "a/none"].map(str::to_owned)).await;
    let failed: Vec<_> = results.iter().map(Result::is_err).collect();
    assert_eq!(failed, [true, false, true, false]);
}
