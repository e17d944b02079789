//! Whose object is it that stands where we wanted to put ours?

use futures::TryStreamExt;
use replica_backends::layers::BEGINNING;
use replica_backends::{Backend, ByteRange, Error, ErrorKind};

use crate::segment::{SEAL_TAIL_BYTES, Seal, Tail};

/// Reads the seal of `key`, if it has one that can be trusted.
///
/// # Errors
/// If the store cannot be read, or the object is encrypted and cannot be decrypted.
pub async fn read_seal(backend: &dyn Backend, key: &str) -> Result<Option<Seal>, Error> {
    let size = backend.head(key).await?.size;
    let mut wanted = SEAL_TAIL_BYTES;
    loop {
        let bytes = match read(backend, key, ByteRange::Suffix(wanted)).await {
            Err(error) if error.kind() == ErrorKind::Damaged => return Ok(None),
            read => read?,
        };
        match Seal::from_tail(&bytes, size) {
            Ok(Tail::Sealed(seal, _)) => return Ok(Some(*seal)),
            Ok(Tail::NeedsBytes(more)) if more > wanted => wanted = more,
            Ok(_) | Err(_) => {
                // What is encrypted looks like that too.
                read(backend, key, BEGINNING).await?;
                return Ok(None);
            }
        }
    }
}

/// The same, and `None` also if it is encrypted for others: what we have written ourselves we can read, or it is
/// remembered.
///
/// # Errors
/// If the store cannot be read.
pub async fn read_own_seal(backend: &dyn Backend, key: &str) -> Result<Option<Seal>, Error> {
    match read_seal(backend, key).await {
        Err(error) if is_for_others(&error) => {
            tracing::warn!(%error, "this object is taken for another replicator's");
            Ok(None)
        }
        seal => seal,
    }
}

/// Whether an object cannot be read because it is encrypted, and for others.
pub fn is_for_others(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NoKey | ErrorKind::WriteOnly)
}

async fn read(backend: &dyn Backend, key: &str, range: ByteRange) -> Result<Vec<u8>, Error> {
    let stream = backend.get(key, range).await?;
    stream.map_ok(|chunk| chunk.to_vec()).try_concat().await
}
