//! Whose object is it that stands where we wanted to put ours?

use replica_backends::layers::BEGINNING;
use replica_backends::{Backend, Error, ErrorKind, read};

use crate::history::Sealing;
use crate::segment::Seal;
use crate::stored::{UNDECIPHERED, read_sealing};

/// Reads the seal of `key`, if it has one that can be trusted.
///
/// # Errors
/// If the store cannot be read, or the object is encrypted and cannot be decrypted.
pub async fn read_seal(backend: &dyn Backend, key: &str) -> Result<Option<Seal>, Error> {
    let size = backend.head(key).await?.size;
    match read_sealing(backend, key, size).await? {
        Sealing::Sealed(seal) => return Ok(Some(*seal)),
        UNDECIPHERED => {}
        // What is encrypted looks like that too, to those who do not know of it.
        Sealing::Unsealed | Sealing::Damaged(_) => drop(read(backend, key, BEGINNING).await?),
    }
    Ok(None)
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
