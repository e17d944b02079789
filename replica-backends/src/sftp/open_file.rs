//! A file of the host that is open, and closed when dropped.

use std::sync::Arc;

use bytes::Bytes;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::failure::status;
use super::session::Session;

/// An open file.
pub(super) struct OpenFile {
    pub(super) session: Arc<Session>,
    handle: String,
    /// `None` once it was closed.
    permit: Option<OwnedSemaphorePermit>,
}

impl OpenFile {
    /// Opens the file at `path`. If this is dropped half way, it may stay open: see [`super::session::to_the_end`].
    pub(super) async fn open(session: Arc<Session>, path: String, flags: OpenFlags) -> Result<Self, SftpError> {
        let permit = Arc::clone(&session.files).acquire_owned().await;
        let permit = permit.map_err(|error| SftpError::UnexpectedBehavior(error.to_string()))?;
        let handle = session.sftp.open(path, flags, FileAttributes::empty()).await?.handle;
        Ok(Self { session, handle, permit: Some(permit) })
    }

    pub(super) async fn attributes(&self) -> Result<FileAttributes, SftpError> {
        Ok(self.session.sftp.fstat(&self.handle).await?.attrs)
    }

    /// `len` bytes from `start`, or fewer if the file ends before.
    pub(super) async fn read(&self, start: u64, len: usize) -> Result<Bytes, SftpError> {
        let _piece = self.session.pieces.acquire().await;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let missing = u32::try_from(len - bytes.len()).unwrap_or(u32::MAX);
            match self.session.sftp.read(&self.handle, start + bytes.len() as u64, missing).await {
                Ok(read) if read.data.is_empty() => break,
                Ok(read) => bytes.extend_from_slice(&read.data),
                Err(error) if status(&error) == Some(StatusCode::Eof) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes.into())
    }

    /// Writes all of `bytes` at `start`.
    pub(super) async fn write(&self, start: u64, bytes: &Bytes) -> Result<(), SftpError> {
        let _piece = self.session.pieces.acquire().await;
        self.session.sftp.write(&self.handle, start, bytes.to_vec()).await.map(drop)
    }

    /// Makes what was written durable, if the host can.
    pub(super) async fn sync(&self) -> Result<(), SftpError> {
        if self.session.syncs { self.session.sftp.fsync(&self.handle).await.map(drop) } else { Ok(()) }
    }

    pub(super) async fn close(mut self) -> Result<(), SftpError> {
        let closed = self.session.sftp.close(std::mem::take(&mut self.handle)).await;
        self.permit = None;
        closed.map(drop)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let (session, handle) = (Arc::clone(&self.session), std::mem::take(&mut self.handle));
        // Without a runtime the process is ending, and the connection with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                drop(session.sftp.close(handle).await);
                drop(permit);
            });
        }
    }
}
