//! With which object a history ends.
//!
//! Of two writers in one generation the one that comes too late may leave the end of an index where a segment stood
//! that has become part of a larger one (docs/format.md, "One writer at a time"). Such an end says nothing.

use super::route::covers;
use super::{Entry, History, NeedsSeals, Sealing, Seals};
use crate::segment::Seal;

impl History {
    /// The object with which the history ends: the last segment, or a snapshot of a later index; but not an end that
    /// came too late, which stands within the segment before it.
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

/// `segments`, which ascend, without the ends at the end of them that came too late.
///
/// # Errors
/// If seals have to be read first.
pub(super) fn in_time<'h>(segments: &'h [Entry], seals: &Seals) -> Result<&'h [Entry], NeedsSeals> {
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
