//! A replica being read: its listing, and the seals that planning asks for.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use replica_backends::layers::BEGINNING;
use replica_backends::{Backend, ByteRange, ErrorKind};

use super::download::read;
use super::ltx::LtxSource;
use crate::history::keys::{GENERATIONS, RANGES};
use crate::history::{Bounds, Catalog, NeedsSeals, ObjectName, Sealing, Seals, all_bounds};
use crate::segment::{SEAL_TAIL_BYTES, Seal, SealFault, Tail};
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
                match read_seal(backend.as_ref(), &name, bytes).await {
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
            read(backend.as_ref(), &crate::history::plan_key(name), BEGINNING).await?;
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

/// What an object is whose encryption is damaged.
pub(super) const UNDECIPHERED: Sealing = Sealing::Damaged(SealFault::Damaged("the object's encryption is"));

/// What the end of an object of `stored_bytes` is: one request, or two for a seal with very many commits.
pub(super) async fn read_seal(
    backend: &dyn Backend,
    name: &ObjectName,
    stored_bytes: u64,
) -> replica_backends::Result<Sealing> {
    let mut suffix = SEAL_TAIL_BYTES;
    loop {
        let key = crate::history::plan_key(name);
        let tail = match read(backend, &key, ByteRange::Suffix(suffix)).await {
            Err(error) if error.kind() == ErrorKind::Damaged => return Ok(UNDECIPHERED),
            tail => tail?,
        };
        match sealing(&tail, stored_bytes) {
            Ok(sealing) => return Ok(sealing),
            Err(more) if more > suffix => suffix = more,
            Err(_) => return Ok(Sealing::Damaged(SealFault::Damaged("it is cut short"))),
        }
    }
}

/// What `tail`, the end of an object, is; or how many bytes of the object's end are needed to tell.
pub(super) fn sealing(tail: &[u8], stored_bytes: u64) -> Result<Sealing, u64> {
    match Seal::from_tail(tail, stored_bytes) {
        Ok(Tail::Sealed(seal, _)) => Ok(Sealing::Sealed(seal)),
        Ok(Tail::Unsealed) => Ok(Sealing::Unsealed),
        Ok(Tail::NeedsBytes(bytes)) => Err(bytes),
        Err(fault) => Ok(Sealing::Damaged(fault)),
    }
}
