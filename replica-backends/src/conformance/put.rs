//! An object appears whole, once, or not at all.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{self, Either, join_all};
use futures::stream::{self, StreamExt};
use tokio::sync::Semaphore;

use super::support::{CHUNK_LEN, expect_absent, expect_kind, list_keys, pattern, pattern_body, put, read};
use crate::{Backend, Body, ByteRange, ErrorKind};

pub(super) async fn a_put_creates_an_object_and_returns_its_size(store: &dyn Backend) {
    put(store, "top", "first").await;
    put(store, "a/b/c/deep", "second").await;
    put(store, "a/b/c/empty", "").await;
    assert_eq!(read(store, "top", ByteRange::All).await, b"first");
    assert_eq!(read(store, "a/b/c/deep", ByteRange::All).await, b"second");
    assert_eq!(list_keys(store, "", None).await, ["a/b/c/deep", "a/b/c/empty", "top"]);
}

pub(super) async fn a_second_put_changes_nothing(store: &dyn Backend) {
    put(store, "a/x", "first").await;
    for second in ["first", "second, and longer", ""] {
        let body = Body::from(Bytes::copy_from_slice(second.as_bytes()));
        expect_kind(store.put_new("a/x", body).await, ErrorKind::AlreadyExists, "a second put");
    }
    let streamed = store.put_new("a/x", pattern_body(30)).await;
    expect_kind(streamed, ErrorKind::AlreadyExists, "a second put, of a stream");
    assert_eq!(read(store, "a/x", ByteRange::All).await, b"first", "a second put must not change the object");
}

pub(super) async fn a_put_over_replaces_or_creates(store: &dyn Backend) {
    for (content, what) in [("first", "created"), ("second, and longer", "replaced"), ("", "made empty"), ("x", "x")] {
        let body = Body::from(Bytes::copy_from_slice(content.as_bytes()));
        let size = store.put_over("a/b/x", body).await;
        assert_eq!(size.ok(), Some(content.len() as u64), "an object that is {what} returns its size");
        assert_eq!(read(store, "a/b/x", ByteRange::All).await, content.as_bytes(), "an object that is {what}");
        assert_eq!(store.head("a/b/x").await.ok().map(|meta| meta.size), Some(content.len() as u64));
    }
    let size = store.put_over("a/b/x", pattern_body(30)).await;
    assert_eq!(size.ok(), Some(30 * CHUNK_LEN as u64), "a put over an object, of a stream");
    assert_eq!(read(store, "a/b/x", ByteRange::Slice { start: 0, len: CHUNK_LEN as u64 }).await, pattern(0));
    assert_eq!(list_keys(store, "", None).await, ["a/b/x"]);
}

pub(super) async fn a_put_over_that_fails_leaves_what_was_there(store: &dyn Backend) {
    put(store, "a/x", "first").await;
    for chunk_count in [0, 1, 60] {
        let body = Body::stream(move || {
            let chunks = (0..chunk_count).map(|index| Ok(pattern(index)));
            stream::iter(chunks.chain([Err(io::Error::other("the body failed"))])).boxed()
        });
        expect_kind(store.put_over("a/x", body).await, ErrorKind::Body, "a put over an object whose body fails");
        assert_eq!(read(store, "a/x", ByteRange::All).await, b"first", "an object whose replacement failed");
    }
}

pub(super) async fn a_reader_sees_one_of_two_objects_and_never_a_mixture(store: &dyn Backend) {
    let contents = [pattern(1), pattern(2).slice(..CHUNK_LEN / 2)];
    let first = store.put_over("a/x", contents[0].clone().into()).await;
    assert!(first.is_ok(), "a put over nothing fails: {first:?}");
    let writing = async {
        for round in 1..=40 {
            let put = store.put_over("a/x", contents[round % 2].clone().into()).await;
            assert!(put.is_ok(), "a put over an object fails: {put:?}");
        }
    };
    let reading = async {
        for _ in 0..40 {
            let seen = read(store, "a/x", ByteRange::All).await;
            assert!(contents.iter().any(|content| *content == seen), "a reader sees a mixture of two objects");
        }
    };
    future::join(writing, reading).await;
}

pub(super) async fn of_eight_racers_one_wins(store: &dyn Backend) {
    for round in 0..8 {
        let key = format!("race/{round}/x");
        let contents: Vec<_> = (0..8).map(|racer| format!("racer {racer}").repeat(racer + 1)).collect();
        let racers = contents.iter().map(|content| {
            let bytes = Bytes::copy_from_slice(content.as_bytes());
            // One half of them in one piece, the other as streams.
            let body = if bytes.len().is_multiple_of(2) {
                Body::stream(move || stream::iter([Ok(bytes.clone())]).boxed())
            } else {
                Body::from(bytes)
            };
            store.put_new(&key, body)
        });
        let results = join_all(racers).await;
        let winners: Vec<_> = (0..8).filter(|racer| results[*racer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "exactly one of eight racers wins, but {winners:?} did");
        for (racer, result) in results.into_iter().enumerate().filter(|(racer, _)| *racer != winners[0]) {
            expect_kind(result, ErrorKind::AlreadyExists, &format!("racer {racer}, who lost,"));
        }
        let stored = read(store, &key, ByteRange::All).await;
        assert_eq!(stored, contents[winners[0]].as_bytes(), "the object must be the winner's");
    }
}

pub(super) async fn a_body_that_fails_leaves_nothing(store: &dyn Backend) {
    // Before the first byte, after a few, and after more than any store would keep in memory.
    for chunk_count in [0, 1, 60] {
        let body = Body::stream(move || {
            let chunks = (0..chunk_count).map(|index| Ok(pattern(index)));
            stream::iter(chunks.chain([Err(io::Error::other("the body failed"))])).boxed()
        });
        expect_kind(store.put_new("a/x", body).await, ErrorKind::Body, "a put whose body fails");
        expect_absent(store, "a/x", "after its body failed").await;
    }
    put(store, "a/x", "whole").await;
    assert_eq!(read(store, "a/x", ByteRange::All).await, b"whole");
}

/// A body that gives `before` chunks, says so, and then waits until it may end.
fn gated_body(before: u64) -> (Body, Arc<Semaphore>, Arc<Semaphore>) {
    let (reached, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (say, wait) = (Arc::clone(&reached), Arc::clone(&go_on));
    let body = Body::stream(move || {
        let (say, wait) = (Arc::clone(&say), Arc::clone(&wait));
        let gate = stream::once(async move {
            say.add_permits(1);
            let permit = wait.acquire().await;
            permit.map(|_| Bytes::from_static(b"end")).map_err(io::Error::other)
        });
        stream::iter((0..before).map(|index| Ok(pattern(index)))).chain(gate).boxed()
    });
    (body, reached, go_on)
}

pub(super) async fn a_put_that_is_dropped_leaves_nothing(store: &dyn Backend) {
    for before in [0, 60] {
        let (body, reached, _go_on) = gated_body(before);
        let putting = store.put_new("a/x", body);
        match future::select(putting, Box::pin(reached.acquire())).await {
            Either::Left((result, _)) => panic!("a put returns before its body has ended: {result:?}"),
            Either::Right((_, putting)) => drop(putting),
        }
        expect_absent(store, "a/x", "after its put was dropped").await;
    }
    put(store, "a/x", "whole").await;
    assert_eq!(read(store, "a/x", ByteRange::All).await, b"whole");
}

pub(super) async fn an_object_is_not_seen_before_it_is_whole(store: &dyn Backend) {
    for before in [0_u64, 60] {
        let key = format!("slow/{before}");
        let (body, reached, go_on) = gated_body(before);
        let looking = async {
            let _ = reached.acquire().await;
            expect_absent(store, &key, "while its body is still being read").await;
            go_on.add_permits(1);
        };
        let (result, ()) = future::join(store.put_new(&key, body), looking).await;
        let size = before * CHUNK_LEN as u64 + 3;
        assert_eq!(result.ok(), Some(size), "a slow put of {key:?} must succeed and return its size");
        assert_eq!(store.head(&key).await.ok().map(|meta| meta.size), Some(size), "head {key:?} after a slow put");
        assert_eq!(read(store, &key, ByteRange::Suffix(3)).await, b"end");
    }
}

pub(super) async fn a_large_stream_comes_back(store: &dyn Backend) {
    let chunks_count = (20 << 20) / CHUNK_LEN as u64 + 1;
    let size = chunks_count * CHUNK_LEN as u64;
    let stored = store.put_new("large", pattern_body(chunks_count)).await;
    assert_eq!(stored.ok(), Some(size), "a put of a large stream must succeed and return its size");
    let mut stream = match store.get("large", ByteRange::All).await {
        Ok(stream) => stream,
        Err(error) => panic!("get of a large object fails: {error}"),
    };
    // Compared with what it must be as it arrives: neither is ever held as a whole.
    let mut expected = Bytes::new();
    let mut position = 0_u64;
    while let Some(chunk) = stream.next().await {
        let mut chunk = chunk.unwrap_or_else(|error| panic!("get fails after {position} bytes: {error}"));
        while !chunk.is_empty() {
            assert!(position < size, "get returns more than the {size} bytes that were put");
            if expected.is_empty() {
                expected = pattern(position / CHUNK_LEN as u64);
            }
            let len = chunk.len().min(expected.len());
            assert!(chunk.split_to(len) == expected.split_to(len), "a large object differs near byte {position}");
            position += len as u64;
        }
    }
    assert_eq!(position, size, "get must return every byte of a large object");
}
