//! Deleting many keys, some of which are not there.

use super::support::{expect_absent, expect_kind, list_keys, put, put_all, read};
use crate::{Backend, ByteRange, ErrorKind};

pub(super) async fn each_key_has_its_own_result(store: &dyn Backend) {
    for key in ["a/x", "a/y", "b/c/x", "top"] {
        put(store, key, key).await;
    }
    let keys = ["a/x", "a/none", "", "b/c/x", "none/x", "a//x", "a/x", "a", "a/y/z"].map(str::to_owned);
    let results = store.delete(&keys).await;
    assert_eq!(results.len(), keys.len(), "delete returns one result a key");
    for (key, result) in keys.iter().zip(results) {
        match key.as_str() {
            "" | "a//x" => expect_kind(result, ErrorKind::Invalid, &format!("delete {key:?}")),
            _ => assert!(result.is_ok(), "delete {key:?} (there or not) fails: {result:?}"),
        }
    }
    expect_absent(store, "a/x", "after it was deleted").await;
    assert_eq!(list_keys(store, "", None).await, ["a/y", "top"], "delete leaves what it was not given");
    assert!(store.delete(&[]).await.is_empty(), "delete of no keys has no results");
}

pub(super) async fn many_keys_are_deleted(store: &dyn Backend) {
    let keys: Vec<_> = (0..40).map(|n| format!("g{}/{n:04}", n % 3)).collect();
    put_all(store, &keys).await;
    let missing = (0..1000).map(|n| format!("g0/missing-{n}"));
    let all: Vec<_> = keys.iter().cloned().chain(missing).collect();
    let results = store.delete(&all).await;
    assert_eq!(results.len(), all.len(), "delete returns one result a key");
    for (key, result) in all.iter().zip(results) {
        assert!(result.is_ok(), "delete {key:?} among many fails: {result:?}");
    }
    assert_eq!(list_keys(store, "", None).await, [""; 0], "delete of all leaves nothing");
}

pub(super) async fn a_deleted_key_can_be_put_again(store: &dyn Backend) {
    for content in ["first", "second"] {
        put(store, "a/b/x", content).await;
        assert_eq!(read(store, "a/b/x", ByteRange::All).await, content.as_bytes());
        let results = store.delete(&["a/b/x".to_owned()]).await;
        assert!(results.iter().all(Result::is_ok), "delete fails: {results:?}");
        expect_absent(store, "a/b/x", "after it was deleted").await;
    }
}
