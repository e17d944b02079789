//! Keys are bytes to a store: kept exactly, or refused.

use bytes::Bytes;

use super::support::{expect_kind, list_keys, put_all, read};
use crate::{Backend, Body, ByteRange, ErrorKind};

/// Those with one of the characters in `refused` are refused, if there are such.
pub(super) async fn odd_keys_are_kept_as_they_are(store: &dyn Backend, refused: &[char]) {
    let mut keys: Vec<_> = [
        "odd/with space",
        "odd/ leading",
        "odd/trailing ",
        "odd/100%",
        "odd/%2e%2e",
        "odd/%2F",
        "odd/a+b",
        "odd/a&b=c",
        "odd/q?x#y",
        "odd/ünïcödé",
        "odd/日本語",
        "odd/🦀",
        "odd/e\u{301}",
        "odd/é",
        "odd/'quote\"",
        "odd/.hidden",
        "odd/...",
        "odd/~",
        "odd/-dash",
        "odd/*",
        "odd/a:b",
        "odd/x;y,z",
        "odd/<&>",
        "odd/UPPER",
        "odd/upper",
    ]
    .map(str::to_owned)
    .into();
    keys.push(format!("odd/{}", "n".repeat(200)));
    keys.push(format!("odd/{}/x", ["d".repeat(100).as_str(); 7].join("/")));
    for key in keys.extract_if(.., |key| key.contains(refused)) {
        let put = store.put_new(&key, Body::from(Bytes::from_static(b"x"))).await;
        expect_kind(put, ErrorKind::Invalid, &format!("put {key:?}"));
    }
    put_all(store, &keys).await;
    for key in &keys {
        let stored = read(store, key, ByteRange::All).await;
        assert!(stored == key.as_bytes(), "the object {key:?} has another's content");
        let head = store.head(key).await;
        assert_eq!(head.ok().map(|meta| meta.key).as_ref(), Some(key), "head tells the key");
    }
    keys.sort_unstable();
    assert_eq!(list_keys(store, "odd/", None).await, keys, "list tells odd keys exactly");
    let results = store.delete(&keys).await;
    for (key, result) in keys.iter().zip(results) {
        assert!(result.is_ok(), "delete {key:?} fails: {result:?}");
    }
    assert_eq!(list_keys(store, "", None).await, [""; 0], "delete of odd keys leaves nothing");
}

pub(super) async fn control_characters_and_backslashes_are_kept_or_refused(store: &dyn Backend) {
    for key in ["odd/tab\there", "odd/new\nline", "odd/\u{7f}", "odd/back\\slash"] {
        match store.put_new(key, Body::from(Bytes::from_static(b"x"))).await {
            Ok(_) => {
                assert_eq!(list_keys(store, "odd/", None).await, [key], "list tells {key:?} exactly");
                let results = store.delete(&[key.to_owned()]).await;
                assert!(results.iter().all(Result::is_ok), "delete {key:?} fails: {results:?}");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "put {key:?} is refused, but says: {error}"),
        }
        assert_eq!(list_keys(store, "", None).await, [""; 0], "nothing is left of {key:?}");
    }
}

pub(super) async fn malformed_keys_are_refused(store: &dyn Backend) {
    let bad = ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/.", "a/..", "a/../b", "a/./b", "a\0b", "a/\0"];
    for key in bad {
        let put = store.put_new(key, Body::from(Bytes::from_static(b"x"))).await;
        expect_kind(put, ErrorKind::Invalid, &format!("put {key:?}"));
        expect_kind(store.get(key, ByteRange::All).await, ErrorKind::Invalid, &format!("get {key:?}"));
        expect_kind(store.head(key).await, ErrorKind::Invalid, &format!("head {key:?}"));
        for result in store.delete(&[key.to_owned()]).await {
            expect_kind(result, ErrorKind::Invalid, &format!("delete {key:?}"));
        }
    }
    for prefix in ["a", "/", "/a/", "a//", "../", "a/../", "./"] {
        expect_kind(store.list(prefix, None).await, ErrorKind::Invalid, &format!("list {prefix:?}"));
        expect_kind(store.list_folders(prefix).await, ErrorKind::Invalid, &format!("list_folders {prefix:?}"));
    }
    assert_eq!(list_keys(store, "", None).await, [""; 0], "a refused put leaves nothing");
}
