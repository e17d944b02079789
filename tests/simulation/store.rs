//! A store in memory that keeps the promises of [`Backend`], and is as slow and as faulty as its weather.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use lightship::history::{ObjectName, covers};
use lightship::segment::{Seal, Tail};
use lightship::types::Clock;
use replica_backends::{Backend, Body, ByteRange, ByteStream, Error, ErrorKind, ObjectMeta, Operation, Result};

use super::time::WallClock;
use super::trace::Trace;

/// How a store is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// It answers at once, and everything succeeds.
    Fine,
    /// One request in so many fails, before or after it was done, and others take their time.
    Rough(u32),
    /// Nothing succeeds.
    Dead,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// Nothing is done.
    Refused,
    /// It is done, and the answer is lost.
    Unanswered,
    /// An answer of several parts breaks off.
    Broken,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    modified: std::time::SystemTime,
}

/// A request whose sender has died on the way: it may still arrive.
#[derive(Debug, Clone)]
enum Request {
    PutNew(String, Bytes),
    PutOver(String, Bytes),
    Delete(String),
}

#[derive(Debug)]
struct State {
    random: Rng,
    weather: Weather,
    objects: BTreeMap<String, Object>,
    /// An object that was replaced by one that does not hold the same.
    overwritten: Option<String>,
}

impl State {
    fn put_over(&mut self, key: &str, object: Object) {
        if let Some(before) = self.objects.get(key).filter(|before| !holds_the_same(key, &before.bytes, &object.bytes))
        {
            self.overwritten = Some(format!("{key}, of {} bytes, was overwritten", before.bytes.len()));
        }
        self.objects.insert(key.to_owned(), object);
    }
}

/// A segment is replaced by one that it was merged into, and that by it if the merge fails.
fn holds_the_same(key: &str, before: &[u8], after: &[u8]) -> bool {
    let seal = |bytes: &[u8]| match Seal::from_tail(bytes, bytes.len() as u64) {
        Ok(Tail::Sealed(seal, _)) => Some(seal),
        _ => None,
    };
    let Some(ObjectName::Segment(..)) = ObjectName::parse(key) else { return ObjectName::parse(key).is_none() };
    let (Some(before), Some(after)) = (seal(before), seal(after)) else { return false };
    before.writer == after.writer && (covers(&before, &after) || covers(&after, &before))
}

/// The store; clones are the same one.
#[derive(Clone)]
pub struct Store {
    name: String,
    clock: WallClock,
    trace: Trace,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Store {
    pub fn new(name: &str, seed: u64, clock: &WallClock, trace: &Trace) -> Self {
        let random = Rng::with_seed(seed);
        let state = State { random, weather: Weather::Fine, objects: BTreeMap::new(), overwritten: None };
        Self { name: name.to_owned(), clock: clock.clone(), trace: trace.clone(), state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// What must never happen, if it has happened.
    pub fn overwritten(&self) -> Option<String> {
        self.lock().overwritten.clone()
    }

    /// What it holds now, in a store of its own that is always fine and takes no time.
    pub fn frozen(&self) -> Frozen {
        Frozen(Arc::new(self.lock().objects.clone()))
    }

    /// What becomes of a request, and how long it takes before and after it is done.
    fn fate(&self) -> (Fate, Duration, Duration) {
        let State { random, weather, .. } = &mut *self.lock();
        let fate = match weather {
            Weather::Fine => Fate::Done,
            Weather::Dead => Fate::Refused,
            Weather::Rough(one_in) if random.u32(0..*one_in) == 0 => match random.u32(0..5) {
                0..2 => Fate::Refused,
                2..4 => Fate::Unanswered,
                _ => Fate::Broken,
            },
            Weather::Rough(_) => Fate::Done,
        };
        let is_slow = *weather != Weather::Fine && random.u32(0..20) == 0;
        let longest_us = if is_slow { 3_000_000 } else { 8_000 };
        let mut delay = || Duration::from_micros(random.u64(0..longest_us));
        (fate, delay(), delay())
    }

    fn error(&self, kind: ErrorKind, operation: Operation, key: &str) -> Error {
        Error::new(kind, operation, key, self.name.clone(), "so the seed wants it")
    }

    /// Does `what` in time, or not at all.
    async fn request<T>(
        &self,
        (operation, key): (Operation, &str),
        request: Option<Request>,
        what: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<(T, Fate)> {
        let (fate, before, after) = self.fate();
        let under_way = request.map(|request| UnderWay { store: self.clone(), request: Some(request) });
        tokio::time::sleep(before).await;
        under_way.into_iter().for_each(UnderWay::arrived);
        let done = if fate == Fate::Refused {
            Err(self.error(ErrorKind::Unavailable, operation, key))
        } else {
            what(&mut self.lock())
        };
        let said = match &done {
            Ok(_) => format!("{fate:?}"),
            Err(error) => format!("{:?}", error.kind()),
        };
        if operation != Operation::Head {
            self.trace.add(&self.name, format_args!("{operation:?} {} {said}", short(key)));
        }
        tokio::time::sleep(after).await;
        match fate {
            Fate::Unanswered if done.is_ok() => Err(self.error(ErrorKind::Unavailable, operation, key)),
            _ => done.map(|done| (done, fate)),
        }
    }

    async fn put(&self, key: &str, body: Body, over: bool) -> Result<u64> {
        let whole = self.read(key, &body).await?;
        let size = whole.len() as u64;
        let modified = self.clock.now().to_system_time();
        let object = Object { bytes: whole.clone(), modified };
        let request = if over { Request::PutOver } else { Request::PutNew };
        let request = request(key.to_owned(), whole);
        let put = |state: &mut State| {
            if !over && state.objects.contains_key(key) {
                return Err(self.error(ErrorKind::AlreadyExists, Operation::Put, key));
            }
            state.put_over(key, object);
            Ok(size)
        };
        Ok(self.request((Operation::Put, key), Some(request), put).await?.0)
    }

    async fn read(&self, key: &str, body: &Body) -> Result<Bytes> {
        let chunks: io::Result<Vec<Bytes>> = body.open().try_collect().await;
        let failed = |error| Error::new(ErrorKind::Body, Operation::Put, key, self.name.clone(), error);
        Ok(chunks.map_err(failed)?.concat().into())
    }
}

/// Keys begin alike.
fn short(key: &str) -> &str {
    key.strip_prefix("generations/").unwrap_or(key)
}

/// Dropped with its sender before it has arrived.
struct UnderWay {
    store: Store,
    request: Option<Request>,
}

impl UnderWay {
    fn arrived(mut self) {
        self.request = None;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else { return };
        let mut state = self.store.lock();
        if state.random.bool() {
            return;
        }
        let modified = self.store.clock.now().to_system_time();
        let (what, key) = match request {
            Request::PutNew(key, bytes) => {
                let _ = state.objects.entry(key.clone()).or_insert(Object { bytes, modified });
                ("put", key)
            }
            Request::PutOver(key, bytes) => {
                state.put_over(&key, Object { bytes, modified });
                ("put over", key)
            }
            Request::Delete(key) => {
                state.objects.remove(&key);
                ("delete", key)
            }
        };
        drop(state);
        self.store.trace.add(&self.store.name, format_args!("{what} {} of a sender that is gone", short(&key)));
    }
}

fn within(range: ByteRange, size: usize) -> std::ops::Range<usize> {
    let cut = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(size);
    match range {
        ByteRange::All => 0..size,
        ByteRange::Slice { start, len } => cut(start)..cut(start.saturating_add(len)),
        ByteRange::Suffix(len) => size - cut(len)..size,
    }
}

fn listing(objects: &BTreeMap<String, Object>, prefix: &str, after: Option<&str>) -> Vec<ObjectMeta> {
    let wanted = |key: &str| key.starts_with(prefix) && after.is_none_or(|after| key > after);
    let meta = |(key, object): (&String, &Object)| meta(key, object);
    objects.iter().filter(|(key, _)| wanted(key)).map(meta).collect()
}

fn meta(key: &str, object: &Object) -> ObjectMeta {
    ObjectMeta { key: key.to_owned(), size: object.bytes.len() as u64, modified: object.modified }
}

fn folders(objects: &BTreeMap<String, Object>, prefix: &str) -> Vec<String> {
    let inner = |key: &String| Some(key.strip_prefix(prefix)?.split_once('/')?.0.to_owned());
    objects.keys().filter_map(inner).collect::<BTreeSet<_>>().into_iter().collect()
}

#[async_trait]
impl Backend for Store {
    fn location(&self) -> String {
        self.name.clone()
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        self.put(key, body, false).await
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        self.put(key, body, true).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let get = |state: &mut State| {
            let object = state.objects.get(key).ok_or_else(|| self.error(ErrorKind::NotFound, Operation::Get, key))?;
            Ok(object.bytes.slice(within(range, object.bytes.len())))
        };
        let (bytes, fate) = self.request((Operation::Get, key), None, get).await?;
        if fate == Fate::Broken {
            let part = bytes.slice(..bytes.len() / 2);
            return Ok(stream::iter([Ok(part), Err(self.error(ErrorKind::Unavailable, Operation::Get, key))]).boxed());
        }
        Ok(stream::iter([Ok(bytes)]).boxed())
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        let head = |state: &mut State| {
            let object = state.objects.get(key).ok_or_else(|| self.error(ErrorKind::NotFound, Operation::Head, key));
            object.map(|object| meta(key, object))
        };
        Ok(self.request((Operation::Head, key), None, head).await?.0)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let list = |state: &mut State| Ok(listing(&state.objects, prefix, after));
        let (found, fate) = self.request((Operation::List, prefix), None, list).await?;
        let broken = (fate == Fate::Broken).then(|| Err(self.error(ErrorKind::Unavailable, Operation::List, prefix)));
        let kept = if broken.is_some() { found.len() / 2 } else { found.len() };
        Ok(stream::iter(found.into_iter().take(kept).map(Ok).chain(broken)).boxed())
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        let list = |state: &mut State| Ok(folders(&state.objects, prefix));
        Ok(self.request((Operation::List, prefix), None, list).await?.0)
    }

    async fn creates_atomically(&self) -> Result<bool> {
        Ok(true)
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        let mut results = Vec::new();
        for key in keys {
            let delete = |state: &mut State| {
                state.objects.remove(key);
                Ok(())
            };
            let request = Some(Request::Delete(key.clone()));
            results.push(self.request((Operation::Delete, key), request, delete).await.map(|((), _)| ()));
        }
        results
    }
}

/// A store that does not change, for whoever looks at it from outside.
#[derive(Debug, Clone)]
pub struct Frozen(Arc<BTreeMap<String, Object>>);

impl Frozen {
    /// Every object.
    pub fn objects(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(key, object)| (key.as_str(), &object.bytes))
    }

    fn object(&self, operation: Operation, key: &str) -> Result<&Object> {
        self.0.get(key).ok_or_else(|| Error::new(ErrorKind::NotFound, operation, key, "frozen", "there is none"))
    }

    fn refusal(&self, operation: Operation, key: &str) -> Error {
        Error::new(ErrorKind::PermissionDenied, operation, key, self.location(), "it is frozen")
    }
}

#[async_trait]
impl Backend for Frozen {
    fn location(&self) -> String {
        "frozen".to_owned()
    }

    async fn put_new(&self, key: &str, _body: Body) -> Result<u64> {
        Err(self.refusal(Operation::Put, key))
    }

    async fn put_over(&self, key: &str, _body: Body) -> Result<u64> {
        Err(self.refusal(Operation::Put, key))
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let bytes = &self.object(Operation::Get, key)?.bytes;
        Ok(stream::iter([Ok(bytes.slice(within(range, bytes.len())))]).boxed())
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        Ok(meta(key, self.object(Operation::Head, key)?))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        Ok(stream::iter(listing(&self.0, prefix, after).into_iter().map(Ok)).boxed())
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(folders(&self.0, prefix))
    }

    async fn creates_atomically(&self) -> Result<bool> {
        Ok(true)
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        keys.iter().map(|key| Err(self.refusal(Operation::Delete, key))).collect()
    }
}
