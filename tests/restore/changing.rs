//! Stores that break in the middle of an object, and replicas that change while they are being read.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use lightship::history::{ObjectName, Target};
use lightship::restore::RestoreError;
use lightship::types::Index;
use replica_backends::layers::{Fault, Faulty, Meter};
use replica_backends::{Backend, Body, ByteRange, ByteStream, ErrorKind, ObjectMeta, Operation, Result};

use super::recording::{Recording, eventful};
use super::store::MemoryStore;
use super::{refusal, restore_from};

/// Some megabytes that do not compress: an object that is fetched in parts.
fn large() -> Recording {
    let mut recording = Recording::new(4096, true);
    recording.commit("INSERT INTO t VALUES (1, randomblob(9000000))");
    recording.ship();
    for n in 2..10 {
        recording.commit(&format!("INSERT INTO t VALUES ({n}, randomblob(100000))"));
        recording.ship();
    }
    recording
}

#[test]
fn a_download_that_breaks_goes_on_from_there() {
    for (recording, after) in
        [(large(), 700_000), (large(), 0), (eventful(1024, true), 150), (eventful(512, false), 33)]
    {
        let stored: usize = recording.store.objects.values().map(|object| object.0.len()).sum();
        let meter = Arc::new(Meter::new(Arc::new(recording.store.clone())));
        // Every second request for bytes breaks.
        let count = AtomicUsize::new(0);
        let faulty = Faulty::new(meter.clone(), move |call| {
            let odd = call.operation == Operation::Get && count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            odd.then_some(Fault::Break(after))
        });
        let (restored, _) = restore_from(Arc::new(faulty), Target::Latest).unwrap();
        assert!(restored == recording.states.last().unwrap().bytes);
        let fetched = meter.counters().get.bytes as usize;
        // What is fetched twice is the rest of a chunk, and ends of objects for their seals.
        let allowance = (1000 + 2 * 4096) * meter.counters().get.requests as usize;
        assert!(fetched <= stored + allowance, "{fetched} bytes of {stored}");
    }
}

#[test]
fn a_store_that_breaks_each_time_is_given_up() {
    let recording = eventful(512, true);
    let victim = recording.store.keys().into_iter().rfind(|key| key.contains("/wal/")).unwrap();
    let key = victim.clone();
    let broken = Faulty::new(Arc::new(recording.store.clone()), move |call| {
        (call.operation == Operation::Get && call.key == key).then_some(Fault::Break(0))
    });
    let error = refusal(Arc::new(broken), Target::Latest);
    let RestoreError::Unreadable { source, .. } = &error else { panic!("{error}") };
    assert!(source.key() == victim && source.to_string().contains("5 tries"), "{error}");
}

/// A replica that is another one after so many requests for bytes.
struct Changing {
    before: MemoryStore,
    after: MemoryStore,
    /// Requests until then.
    left: Mutex<usize>,
    listings: AtomicUsize,
    /// Requests for bytes that are being answered, and the most there ever were.
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
}

impl Changing {
    fn new(before: &MemoryStore, after: &MemoryStore, left: usize) -> Arc<Self> {
        let (before, after) = (before.clone(), after.clone());
        let count = || AtomicUsize::new(0);
        let (listings, at_once, at_once_max) = (count(), count(), count());
        Arc::new(Self { before, after, left: Mutex::new(left), listings, at_once, at_once_max })
    }

    fn now(&self) -> &MemoryStore {
        if *self.left.lock().unwrap() == 0 { &self.after } else { &self.before }
    }

    fn is_over(&self) -> bool {
        *self.left.lock().unwrap() == 0
    }
}

impl fmt::Debug for Changing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changing")
    }
}

#[async_trait]
impl Backend for Changing {
    fn location(&self) -> String {
        self.now().location()
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        self.now().put_new(key, body).await
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        self.now().put_over(key, body).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let at_once = 1 + self.at_once.fetch_add(1, Ordering::SeqCst);
        self.at_once_max.fetch_max(at_once, Ordering::SeqCst);
        let got = self.now().get(key, range).await;
        // Others have a chance to ask meanwhile.
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let mut left = self.left.lock().unwrap();
        *left = left.saturating_sub(1);
        got
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        self.now().head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.listings.fetch_add(usize::from(prefix == "generations/"), Ordering::Relaxed);
        self.now().list(prefix, after).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.now().list_folders(prefix).await
    }

    async fn creates_atomically(&self) -> Result<bool> {
        self.now().creates_atomically().await
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        self.now().delete(keys).await
    }
}

/// The segments of index 0 as one, in the place of the first; `kept` of the others have not been deleted yet.
fn merged(store: &MemoryStore, kept: usize) -> MemoryStore {
    let keys: Vec<String> = store.keys().into_iter().filter(|key| key.contains("/wal/00000000_")).collect();
    let (bytes, _) = lightship::segment::merge(keys.iter().map(|key| &store.objects[key].0[..])).unwrap();
    let mut merged = MemoryStore { requests: Arc::default(), ..store.clone() };
    merged.put(&keys[0], bytes, 0);
    // The last one goes last.
    for key in &keys[1..keys.len() - kept] {
        merged.objects.remove(key);
    }
    merged
}

#[test]
fn a_replica_whose_segments_are_merged_meanwhile_is_planned_anew() {
    let recording = eventful(1024, true);
    let middle = &recording.states[5];
    let last = recording.states.iter().rfind(|state| state.at.0.get() <= 1).unwrap();
    let mut replanned = 0;
    for kept in 0..3 {
        let after = merged(&recording.store, kept);
        for left in 0..20 {
            for (target, wanted) in [(Target::Time(middle.time), middle), (Target::Index(Index::new(1).unwrap()), last)]
            {
                let changing = Changing::new(&recording.store, &after, left);
                let (restored, _) = restore_from(changing.clone(), target).unwrap();
                assert!(restored == wanted.bytes, "{target:?} after {left} requests");
                replanned += usize::from(changing.is_over() && changing.listings.load(Ordering::Relaxed) > 1);
            }
        }
    }
    assert!(replanned > 5, "{replanned}");
}

#[test]
fn a_replica_whose_old_objects_are_removed_meanwhile_is_planned_anew() {
    let recording = eventful(1024, true);
    let begins = |key: &str| ObjectName::parse(key).unwrap().index().get();
    // Before, there was only the first snapshot.
    let mut before = recording.store.clone();
    before.objects.retain(|key, _| !key.contains("/snapshots/") || begins(key) == 0);
    let mut after = recording.store.clone();
    after.objects.retain(|key, _| begins(key) >= 2);
    let last = recording.states.last().unwrap();
    for left in 0..14 {
        let changing = Changing::new(&before, &after, left);
        let (restored, _) = restore_from(changing.clone(), Target::Latest).unwrap();
        assert!(restored == last.bytes, "after {left} requests");
        // What is gone for good is an error, with what there is.
        let changing = Changing::new(&before, &after, left);
        match restore_from(changing.clone(), Target::Time(recording.states[2].time)) {
            Ok((restored, _)) => assert!(restored == recording.states[2].bytes),
            Err(error) => assert!(error.to_string().contains("is before the first restorable point"), "{error}"),
        }
    }
}

#[test]
fn a_listing_that_never_comes_true_is_given_up() {
    let recording = eventful(512, true);
    let victim = recording.store.keys().into_iter().find(|key| key.contains("/wal/")).unwrap();
    let key = victim.clone();
    let listings = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&listings);
    let broken = Faulty::new(Arc::new(recording.store.clone()), move |call| {
        counted
            .fetch_add(usize::from(call.operation == Operation::List && call.key == "generations/"), Ordering::Relaxed);
        (call.operation == Operation::Get && call.key == key).then_some(Fault::Before(ErrorKind::NotFound))
    });
    let index = Target::Index(Index::default());
    let error = refusal(Arc::new(broken), index);
    assert!(matches!(&error, RestoreError::Unreadable { source, .. } if source.key() == victim), "{error}");
    assert!((2..=7).contains(&listings.load(Ordering::Relaxed)));
}

#[test]
fn parts_of_an_object_that_ends_early_are_an_error_with_its_name() {
    let recording = large();
    let victim = recording.store.keys().into_iter().find(|key| recording.store.objects[key].0.len() > 5 << 20).unwrap();
    let mut store = recording.store.clone();
    let object = store.objects.get_mut(&victim).unwrap();
    object.0 = Bytes::copy_from_slice(&object.0[..6 << 20]);
    let error = refusal(Arc::new(store), Target::Latest).to_string();
    assert!(error.contains(&victim), "{error}");
}

#[test]
fn a_large_object_is_fetched_in_parts_and_several_at_once() {
    let mut recording = Recording::new(4096, true);
    recording.commit("INSERT INTO t VALUES (1, randomblob(30000000))");
    recording.ship();
    let slow = Changing::new(&recording.store, &recording.store, usize::MAX);
    let (restored, _) = restore_from(slow.clone(), Target::Latest).unwrap();
    assert!(restored == recording.states.last().unwrap().bytes);
    let at_once = slow.at_once_max.load(Ordering::SeqCst);
    assert!((3..=8).contains(&at_once), "{at_once}");
}
