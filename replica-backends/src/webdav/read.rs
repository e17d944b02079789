//! Reading an object, whole or in part.

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use reqwest::Response;

use super::WebdavBackend;
use super::client::{Payload, next_chunk};
use super::failure::Failure;
use crate::{Backend, ByteRange, ByteStream, Error, ErrorKind, Operation, Result};

/// An answer that is being read.
struct Download {
    backend: WebdavBackend,
    key: String,
    response: Response,
    /// Bytes of the answer that come before those that were asked for: all of them if a server knows no ranges.
    skip: u64,
    /// Bytes that are still to come.
    missing: u64,
}

impl Download {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        while self.missing > 0 {
            let mut chunk = match next_chunk(&mut self.response).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Some(Err(self.failed(&Failure::Unreachable("the answer ends too early".into())))),
                Err(failure) => return Some(Err(self.failed(&failure))),
            };
            let skipped = chunk.split_to(usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len()));
            self.skip -= skipped.len() as u64;
            chunk.truncate(usize::try_from(self.missing).unwrap_or(usize::MAX));
            self.missing -= chunk.len() as u64;
            if !chunk.is_empty() {
                return Some(Ok(chunk));
            }
        }
        None
    }

    fn failed(&self, failure: &Failure) -> Error {
        let text = format!("reading the object: {failure}");
        let error = Error::new(ErrorKind::Unavailable, Operation::Get, &self.key, self.backend.location(), text);
        error.because(failure.reason())
    }
}

impl WebdavBackend {
    pub(super) async fn read(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        self.check(Operation::Get, key)?;
        let _nobody_replaces = self.server.replacing.read().await;
        // Some servers answer for a folder as well, with a page of HTML.
        let Some(meta) = self.look(Operation::Get, key).await? else { return Err(self.not_found(Operation::Get, key)) };
        let (start, end) = range.within(meta.size);
        if start >= end {
            return Ok(stream::empty().boxed());
        }
        let mut headers = vec![("accept-encoding", "identity".to_owned())];
        if (start, end) != (0, meta.size) {
            headers.push(("range", format!("bytes={start}-{}", end - 1)));
        }
        let answer = self.server.client.send("GET", &self.within(key), &headers, Payload::None).await;
        let response = answer.map_err(|failure| self.failed(Operation::Get, key, "reading the object", &failure))?;
        let skip = if response.status().as_u16() == 206 { 0 } else { start };
        let download = Download { backend: self.clone(), key: key.to_owned(), response, skip, missing: end - start };
        let chunks = stream::unfold(Some(download), async |download| {
            let mut download = download?;
            let next = download.next().await?;
            let rest = next.is_ok().then_some(download);
            Some((next, rest))
        });
        Ok(chunks.boxed())
    }
}
