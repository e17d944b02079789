//! Each fault does what it says: a fault that does nothing would prove anything.

use futures::TryStreamExt;

use super::*;
use crate::file::FileBackend;

struct Bench {
    _folder: tempfile::TempDir,
    file: Arc<dyn Backend>,
}

impl Bench {
    /// A store that holds `a` = `12345`.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file: Arc<dyn Backend> = Arc::new(FileBackend::new(folder.path()));
        file.put_new("a", body()).await.unwrap();
        Self { _folder: folder, file }
    }

    fn with(&self, fault: Fault) -> Faulty {
        Faulty::new(Arc::clone(&self.file), move |_| Some(fault))
    }
}

fn body() -> Body {
    Body::from(Bytes::from_static(b"12345"))
}

#[tokio::test]
async fn before_means_that_nothing_was_done() {
    let bench = Bench::new().await;
    let faulty = bench.with(Fault::Before(ErrorKind::Full));
    assert_eq!(faulty.put_new("b", body()).await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(bench.file.head("b").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(faulty.delete(&["a".into()]).await.remove(0).unwrap_err().kind(), ErrorKind::Full);
    bench.file.head("a").await.unwrap();
    assert!(faulty.get("a", ByteRange::All).await.is_err());
    assert!(faulty.head("a").await.is_err());
    assert!(faulty.list("", None).await.is_err());
    assert!(faulty.list_folders("").await.is_err());
    assert_eq!(faulty.calls_count(), 6);
}

#[tokio::test]
async fn after_means_that_it_was_done_and_not_told() {
    let bench = Bench::new().await;
    let faulty = bench.with(Fault::After(ErrorKind::Unavailable));
    let error = faulty.put_new("b", body()).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Unavailable, "b"));
    bench.file.head("b").await.unwrap();
    assert!(faulty.delete(&["a".into()]).await.remove(0).is_err());
    assert_eq!(bench.file.head("a").await.unwrap_err().kind(), ErrorKind::NotFound);
    // What failed by itself keeps its own error.
    assert_eq!(faulty.head("none").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_get_is_cut_silently_or_with_an_error() {
    let bench = Bench::new().await;
    for (len, expected) in [(0, ""), (2, "12"), (5, "12345"), (9, "12345")] {
        let stream = bench.with(Fault::Truncate(len)).get("a", ByteRange::All).await.unwrap();
        assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().concat(), expected.as_bytes());
        let mut stream = bench.with(Fault::Break(len)).get("a", ByteRange::All).await.unwrap();
        let mut got = Vec::new();
        let error = loop {
            match stream.try_next().await {
                Ok(chunk) => got.extend(chunk.expect("the error comes before the end")),
                Err(error) => break error,
            }
        };
        assert_eq!((got.as_slice(), error.kind()), (expected.as_bytes(), ErrorKind::Unavailable));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_waits_and_then_does_it() {
    let bench = Bench::new().await;
    let started = tokio::time::Instant::now();
    bench.with(Fault::Delay(Duration::from_secs(7))).head("a").await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn a_seed_decides_the_same_each_time() {
    let bench = Bench::new().await;
    let faults = vec![Fault::Before(ErrorKind::Full), Fault::After(ErrorKind::Unavailable)];
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let faulty = Faulty::seeded(Arc::clone(&bench.file), seed, 3, faults.clone());
        let mut kinds = Vec::new();
        for _ in 0..60 {
            kinds.push(faulty.head("a").await.err().map(|error| error.kind()));
        }
        runs.push(kinds);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    for outcome in [None, Some(ErrorKind::Full), Some(ErrorKind::Unavailable)] {
        assert!(runs[0].contains(&outcome), "{outcome:?} never happens");
    }
}
