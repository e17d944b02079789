//! A replica being read: its listing, and the seals that planning asks for.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use replica_backends::layers::BEGINNING;
use replica_backends::{Backend, ErrorKind, read};

use super::ltx::LtxSource;
use crate::history::keys::{GENERATIONS, RANGES};
use crate::history::{Bounds, Catalog, NeedsSeals, ObjectName, Sealing, Seals, all_bounds, plan_key};
use crate::stored::read_sealing;
use crate::types::Generation;

/// How many seals are read at the same time.
const SEALS_AT_ONCE: usize = 16;

/// A replica and the name that the configuration gives it.
#[derive(Debug, Clone)]
pub struct NamedBackend {
    /// As in `-replica NAME`.
    pub name: String,
    /// Where it is.
    pub backend: Arc<dyn Backend>,
}

/// What has been learnt of one replica.
#[derive(Debug)]
pub struct Source {
    /// Its name in the configuration.
    pub name: String,
    /// Where it is.
    pub backend: Arc<dyn Backend>,
    /// Its listing.
    pub catalog: Catalog,
    /// The seals read so far.
    pub seals: Seals,
    /// Its files of Litestream 0.5, if it has any.
    pub ltx: LtxSource,
    /// What is encrypted, and has nobody to be read as, counts as without a seal; it is an error otherwise.
    pub allows_write_only: bool,
    /// An object without a seal has been looked at: it is not encrypted.
    is_plain: bool,
}

impl Source {
    /// Lists the replica.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(replica: &NamedBackend) -> replica_backends::Result<Self> {
        let mut listing: Vec<_> = replica.backend.list(GENERATIONS, None).await?.try_collect().await?;
        listing.extend(replica.backend.list(RANGES, None).await?.try_collect::<Vec<_>>().await?);
        let mut source = Self::with(replica, Catalog::from_listing(listing));
        source.ltx.list().await?;
        Ok(source)
    }

    /// What is known of `replica` when this much of it has been listed.
    #[must_use]
    pub fn with(replica: &NamedBackend, catalog: Catalog) -> Self {
        let NamedBackend { name, backend } = replica.clone();
        let ltx = LtxSource::new(Arc::clone(&backend));
        let seals = Seals::default();
        Self { name, backend, catalog, seals, ltx, allows_write_only: false, is_plain: false }
    }

    /// From when to when each generation reaches, or the one in `only`: what the seals of its first and last object
    /// say, else the store's times.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn bounds(&mut self, only: Option<Generation>) -> replica_backends::Result<Vec<(Generation, Bounds)>> {
        loop {
            let wanted = self.catalog.histories().filter(|h| only.is_none_or(|generation| h.generation == generation));
            let needs = match all_bounds(wanted, &self.seals) {
                Ok(known) => return Ok(known.into_iter().map(|(h, bounds)| (h.generation, bounds)).collect()),
                Err(needs) => needs,
            };
            self.learn(&needs).await?;
        }
    }

    /// Reads the seals that `needs` names.
    ///
    /// # Errors
    /// Those of the store; a damaged seal is knowledge, not an error.
    pub async fn learn(&mut self, needs: &NeedsSeals) -> replica_backends::Result<()> {
        let sizes: Vec<(ObjectName, u64)> = needs.0.iter().map(|name| (*name, self.stored_bytes(name))).collect();
        let backend = Arc::clone(&self.backend);
        let allows_write_only = self.allows_write_only;
        let reads = sizes.into_iter().map(|(name, bytes)| {
            let backend = Arc::clone(&backend);
            async move {
                match read_sealing(backend.as_ref(), &plan_key(&name), bytes).await {
                    Err(error) if allows_write_only && error.kind() == ErrorKind::WriteOnly => {
                        Ok((name, Sealing::Unsealed))
                    }
                    read => Ok((name, read?)),
                }
            }
        });
        let found: Vec<_> = futures::stream::iter(reads).buffer_unordered(SEALS_AT_ONCE).try_collect().await?;
        let unsealed = found.iter().find(|(_, sealing)| *sealing == Sealing::Unsealed);
        if let Some((name, _)) = unsealed.filter(|_| !self.is_plain && !allows_write_only) {
            // What is encrypted looks like that too, to those who do not know of it.
            read(backend.as_ref(), &plan_key(name), BEGINNING).await?;
            self.is_plain = true;
        }
        for (name, sealing) in found {
            self.seals.learn(name, sealing);
        }
        Ok(())
    }

    fn stored_bytes(&self, name: &ObjectName) -> u64 {
        let history = self.catalog.history(name.generation());
        history.and_then(|h| h.entry(name)).map_or(0, |e| e.stored_bytes)
    }
}
