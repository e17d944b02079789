//! The LTX files of a replica: their listing, and the headers that planning asks for.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use replica_backends::{Backend, ByteRange, read};

use crate::history::Bounds;
use crate::history::ltx::{LtxCatalog, LtxTimes, NeedsTimes, ltx_bounds, ltx_folders};
use crate::ltx::{HEADER_BYTES, LtxHeader};

/// How many headers are read at the same time.
const HEADERS_AT_ONCE: usize = 16;

/// What has been learnt of the LTX files of one replica.
#[derive(Debug)]
pub struct LtxSource {
    backend: Arc<dyn Backend>,
    /// Their listing.
    pub catalog: LtxCatalog,
    /// The headers read so far.
    pub times: LtxTimes,
}

impl LtxSource {
    /// Before anything has been listed.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, catalog: LtxCatalog::default(), times: LtxTimes::default() }
    }

    /// Lists the files, in whichever of Litestream's two layouts they are.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&mut self) -> replica_backends::Result<()> {
        let mut listing = Vec::new();
        for folder in ltx_folders(&self.backend.list_folders("").await?) {
            listing.extend(self.backend.list(&folder, None).await?.try_collect::<Vec<_>>().await?);
        }
        self.catalog = LtxCatalog::from_listing(listing);
        Ok(())
    }

    /// From when to when the files reach; `None` if there are none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn bounds(&mut self) -> replica_backends::Result<Option<Bounds>> {
        loop {
            match ltx_bounds(&self.catalog, &self.times) {
                Ok(bounds) => return Ok(bounds),
                Err(needs) => self.learn(&needs).await?,
            }
        }
    }

    /// Reads the headers that `needs` names.
    ///
    /// # Errors
    /// Those of the store; a damaged header leaves the store's time to be believed.
    pub async fn learn(&mut self, needs: &NeedsTimes) -> replica_backends::Result<()> {
        let reads = needs.0.iter().cloned().map(|entry| {
            let backend = Arc::clone(&self.backend);
            async move {
                let head = ByteRange::Slice { start: 0, len: HEADER_BYTES as u64 };
                let bytes = read(backend.as_ref(), &entry.key, head).await?;
                Ok((entry, LtxHeader::parse(&bytes).ok().map(|header| header.time)))
            }
        });
        let read: Vec<_> = futures::stream::iter(reads).buffer_unordered(HEADERS_AT_ONCE).try_collect().await?;
        for (entry, time) in read {
            self.times.learn(&entry, time);
        }
        Ok(())
    }
}
