//! The bytes of a segment, straight from the source's WAL.

use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use replica_backends::Body;

use super::Author;
use super::stream;
use crate::follow::{CommitLog, Mark, SegmentPlan, Source};
use crate::segment::{Commit, Encoder, Seal, SealKind, StateDigest};
use crate::wal::{Chain, FrameFault, WAL_HEADER_BYTES, frame_bytes};

/// Segments up to this size are made in memory; larger ones are streamed.
const IN_MEMORY_BYTES: u64 = 8 << 20;
const READ_BYTES: usize = 128 << 10;

/// Makes the object of `plan`. `None` if the WAL moved on meanwhile: the log then has the bytes in memory, ask again.
///
/// # Errors
/// If the bytes cannot be read.
pub fn encode(plan: &SegmentPlan, log: &Arc<CommitLog>, author: &Author) -> io::Result<Option<Body>> {
    if plan.raw_bytes() > IN_MEMORY_BYTES {
        let len_max = plan.raw_bytes();
        let (plan, log, author) = (Arc::new(plan.clone()), Arc::clone(log), author.clone());
        let body = Body::stream(move || {
            let (plan, log, author) = (Arc::clone(&plan), Arc::clone(&log), author.clone());
            stream::produce(move |out| {
                let out = write_object(&plan, &author, out)?;
                // The object is published only when the stream ends well.
                if is_trustworthy(&plan, &log) { Ok(out) } else { Err(io::Error::other("the WAL was let go")) }
            })
        });
        return Ok(Some(body.with_len_max(len_max)));
    }
    let object = write_object(plan, author, Vec::with_capacity(plan.raw_bytes() as usize / 2 + 1024));
    // What was read of a WAL that has restarted meanwhile may be anything, a fault included.
    if is_trustworthy(plan, log) { Ok(Some(Bytes::from(object?).into())) } else { Ok(None) }
}

fn is_trustworthy(plan: &SegmentPlan, log: &CommitLog) -> bool {
    !matches!(plan.source, Source::Wal(_)) || log.is_still_in_wal(plan)
}

fn write_object<W: Write>(plan: &SegmentPlan, author: &Author, out: W) -> io::Result<W> {
    let mut encoder = Encoder::new(out, plan.raw_bytes());
    write_data(plan, |data| encoder.write(data))?;
    Ok(encoder.finish(seal(plan, author))?.0)
}

fn write_data(plan: &SegmentPlan, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let Range { start: mut offset, end } = plan.frames();
    let frame = frame_bytes(plan.header.page_size);
    let run = (READ_BYTES / frame).max(1) * frame;
    let mut chain = Chain { checksum: plan.from.checksum, ..Chain::begin(&plan.header) };
    // The header of an index goes with its first frames.
    let mut head = if plan.from.offset.0 == 0 { WAL_HEADER_BYTES } else { 0 };
    let mut checksum = chain.checksum;
    let mut buffer = vec![0; head + run.min(usize::try_from(end - offset).unwrap_or(run))];
    buffer[..head].copy_from_slice(&plan.header.to_bytes()[..head]);
    while offset < end {
        let len = run.min(usize::try_from(end - offset).unwrap_or(run));
        let chunk = &mut buffer[head..head + len];
        read(&plan.source, offset, chunk)?;
        if plan.rebased {
            let adopted: Result<(), FrameFault> = chunk.chunks_mut(frame).try_for_each(|bytes| chain.adopt(bytes));
            adopted.map_err(io::Error::other)?;
        }
        let last = &buffer[head + len.saturating_sub(frame)..head + len];
        checksum = Chain::claimed(last).map_or(checksum, |(_, checksum)| checksum);
        sink(&buffer[..head + len])?;
        (offset, head) = (offset + len as u64, 0);
    }
    // It covers every frame before it: what was read is what was captured.
    if checksum == plan.to().checksum { Ok(()) } else { Err(io::Error::other("the WAL is not what was captured")) }
}

fn read(source: &Source, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    match source {
        Source::Wal(file) => file.read_exact_at(buffer, offset),
        Source::Spool(spool) => spool.read_exact_at(buffer, offset),
        Source::Memory { start, bytes } => {
            let from = usize::try_from(offset - start).map_err(io::Error::other)?;
            let part = bytes.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(part);
            Ok(())
        }
    }
}

/// Which commit of `plan` an object with `seal` reaches, which an earlier attempt has put in the same place.
///
/// The running checksum is that of every byte of the index up to there, its salts included. The same state is not
/// enough: what follows must continue the same WAL.
pub fn reached(plan: &SegmentPlan, seal: &Seal) -> Option<Mark> {
    let mark = plan.commits.iter().find(|c| c.offset == seal.to.1)?;
    let same = seal.salts == plan.header.salts
        && seal.checksum_before == plan.from.checksum
        && seal.checksum_after == mark.checksum
        && mark.digest == Some(seal.digest_after);
    same.then_some(*mark)
}

fn seal(plan: &SegmentPlan, author: &Author) -> Seal {
    let (from, to) = (&plan.from, plan.to());
    let unknown = StateDigest::default();
    Seal {
        kind: SealKind::Segment,
        generation: plan.generation,
        from: (plan.index, from.offset),
        to: (plan.index, to.offset),
        page_size: plan.header.page_size,
        size_before: from.size,
        size_after: to.size,
        digest_before: from.digest.unwrap_or(unknown),
        digest_after: to.digest.unwrap_or(unknown),
        raw_bytes: 0,
        content: [0; 32],
        order: plan.header.order,
        salts: plan.header.salts,
        checksum_before: from.checksum,
        checksum_after: to.checksum,
        source: to.source,
        writer: author.writer,
        time: to.time,
        parent: None,
        software: author.software.clone(),
        reason: String::new(),
        commits: plan.commits.iter().map(|c| Commit { end: c.offset, size: c.size, time: c.time }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::SourceCursor;
    use crate::types::{Generation, Index, Offset, PageCount, PageNo, PageSize, Timestamp, WriterId};
    use crate::wal::{ByteOrder, Checksum, FrameHeader, Salts, WalHeader};

    fn plan(salt: u32) -> SegmentPlan {
        let salts = Salts { first: salt, second: 0 };
        let header = WalHeader::synthetic(ByteOrder::Little, PageSize::SMALLEST, 0, salts);
        let mark = |offset, checksum, digest| Mark {
            offset: Offset(offset),
            checksum,
            source: SourceCursor { salts, offset, checksum },
            size: PageCount(1),
            digest: Some(StateDigest(digest)),
            time: Timestamp(1),
        };
        SegmentPlan {
            generation: Generation(1),
            index: Index::default(),
            header,
            from: mark(0, header.checksum, 1),
            commits: vec![mark(568, Checksum { first: salt, second: 9 }, 2)],
            source: Source::Memory { start: 32, bytes: Arc::default() },
            rebased: false,
            is_last: false,
        }
    }

    #[test]
    fn frames_that_are_not_those_that_were_captured_become_no_object() {
        let plan = plan(1);
        let frame = |fill: u8| {
            let (mut chain, mut frame) = (Chain::begin(&plan.header), Vec::new());
            let header = FrameHeader { page: PageNo::new(1).unwrap(), commit: Some(PageCount(1)) };
            chain.write(header, &[fill; 512], &mut frame).unwrap();
            (frame, chain.checksum)
        };
        let with = |bytes: Vec<u8>, checksum| {
            let source = Source::Memory { start: 32, bytes: Arc::new(bytes) };
            let commits = vec![Mark { checksum, ..plan.commits[0] }];
            let plan = SegmentPlan { source, commits, ..plan.clone() };
            write_object(&plan, &Author::new(WriterId(1)), Vec::new()).is_ok()
        };
        let (captured, checksum) = frame(1);
        assert!(with(captured, checksum));
        assert!(!with(frame(2).0, checksum), "a sound frame, but another one");
        assert!(!with(vec![0; 536], checksum));
    }

    /// A handover let the WAL restart while a segment was read from it. That was reported as an error, and the segment
    /// waited for a retry, although the log had its bytes in memory.
    #[test]
    fn a_wal_that_restarts_or_is_truncated_while_it_is_read_is_no_error() {
        let log = Arc::new(CommitLog::new(Generation(1), 1, "new"));
        for len in [1000, 0] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(len).unwrap();
            let plan = SegmentPlan { source: Source::Wal(Arc::new(file)), ..plan(1) };
            assert!(encode(&plan, &log, &Author::new(WriterId(1))).unwrap().is_none(), "{len} bytes");
        }
    }

    /// Stores allow so many parts of an object, so large ones need larger parts.
    #[test]
    fn the_store_is_told_how_large_a_segment_can_become() {
        let log = Arc::new(CommitLog::new(Generation(1), 1, "new"));
        let len = 60 << 30;
        let commits = vec![Mark { offset: Offset(len), ..plan(1).commits[0] }];
        let plan = SegmentPlan { commits, ..plan(1) };
        let body = encode(&plan, &log, &Author::new(WriterId(1))).unwrap().unwrap();
        assert_eq!((body.as_bytes(), body.len_max()), (None, Some(len)));
    }

    #[test]
    fn an_object_of_another_wal_is_no_earlier_attempt_even_if_it_ends_in_the_same_state() {
        let author = Author::new(WriterId(1));
        assert_eq!(reached(&plan(1), &seal(&plan(1), &author)), Some(plan(1).commits[0]));
        // What follows would be appended to frames with other salts, behind which SQLite reads nothing.
        assert_eq!(reached(&plan(1), &seal(&plan(2), &author)), None);
    }
}
