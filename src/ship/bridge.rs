//! What lets Litestream 0.3 find the snapshot behind a gap.
//!
//! It restores no snapshot that lies more than one index behind the last segment, and nothing at all while an index is
//! missing between a snapshot and a later segment. So behind a gap of several indexes an end without data takes the
//! index before the snapshot; and it comes after the snapshot: whoever dies before that has left everything restorable.

use replica_backends::{Backend, Error, ErrorKind};

use super::Author;
use super::claim::read_own_seal;
use super::end::{encode, gap_at};
use super::resume::LastObject;
use super::shipper::of_source;
use crate::history::{ObjectName, plan_key};
use crate::segment::{Seal, SealKind};
use crate::types::{Index, Offset};

/// A history that ends with a snapshot behind a gap of several indexes, and nothing in the index before it.
#[derive(Debug)]
pub struct Unbridged {
    /// The last segment before the gap.
    before: ObjectName,
    snapshot: Box<Seal>,
}

impl Unbridged {
    pub(super) fn of(last: &LastObject) -> Option<Self> {
        let snapshot = last.seal.as_ref().filter(|seal| seal.kind == SealKind::Snapshot)?;
        let before = last.segment.filter(|segment| segment.index() < index_before(snapshot).unwrap_or_default())?;
        Some(Self { before, snapshot: Box::new(snapshot.clone()) })
    }
}

fn index_before(snapshot: &Seal) -> Option<Index> {
    snapshot.from.0.previous()
}

/// Puts what is missing before the snapshot. What stands there already does as well.
///
/// # Errors
/// If the store cannot be read or written.
pub async fn bridge(backend: &dyn Backend, unbridged: &Unbridged, author: &Author) -> Result<(), Error> {
    let Unbridged { before, snapshot } = unbridged;
    let last = read_own_seal(backend, &plan_key(before)).await?;
    let (Some(last), Some(index)) = (last, index_before(snapshot)) else { return Ok(()) };
    // With the snapshot's time: whoever restores to an earlier one does not come by here.
    let filler = gap_at((index, Offset(0)), &last, (snapshot.from.0, &snapshot.reason), author);
    let filler = Seal { writer: author.writer, time: snapshot.time.max(last.time), ..filler };
    let Some(key) = ObjectName::Segment(filler.generation, index, Offset(0)).key() else { return Ok(()) };
    let object = encode(&filler).map_err(of_source)?;
    match backend.put_new(&key, object.into()).await {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
