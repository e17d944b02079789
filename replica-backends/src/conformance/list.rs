//! Listings are in byte order, whatever the store keeps below.

use super::support::{list_keys, put, put_all};
use crate::Backend;

/// More than one page of any store.
const MANY_COUNT: usize = 1050;

/// Asserts that listing `prefix` after each of `marks` shows exactly what of `keys`, which are all there are, must
/// be shown.
async fn expect_lists(store: &dyn Backend, keys: &[String], prefix: &str, marks: &[&str]) {
    let mut within: Vec<_> = keys.iter().map(String::as_str).filter(|key| key.starts_with(prefix)).collect();
    within.sort_unstable();
    for after in [None].into_iter().chain(marks.iter().copied().map(Some)) {
        let expected = &within[within.partition_point(|key| after.is_some_and(|after| *key <= after))..];
        let listed = list_keys(store, prefix, after).await;
        let same_count = expected.iter().zip(&listed).take_while(|(expected, listed)| *expected == listed).count();
        assert!(
            same_count == expected.len() && same_count == listed.len(),
            "list {prefix:?} after {after:?}: entry {same_count} must be {:?} of {}, but is {:?} of {}",
            expected.get(same_count),
            expected.len(),
            listed.get(same_count),
            listed.len()
        );
    }
}

pub(super) async fn many_keys_are_listed_in_byte_order(store: &dyn Backend) {
    // Put in an order that is not theirs.
    let mut keys: Vec<_> = (0..MANY_COUNT).map(|n| format!("many/{:08x}.wal", (n * 7919) % MANY_COUNT)).collect();
    keys.extend(["manx/z".to_owned(), "many.z".to_owned(), "many0".to_owned()]);
    put_all(store, &keys).await;
    let marks = [
        "",
        "a",
        "many",
        "many/",
        "many/0",
        "many/00000000.wal",
        "many/00000000.wal.",
        "many/000003e7.wal",
        "many/000003e8.wal",
        "many/000003e8",
        "many/00000419.wal",
        "many/zzz",
        "many0",
        "many\u{10ffff}",
        "zzz",
    ];
    for prefix in ["many/", ""] {
        expect_lists(store, &keys, prefix, &marks).await;
    }
}

pub(super) async fn nested_folders_are_in_byte_order(store: &dyn Backend) {
    // '-' and '.' sort before '/', '0' after it: names alone would come in another order.
    let keys = [
        "a-b/x", "a.b", "a/b/c", "a/b-c", "a/b0", "a/b/d/e", "a/b.d/e", "a0", "b", "a/c", "a.b.c/d", "a!", "a/b/d.e",
        "B/x", "é/x", "z/y/x/w", "z/y/x.w", "z/y.x",
    ]
    .map(str::to_owned);
    put_all(store, &keys).await;
    let marks: Vec<_> = keys.iter().map(String::as_str).collect();
    let between =
        ["", "a", "a/", "a/b", "a/b/", "a/b/d", "a/b/d/", "a/b/d/zz", "a/b/zz", "a/zz", "a.", "z/y/", "zz", "ÿ"];
    for prefix in ["", "a/", "a/b/", "z/", "z/y/"] {
        expect_lists(store, &keys, prefix, &marks).await;
        expect_lists(store, &keys, prefix, &between).await;
    }
}

pub(super) async fn a_prefix_is_a_folder_and_nothing_more(store: &dyn Backend) {
    for key in ["a/x", "ab/x", "a.x", "aa", "b/a/x", "A/x"] {
        put(store, key, key).await;
    }
    assert_eq!(list_keys(store, "a/", None).await, ["a/x"], "list of the folder a/");
    assert_eq!(list_keys(store, "b/", None).await, ["b/a/x"], "list of the folder b/");
    for absent in ["aa/", "x/", "a/x/", "a/y/", "b/a/x/y/"] {
        let listed = list_keys(store, absent, None).await;
        assert!(listed.is_empty(), "list of {absent:?}, which is no folder, shows {listed:?}");
    }
}

pub(super) async fn an_empty_store_lists_nothing(store: &dyn Backend) {
    for (prefix, after) in [("", None), ("", Some("a")), ("a/", None), ("a/b/", Some("a/b/c"))] {
        let listed = list_keys(store, prefix, after).await;
        assert!(listed.is_empty(), "list {prefix:?} after {after:?} of an empty store shows {listed:?}");
        expect_folders(store, prefix, &[]).await;
    }
}

pub(super) async fn folders_are_listed(store: &dyn Backend) {
    for key in ["g/b/x", "g/b/y", "g/a/deep/er/x", "g/a.b/x", "g/file", "ga/x", "top", "g/é/x", "g/B/x"] {
        put(store, key, key).await;
    }
    expect_folders(store, "", &["g", "ga"]).await;
    expect_folders(store, "g/", &["B", "a", "a.b", "b", "é"]).await;
    expect_folders(store, "g/a/", &["deep"]).await;
    for childless in ["g/b/", "g/file/", "none/", "g/no/"] {
        expect_folders(store, childless, &[]).await;
    }
}

async fn expect_folders(store: &dyn Backend, prefix: &str, expected: &[&str]) {
    match store.list_folders(prefix).await {
        Ok(folders) => assert_eq!(folders, expected, "list_folders {prefix:?}"),
        Err(error) => panic!("list_folders {prefix:?} fails: {error}"),
    }
}
