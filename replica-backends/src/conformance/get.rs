//! Reading objects and parts of them.

use std::time::{Duration, SystemTime};

use super::support::{CHUNK_LEN, expect_absent, list, pattern, pattern_body, put, read};
use crate::{Backend, ByteRange};

fn slice(start: u64, len: u64) -> ByteRange {
    ByteRange::Slice { start, len }
}

pub(super) async fn a_range_is_read_and_cut_at_the_end(store: &dyn Backend) {
    put(store, "a/x", "0123456789").await;
    let cases = [
        (ByteRange::All, "0123456789"),
        (slice(0, 10), "0123456789"),
        (slice(0, 1), "0"),
        (slice(3, 4), "3456"),
        (slice(9, 1), "9"),
        (slice(8, 5), "89"),
        (slice(3, u64::MAX), "3456789"),
        (slice(10, 1), ""),
        (slice(1000, 5), ""),
        (slice(u64::MAX, u64::MAX), ""),
        (slice(4, 0), ""),
        (ByteRange::Suffix(3), "789"),
        (ByteRange::Suffix(10), "0123456789"),
        (ByteRange::Suffix(11), "0123456789"),
        (ByteRange::Suffix(u64::MAX), "0123456789"),
        (ByteRange::Suffix(0), ""),
    ];
    for (range, expected) in cases {
        let got = read(store, "a/x", range).await;
        assert_eq!(String::from_utf8_lossy(&got), expected, "get of {range:?} of ten bytes");
    }
}

pub(super) async fn an_empty_object_is_read(store: &dyn Backend) {
    put(store, "a/empty", "").await;
    for range in [ByteRange::All, slice(0, 0), slice(0, 5), slice(7, 5), ByteRange::Suffix(0), ByteRange::Suffix(5)] {
        let got = read(store, "a/empty", range).await;
        assert!(got.is_empty(), "get of {range:?} of an empty object returns {} bytes", got.len());
    }
    assert_eq!(store.head("a/empty").await.ok().map(|meta| meta.size), Some(0), "head of an empty object");
}

pub(super) async fn a_range_of_a_large_object_is_read(store: &dyn Backend) {
    let chunks_count = 12;
    let stored = store.put_new("large", pattern_body(chunks_count)).await;
    assert!(stored.is_ok(), "put of a stream fails: {stored:?}");
    let whole: Vec<u8> = (0..chunks_count).flat_map(pattern).collect();
    let end = whole.len();
    for (start, len) in [(1, CHUNK_LEN * 7), (262_143, 2), (262_144, 262_144), (end - 300_000, 300_001)] {
        let got = read(store, "large", slice(start as u64, len as u64)).await;
        let expected = &whole[start..(start + len).min(end)];
        assert!(got == expected, "get of {len} bytes from {start} of a large object differs");
    }
    let got = read(store, "large", ByteRange::Suffix(600_000)).await;
    assert!(got == whole[end - 600_000..], "get of the last 600,000 bytes of a large object differs");
}

pub(super) async fn what_is_not_there_is_not_found(store: &dyn Backend) {
    expect_absent(store, "x", "in an empty store").await;
    expect_absent(store, "a/b/x", "in an empty store").await;
    put(store, "a/b/x", "here").await;
    for key in ["a/b/y", "a/b", "a", "a/b/x/y", "a/b/x.", "A/B/X"] {
        expect_absent(store, key, "beside a/b/x").await;
    }
}

pub(super) async fn head_tells_size_and_time(store: &dyn Backend) {
    put(store, "a/x", "12345").await;
    let meta = match store.head("a/x").await {
        Ok(meta) => meta,
        Err(error) => panic!("head of an object fails: {error}"),
    };
    assert_eq!((meta.key.as_str(), meta.size), ("a/x", 5), "head tells key and size");
    let age = SystemTime::now().duration_since(meta.modified).unwrap_or_else(|ahead| ahead.duration());
    assert!(age < Duration::from_secs(24 * 3600), "head tells a time that is {age:?} off");
    assert_eq!(list(store, "a/", None).await, [meta], "list says the same as head");
}
