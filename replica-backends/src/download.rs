//! Bytes of an object in memory. A download that breaks goes on from where it broke.

use std::time::Duration;

use crate::{Backend, ByteRange, ErrorKind, Result};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

/// How often the same bytes are asked for.
const TRIES_MAX: u32 = 5;
/// Before the second try; each later pause is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// The bytes of `range` in pieces, as the store sends them; for ranges that fit in memory.
///
/// # Errors
/// Those of the store, when there is no point in asking again.
pub async fn download(backend: &dyn Backend, key: &str, range: ByteRange) -> Result<Vec<Bytes>> {
    let (mut pieces, mut have) = (Vec::new(), 0);
    let mut tries = 1;
    while let Some(range) = behind(range, have) {
        match append(backend, key, range, &mut pieces, &mut have).await {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::Unavailable && tries < TRIES_MAX => {
                tracing::debug!(%error, key, have, tries, "a download broke; it goes on from there");
                tokio::time::sleep(PAUSE * 2_u32.pow(tries - 1)).await;
                tries += 1;
            }
            Err(error) if tries > 1 => return Err(error.with_context(format_args!("{tries} tries"))),
            Err(error) => return Err(error),
        }
        if matches!(range, ByteRange::Suffix(_)) {
            // Where it begins is known to the store only.
            (pieces, have) = (Vec::new(), 0);
        }
    }
    Ok(pieces)
}

/// The same in one piece.
///
/// # Errors
/// The same.
pub async fn read(backend: &dyn Backend, key: &str, range: ByteRange) -> Result<Bytes> {
    Ok(joined(download(backend, key, range).await?))
}

/// Pieces as one.
pub fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() < 2 {
        return pieces.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| all.extend_from_slice(piece));
    all.freeze()
}

async fn append(
    backend: &dyn Backend,
    key: &str,
    range: ByteRange,
    pieces: &mut Vec<Bytes>,
    have: &mut u64,
) -> Result<()> {
    let mut stream = backend.get(key, range).await?;
    while let Some(piece) = stream.next().await.transpose()? {
        *have += piece.len() as u64;
        pieces.push(piece);
    }
    Ok(())
}

/// What of `range` comes behind the first `have` bytes of it; `None` if nothing does.
fn behind(range: ByteRange, have: u64) -> Option<ByteRange> {
    match range {
        _ if have == 0 => Some(range),
        ByteRange::All => Some(ByteRange::Slice { start: have, len: u64::MAX - have }),
        ByteRange::Slice { start, len } => {
            let left = len.saturating_sub(have);
            (left > 0).then(|| ByteRange::Slice { start: start.saturating_add(have), len: left })
        }
        ByteRange::Suffix(_) => Some(range),
    }
}
