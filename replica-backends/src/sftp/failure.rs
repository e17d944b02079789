//! What an answer of the host means that is no success.

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::StatusCode;

use super::SftpBackend;
use super::session::Session;
use crate::{Backend, Error, ErrorKind, Operation, Reason};

/// Less room than this is none: a file system keeps some for itself.
const ROOM_MIN: u64 = 1 << 20;

/// What the host said, if it was the host that said something.
pub(super) fn status(error: &SftpError) -> Option<StatusCode> {
    if let SftpError::Status(status) = error { Some(status.status_code) } else { None }
}

/// Whether there is nothing at the path, or the path leads through a file.
pub(super) fn is_missing(error: &SftpError) -> bool {
    status(error) == Some(StatusCode::NoSuchFile)
}

/// What the host said in words, which often only repeat the code.
fn words(error: &SftpError) -> String {
    match error {
        SftpError::Status(status) if status.error_message.is_empty() => status.status_code.to_string(),
        SftpError::Status(status) => status.error_message.clone(),
        SftpError::Timeout => "no answer in time".to_owned(),
        error => format!("the connection broke: {error}"),
    }
}

impl SftpBackend {
    /// The error of `operation` on `key`, of which `step` ("writing the object") failed. A connection that does not
    /// answer is given up.
    pub(super) fn failed(
        &self,
        session: &Session,
        operation: Operation,
        key: &str,
        step: &str,
        error: &SftpError,
    ) -> Error {
        let reading = matches!(operation, Operation::Get | Operation::Head);
        let (kind, reason) = match status(error) {
            Some(StatusCode::NoSuchFile) if reading => return self.not_found(operation, key),
            Some(StatusCode::PermissionDenied) => (ErrorKind::PermissionDenied, Reason::Denied),
            Some(StatusCode::BadMessage) => (ErrorKind::Invalid, Reason::Other),
            Some(StatusCode::NoConnection | StatusCode::ConnectionLost) | None => {
                session.give_up();
                (ErrorKind::Unavailable, Reason::Unreachable)
            }
            Some(_) => (ErrorKind::Unavailable, Reason::Other),
        };
        let advice = match kind {
            ErrorKind::PermissionDenied => "; the user must be allowed to read, write and delete there",
            _ => "",
        };
        Error::new(kind, operation, key, self.location(), format!("{step}: {}{advice}", words(error))).because(reason)
    }

    /// [`Self::failed`] for what writes in `folder`: OpenSSH says "Failure" when the disk is full, so it is asked.
    pub(super) async fn write_failed(
        &self,
        session: &Session,
        key: &str,
        folder: &str,
        step: &str,
        error: &SftpError,
    ) -> Error {
        if status(error) == Some(StatusCode::Failure) && session.tells_room {
            let folder = if folder.is_empty() { "." } else { folder };
            if let Ok(room) = session.sftp.statvfs(folder).await {
                let free = room.blocks_avail.saturating_mul(room.fragment_size.max(1));
                if free < ROOM_MIN || room.inodes_avail == 0 && room.inodes > 0 {
                    let text = format!("{step}: the disk of the host is full ({free} bytes are free)");
                    return Error::new(ErrorKind::Full, Operation::Put, key, self.location(), text);
                }
            }
        }
        self.failed(session, Operation::Put, key, step, error)
    }

    pub(super) fn not_found(&self, operation: Operation, key: &str) -> Error {
        Error::new(ErrorKind::NotFound, operation, key, self.location(), "there is no such object")
    }
}
