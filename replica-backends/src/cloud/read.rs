//! Reading an object, whole or in part.

use std::ops::Range;

use futures::stream::{self, StreamExt};
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{CloudBackend, Service, failure};
use crate::{Backend, ByteRange, ByteStream, Operation, Result};

/// No object is as large: what is asked beyond it is past the end of every object.
const SIZE_MAX: u64 = 1 << 62;

/// What is asked of the store for `range`; `None` if no byte of any object is in it.
fn wanted(range: ByteRange) -> Option<Option<GetRange>> {
    let end = |range: Range<u64>| GetRange::Bounded(range);
    match range {
        ByteRange::All => Some(None),
        ByteRange::Suffix(0) | ByteRange::Slice { len: 0, .. } => None,
        ByteRange::Slice { start: SIZE_MAX.., .. } => None,
        ByteRange::Slice { start, len } => Some(Some(end(start..start.saturating_add(len).min(SIZE_MAX)))),
        ByteRange::Suffix(len) => Some(Some(GetRange::Suffix(len.min(SIZE_MAX)))),
    }
}

impl CloudBackend {
    pub(super) async fn read(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let path = self.path(Operation::Get, key)?;
        let Some(range) = wanted(range) else {
            // An object that is not there is to be an error all the same.
            let head = self.head(key).await;
            head.map_err(|error| error.during(Operation::Get))?;
            return Ok(stream::empty().boxed());
        };
        let range = match range {
            // Azure knows no ranges that are counted from the end.
            Some(GetRange::Suffix(len)) if self.bucket.service == Service::Azure => {
                let size = self.head(key).await.map_err(|error| error.during(Operation::Get))?.size;
                Some(GetRange::Bounded(size.saturating_sub(len)..size)).filter(|_| size > 0)
            }
            range => range,
        };
        let beginning = match &range {
            Some(GetRange::Bounded(range)) => range.start,
            _ => 0,
        };
        let store = self.store(Operation::Get, key).await?;
        let got = match store.get_opts(&path, GetOptions { range, ..GetOptions::default() }).await {
            Ok(got) => got,
            Err(error) if failure::refusal(&error).is_some_and(super::answer::Refusal::is_past_the_end) => {
                return Ok(stream::empty().boxed());
            }
            Err(_) if self.starts_past_the_end(key, beginning).await => return Ok(stream::empty().boxed()),
            Err(error) => return Err(self.failed(Operation::Get, key, &error)),
        };
        let (backend, key) = (self.clone(), key.to_owned());
        let chunks = stream::unfold(Some(got.into_stream()), move |chunks| {
            let (backend, key) = (backend.clone(), key.clone());
            async move {
                let mut chunks = chunks?;
                let next = chunks.next().await?.map_err(|error| backend.failed(Operation::Get, &key, &error));
                let rest = next.is_ok().then_some(chunks);
                Some((next, rest))
            }
        });
        Ok(chunks.boxed())
    }

    /// What Azure says to a range behind the end is taken for a fault by object_store.
    async fn starts_past_the_end(&self, key: &str, beginning: u64) -> bool {
        let is_possible = self.bucket.service == Service::Azure && beginning > 0;
        is_possible && self.head(key).await.is_ok_and(|meta| meta.size <= beginning)
    }
}
