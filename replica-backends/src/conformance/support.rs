//! Short forms of what the checks do all the time.

use std::io;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::{Backend, Body, ByteRange, ErrorKind, ObjectMeta, Result};

/// Stores `content` as `key`.
pub(super) async fn put(store: &dyn Backend, key: &str, content: &str) {
    let size = store.put_new(key, Body::from(Bytes::copy_from_slice(content.as_bytes()))).await;
    match size {
        Ok(size) => assert_eq!(size, content.len() as u64, "put {key:?} returns the stored size"),
        Err(error) => panic!("put {key:?} of a new object fails: {error}"),
    }
}

/// Stores an object of its own name under each of `keys`, several at a time.
pub(super) async fn put_all(store: &dyn Backend, keys: &[String]) {
    stream::iter(keys).for_each_concurrent(16, |key| put(store, key, key)).await;
}

/// All bytes of `range` of `key`.
pub(super) async fn read(store: &dyn Backend, key: &str, range: ByteRange) -> Vec<u8> {
    let stream = match store.get(key, range).await {
        Ok(stream) => stream,
        Err(error) => panic!("get {key:?} {range:?} fails: {error}"),
    };
    match stream.map_ok(|chunk| chunk.to_vec()).try_concat().await {
        Ok(bytes) => bytes,
        Err(error) => panic!("get {key:?} {range:?} fails in mid-stream: {error}"),
    }
}

/// What a listing says.
pub(super) async fn list(store: &dyn Backend, prefix: &str, after: Option<&str>) -> Vec<ObjectMeta> {
    let listed = match store.list(prefix, after).await {
        Ok(stream) => stream.try_collect().await,
        Err(error) => Err(error),
    };
    listed.unwrap_or_else(|error| panic!("list {prefix:?} after {after:?} fails: {error}"))
}

/// The keys of a listing.
pub(super) async fn list_keys(store: &dyn Backend, prefix: &str, after: Option<&str>) -> Vec<String> {
    list(store, prefix, after).await.into_iter().map(|meta| meta.key).collect()
}

/// Asserts that `result` is an error of `kind`; `what` names the request.
pub(super) fn expect_kind<T>(result: Result<T>, kind: ErrorKind, what: &str) {
    match result {
        Ok(_) => panic!("{what} must fail with {kind:?} but succeeds"),
        Err(error) => assert_eq!(error.kind(), kind, "{what} must fail with {kind:?} but says: {error}"),
    }
}

/// Asserts that nothing can be seen of `key`, whichever way one looks.
pub(super) async fn expect_absent(store: &dyn Backend, key: &str, when: &str) {
    expect_kind(store.head(key).await, ErrorKind::NotFound, &format!("head {key:?} {when}"));
    expect_kind(store.get(key, ByteRange::All).await, ErrorKind::NotFound, &format!("get {key:?} {when}"));
    let listed = list_keys(store, "", None).await;
    assert!(!listed.iter().any(|other| other == key), "list must not show {key:?} {when}, but says {listed:?}");
}

/// Length of the chunks of [`pattern`].
pub(super) const CHUNK_LEN: usize = 100_003;

/// Chunk number `index` of a content in which every chunk differs, and no two positions can be mistaken.
pub(super) fn pattern(index: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(index);
    let mut chunk = vec![0; CHUNK_LEN];
    random.fill(&mut chunk);
    chunk.into()
}

/// A body of the first `count` chunks of [`pattern`], made as they are read.
pub(super) fn pattern_body(count: u64) -> Body {
    Body::stream(move || stream::iter((0..count).map(|index| io::Result::Ok(pattern(index)))).boxed())
}
