//! Several replicas of one database, and replicas that change while they are read.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use lightship::history::Target;
use lightship::restore::{NamedBackend, RestoreError, RestoreReport, Silent, plan, restore};
use lightship::types::Generation;
use replica_backends::{Backend, Body, ByteRange, ByteStream, ObjectMeta, Result};

use super::recording::{Recording, eventful};
use super::store::MemoryStore;
use super::{Warnings, at, named, request, run};

fn restore_all(replicas: &[NamedBackend]) -> (std::result::Result<RestoreReport, RestoreError>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let warnings = Warnings::default();
    let result = run(restore(replicas, &request(&folder.path().join("out.db"), Target::Latest), &warnings));
    (result, warnings.0.into_inner().unwrap())
}

fn behind(recording: &Recording) -> MemoryStore {
    let mut store = recording.store.clone();
    let last = store.keys().pop().unwrap();
    store.objects.remove(&last);
    store
}

#[test]
fn the_replica_that_reaches_furthest_wins() {
    let recording = eventful(512, true);
    let all = named("all", Arc::new(recording.store.clone()));
    let less = named("less", Arc::new(behind(&recording)));
    for replicas in [[all.clone(), less.clone()], [less, all.clone()]] {
        let (report, warnings) = restore_all(&replicas);
        assert_eq!((report.unwrap().replica.as_str(), warnings.len()), ("all", 0));
    }
    let twin = named("twin", Arc::clone(&all.backend));
    assert_eq!(restore_all(&[all, twin]).0.unwrap().replica, "all", "the first of equals");
}

#[test]
fn an_unreadable_replica_is_a_warning_beside_a_good_one_and_an_error_beside_an_empty_one() {
    let recording = eventful(512, true);
    let good = named("good", Arc::new(recording.store.clone()));
    let dead = named("dead", Arc::new(MemoryStore { unreachable: true, ..recording.store.clone() }));
    let empty = named("empty", Arc::new(MemoryStore::default()));
    let (report, warnings) = restore_all(&[dead.clone(), good]);
    assert_eq!(report.unwrap().replica, "good");
    assert!(warnings.len() == 1 && warnings[0].contains("cannot read replica dead"), "{warnings:?}");
    let (error, _) = restore_all(&[empty.clone(), dead]);
    assert!(matches!(error, Err(RestoreError::Unreadable { .. })));
    let (error, _) = restore_all(&[empty]);
    assert!(matches!(error, Err(RestoreError::NoBackups)));
}

#[test]
fn a_generation_that_does_not_exist_is_not_the_same_as_no_backups() {
    let recording = eventful(512, true);
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(&folder.path().join("out.db"), Target::Latest);
    request.generation = Some(Generation(1));
    let error = run(restore(&[named("test", Arc::new(recording.store.clone()))], &request, &Silent)).unwrap_err();
    assert!(error.to_string().starts_with("no matching backups found: no replica has generation 0000000000000001"));
}

#[test]
fn a_plan_is_printed_without_fetching_any_object() {
    let recording = eventful(512, true);
    let store = Arc::new(recording.store.clone());
    let folder = tempfile::tempdir().unwrap();
    let request = request(&folder.path().join("out.db"), Target::Latest);
    let text = run(plan(&[named("test", store.clone())], &request, &Silent)).unwrap().to_string();
    assert!(text.contains("snapshot    generations/0123456789abcdef/snapshots/00000002.snapshot.lz4"), "{text}");
    assert!(text.contains("restores    commit of 2023-11-14T"), "{text}");
    let requests = store.requests.lock().unwrap();
    assert!(requests.len() <= 6, "{requests:?}");
}

/// Merges the segments of an index away, as a replicator may, after the first listing.
#[derive(Debug)]
struct Shifting {
    before: MemoryStore,
    after: MemoryStore,
    listings: std::sync::atomic::AtomicUsize,
}

impl Shifting {
    fn now(&self) -> &MemoryStore {
        if self.listings.load(std::sync::atomic::Ordering::SeqCst) > 1 { &self.after } else { &self.before }
    }
}

#[async_trait]
impl Backend for Shifting {
    fn location(&self) -> String {
        self.before.location()
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        self.after.put_new(key, body).await
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        self.after.put_over(key, body).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        // Seals are read while planning; whole objects are gone by then.
        match range {
            ByteRange::Suffix(_) => self.now().get(key, range).await,
            _ => self.after.get(key, range).await,
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        self.after.head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        if prefix == "generations/" {
            self.listings.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        self.now().list(prefix, after).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.now().list_folders(prefix).await
    }

    async fn creates_atomically(&self) -> Result<bool> {
        self.now().creates_atomically().await
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        self.after.delete(keys).await
    }
}

#[test]
fn a_restore_begins_anew_when_retention_has_removed_what_it_had_planned() {
    let mut recording = eventful(512, true);
    let before = recording.store.clone();
    recording.restart_wal();
    recording.snapshot();
    let mut after = recording.store.clone();
    after.objects.retain(|key, _| key.contains("/00000004"));
    let shifting = Shifting { before, after, listings: std::sync::atomic::AtomicUsize::new(0) };
    let (report, _) = restore_all(&[named("test", Arc::new(shifting))]);
    assert_eq!(at(&report.unwrap()).0.get(), 4);
}
