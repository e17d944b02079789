//! The bytes of a snapshot, straight from the database file while it stands still.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use fault_points::fault_point;
use replica_backends::Body;

use super::Author;
use super::stream;
use crate::follow::SnapshotTicket;
use crate::segment::{Encoder, Seal, SealKind, StateDigest, page_hash};
use crate::types::{Offset, PageNo};
use crate::wal::{Checksum, Salts};

/// Snapshots of databases up to this size are made in memory; larger ones are streamed.
const IN_MEMORY_BYTES: u64 = 4 << 20;

/// The object of `ticket`. It is published only if the copy comes to the digest that the follower has kept.
///
/// # Errors
/// If a small database cannot be read.
pub fn body(ticket: &Arc<SnapshotTicket>, author: &Author) -> io::Result<Body> {
    if ticket.size.bytes(ticket.page_size) <= IN_MEMORY_BYTES {
        return Ok(Bytes::from(write_object(ticket, author, Vec::new())?).into());
    }
    let (ticket, author, len_max) = (Arc::clone(ticket), author.clone(), ticket.size.bytes(ticket.page_size));
    let body = Body::stream(move || {
        let (ticket, author) = (Arc::clone(&ticket), author.clone());
        stream::produce(move |out| write_object(&ticket, &author, out))
    });
    Ok(body.with_len_max(len_max))
}

fn write_object<W: Write>(ticket: &SnapshotTicket, author: &Author, out: W) -> io::Result<W> {
    let mut encoder = Encoder::new(out, ticket.size.bytes(ticket.page_size));
    let mut digest = 0;
    ticket.copy(|first, bytes| {
        digest ^= digest_of_run(ticket, first, bytes);
        fault_point!("snapshot-copying");
        encoder.write(bytes)
    })?;
    if StateDigest(digest) != ticket.digest {
        return Err(io::Error::other("the copy of the database is not the state that was followed"));
    }
    fault_point!("snapshot-copied");
    Ok(encoder.finish(seal(ticket, author))?.0)
}

fn digest_of_run(ticket: &SnapshotTicket, first: PageNo, bytes: &[u8]) -> u64 {
    let pages = (first.get()..).zip(bytes.chunks_exact(ticket.page_size.bytes()));
    pages
        .filter_map(|(page, content)| PageNo::new(page).map(|page| (page, content)))
        .filter(|(page, _)| *page != ticket.page_size.lock_page())
        .fold(0, |digest, (page, content)| digest ^ page_hash(page, content).0)
}

fn seal(ticket: &SnapshotTicket, author: &Author) -> Seal {
    let here = (ticket.index, Offset(0));
    Seal {
        kind: SealKind::Snapshot,
        generation: ticket.generation,
        from: here,
        to: here,
        page_size: ticket.page_size,
        size_before: ticket.size,
        size_after: ticket.size,
        digest_before: ticket.digest,
        digest_after: ticket.digest,
        raw_bytes: 0,
        content: [0; 32],
        order: ticket.order,
        salts: Salts::default(),
        checksum_before: Checksum::default(),
        checksum_after: Checksum::default(),
        source: ticket.source,
        writer: author.writer,
        time: ticket.time,
        parent: author.parent,
        software: author.software.clone(),
        reason: ticket.reason.clone(),
        commits: Vec::new(),
    }
}
