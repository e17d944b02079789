//! Putting an object: in one request if it is small, in parts if it is not.

use std::io;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::{
    Error as StoreError, MultipartUpload, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, path::Path,
};

use super::creation::Creation;
use super::transport::create_only;
use super::{CloudBackend, Service};
use crate::{Backend, Body, Error, ErrorKind, Operation, Result};

/// The least size of a part, in bytes, that S3 takes; also the size up to which a stream is put in one request. Two
/// parts are in memory at a time: one on its way, one being read.
const PART_LEN_MIN: u64 = 5 << 20;

/// The size of the parts of an upload of at most `len` bytes: such that a tenth of `parts_max` is to spare. All parts
/// but the last have it, because some stores take no others.
fn part_len(len: Option<u64>, parts_max: u64) -> u64 {
    let planned = (parts_max - parts_max / 10).max(1);
    let needed = len.unwrap_or(0).div_ceil(planned);
    // Whole MiB, as people do.
    (needed.div_ceil(1 << 20) << 20).max(PART_LEN_MIN)
}

/// The next part of a body.
struct Part {
    chunks: Vec<Bytes>,
    len: u64,
    /// Whether the body ends with it.
    last: bool,
}

/// Cuts a body into parts.
struct Parts {
    body: BoxStream<'static, io::Result<Bytes>>,
    part_len: u64,
    /// What was read beyond the last part.
    rest: Bytes,
}

impl Parts {
    async fn next(&mut self) -> io::Result<Part> {
        let (mut chunks, mut len) = (Vec::new(), 0);
        loop {
            if self.rest.is_empty() {
                match self.body.next().await {
                    Some(chunk) => self.rest = chunk?,
                    None => return Ok(Part { chunks, len, last: true }),
                }
            }
            let room = usize::try_from(self.part_len - len).unwrap_or(usize::MAX);
            let chunk = self.rest.split_to(room.min(self.rest.len()));
            len += chunk.len() as u64;
            chunks.push(chunk);
            if len == self.part_len {
                return Ok(Part { chunks, len, last: false });
            }
        }
    }
}

/// An upload in parts, aborted when it is dropped before it was completed.
struct Upload(Option<Box<dyn MultipartUpload>>);

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut upload) = self.0.take() else { return };
        // Without a runtime the process is ending: what stays behind is listed as unfinished.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, "cannot abort an upload in parts: what it stored stays until the bucket's \
                        lifecycle rules delete it");
                }
            });
        }
    }
}

impl CloudBackend {
    /// Puts `body` at `key`; only if there is nothing yet, or over what is there.
    pub(super) async fn put(&self, key: &str, body: Body, only_new: bool) -> Result<u64> {
        let path = self.path(Operation::Put, key)?;
        let store = self.store(Operation::Put, key).await?.as_ref();
        let creation = if only_new { Some(self.creation(store).await?) } else { None };
        let put = Put { backend: self, store, key, path, creation };
        match body.as_bytes() {
            Some(bytes) => put.whole(bytes.len() as u64, PutPayload::from(bytes.clone())).await,
            None => put.stream(&body).await,
        }
    }
}

/// An object that is being put.
struct Put<'a> {
    backend: &'a CloudBackend,
    store: &'a dyn ObjectStore,
    key: &'a str,
    path: Path,
    /// How it is kept from replacing another; `None` if it may.
    creation: Option<Creation>,
}

impl Put<'_> {
    fn failed(&self, error: &StoreError) -> Error {
        self.backend.failed(Operation::Put, self.key, error)
    }

    /// Fails if the object exists and must not be replaced.
    async fn look(&self) -> Result<()> {
        if self.creation.is_none() {
            return Ok(());
        }
        match self.backend.head(self.key).await {
            Ok(_) => {
                let text = "the object exists already";
                Err(Error::new(ErrorKind::AlreadyExists, Operation::Put, self.key, self.backend.location(), text))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.during(Operation::Put)),
        }
    }

    async fn whole(&self, len: u64, payload: PutPayload) -> Result<u64> {
        let mode = match self.creation {
            Some(Creation::Atomic) => PutMode::Create,
            Some(Creation::LookFirst) | None => {
                self.look().await?;
                PutMode::Overwrite
            }
        };
        let options = |mode| PutOptions { mode, attributes: self.backend.bucket.attributes(), ..PutOptions::default() };
        let put = match self.store.put_opts(&self.path, payload.clone(), options(mode)).await {
            Err(StoreError::AlreadyExists { .. }) if self.blocks_are_in_the_way().await => {
                self.store.put_opts(&self.path, payload, options(PutMode::Overwrite)).await
            }
            put => put,
        };
        put.map(|_| len).map_err(|error| self.failed(&error))
    }

    /// Whether there is no object, although the store says so: for Azure blocks of an upload that was broken off count
    /// as one, for a week.
    async fn blocks_are_in_the_way(&self) -> bool {
        let is_possible = self.backend.bucket.service == Service::Azure;
        is_possible && self.backend.head(self.key).await.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// Whether the object exists is looked at before the first byte is sent and again before the last step, which a
    /// store that can also refuses if it would replace.
    async fn stream(&self, body: &Body) -> Result<u64> {
        let part_len = part_len(body.len_max(), self.backend.bucket.parts_max);
        let body_failed = |error| Error::new(ErrorKind::Body, Operation::Put, self.key, self.backend.location(), error);
        let mut parts = Parts { body: body.open(), part_len, rest: Bytes::new() };
        let mut part = parts.next().await.map_err(body_failed)?;
        if part.last {
            return self.whole(part.len, PutPayload::from_iter(part.chunks)).await;
        }
        self.look().await?;
        let _under_way = self.backend.bucket.under_way.begin(&self.path);
        let options =
            PutMultipartOptions { attributes: self.backend.bucket.attributes(), ..PutMultipartOptions::default() };
        let begun = self.store.put_multipart_opts(&self.path, options).await.map_err(|error| self.failed(&error))?;
        let mut upload = Upload(Some(begun));
        let mut len = 0;
        while let Some(upload) = upload.0.as_mut() {
            len += part.len;
            let last = part.last;
            let sending = upload.put_part(PutPayload::from_iter(part.chunks));
            let reading = async { if last { Ok(None) } else { parts.next().await.map(Some) } };
            let (sent, next) = futures::future::join(sending, reading).await;
            sent.map_err(|error| self.failed(&error))?;
            match next.map_err(body_failed)? {
                // An empty part is no part, and the one before it was the last.
                Some(next) if next.len > 0 => part = next,
                _ => break,
            }
        }
        self.look().await?;
        if let Some(begun) = upload.0.as_mut() {
            match self.creation {
                Some(Creation::Atomic) => create_only(begun.complete()).await,
                Some(Creation::LookFirst) | None => begun.complete().await,
            }
            .map_err(|error| self.failed(&error))?;
        }
        upload.0 = None;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[test]
    fn parts_are_large_enough_for_their_number() {
        assert_eq!(part_len(None, 10_000), PART_LEN_MIN);
        assert_eq!(part_len(Some(1), 10_000), PART_LEN_MIN);
        for (len, parts_max) in [(40_u64 << 30, 10_000), (40 << 30, 1000), (5 << 40, 10_000), (1 << 60, 10_000), (9, 1)]
        {
            let parts = len.div_ceil(part_len(Some(len), parts_max));
            assert!(parts <= parts_max.max(1) && part_len(Some(len), parts_max) >= PART_LEN_MIN, "{len}: {parts}");
        }
        // The limit of S3 itself: 10,000 parts for 5 TiB.
        assert!(part_len(Some(5 << 40), 10_000) < 5 << 30);
    }

    #[tokio::test]
    async fn a_body_is_cut_into_equal_parts() {
        for (chunk_lens, lens) in [
            (vec![], vec![0]),
            (vec![10], vec![10, 0]),
            (vec![3, 3, 3, 3], vec![10, 2]),
            (vec![25], vec![10, 10, 5]),
            (vec![0, 4, 0, 26], vec![10, 10, 10, 0]),
        ] {
            let chunks: Vec<_> = chunk_lens.iter().map(|len| Ok(Bytes::from(vec![7; *len]))).collect();
            let mut parts = Parts { body: stream::iter(chunks).boxed(), part_len: 10, rest: Bytes::new() };
            for (number, expected) in lens.iter().enumerate() {
                let part = parts.next().await.unwrap();
                assert_eq!((part.len, part.last), (*expected, number + 1 == lens.len()), "{chunk_lens:?} {number}");
                assert_eq!(part.chunks.iter().map(Bytes::len).sum::<usize>() as u64, part.len);
            }
        }
    }
}
