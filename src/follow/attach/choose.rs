//! Whether a history that the replicas have can be continued, and how.

use std::os::unix::fs::FileExt;

use super::{ResumePoint, Resumption, View, hash_pages};
use crate::follow::Lost;
use crate::follow::resync::{Baseline, Difference, difference};
use crate::follow::wal_file::{Scan, WalFile};
use crate::segment::PageHash;
use crate::sqlite::Connection;
use crate::types::{PageNo, PageSize};
use crate::wal::{Chain, FRAME_HEADER_BYTES, WAL_HEADER_BYTES, WalHeader};

pub(super) type Chosen = (Resumption, Option<ResumePoint>, Option<Difference>);

/// The replica whose history can be continued, and how. The furthest that can wins.
pub(super) fn choose(
    points: &[Option<ResumePoint>],
    baseline: &Baseline,
    view: &View,
    line: &Connection,
    wal: &WalFile,
) -> Result<Chosen, Lost> {
    let page_size = view.hashes.page_size();
    let continuing = |how, point: &ResumePoint| Ok((how, Some(point.clone()), None));
    let mut known: Vec<&ResumePoint> = points.iter().flatten().collect();
    // The furthest first: what another replica has beyond it would otherwise be written a second time, differently.
    known.sort_by_key(|point| std::cmp::Reverse((point.time, point.index, point.offset)));
    // If only what a lagging replica ends with can be gone on with, the database was turned back, or its WAL has lost
    // something. To go on there would mean to write a second time what the others have already.
    let is_behind =
        |p: &ResumePoint| known.first().is_some_and(|first| p.generation == first.generation && !p.stands_with(first));
    for point in known.iter().filter(|p| p.page_size == page_size && !is_behind(p)) {
        let same_wal = view.scan.as_ref().filter(|scan| continues(point, scan, wal));
        if same_wal.is_some_and(|scan| !has_changed_beside(point, scan, view, baseline)) {
            return continuing(Resumption::SameWal, point);
        }
        if (point.digest, point.size) == (view.hashes.digest(), view.hashes.size()) {
            return continuing(Resumption::SameState, point);
        }
        if holds_whole_wal(point, view, line, page_size)? {
            return continuing(Resumption::WholeWal, point);
        }
    }
    let reason = match known.first() {
        None => "no replica has a history of this database that can be continued".to_owned(),
        Some(point) if point.page_size != page_size => {
            format!("the page size changed from {} to {page_size}", point.page_size)
        }
        Some(point) => match difference(baseline, point, &view.hashes, &view.index, page_reader(view, line, wal))? {
            Ok(made) => {
                let how = Resumption::Difference { pages: made.pages };
                return Ok((how, Some((*point).clone()), Some(made)));
            }
            Err(why) => {
                let generation = point.generation;
                format!("the database changed while nobody followed it, and generation {generation} ends: {why}")
            }
        },
    };
    Ok((Resumption::New(reason), None, None))
}

/// Reads pages of the state that was seen under the hold, which is still kept.
fn page_reader<'a>(
    view: &'a View,
    line: &'a Connection,
    wal: &'a WalFile,
) -> impl FnMut(PageNo, &mut [u8]) -> Result<(), Lost> + 'a {
    let (file, page_size) = (wal.file(), view.hashes.page_size());
    move |page, bytes| match view.overlay().and_then(|overlay| overlay.get(&page.get())) {
        Some(frame) => file.read_exact_at(bytes, frame + FRAME_HEADER_BYTES as u64).map_err(Lost::ReadWal),
        None => Ok(line.read_database(page.file_offset(page_size), bytes)?),
    }
}

/// Whether the live WAL is the one in which `point` ends, as it was there.
///
/// Salts are new with every restart, and the checksum covers every frame up to that point.
pub(super) fn continues(point: &ResumePoint, scan: &Scan, wal: &WalFile) -> bool {
    let source = &point.source;
    if source.salts != scan.header.salts || source.offset > scan.end || source.offset < WAL_HEADER_BYTES as u64 {
        return false;
    }
    wal.checksum_at(source.offset, &scan.header).is_ok_and(|checksum| checksum == source.checksum)
}

/// Whether the frames from `point` on give what the replica with `end` has of the same index, which begins with
/// `header`: one of them may have begun it with a difference, and the other not.
pub(super) fn leads_to(point: &ResumePoint, end: &ResumePoint, header: &WalHeader, scan: &Scan, wal: &WalFile) -> bool {
    let mut source = Chain { checksum: point.source.checksum, ..scan.chain };
    let mut replica = Chain { checksum: point.checksum, ..Chain::begin(header) };
    let mut fits = point.source.offset <= end.source.offset;
    let read = wal.verify(&mut source, point.source.offset, end.source.offset, &mut Vec::new(), |_, _, frame| {
        fits &= replica.pass(frame).is_ok();
    });
    fits && read.is_ok() && replica.checksum == end.checksum
}

/// Whether pages have changed since `point` that the WAL has not written since: the disk, or a program past SQLite, has
/// changed them. If what the replica ends with is known by its digest only, it shows if nothing else was written.
fn has_changed_beside(point: &ResumePoint, scan: &Scan, view: &View, baseline: &Baseline) -> bool {
    let now = &view.hashes;
    if point.source.offset == scan.end {
        return (point.digest, point.size) != (now.digest(), now.size());
    }
    let Some(mut expected) = baseline.of(point).cloned() else { return false };
    expected.resize(now.size());
    for (page, _) in scan.overlay.iter().filter(|(_, frame)| **frame >= point.source.offset) {
        let page = PageNo::new(*page).filter(|page| page.slot() < now.entries().len());
        if let Some((page, hash)) = page.map(|page| (page, now.entries()[page.slot()])) {
            expected.set(page, PageHash(hash));
        }
    }
    expected.digest() != now.digest()
}

/// Whether the database file without its WAL is the state at `point`, so that all of the WAL came after it.
///
/// Not if `point` is behind frames of the same WAL: whoever has recovered a wal-index knows of none that it is copied
/// back.
fn holds_whole_wal(point: &ResumePoint, view: &View, line: &Connection, page_size: PageSize) -> Result<bool, Lost> {
    let source = &point.source;
    let before = |scan: &Scan| scan.header.salts != source.salts || source.offset <= WAL_HEADER_BYTES as u64;
    if !view.scan.as_ref().is_some_and(before) || view.index.copied > 0 || line.database_pages(page_size)? != point.size
    {
        return Ok(false);
    }
    let hashes = hash_pages(line, page_size, point.size, None)?;
    // A checkpoint that began meanwhile may have copied something.
    Ok(hashes.digest() == point.digest && line.wal_index()?.copied == 0)
}
