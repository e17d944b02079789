//! A connection: made, logged in, and watched for breaking.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::client;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{Packet, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::host_key::HostKeys;
use super::login::{LoginError, log_in};
use super::{PORT, SftpOptions, host_and_port};

/// Until a connection stands.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Until one is logged in, from then on.
const LOGIN_LIMIT: Duration = Duration::from_secs(30);
/// Until a request is answered. All pieces that may be under way take less at 32 KB a second.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// A connection on which nothing happens is asked this often whether it is alive, and given up after so many silences.
const KEEPALIVE: (Duration, usize) = (Duration::from_secs(15), 3);
/// Pieces of files on their way at the same time, on one connection.
const PIECES_AT_ONCE: usize = 32;
/// Files open at the same time, on one connection. Hosts have limits, and name files by bytes: beyond 127 of them
/// OpenSSH's names are no text any more.
const FILES_AT_ONCE: usize = 64;
const POSIX_RENAME: &str = "posix-rename@openssh.com";

/// A connection that was logged in.
pub(super) struct Session {
    /// For requests; any number at the same time.
    pub(super) sftp: RawSftpSession,
    /// Whether a file can be given a second name.
    pub(super) links: bool,
    /// Whether a file can be put in the place of another.
    pub(super) replaces: bool,
    /// Whether a file can be made durable.
    pub(super) syncs: bool,
    /// Whether the host tells how much room there is.
    pub(super) tells_room: bool,
    pub(super) pieces: Semaphore,
    pub(super) files: Arc<Semaphore>,
    ssh: client::Handle<HostKeys>,
    broken: AtomicBool,
}

impl Session {
    /// Connects and logs in.
    pub(super) async fn connect(options: &SftpOptions) -> Result<Self, LoginError> {
        let (host, port) = host_and_port(&options.host).unwrap_or((&options.host, PORT));
        let keys = HostKeys::new(host, port, options.host_key.as_deref(), &options.known_hosts)?;
        let address = format!("{host}:{port}");
        let stream = match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect((host, port))).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(LoginError::Unreachable(address, error)),
            Err(_) => return Err(LoginError::Silent(address, CONNECT_LIMIT)),
        };
        let session = tokio::time::timeout(LOGIN_LIMIT, Self::log_in(stream, keys, options)).await;
        session.unwrap_or(Err(LoginError::Slow(LOGIN_LIMIT)))
    }

    async fn log_in(stream: TcpStream, keys: HostKeys, options: &SftpOptions) -> Result<Self, LoginError> {
        // Small requests must not wait for company; without it they only take longer.
        drop(stream.set_nodelay(true));
        let config = client::Config {
            preferred: keys.preferred(),
            keepalive_interval: Some(KEEPALIVE.0),
            keepalive_max: KEEPALIVE.1,
            ..client::Config::default()
        };
        let mut ssh = client::connect_stream(Arc::new(config), stream, keys).await?;
        log_in(&mut ssh, options).await?;
        let channel = ssh.channel_open_session().await?;
        channel.request_subsystem(true, "sftp").await?;
        let config = Config { request_timeout_secs: ANSWER_LIMIT.as_secs(), ..Config::default() };
        let sftp = RawSftpSession::new_with_config(channel.into_stream(), config);
        let version = sftp.init().await;
        let version = version.map_err(|error| LoginError::NoSftp(options.user.clone(), error.to_string()))?;
        let offers = |extension| version.extensions.contains_key(extension);
        Ok(Self {
            sftp,
            links: offers("hardlink@openssh.com"),
            replaces: offers(POSIX_RENAME),
            syncs: offers("fsync@openssh.com"),
            tells_room: offers("statvfs@openssh.com"),
            pieces: Semaphore::new(PIECES_AT_ONCE),
            files: Arc::new(Semaphore::new(FILES_AT_ONCE)),
            ssh,
            broken: AtomicBool::new(false),
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.ssh.is_closed() && !self.broken.load(Ordering::Relaxed)
    }

    /// Whoever needs a connection makes a new one.
    pub(super) fn give_up(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Puts the file at `from` in the place of that at `to`, at once.
    pub(super) async fn rename_over(&self, from: &str, to: &str) -> Result<(), SftpError> {
        let mut paths = Vec::new();
        for path in [from, to] {
            paths.extend_from_slice(&u32::try_from(path.len()).unwrap_or(u32::MAX).to_be_bytes());
            paths.extend_from_slice(path.as_bytes());
        }
        match self.sftp.extended(POSIX_RENAME, paths).await? {
            Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
            Packet::Status(status) => Err(status.into()),
            _ => Err(SftpError::UnexpectedPacket),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("alive", &self.is_alive()).finish_non_exhaustive()
    }
}

/// Runs `work` to its end even if nobody waits for it any more, so that what it opens is known and can be closed.
pub(super) async fn to_the_end<T, F>(work: F) -> Result<T, SftpError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, SftpError>> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(SftpError::UnexpectedBehavior(error.to_string())),
    }
}
