//! The driver on wsgidav's server.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

use super::{MISREAD, WebdavOptions};
use crate::store_server::{StoreServer, all_files};
use crate::{Backend, Body, ByteRange, ErrorKind, Reason};

/// A server and the folder that it serves.
struct Place {
    folder: TempDir,
    server: StoreServer,
}

impl Place {
    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = StoreServer::webdav(folder.path(), 0, arguments);
        Self { folder, server }
    }

    fn options(&self) -> WebdavOptions {
        WebdavOptions {
            url: format!("http://{}/dav/", self.server.address),
            user: Some("backup".into()),
            password: Some("SECRETOFTEST".into()),
            skip_verify: false,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> Vec<String> {
        all_files(self.folder.path())
    }
}

fn body() -> Body {
    Bytes::from_static(b"content").into()
}

async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_a_webdav_server_passes() {
    let place = Place::new(&[]);
    let count = AtomicU64::new(0);
    let server = place.options().open();
    let make = async || {
        let root = format!("/some/replica {}/", count.fetch_add(1, Ordering::Relaxed));
        Arc::new(server.folder(&root)) as Arc<dyn Backend>
    };
    crate::conformance::run_without(make, &MISREAD).await;
    wait_for("all temporary files to go away", || !place.files().iter().any(|file| file.ends_with(".tmp"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_replaces_although_it_should_not_is_looked_at_before_each_put() {
    let place = Place::new(&["--replace"]);
    let store = place.options().open().folder("app");
    assert!(!store.creates_atomically().await.unwrap());
    store.put_new("a/x", body()).await.unwrap();
    let error = store.put_new("a/x", Bytes::from_static(b"other").into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert_eq!(std::fs::read(place.file("app/a/x")).unwrap(), b"content");
    let results = join_all((0..8).map(|_| store.put_new("a/y", body()))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_never_deleted_with_what_is_in_it() {
    let place = Place::new(&[]);
    let store = place.options().open().folder("app");
    assert!(store.creates_atomically().await.unwrap());
    store.put_new("a/b/x", body()).await.unwrap();
    let many = (0..20).map(|number| format!("a/none-{number}")).chain(["a/b".to_owned()]).collect::<Vec<_>>();
    for keys in [vec!["a".to_owned(), "a/b".to_owned()], many] {
        assert!(store.delete(&keys).await.iter().all(Result::is_ok));
        assert_eq!(place.files(), ["app/a/b/x"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_and_nothing_is_written() {
    let place = Place::new(&[]);
    let stranger = WebdavOptions { password: Some("SECRETKEPT".into()), ..place.options() };
    let store = stranger.clone().open().folder("app");
    let error = store.put_new("x", body()).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::PermissionDenied, Reason::WrongKey), "{error}");
    assert!(error.to_string().contains("check webdav-username and webdav-password"), "{error}");
    assert!(!format!("{error} {error:?} {stranger:?} {store:?}").contains("SECRETKEPT"));
    let nowhere = WebdavOptions { url: "http://127.0.0.1:1/dav".into(), ..place.options() };
    let error = nowhere.open().folder("app").put_new("x", body()).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, Reason::Unreachable), "{error}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    let nonsense = WebdavOptions { url: "nonsense".into(), ..place.options() };
    let error = nonsense.open().folder("app").head("x").await.unwrap_err();
    assert!(error.to_string().contains("webdav-url is not a URL"), "{error}");
    let s3 = StoreServer::s3();
    let no_webdav = WebdavOptions { url: format!("http://{}/bucket", s3.address), ..place.options() };
    let error = no_webdav.open().folder("app").list("", None).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("check webdav-url"), "{error}");
    assert_eq!(place.files(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_is_removed_at_once_and_what_a_crash_left_behind_after_a_day() {
    let place = Place::new(&[]);
    std::fs::create_dir_all(place.file("app/a")).unwrap();
    for (name, age) in [(".x.0123456789abcdef.tmp", 48), (".y.0123456789abcdef.tmp", 1), ("z.tmp", 48)] {
        let file = std::fs::File::create(place.file("app/a").join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age * 3600)).unwrap();
    }
    let store = place.options().open().folder("app");
    let endless = Body::stream(|| {
        let chunks = stream::repeat_with(|| Ok(Bytes::from(vec![1; 1 << 20])));
        chunks
            .then(async |chunk| {
                tokio::time::sleep(Duration::from_millis(5)).await;
                chunk
            })
            .boxed()
    });
    assert!(tokio::time::timeout(Duration::from_millis(500), store.put_new("a/large", endless)).await.is_err());
    wait_for("temporary files to be removed", || place.files() == ["app/a/.y.0123456789abcdef.tmp", "app/a/z.tmp"])
        .await;
    let listed: Vec<_> = store.list("", None).await.unwrap().try_collect().await.unwrap();
    assert_eq!(listed, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restarted_is_used_again_and_a_file_is_no_replica() {
    let mut place = Place::new(&[]);
    let server = place.options().open();
    let store = server.folder("app");
    store.put_new("a/x", body()).await.unwrap();
    let port = place.server.address.port();
    drop(place.server);
    let error = store.head("a/x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    place.server = StoreServer::webdav(place.folder.path(), port, &[]);
    let read: Vec<Bytes> = store.get("a/x", ByteRange::All).await.unwrap().try_collect().await.unwrap();
    assert_eq!(read.concat(), b"content");
    let file = server.folder("app/a/x").list("", None).await.map(drop).unwrap_err();
    assert!(file.to_string().contains("is a file, not a folder"), "{file}");
}
