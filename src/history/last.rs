//! With which object a history ends.
//!
//! Of two writers in one generation the one that comes too late may leave the end of an index where a segment stood
//! that has become part of a larger one (docs/format.md, "One writer at a time"). Such an end says nothing. Nor does
//! one that stands alone before a snapshot behind a gap, if the snapshot is not there: whoever puts it before, or
//! whoever deletes the snapshot, has left a history that ends before the gap.

use super::route::covers;
use super::{Entry, History, NeedsSeals, Sealing, Seals};
use crate::segment::Seal;
use crate::types::Offset;

impl History {
    /// The object with which the history ends: the last segment, or a snapshot of a later index; but not an end that
    /// came too late, which stands within the segment before it, nor one that stands alone behind a gap.
    ///
    /// # Errors
    /// If seals have to be read first: that of the last object, and if that is an end, those before it.
    pub fn end(&self, seals: &Seals) -> Result<Option<&Entry>, NeedsSeals> {
        match self.last() {
            Some(last) if self.segments.last() == Some(last) => Ok(in_time(&self.segments, seals)?.last()),
            Some(snapshot) => seals.of(&snapshot.name).map(|_| Some(snapshot)),
            None => Ok(None),
        }
    }
}

/// `segments`, which ascend, without the ends at the end of them that came too late, or that stand alone behind a gap.
///
/// # Errors
/// If seals have to be read first.
pub(super) fn in_time<'h>(segments: &'h [Entry], seals: &Seals) -> Result<&'h [Entry], NeedsSeals> {
    let segments = without_lone_end(segments, seals)?;
    let index = segments.last().map(|last| last.name.index());
    let mut ends: Vec<&Seal> = Vec::new();
    for entry in segments.iter().rev().take_while(|entry| Some(entry.name.index()) == index) {
        match seals.of(&entry.name)? {
            Sealing::Sealed(end) if end.is_end() => ends.push(end),
            Sealing::Sealed(outer) => {
                let late = ends.iter().take_while(|end| covers(outer, end)).count();
                return Ok(&segments[..segments.len() - late]);
            }
            Sealing::Unsealed | Sealing::Damaged(_) => break,
        }
    }
    Ok(segments)
}

fn without_lone_end<'h>(segments: &'h [Entry], seals: &Seals) -> Result<&'h [Entry], NeedsSeals> {
    let [rest @ .., before, last] = segments else { return Ok(segments) };
    let adjoins = before.name.index().next().is_none_or(|next| last.name.index() <= next);
    if adjoins || last.name.offset() != Offset(0) {
        return Ok(segments);
    }
    let stands_alone = matches!(seals.of(&last.name)?, Sealing::Sealed(seal) if seal.is_gap());
    Ok(if stands_alone { &segments[..=rest.len()] } else { segments })
}
