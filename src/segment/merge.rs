//! Segments that adjoin, as one with the same bytes and all their commits.

use super::{DecodeFault, Decoder, Encoder, Seal, SealKind};

/// Why segments cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum MergeFault {
    /// One of them is damaged.
    #[error(transparent)]
    Decode(#[from] DecodeFault),
    /// One of them has no seal, or does not begin where the one before it ends.
    #[error("the segments do not adjoin")]
    Adjoin,
    /// There is none.
    #[error("there is nothing to merge")]
    Nothing,
    /// Memory that cannot be written to.
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

/// One object that holds what `objects` hold: segments of one index, in order, without a hole.
///
/// # Errors
/// If they are not that.
pub fn merge<'o>(objects: impl IntoIterator<Item = &'o [u8]>) -> Result<(Vec<u8>, Seal), MergeFault> {
    let (mut raw, mut whole): (Vec<u8>, Option<Seal>) = (Vec::new(), None);
    for object in objects {
        let mut decoder = Decoder::new(object);
        while let Some(block) = decoder.next_block()? {
            raw.extend_from_slice(block);
        }
        let next = decoder.finish()?.ok_or(MergeFault::Adjoin)?;
        whole = Some(match whole {
            None if next.kind == SealKind::Segment => next,
            Some(before) if adjoin(&before, &next) => both(before, next),
            _ => return Err(MergeFault::Adjoin),
        });
    }
    let whole = whole.ok_or(MergeFault::Nothing)?;
    let mut encoder = Encoder::new(Vec::with_capacity(raw.len() / 2 + 1024), raw.len() as u64);
    encoder.write(&raw)?;
    Ok(encoder.finish(whole)?)
}

fn adjoin(before: &Seal, next: &Seal) -> bool {
    let wal = |seal: &Seal| (seal.kind, seal.generation, seal.salts, seal.order, seal.page_size);
    let end = (before.to, before.size_after, before.digest_after, before.checksum_after);
    wal(before) == wal(next) && end == (next.from, next.size_before, next.digest_before, next.checksum_before)
}

/// What `next` says of the end, what `before` says of the beginning.
fn both(before: Seal, mut next: Seal) -> Seal {
    let mut commits = before.commits;
    commits.append(&mut next.commits);
    Seal {
        from: before.from,
        size_before: before.size_before,
        digest_before: before.digest_before,
        checksum_before: before.checksum_before,
        commits,
        ..next
    }
}
