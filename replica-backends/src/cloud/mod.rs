//! Replicas in object stores of the cloud, by way of object_store.
//!
//! What it assumes of a store (docs/reliability.md says the same to users):
//! 1. an object that was confirmed is durable, and readers see it whole or not at all;
//! 2. who reads or lists after a confirmation sees what was confirmed;
//! 3. listings are in byte order of the keys; one that is not is an error here, never a gap.
//!
//! Whether a put can be made not to replace is *not* assumed: `creation` finds out.

mod answer;
mod creation;
mod failure;
mod list;
mod put;
mod read;
mod service;
mod transport;
mod unfinished;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{Attribute, Attributes, BackoffConfig, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::sync::OnceCell;

use self::creation::Creation;
pub(crate) use self::service::{Service, without_userinfo};
pub(crate) use self::transport::{Connector, choose_tls, client_options};
use self::unfinished::UnderWay;
pub(crate) use self::unfinished::{KeepsUploads, Upload};
use crate::key::{check_key, check_prefix};
use crate::{Backend, Body, ByteRange, ByteStream, Error, ErrorKind, ObjectMeta, Operation, Result, Unfinished};

/// Keys in one request to delete.
const DELETE_COUNT_MAX: usize = 1000;

/// What speaks to a bucket.
pub(crate) struct Client {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// If the service keeps what came of unfinished uploads, and shows it.
    pub(crate) uploads: Option<Arc<dyn KeepsUploads>>,
}

/// Makes the client of a bucket; asked again until it succeeds.
pub(crate) type Connect = Box<dyn Fn() -> BoxFuture<'static, object_store::Result<Client>> + Send + Sync>;

/// How requests are tried again before their caller hears of it: for blips. Outages are the caller's.
pub(crate) fn retry_config() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(5),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: 3, retry_timeout: Duration::from_secs(60) }
}

/// A bucket, or what a store calls its like: one client, with its connections, for all replicas in it.
pub struct Bucket {
    connect: Connect,
    service: Service,
    location: String,
    parts_max: u64,
    storage_class: Option<String>,
    client: OnceCell<Client>,
    creation: OnceCell<Creation>,
    under_way: UnderWay,
}

impl Bucket {
    /// A bucket that is first spoken to when it is needed. An upload to it has at most `parts_max` parts.
    pub(crate) fn new(service: Service, location: String, parts_max: u64, connect: Connect) -> Self {
        let (client, creation, under_way) = (OnceCell::new(), OnceCell::new(), UnderWay::default());
        Self { connect, service, location, parts_max, storage_class: None, client, creation, under_way }
    }

    /// The same bucket, whose objects get this class.
    pub(crate) fn with_storage_class(self, storage_class: Option<String>) -> Self {
        Self { storage_class, ..self }
    }

    /// What every new object is told to be.
    fn attributes(&self) -> Attributes {
        self.storage_class.iter().map(|class| (Attribute::StorageClass, class.clone())).collect()
    }

    /// The replica whose keys all begin with `path` and a slash; slashes at its ends mean nothing.
    pub fn folder(self: &Arc<Self>, path: &str) -> CloudBackend {
        CloudBackend { bucket: Arc::clone(self), root: path.trim_matches('/').to_owned() }
    }

    async fn client(&self) -> object_store::Result<&Client> {
        self.client.get_or_try_init(|| (self.connect)()).await
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("location", &self.location).finish_non_exhaustive()
    }
}

/// A [`Backend`] that keeps each object under `ROOT/KEY` in a [`Bucket`], as Litestream 0.3 does.
///
/// - Keys with control characters are `Invalid`: listings cannot show them. In Azure so are those with backslashes.
/// - A put of up to one part is one request; a larger one is an upload in parts, which is aborted if it fails or is
///   dropped. One that dies with the process stays behind unfinished: [`Backend::unfinished`] lists it.
/// - Requests that fail in passing are tried again a few times, so a put may find what its own first attempt stored:
///   it then fails with `AlreadyExists`, and the caller settles it by looking at the object.
#[derive(Debug, Clone)]
pub struct CloudBackend {
    bucket: Arc<Bucket>,
    root: String,
}

impl CloudBackend {
    async fn store(&self, operation: Operation, key: &str) -> Result<&Arc<dyn ObjectStore>> {
        Ok(&self.client(operation, key).await?.store)
    }

    async fn client(&self, operation: Operation, key: &str) -> Result<&Client> {
        self.bucket.client().await.map_err(|error| self.failed(operation, key, &error))
    }

    /// Where the object of `key` is.
    fn path(&self, operation: Operation, key: &str) -> Result<Path> {
        check_key(key).map_err(|problem| self.invalid(operation, key, problem))?;
        if self.bucket.service == Service::Azure && key.contains('\\') {
            return Err(self.invalid(operation, key, "Azure takes the backslash in the key for a slash"));
        }
        let full = if self.root.is_empty() { key.to_owned() } else { format!("{}/{key}", self.root) };
        Path::parse(full).map_err(|error| {
            let problem = match key.chars().any(char::is_control) {
                true => "the key has a control character".to_owned(),
                false => format!("the path of the replica: {error}"),
            };
            self.invalid(operation, key, &problem)
        })
    }

    /// The key of the object at `path`, if it is below our root.
    fn key<'a>(&self, path: &'a Path) -> Option<&'a str> {
        let path = path.as_ref();
        if self.root.is_empty() { Some(path) } else { path.strip_prefix(&self.root)?.strip_prefix('/') }
    }

    fn invalid(&self, operation: Operation, key: &str, problem: &str) -> Error {
        Error::new(ErrorKind::Invalid, operation, key, self.location(), problem)
    }

    fn failed(&self, operation: Operation, key: &str, error: &object_store::Error) -> Error {
        failure::translate(error, self.bucket.service, operation, key, &self.location())
    }

    /// The results of one request to delete `paths`.
    async fn delete_some(&self, keys: &[String], paths: Vec<Path>) -> Vec<Result<()>> {
        let key_of_request = keys.first().map_or("", String::as_str);
        let store = match self.store(Operation::Delete, key_of_request).await {
            Ok(store) => store,
            Err(error) => return keys.iter().map(|key| Err(error.of_key(key))).collect(),
        };
        let results: Vec<_> =
            store.delete_stream(futures::stream::iter(paths.into_iter().map(Ok)).boxed()).collect().await;
        if results.len() != keys.len() {
            // The request failed as a whole, so none of its keys is known to be deleted.
            let error = results.into_iter().find_map(object_store::Result::err);
            let error = match error {
                Some(error) => self.failed(Operation::Delete, key_of_request, &error),
                None => {
                    let text = "the store answered for other keys";
                    Error::new(ErrorKind::Unavailable, Operation::Delete, key_of_request, self.location(), text)
                }
            };
            return keys.iter().map(|key| Err(error.of_key(key))).collect();
        }
        let one = |(key, result): (&String, object_store::Result<Path>)| match result {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(Operation::Delete, key, &error)),
        };
        keys.iter().zip(results).map(one).collect()
    }
}

#[async_trait]
impl Backend for CloudBackend {
    fn location(&self) -> String {
        match self.bucket.location.split_once(" at ") {
            Some((bucket, endpoint)) => format!("{bucket}/{} at {endpoint}", self.root),
            None => format!("{}/{}", self.bucket.location, self.root),
        }
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        self.put(key, body, true).await
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        self.put(key, body, false).await
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        self.read(key, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        let path = self.path(Operation::Head, key)?;
        let head = self.store(Operation::Head, key).await?.head(&path).await;
        let meta = head.map_err(|error| self.failed(Operation::Head, key, &error))?;
        Ok(list::object_meta(key.to_owned(), &meta))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        check_prefix(prefix).map_err(|problem| self.invalid(Operation::List, prefix, problem))?;
        self.list_objects(prefix, after).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        check_prefix(prefix).map_err(|problem| self.invalid(Operation::List, prefix, problem))?;
        self.sub_folders(prefix).await
    }

    async fn creates_atomically(&self) -> Result<bool> {
        let store = self.store(Operation::Put, "").await?;
        Ok(self.creation(store.as_ref()).await? == Creation::Atomic)
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        let mut results = Vec::with_capacity(keys.len());
        let mut wanted = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let path = self.path(Operation::Delete, key);
            results.push(path.as_ref().map(drop).map_err(|error| self.invalid(Operation::Delete, key, &error.cause())));
            wanted.extend(path.ok().map(|path| (index, path)));
        }
        for some in wanted.chunks(DELETE_COUNT_MAX) {
            let (these, paths): (Vec<_>, Vec<_>) =
                some.iter().map(|(index, path)| (keys[*index].clone(), path.clone())).unzip();
            for ((index, _), result) in some.iter().zip(self.delete_some(&these, paths).await) {
                results[*index] = result;
            }
        }
        results
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        check_prefix(prefix).map_err(|problem| self.invalid(Operation::List, prefix, problem))?;
        self.list_unfinished(prefix).await
    }

    async fn abort(&self, upload: &Unfinished) -> Result<()> {
        self.abort_unfinished(upload).await
    }
}
