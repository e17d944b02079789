//! The driver on a real S3 server.

mod encrypted;
mod frozen;
mod large;
mod scripted;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;

use super::{S3Login, S3Options};
use crate::cloud::Bucket;
use crate::store_server::StoreServer;
use crate::{Backend, Body, ByteRange, ErrorKind};

fn options(endpoint: &str) -> S3Options {
    S3Options {
        bucket: "bucket".into(),
        endpoint: Some(endpoint.into()),
        force_path_style: true,
        login: S3Login::Keys {
            access_key_id: "AKIDSHOWN".into(),
            secret_access_key: "SECRETKEPT".into(),
            session_token: None,
        },
        ..S3Options::default()
    }
}

fn options_of(server: &StoreServer) -> S3Options {
    options(&format!("http://{}", server.address))
}

fn body(text: &'static str) -> Body {
    Body::from(Bytes::from_static(text.as_bytes()))
}

/// `count` chunks of a MiB.
fn large_body(count: usize) -> Body {
    Body::stream(move || stream::iter((0..count).map(|n| io::Result::Ok(vec![n as u8; 1 << 20].into()))).boxed())
}

/// An empty replica in `bucket`, which has found out beforehand how to create.
async fn new_folder(bucket: &Arc<Bucket>, count: &AtomicU64) -> Arc<dyn Backend> {
    bucket.folder("probed/first").creation_is_known().await;
    Arc::new(bucket.folder(&format!("/root {}/", count.fetch_add(1, Ordering::Relaxed))))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_bucket_passes() {
    let server = StoreServer::s3();
    let bucket = options_of(&server).open();
    let count = AtomicU64::new(0);
    crate::conformance::run(async || new_folder(&bucket, &count).await).await;
    // Aborts run beside their callers.
    for _ in 0..100 {
        let unfinished = server.request("GET", "/bucket?uploads");
        assert!(unfinished.contains("ListMultipartUploadsResult"), "{unfinished}");
        if !unfinished.contains("<Upload>") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("an upload that failed or was dropped was not aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_never_replaces_what_appeared_meanwhile() {
    let server = StoreServer::s3();
    let folder = options_of(&server).open().folder("app");
    let meanwhile = folder.clone();
    let slow = Body::stream(move || {
        let other = meanwhile.clone();
        let first = stream::iter((0..6).map(|_| io::Result::Ok(Bytes::from(vec![1; 1 << 20]))));
        let other_writer = stream::once(async move {
            other.put_new("x", body("theirs")).await.unwrap();
            Ok(Bytes::from_static(b"end"))
        });
        first.chain(other_writer).boxed()
    });
    assert_eq!(folder.put_new("x", slow).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(folder.head("x").await.unwrap().size, 6);
}

/// Whoever is at work on an upload does not take it for one that was broken off. Others may, and then it can be tried
/// anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_others_abort_fails_and_can_be_tried_anew() {
    let server = StoreServer::s3();
    let (folder, others) = (options_of(&server).open().folder("app"), options_of(&server).open().folder("/app/"));
    let (own, theirs) = (folder.clone(), others.clone());
    let aborted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&aborted);
    let body = Body::stream(move || {
        let (own, theirs, count) = (own.clone(), theirs.clone(), Arc::clone(&count));
        let first = stream::iter((0..11).map(|_| io::Result::Ok(Bytes::from(vec![1; 1 << 20]))));
        let abort = stream::once(async move {
            assert_eq!(own.unfinished("a/").await.unwrap(), []);
            assert_eq!(theirs.unfinished("b/").await.unwrap(), []);
            let listed = theirs.unfinished("a/").await.unwrap();
            assert_eq!(listed.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["a/x"]);
            assert!(listed[0].begun.elapsed().unwrap().as_secs() < 60, "{listed:?}");
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                theirs.abort(&listed[0]).await.unwrap();
            }
            Ok(Bytes::from(vec![2; 6 << 20]))
        });
        first.chain(abort).boxed()
    });
    let error = folder.put_new("a/x", body.clone()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.is_retryable(), "{error}");
    assert_eq!(folder.head("a/x").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(folder.put_new("a/x", body).await.unwrap(), 17 << 20);
    assert_eq!(others.unfinished("a/").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_bucket_or_its_host_is_said() {
    let server = StoreServer::s3();
    let missing = S3Options { bucket: "missing".into(), ..options_of(&server) }.open().folder("app");
    let errors = [
        missing.put_new("x", body("x")).await.unwrap_err(),
        missing.put_new("x", large_body(6)).await.unwrap_err(),
        missing.get("x", ByteRange::All).await.map(drop).unwrap_err(),
        missing.list("", None).await.unwrap().next().await.unwrap().unwrap_err(),
        missing.delete(&["x".to_owned()]).await.remove(0).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let text = error.to_string();
        assert!(text.contains("the bucket does not exist") && text.contains("s3://missing/app at"), "{text}");
    }
    let nobody = options("http://user:SECRETKEPT@127.0.0.1:1").open().folder("app");
    let error = nobody.head("x").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cannot be reached") && text.contains("refused"), "{text}");
    assert!(!text.contains("SECRETKEPT") && !format!("{error:?} {nobody:?}").contains("SECRETKEPT"), "{error:?}");
}

/// Answers every request with `body`.
fn answer_always(body: &'static str) -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            // Its last word is that of the XML in it.
            while !request.ends_with(b"</Delete>") {
                let len = client.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..len]);
            }
            let len = body.len();
            write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}").unwrap();
        }
    });
    address
}

#[tokio::test]
async fn of_many_keys_each_has_the_answer_that_the_store_gave_it() {
    let address = answer_always(
        "<DeleteResult><Deleted><Key>app/a</Key></Deleted>\
         <Error><Key>app/b</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>\
         <Error><Key>app/c</Key><Code>OperationAborted</Code><Message>try again</Message></Error></DeleteResult>",
    );
    let folder = options(&format!("http://{address}")).open().folder("app");
    let results = folder.delete(&["a", "b", "c"].map(str::to_owned)).await;
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().err().map(crate::Error::kind)).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::PermissionDenied), Some(ErrorKind::Unavailable)], "{results:?}");
    let text = results[1].as_ref().unwrap_err().to_string();
    assert!(text.contains("delete b at s3://bucket/app") && text.contains("s3:DeleteObject"), "{text}");
}

/// Credentials for some prefixes only: whether the store refuses to replace is asked once, not for each object.
#[tokio::test]
async fn a_probe_that_is_forbidden_is_put_once_a_start() {
    let (address, heads) = scripted::store(|head| match head {
        _ if head.contains("create-probe") => ("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>"),
        _ if head.starts_with("head") => ("404 Not Found", ""),
        _ => ("200 OK", ""),
    });
    let folder = options(&format!("http://{address}")).open().folder("app");
    for key in ["a", "b", "c"] {
        folder.put_new(key, body("x")).await.unwrap();
    }
    assert!(!folder.creates_atomically().await.unwrap());
    let asked = heads.try_iter().map(|head| head.split(' ').take(2).collect::<Vec<_>>().join(" "));
    let objects = ["a", "b", "c"].map(|key| [format!("head /bucket/app/{key}"), format!("put /bucket/app/{key}")]);
    let expected = std::iter::once("put /bucket/app/lightship/create-probe".to_owned());
    assert_eq!(asked.collect::<Vec<_>>(), expected.chain(objects.into_iter().flatten()).collect::<Vec<_>>());
}

/// The second start finds the probe of the first, and one request tells.
#[tokio::test(flavor = "multi_thread")]
async fn the_probe_is_put_once_and_stays() {
    let server = StoreServer::s3();
    for start in 0..2 {
        let folder = options_of(&server).open().folder("app");
        folder.put_new(&format!("{start}"), body("x")).await.unwrap();
        assert_eq!(folder.list_folders("").await.unwrap(), ["lightship"]);
        let probes: Vec<_> = folder.list("lightship/", None).await.unwrap().collect().await;
        assert_eq!(probes.len(), 1);
    }
}
