//! Whose object is it that stands where we wanted to put ours?

use futures::TryStreamExt;
use replica_backends::{Backend, ByteRange, Error};

use crate::segment::{SEAL_TAIL_BYTES, Seal, Tail};

/// Reads the seal of `key`, if it has one that can be trusted.
///
/// # Errors
/// If the store cannot be read.
pub async fn read_seal(backend: &dyn Backend, key: &str) -> Result<Option<Seal>, Error> {
    let size = backend.head(key).await?.size;
    let mut wanted = SEAL_TAIL_BYTES;
    loop {
        let bytes: Vec<u8> = backend
            .get(key, ByteRange::Suffix(wanted))
            .await?
            .try_fold(Vec::new(), |mut all, chunk| async move {
                all.extend_from_slice(&chunk);
                Ok(all)
            })
            .await?;
        match Seal::from_tail(&bytes, size) {
            Ok(Tail::Sealed(seal, _)) => return Ok(Some(*seal)),
            Ok(Tail::NeedsBytes(more)) if more > wanted => wanted = more,
            Ok(_) | Err(_) => return Ok(None),
        }
    }
}
