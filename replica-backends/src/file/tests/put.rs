//! Modes, owners, temporary files, and never overwriting.

use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{self, Either};
use futures::{StreamExt, TryStreamExt, stream};

use super::*;
use crate::file::Ownership;
use crate::{Backend, ByteRange, ErrorKind};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[tokio::test]
async fn without_a_word_replicas_are_for_the_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("root");
    FileBackend::new(&root).put_new("a/b/x", body("x")).await.unwrap();
    for folder in ["", "a", "a/b"] {
        assert_eq!(mode(&root.join(folder)), 0o700, "{folder:?}");
    }
    assert_eq!(mode(&root.join("a/b/x")), 0o600);
}

#[test]
fn modes_pass_through_the_umask() {
    let wrapper = ["sh", "-c", "umask 027; exec \"$@\"", "sh"];
    if !in_child(&wrapper, concat!(module_path!(), "::modes_pass_through_the_umask")) {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let ownership = Ownership { file_mode: 0o666, dir_mode: 0o777, ..Ownership::default() };
    let store = FileBackend::new(parent.path()).with_ownership(ownership);
    block_on(async {
        store.put_new("a/whole", body("x")).await.unwrap();
        store.put_new("a/stream", stream_body("x")).await.unwrap();
    });
    assert_eq!(mode(&parent.path().join("a")), 0o750);
    assert_eq!(mode(&parent.path().join("a/whole")), 0o640);
    assert_eq!(mode(&parent.path().join("a/stream")), 0o640);
}

#[tokio::test]
async fn files_and_folders_are_given_to_their_owners() {
    assert!(rustix::process::geteuid().is_root(), "giving files away can only be tested as root");
    let parent = tempfile::tempdir().unwrap();
    fs::create_dir(parent.path().join("old")).unwrap();
    let ownership = Ownership { file_owner: Some((1234, 2345)), dir_owner: Some((3456, 4567)), ..Ownership::default() };
    let store = FileBackend::new(parent.path()).with_ownership(ownership);
    store.put_new("old/new/x", body("x")).await.unwrap();
    let owner = |path: &str| {
        let meta = fs::metadata(parent.path().join(path)).unwrap();
        (meta.uid(), meta.gid())
    };
    assert_eq!(owner("old/new/x"), (1234, 2345));
    assert_eq!(owner("old/new"), (3456, 4567));
    assert_eq!(owner("old"), (0, 0), "what exists already keeps its owner");
}

#[test]
fn an_owner_that_is_refused_does_not_stop_a_put() {
    if !in_unprivileged_child(concat!(module_path!(), "::an_owner_that_is_refused_does_not_stop_a_put")) {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let ownership = Ownership { file_owner: Some((1, 1)), dir_owner: Some((1, 1)), ..Ownership::default() };
    let store = FileBackend::new(parent.path()).with_ownership(ownership);
    block_on(store.put_new("a/x", body("x"))).unwrap();
    for path in ["a", "a/x"] {
        let uid = fs::metadata(parent.path().join(path)).unwrap().uid();
        assert_eq!(uid, rustix::process::geteuid().as_raw(), "{path} keeps the owner it was made with");
    }
}

#[tokio::test]
async fn a_body_that_fails_leaves_no_temporary_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileBackend::new(folder.path());
    for chunk_count in [0, 1, 10] {
        let failing = Body::stream(move || {
            let chunks = (0..chunk_count).map(|_| Ok(Bytes::from(vec![7; 300_000])));
            stream::iter(chunks.chain([Err(io::Error::other("gone"))])).boxed()
        });
        assert_eq!(store.put_new("a/x", failing).await.unwrap_err().kind(), ErrorKind::Body);
        assert!(names(&folder.path().join("a")).is_empty(), "after {chunk_count} chunks");
    }
}

/// The file is deleted when the future is dropped, or when the write that was under way then has ended.
#[tokio::test]
async fn a_put_that_is_dropped_leaves_no_temporary_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileBackend::new(folder.path());
    for chunks_count in [0_usize, 4, 40] {
        let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
        let endless = Body::stream(move || {
            let say = say.clone();
            let chunks = stream::iter((0..chunks_count).map(|_| Ok(Bytes::from(vec![7; 300_000]))));
            chunks
                .chain(stream::once(async move { say.send(()).map_err(io::Error::other).map(|()| Bytes::new()) }))
                .chain(stream::pending())
                .boxed()
        });
        let putting = store.put_new("a/x", endless);
        match future::select(putting, Box::pin(said.recv())).await {
            Either::Left((result, _)) => panic!("the put ended: {result:?}"),
            Either::Right((_, putting)) => {
                assert_eq!(names(&folder.path().join("a")).len(), 1, "there is something to clean up");
                drop(putting);
            }
        }
        for _ in 0..1000 {
            if names(&folder.path().join("a")).is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(names(&folder.path().join("a")), [""; 0], "after {chunks_count} chunks");
    }
}

/// Racers that all pass the cheap look at the name before any of them publishes.
#[tokio::test(flavor = "multi_thread")]
async fn racers_never_overwrite() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileBackend::new(folder.path());
    let racing = 8;
    for round in 0..20 {
        let gate = Arc::new(tokio::sync::Barrier::new(racing));
        let racers = (0..racing).map(|racer| {
            let gate = Arc::clone(&gate);
            let body = Body::stream(move || {
                let gate = Arc::clone(&gate);
                let content = Bytes::from(format!("racer {racer}"));
                stream::once(async move {
                    gate.wait().await;
                    Ok(content)
                })
                .boxed()
            });
            let store = store.clone();
            tokio::spawn(async move { store.put_new(&format!("{round}/x"), body).await })
        });
        let results: Vec<_> = future::join_all(racers).await.into_iter().map(Result::unwrap).collect();
        let winners: Vec<_> = (0..racing).filter(|racer| results[*racer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{winners:?} won");
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        }
        let path = folder.path().join(format!("{round}"));
        assert_eq!(fs::read_to_string(path.join("x")).unwrap(), format!("racer {}", winners[0]));
        assert_eq!(names(&path), ["x"], "the losers' files are gone");
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_before_the_body_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileBackend::new(folder.path());
    store.put_new("x", body("first")).await.unwrap();
    let opened = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&opened);
    let second = Body::stream(move || {
        count.fetch_add(1, Ordering::Relaxed);
        stream::iter([Ok(Bytes::from_static(b"second"))]).boxed()
    });
    assert_eq!(store.put_new("x", second).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(opened.load(Ordering::Relaxed), 0);
    assert_eq!(fs::read(folder.path().join("x")).unwrap(), b"first");
}

#[tokio::test]
async fn what_is_no_regular_file_is_no_object_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::create_dir(folder.path().join("dir")).unwrap();
    symlink(outside.path(), folder.path().join("link")).unwrap();
    symlink("nowhere", folder.path().join("dangling")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let store = FileBackend::new(folder.path());
    for key in ["dir", "link", "dangling", "pipe"] {
        assert_eq!(store.put_new(key, body("x")).await.unwrap_err().kind(), ErrorKind::Unavailable, "{key}");
        assert_eq!(store.get(key, ByteRange::All).await.err().unwrap().kind(), ErrorKind::NotFound, "{key}");
        assert_eq!(store.head(key).await.unwrap_err().kind(), ErrorKind::NotFound, "{key}");
    }
    assert!(store.list("", None).await.unwrap().try_collect::<Vec<_>>().await.unwrap().is_empty());
    assert_eq!(names(folder.path()), ["dangling", "dir", "link", "pipe"]);
    assert_eq!(fs::read(outside.path()).unwrap(), b"");
}

#[tokio::test]
async fn a_key_that_looks_unfinished_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileBackend::new(folder.path());
    for key in ["x.tmp", "a/.x.0123456789abcdef.tmp", ".tmp"] {
        assert_eq!(store.put_new(key, body("x")).await.unwrap_err().kind(), ErrorKind::Invalid, "{key}");
        assert_eq!(store.head(key).await.unwrap_err().kind(), ErrorKind::Invalid, "{key}");
    }
    store.put_new("a.tmp/x", body("a folder may be called so")).await.unwrap();
    let too_long = "n".repeat(256);
    assert_eq!(store.put_new(&too_long, body("x")).await.unwrap_err().kind(), ErrorKind::Invalid);
    store.put_new(&too_long[1..], body("as long as a name may be")).await.unwrap();
}
