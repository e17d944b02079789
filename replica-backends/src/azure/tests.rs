//! The driver on Azure's own emulator.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{AzureLogin, AzureOptions};
use crate::store_server::{AZURITE_KEY, StoreServer};
use crate::{Backend, Body, ErrorKind};

fn options(server: &StoreServer) -> AzureOptions {
    AzureOptions {
        account: "devstoreaccount1".into(),
        container: "bucket".into(),
        endpoint: Some(format!("http://{}/devstoreaccount1/", server.address)),
        login: AzureLogin::Key(AZURITE_KEY.into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_azure_container_passes() {
    let server = StoreServer::azure();
    let bucket = options(&server).open();
    let count = AtomicU64::new(0);
    crate::conformance::run(async || {
        bucket.folder("probed/first").creation_is_known().await;
        Arc::new(bucket.folder(&format!("root {}", count.fetch_add(1, Ordering::Relaxed)))) as Arc<dyn Backend>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_blob_does_not_replace_what_appeared_before_its_last_step() {
    let server = StoreServer::azure();
    let folder = options(&server).open().folder("app");
    let meanwhile = folder.clone();
    let slow = Body::stream(move || {
        let other = meanwhile.clone();
        let first = stream::iter((0..6).map(|_| io::Result::Ok(Bytes::from(vec![1; 1 << 20]))));
        let other_writer = stream::once(async move {
            other.put_new("x", Bytes::from_static(b"theirs").into()).await.unwrap();
            Ok(Bytes::from_static(b"end"))
        });
        first.chain(other_writer).boxed()
    });
    assert_eq!(folder.put_new("x", slow).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(folder.head("x").await.unwrap().size, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_container_or_its_key_is_said() {
    let server = StoreServer::azure();
    let missing = AzureOptions { container: "missing".into(), ..options(&server) }.open().folder("app");
    let error = missing.put_new("x", Bytes::from_static(b"x").into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let text = error.to_string();
    assert!(text.contains("does not exist") && text.contains("abs://devstoreaccount1@missing/app at"), "{text}");
    let stranger = AzureOptions { login: AzureLogin::Key("U0VDUkVUS0VQVA==".into()), ..options(&server) };
    let stranger = stranger.open().folder("app");
    let error = stranger.put_new("x", Bytes::from_static(b"x").into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(!format!("{error} {error:?} {stranger:?}").contains("U0VDUkVU"), "{error:?}");
}
