//! The driver on a fake of Google's XML API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::{GcsLogin, GcsOptions};
use crate::store_server::StoreServer;
use crate::{Backend, ErrorKind};

fn options(server: &StoreServer) -> GcsOptions {
    let endpoint = Some(format!("http://{}", server.address));
    GcsOptions { bucket: "bucket".into(), endpoint, login: GcsLogin::Nobody }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_google_passes() {
    let server = StoreServer::gcs();
    let bucket = options(&server).open();
    let count = AtomicU64::new(0);
    crate::conformance::run(async || {
        bucket.folder("probed/first").creation_is_known().await;
        Arc::new(bucket.folder(&format!("root {}", count.fetch_add(1, Ordering::Relaxed)))) as Arc<dyn Backend>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_bucket_or_its_credentials_is_said() {
    let server = StoreServer::gcs();
    let missing = GcsOptions { bucket: "missing".into(), ..options(&server) }.open().folder("app");
    let error = missing.put_new("x", Bytes::from_static(b"x").into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("the bucket does not exist"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json").display().to_string();
    let no_file = GcsOptions { login: GcsLogin::File(file.clone()), ..options(&server) }.open().folder("app");
    let error = no_file.head("x").await.unwrap_err();
    assert!(error.to_string().contains(&file), "{error}");
}
