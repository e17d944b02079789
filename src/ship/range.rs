//! The bytes of a merged range, straight from the database file while it stands still.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use fault_points::fault_point;
use replica_backends::Body;

use super::Author;
use super::stream;
use crate::follow::{RangePart, SnapshotTicket};
use crate::history::{ObjectName, RangeName};
use crate::segment::{Commit, Encoder, Seal, SealKind, StateDigest, page_hash};
use crate::types::{Offset, PageNo};
use crate::wal::{Chain, FRAME_HEADER_BYTES, Salts, WAL_HEADER_BYTES, WalHeader, frame_bytes};

/// Ranges up to this size are made in memory; larger ones are streamed.
const IN_MEMORY_BYTES: u64 = 4 << 20;

/// What the object of `part` is called.
pub fn name(ticket: &SnapshotTicket, part: &RangePart) -> ObjectName {
    let (from, to, time, level) = (part.from.index, ticket.index, ticket.time, part.level);
    ObjectName::Range(ticket.generation, RangeName { from, to, time, level })
}

/// The object of part `number` of `ticket`. It is published only if the copied pages are those that were followed.
///
/// # Errors
/// If the pages of a small range cannot be read.
pub fn body(ticket: &Arc<SnapshotTicket>, number: usize, author: &Author) -> io::Result<Body> {
    let len_max = raw_bytes(ticket, &ticket.ranges[number]);
    if len_max <= IN_MEMORY_BYTES {
        return Ok(Bytes::from(write_object(ticket, &ticket.ranges[number], author, Vec::new())?).into());
    }
    let (ticket, author) = (Arc::clone(ticket), author.clone());
    let body = Body::stream(move || {
        let (ticket, author) = (Arc::clone(&ticket), author.clone());
        stream::produce(move |out| write_object(&ticket, &ticket.ranges[number], &author, out))
    });
    Ok(body.with_len_max(len_max))
}

fn raw_bytes(ticket: &SnapshotTicket, part: &RangePart) -> u64 {
    WAL_HEADER_BYTES as u64 + u64::from(part.pages.len()) * frame_bytes(ticket.page_size) as u64
}

/// Salts that no other range of the generation has; they make frames of another WAL stand out.
fn salts(ticket: &SnapshotTicket, part: &RangePart) -> Salts {
    Salts { first: part.from.index.get(), second: ticket.index.get() }
}

fn write_object<W: Write>(ticket: &SnapshotTicket, part: &RangePart, author: &Author, out: W) -> io::Result<W> {
    let header = WalHeader::synthetic(ticket.order, ticket.page_size, 0, salts(ticket, part));
    let mut chain = Chain::begin(&header);
    let mut encoder = Encoder::new(out, raw_bytes(ticket, part));
    encoder.write(&header.to_bytes())?;
    let mut frame = vec![0; frame_bytes(ticket.page_size)];
    let (mut left, mut hash) = (part.pages.len(), 0);
    ticket.copy_pages(&part.pages, |page, content| {
        left -= 1;
        if page != ticket.page_size.lock_page() {
            hash ^= page_hash(page, content).0;
        }
        put_frame(&mut frame, page, if left == 0 { ticket.size.0 } else { 0 }, content);
        chain.adopt(&mut frame).map_err(io::Error::other)?;
        encoder.write(&frame)
    })?;
    if StateDigest(hash) != part.hash {
        return Err(io::Error::other("the pages of the database are not those that were followed"));
    }
    fault_point!("range-copied");
    Ok(encoder.finish(seal(ticket, part, author, (&header, &chain)))?.0)
}

/// Page number and commit mark, then the page; the rest of the header is the chain's.
fn put_frame(frame: &mut [u8], page: PageNo, commit: u32, content: &[u8]) {
    frame[..4].copy_from_slice(&page.get().to_be_bytes());
    frame[4..8].copy_from_slice(&commit.to_be_bytes());
    frame[FRAME_HEADER_BYTES..].copy_from_slice(content);
}

fn seal(ticket: &SnapshotTicket, part: &RangePart, author: &Author, wal: (&WalHeader, &Chain)) -> Seal {
    let end = Offset(raw_bytes(ticket, part));
    Seal {
        kind: SealKind::Range,
        generation: ticket.generation,
        from: (part.from.index, Offset(0)),
        to: (ticket.index, Offset(0)),
        page_size: ticket.page_size,
        size_before: part.from.size,
        size_after: ticket.size,
        digest_before: part.from.digest,
        digest_after: ticket.digest,
        raw_bytes: 0,
        content: [0; 32],
        order: ticket.order,
        salts: wal.0.salts,
        checksum_before: wal.0.checksum,
        checksum_after: wal.1.checksum,
        source: ticket.source,
        writer: author.writer,
        time: ticket.time,
        parent: None,
        software: author.software.clone(),
        reason: String::new(),
        commits: vec![Commit { end, size: ticket.size, time: ticket.time }],
    }
}
