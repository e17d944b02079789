//! Objects as they are stored: what their ends say, read with few requests.

use replica_backends::{Backend, ByteRange, ErrorKind, read};

use crate::history::Sealing;
use crate::segment::{SEAL_TAIL_BYTES, Seal, SealFault, Tail};

/// What an object is whose encryption is damaged.
pub const UNDECIPHERED: Sealing = Sealing::Damaged(SealFault::Damaged("the object's encryption is"));

/// What the end of the object at `key`, of `stored_bytes`, is: one request, or two for a seal with very many commits.
///
/// # Errors
/// Those of the store; damage is an answer.
pub async fn read_sealing(backend: &dyn Backend, key: &str, stored_bytes: u64) -> replica_backends::Result<Sealing> {
    let mut suffix = SEAL_TAIL_BYTES;
    loop {
        let tail = match read(backend, key, ByteRange::Suffix(suffix)).await {
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
///
/// # Errors
/// That number.
pub fn sealing(tail: &[u8], stored_bytes: u64) -> Result<Sealing, u64> {
    match Seal::from_tail(tail, stored_bytes) {
        Ok(Tail::Sealed(seal, _)) => Ok(Sealing::Sealed(seal)),
        Ok(Tail::Unsealed) => Ok(Sealing::Unsealed),
        Ok(Tail::NeedsBytes(bytes)) => Err(bytes),
        Err(fault) => Ok(Sealing::Damaged(fault)),
    }
}
