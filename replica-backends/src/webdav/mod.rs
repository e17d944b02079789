//! Replicas on WebDAV servers (RFC 4918): Nextcloud, Apache, nginx, a NAS.
//!
//! What it assumes of a server (docs/reliability.md says the same to users):
//! 1. a file that was moved is seen whole under its new name;
//! 2. a MOVE that must not overwrite is refused if the name is taken when it arrives. That is tried, once for a server;
//!    of two that arrive at the same moment the protocol promises nothing.

mod client;
mod delete;
mod failure;
mod list;
mod multistatus;
mod put;
mod read;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::{Mutex, OnceCell, RwLock};

use self::client::Client;
use self::put::Creation;
use crate::key::{check_key, check_prefix};
use crate::temporary::{Sweeps, check_object_name};
use crate::{Backend, Body, ByteRange, ByteStream, Error, ErrorKind, ObjectMeta, Operation, Result, walk};

/// Requests of one operation that are on their way at the same time.
const REQUESTS_AT_ONCE: usize = 8;
/// What servers misread in the `Destination` of a MOVE: they decode it before they take it apart.
const MISREAD: [char; 4] = ['%', '?', '#', ';'];

/// A server, and how to log in there. Two that are equal can share a [`Server`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct WebdavOptions {
    /// Where it is: `http` or `https`, with the path below which files may be written.
    pub url: String,
    /// Who logs in, if somebody must.
    pub user: Option<String>,
    /// The password of that.
    pub password: Option<String>,
    /// Whether the certificate of the server goes unchecked.
    pub skip_verify: bool,
}

impl WebdavOptions {
    /// The server, for as many replicas as there are on it. Nothing is sent yet.
    #[must_use]
    pub fn open(self) -> Arc<Server> {
        Arc::new(Server {
            client: Client::new(self),
            creation: OnceCell::new(),
            naming: Mutex::default(),
            replacing: RwLock::default(),
        })
    }
}

// Without the password.
impl fmt::Debug for WebdavOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebdavOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A server with one client for all replicas on it.
pub struct Server {
    client: Client,
    creation: OnceCell<Creation>,
    /// Held while a file gets its name: at least within this process no two race for one.
    naming: Mutex<()>,
    /// Many servers delete what a MOVE replaces before they move: within this process nobody looks meanwhile.
    replacing: RwLock<()>,
}

impl Server {
    /// The replica in the folder `path`, below the URL; slashes at its ends mean nothing.
    pub fn folder(self: &Arc<Self>, path: &str) -> WebdavBackend {
        let root = path.trim_matches('/').to_owned();
        WebdavBackend { server: Arc::clone(self), root, made: Arc::default(), sweeps: Arc::default() }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("client", &self.client).finish_non_exhaustive()
    }
}

/// A [`Backend`] that keeps each object in a file `ROOT/KEY` of a [`Server`], as Litestream 0.5 does.
///
/// - An object is put into a file beside its place, and moved: readers see it whole or not at all. Most servers delete
///   what is replaced before they move, so an object that [`Backend::put_over`] replaces is missing for a moment.
/// - A put that fails or is dropped removes its temporary file. What a crash leaves behind is invisible, and is removed
///   after a day or two, when an object is put beside it.
/// - Names that end with `.tmp` are no objects. Keys with such a name, with control characters, or with one of `%?#;`
///   are `Invalid`.
/// - Folders are never removed: a server would remove what is in them too.
#[derive(Debug, Clone)]
pub struct WebdavBackend {
    server: Arc<Server>,
    root: String,
    /// Folders that exist; held while they are made.
    made: Arc<Mutex<HashSet<String>>>,
    sweeps: Arc<Sweeps>,
}

impl WebdavBackend {
    fn check(&self, operation: Operation, key: &str) -> Result<()> {
        let invalid = |problem| self.invalid(operation, key, problem);
        check_key(key).and_then(|()| check_object_name(key)).map_err(invalid)?;
        if key.contains(MISREAD) || key.contains(char::is_control) || key.contains('\\') {
            return Err(invalid("the key has a control character, a backslash, or one of %?#;"));
        }
        Ok(())
    }

    /// The path of something below the folder of the replica.
    fn within(&self, rest: &str) -> String {
        match (self.root.as_str(), rest) {
            ("", rest) => rest.to_owned(),
            (root, rest) => format!("{root}/{rest}"),
        }
    }

    fn invalid(&self, operation: Operation, key: &str, problem: &str) -> Error {
        Error::new(ErrorKind::Invalid, operation, key, self.location(), problem)
    }

    fn not_found(&self, operation: Operation, key: &str) -> Error {
        Error::new(ErrorKind::NotFound, operation, key, self.location(), "there is no such object")
    }
}

#[async_trait]
impl Backend for WebdavBackend {
    fn location(&self) -> String {
        format!("{}/{}", self.server.client.location(), self.root)
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
        self.check(Operation::Head, key)?;
        let _nobody_replaces = self.server.replacing.read().await;
        self.look(Operation::Head, key).await?.ok_or_else(|| self.not_found(Operation::Head, key))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        check_prefix(prefix).map_err(|problem| self.invalid(Operation::List, prefix, problem))?;
        walk::walk(self.clone(), prefix, after).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        check_prefix(prefix).map_err(|problem| self.invalid(Operation::List, prefix, problem))?;
        walk::sub_folders(self, prefix).await
    }

    async fn creates_atomically(&self) -> Result<bool> {
        self.creation_is_refused().await
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        self.delete_all(keys).await
    }
}
