//! Replicas in a folder of a host that is reached by SFTP.
//!
//! What it assumes of a host (docs/reliability.md says the same to users):
//! 1. a second name for a file (`hardlink@openssh.com`) is refused if the name is taken; without that extension, a
//!    plain `rename` that was seen to refuse a taken name does so always;
//! 2. what was synced (`fsync@openssh.com`) and then named survives a power cut, as far as its file system goes.

mod create;
mod delete;
mod failure;
mod host_key;
mod key;
mod known_hosts;
mod list;
mod login;
mod open_file;
mod put;
mod read;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::{Mutex, OnceCell};

use self::create::Creation;
use self::session::Session;
use crate::key::{check_key, check_prefix};
use crate::temporary::{Sweeps, check_object_name};
use crate::{Backend, Body, ByteRange, ByteStream, Error, ErrorKind, ObjectMeta, Operation, Reason, Result, walk};

/// Requests of one operation that are on their way at the same time.
const REQUESTS_AT_ONCE: usize = 16;
/// Every host takes as much in one request.
const PIECE_LEN: usize = 32 << 10;
const PORT: u16 = 22;

/// A host, and how to log in there. Two that are equal can share a [`Host`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct SftpOptions {
    /// Name or address, with `:port` unless that is 22.
    pub host: String,
    /// Who logs in.
    pub user: String,
    /// The password, if that is how.
    pub password: Option<String>,
    /// File of the private key, if that is how. It is tried before the password.
    pub key_path: Option<PathBuf>,
    /// The key of the host, as in `known_hosts` but without the name; `None`: `known_hosts` decides.
    pub host_key: Option<String>,
    /// Files in the format of OpenSSH's `known_hosts`.
    pub known_hosts: Vec<PathBuf>,
}

impl SftpOptions {
    /// The host, for as many replicas as there are on it. Nothing is sent yet.
    #[must_use]
    pub fn open(self) -> Arc<Host> {
        Arc::new(Host { options: self, kept: Mutex::default(), attempts: AtomicU64::new(0), creation: OnceCell::new() })
    }
}

/// Takes apart `host`, `host:port`, `[address]`, `[address]:port` or an address of version 6; `None` if what stands for
/// the port is none.
#[must_use]
pub fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let is_bare_address = text.matches(':').count() > 1 && !text.contains(']');
    let split = text.rsplit_once(':').filter(|(_, port)| !is_bare_address && !port.ends_with(']'));
    let (host, port) = match split {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)?),
        None => (text, PORT),
    };
    Some((host.trim_start_matches('[').trim_end_matches(']'), port))
}

// Without the password.
impl fmt::Debug for SftpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SftpOptions").field("host", &self.host).field("user", &self.user).finish_non_exhaustive()
    }
}

/// A host with one connection for all replicas on it. It is made when it is needed, and again when it has broken.
pub struct Host {
    options: SftpOptions,
    kept: Mutex<Kept>,
    /// Connections tried so far.
    attempts: AtomicU64,
    creation: OnceCell<Creation>,
}

/// What came of the last attempt to connect.
#[derive(Default)]
struct Kept {
    session: Option<Arc<Session>>,
    failure: Option<(ErrorKind, Reason, String)>,
}

impl Host {
    /// The replica in the folder `path`; relative to where the host puts the user if it does not begin with a slash.
    pub fn folder(self: &Arc<Self>, path: &str) -> SftpBackend {
        SftpBackend { host: Arc::clone(self), root: path.to_owned(), sweeps: Arc::default() }
    }

    /// The connection; a new one if there is none, or if it has broken. Those who wait while one attempt fails share
    /// its failure, so that a dead host costs each of them one attempt's time.
    async fn session(&self) -> Result<Arc<Session>, (ErrorKind, Reason, String)> {
        let seen = self.attempts.load(Ordering::Acquire);
        let mut kept = self.kept.lock().await;
        if let Some(session) = kept.session.as_ref().filter(|session| session.is_alive()) {
            return Ok(Arc::clone(session));
        }
        if let Some(failure) = kept.failure.as_ref().filter(|_| self.attempts.load(Ordering::Acquire) != seen) {
            return Err(failure.clone());
        }
        let connected = Session::connect(&self.options).await;
        self.attempts.fetch_add(1, Ordering::AcqRel);
        match connected {
            Ok(session) => {
                kept.failure = None;
                Ok(Arc::clone(kept.session.insert(Arc::new(session))))
            }
            Err(error) => {
                let kind = if error.needs_operator() { ErrorKind::PermissionDenied } else { ErrorKind::Unavailable };
                kept.session = None;
                Err(kept.failure.insert((kind, error.reason(), error.to_string())).clone())
            }
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A [`Backend`] that keeps each object in a file `ROOT/KEY` of a [`Host`], as Litestream 0.3 does.
///
/// - An object is written to a file beside its place, synced, and given its name: readers see it whole or not at all.
///   [`Backend::put_over`] needs `posix-rename@openssh.com` for that; without, an object that is replaced is missing
///   for a moment.
/// - A put that fails or is dropped removes its temporary file. What a crash leaves behind is invisible, and is removed
///   after a day or two, when an object is put beside it.
/// - Only regular files are objects; names that end with `.tmp` are none (keys with such a name are `Invalid`), and
///   neither are those that are not UTF-8. Folders whose last object is deleted are removed.
#[derive(Debug, Clone)]
pub struct SftpBackend {
    host: Arc<Host>,
    root: String,
    sweeps: Arc<Sweeps>,
}

impl SftpBackend {
    async fn session(&self, operation: Operation, key: &str) -> Result<Arc<Session>> {
        let connected = self.host.session().await;
        connected
            .map_err(|(kind, reason, text)| Error::new(kind, operation, key, self.location(), text).because(reason))
    }

    /// Where the file of `key` is.
    fn path(&self, operation: Operation, key: &str) -> Result<String> {
        check_key(key)
            .and_then(|()| check_object_name(key))
            .map_err(|problem| self.invalid(operation, key, problem))?;
        if key.contains(char::REPLACEMENT_CHARACTER) {
            return Err(self.invalid(operation, key, "the key holds U+FFFD, which stands for what is not UTF-8"));
        }
        Ok(self.within(key))
    }

    /// The path of something below the folder of the replica.
    fn within(&self, rest: &str) -> String {
        match (self.root.trim_end_matches('/'), rest.trim_end_matches('/')) {
            ("", rest) if self.root.starts_with('/') => format!("/{rest}"),
            ("", "") => ".".to_owned(),
            ("", rest) => rest.to_owned(),
            (root, "") => root.to_owned(),
            (root, rest) => format!("{root}/{rest}"),
        }
    }

    fn invalid(&self, operation: Operation, key: &str, problem: &str) -> Error {
        Error::new(ErrorKind::Invalid, operation, key, self.location(), problem)
    }
}

/// The folder that holds `path`; empty for that where the host puts the user.
fn folder_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => "",
    }
}

#[async_trait]
impl Backend for SftpBackend {
    fn location(&self) -> String {
        let SftpOptions { user, host, .. } = &self.host.options;
        format!("sftp://{user}@{host}/{}", self.root.trim_start_matches('/'))
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
        let session = self.session(Operation::Head, key).await?;
        let found = session.sftp.lstat(path).await;
        let failed = |error| self.failed(&session, Operation::Head, key, "looking at the object", &error);
        list::object_meta(key, &found.map_err(failed)?.attrs).ok_or_else(|| self.not_found(Operation::Head, key))
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
        self.creation_is_atomic().await
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        self.delete_all(keys).await
    }
}
