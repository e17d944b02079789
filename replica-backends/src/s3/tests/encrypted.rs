//! Encryption by the store, and the class of its objects.

use futures::StreamExt;

use super::scripted::store;
use super::{S3Options, body, large_body, options, options_of};
use crate::s3::S3Encryption;
use crate::store_server::StoreServer;
use crate::{Backend, ByteRange};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Puts a small and a large object, and returns what the store says of each; each is read as well.
async fn stored(server: &StoreServer, options: S3Options) -> [String; 2] {
    let folder = options.open().folder("app");
    folder.put_over("small", body("x")).await.unwrap();
    folder.put_over("large", large_body(6)).await.unwrap();
    for (key, len) in [("small", 1), ("large", 6 << 20)] {
        let mut read = 0;
        let mut stream = folder.get(key, ByteRange::All).await.unwrap();
        while let Some(chunk) = stream.next().await {
            read += chunk.unwrap().len();
        }
        assert_eq!((read, folder.head(key).await.unwrap().size), (len, len as u64));
    }
    ["small", "large"].map(|key| server.request("HEAD", &format!("/bucket/app/{key}")).to_ascii_lowercase())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_encrypted_by_the_store_as_it_is_told() {
    let server = StoreServer::s3();
    let kms = |twice| S3Encryption::Kms { key_id: Some("a-key".into()), twice };
    let cases = [
        (S3Encryption::Service, "x-amz-server-side-encryption: aes256"),
        (kms(false), "x-amz-server-side-encryption: aws:kms\r"),
        (kms(false), "x-amz-server-side-encryption-aws-kms-key-id: a-key"),
        (kms(true), "x-amz-server-side-encryption: aws:kms:dsse"),
    ];
    for (encryption, header) in cases {
        for head in stored(&server, S3Options { encryption: encryption.clone(), ..options_of(&server) }).await {
            assert!(head.contains(header), "{header}: {head}");
        }
    }
    for head in stored(&server, options_of(&server)).await {
        assert!(!head.contains("kms"), "{head}");
    }
}

/// moto forgets such keys, so it is looked at what is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_customers_key_is_sent_with_every_request_for_an_object_and_never_shown() {
    let (address, heads) = store(|head| ("200 OK", if head.starts_with("put") { "" } else { "x" }));
    let encryption = S3Encryption::Customer(KEY.into());
    let options = S3Options { encryption, ..options(&format!("http://{address}")) };
    let bucket = options.clone().open();
    assert!(!format!("{options:?} {bucket:?} {:?}", bucket.folder("app")).contains(KEY));
    let folder = bucket.folder("app");
    folder.put_over("x", body("x")).await.unwrap();
    folder.head("x").await.unwrap();
    folder.get("x", ByteRange::All).await.unwrap().next().await.unwrap().unwrap();
    for method in ["put", "head", "get"] {
        let head = heads.recv().unwrap();
        let key = format!("x-amz-server-side-encryption-customer-key: {}\r\n", KEY.to_ascii_lowercase());
        assert!(head.starts_with(method) && head.contains(&key), "{head}");
        assert!(head.contains("customer-key-md5: ") && head.contains("customer-algorithm: aes256"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_get_the_storage_class_that_is_asked_for() {
    let server = StoreServer::s3();
    for head in stored(&server, S3Options { storage_class: Some("STANDARD_IA".into()), ..options_of(&server) }).await {
        assert!(head.contains("x-amz-storage-class: standard_ia"), "{head}");
    }
}
