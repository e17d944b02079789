//! Reading an object, whole or in part.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use russh_sftp::protocol::OpenFlags;

use super::open_file::OpenFile;
use super::session::to_the_end;
use super::{PIECE_LEN, REQUESTS_AT_ONCE, SftpBackend};
use crate::{Backend, ByteRange, ByteStream, Error, ErrorKind, Operation, Result};

impl SftpBackend {
    pub(super) async fn read(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let path = self.path(Operation::Get, key)?;
        let session = self.session(Operation::Get, key).await?;
        let opened = to_the_end(OpenFile::open(Arc::clone(&session), path, OpenFlags::READ)).await;
        let failed = |error| self.failed(&session, Operation::Get, key, "opening the object", &error);
        let file = Arc::new(opened.map_err(failed)?);
        let attributes = file.attributes().await.map_err(failed)?;
        if !attributes.is_regular() {
            return Err(self.not_found(Operation::Get, key));
        }
        let (start, end) = range.within(attributes.len());
        let (backend, key) = (self.clone(), key.to_owned());
        let pieces = stream::iter((start..end).step_by(PIECE_LEN)).map(move |at| {
            let (file, backend, key) = (Arc::clone(&file), backend.clone(), key.clone());
            let len = usize::try_from(end - at).unwrap_or(PIECE_LEN).min(PIECE_LEN);
            async move {
                match file.read(at, len).await {
                    Ok(bytes) if bytes.len() == len => Ok(bytes),
                    Ok(_) => Err(backend.shrunk(&key)),
                    Err(error) => {
                        Err(backend.failed(&file.session, Operation::Get, &key, "reading the object", &error))
                    }
                }
            }
        });
        Ok(pieces.buffered(REQUESTS_AT_ONCE).boxed())
    }

    fn shrunk(&self, key: &str) -> Error {
        let text = "the file has become shorter while it was read: somebody changes it";
        Error::new(ErrorKind::Unavailable, Operation::Get, key, self.location(), text)
    }
}
