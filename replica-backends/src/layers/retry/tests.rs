//! Time is paused: pauses cost nothing and are exact.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::*;
use crate::file::FileBackend;
use crate::layers::{Fault, Faulty};
use crate::{ErrorKind, Operation};

const POLICY: RetryPolicy = RetryPolicy {
    attempts_max: 5,
    initial: Duration::from_secs(1),
    max: Duration::from_secs(5),
    budget: Duration::from_secs(100),
};

struct Bench {
    _folder: tempfile::TempDir,
    faulty: Arc<Faulty>,
    retry: Retry,
}

/// A retry with `policy` and whole pauses, over a store on which the first `count` calls suffer `fault`.
fn bench(policy: RetryPolicy, count: u64, fault: Fault) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let plan = move |call: crate::layers::Call<'_>| (call.number < count).then_some(fault);
    let faulty = Arc::new(Faulty::new(Arc::new(FileBackend::new(folder.path())), plan));
    let retry = Retry::with_jitter(Arc::clone(&faulty) as Arc<dyn Backend>, policy, || 1.0);
    Bench { _folder: folder, faulty, retry }
}

fn body() -> Body {
    Body::from(Bytes::from_static(b"12345"))
}

#[tokio::test(start_paused = true)]
async fn pauses_double_up_to_the_longest() {
    let bench = bench(POLICY, 4, Fault::Before(ErrorKind::Unavailable));
    let started = Instant::now();
    assert_eq!(bench.retry.put_new("a", body()).await.unwrap(), 5);
    assert_eq!(bench.faulty.calls_count(), 5);
    let waited = started.elapsed();
    assert_eq!(waited.as_secs(), 1 + 2 + 4 + 5, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn jitter_waits_a_part_of_the_pause() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(Arc::new(FileBackend::new(folder.path())), |call| {
        (call.number < 2).then_some(Fault::Before(ErrorKind::Full))
    });
    let parts = Mutex::new(vec![0.0, 0.25]);
    let jitter = move || parts.lock().unwrap().pop().unwrap();
    let retry = Retry::with_jitter(Arc::new(faulty), POLICY, jitter);
    let started = Instant::now();
    retry.list_folders("").await.unwrap();
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(250) && waited < Duration::from_millis(300), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_error_says_how_often_and_how_long() {
    let bench = bench(POLICY, 100, Fault::Before(ErrorKind::Full));
    let error = bench.retry.head("a/b").await.unwrap_err();
    assert_eq!((error.kind(), error.operation(), error.key()), (ErrorKind::Full, Operation::Head, "a/b"));
    assert_eq!(bench.faulty.calls_count(), 5);
    let text = error.to_string();
    assert!(text.starts_with("head a/b at file:///") && text.contains("(5 attempts in 12.0"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_budget() {
    let policy = RetryPolicy { attempts_max: u32::MAX, budget: Duration::from_secs(10), ..POLICY };
    let bench = bench(policy, u64::MAX, Fault::Before(ErrorKind::Unavailable));
    let started = Instant::now();
    let error = bench.retry.head("a").await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 1 + 2 + 4, "another 5 s would pass the budget");
    assert!(error.to_string().contains("4 attempts in 7.0"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_will_not_get_better_is_not_tried_again() {
    use ErrorKind as K;
    for kind in [K::NotFound, K::AlreadyExists, K::Body, K::Invalid] {
        let bench = bench(POLICY, 100, Fault::Before(kind));
        let error = bench.retry.put_new("a", body()).await.unwrap_err();
        assert_eq!((error.kind(), bench.faulty.calls_count()), (kind, 1));
        assert!(!error.to_string().contains("attempt"), "{error}");
    }
}

/// The answer to the first put is lost. The second finds the object, and cannot know whose it is.
#[tokio::test(start_paused = true)]
async fn an_ambiguous_put_is_left_to_the_caller() {
    let bench = bench(POLICY, 1, Fault::After(ErrorKind::Unavailable));
    let error = bench.retry.put_new("a", body()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("(2 attempts in 1.0"), "{error}");
    assert_eq!(bench.retry.head("a").await.unwrap().size, 5);
}

#[tokio::test(start_paused = true)]
async fn only_keys_that_failed_are_deleted_again() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let faulty = Faulty::new(Arc::new(FileBackend::new(folder.path())), move |call| {
        log.lock().unwrap().push(call.key.to_owned());
        (call.key == "b" && call.number < 4 || call.key == "d").then_some(Fault::Before(ErrorKind::Unavailable))
    });
    let retry = Retry::with_jitter(Arc::new(faulty), POLICY, || 0.0);
    let results = retry.delete(&["a", "b", "", "d"].map(str::to_owned)).await;
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().err().map(Error::kind)).collect();
    assert_eq!(kinds, [None, None, Some(ErrorKind::Invalid), Some(ErrorKind::Unavailable)]);
    let text = results[3].as_ref().unwrap_err().to_string();
    assert!(text.contains("5 attempts"), "{text}");
    assert_eq!(*asked.lock().unwrap(), ["a", "b", "", "d", "b", "d", "d", "d", "d"]);
}

/// What was read already cannot be taken back, so a stream is not begun again behind the reader's back.
#[tokio::test(start_paused = true)]
async fn a_stream_is_not_retried_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let file: Arc<dyn Backend> = Arc::new(FileBackend::new(folder.path()));
    file.put_new("a", body()).await.unwrap();
    let faulty = Arc::new(Faulty::new(file, |call| {
        Some(if call.number == 0 { Fault::After(ErrorKind::Unavailable) } else { Fault::Break(3) })
    }));
    let retry = Retry::new(Arc::clone(&faulty) as Arc<dyn Backend>, POLICY);
    let mut stream = retry.get("a", ByteRange::All).await.unwrap();
    assert_eq!(stream.try_next().await.unwrap().unwrap(), "123");
    assert_eq!(stream.try_next().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(faulty.calls_count(), 2);
}

/// Each attempt reads the body from its first byte.
#[tokio::test(start_paused = true)]
async fn a_stream_body_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = Arc::new(FileBackend::new(folder.path()));
    // The first put loses its answer and its object, as if it had been cut off.
    let faulty = Faulty::new(file.clone(), move |call| {
        if call.number == 1 {
            std::fs::remove_file(folder.path().join("a")).unwrap();
        }
        (call.number == 0).then_some(Fault::After(ErrorKind::Unavailable))
    });
    let opened = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&opened);
    let body = Body::stream(move || {
        count.fetch_add(1, Ordering::Relaxed);
        stream::iter([Ok(Bytes::from_static(b"once"))]).boxed()
    });
    let retry = Retry::new(Arc::new(faulty), POLICY);
    assert_eq!(retry.put_new("a", body).await.unwrap(), 4);
    assert_eq!(opened.load(Ordering::Relaxed), 2);
    let stored: Vec<_> = file.get("a", ByteRange::All).await.unwrap().try_collect().await.unwrap();
    assert_eq!(stored.concat(), b"once");
}
