//! Sealed objects: data, frames, commits and digests are what their seals say.

use super::VerifyError;
use super::walk::Walk;
use crate::history::ObjectName;
use crate::restore::error::{ObjectFault, Step};
use crate::restore::fetch::{ArrivalBody, ArrivalReader};
use crate::restore::image::Edge;
use crate::restore::wal_stream::{Frame, WalStream};
use crate::segment::{Decoder, PageHashes, Seal, SealKind, page_hash};
use crate::types::{Offset, PageNo};
use crate::wal::{Chain, Salts};

impl Walk {
    /// The whole database: its pages have the digest that the seal says. It is the state from here on.
    pub(super) fn snapshot(&mut self, seal: &Seal, body: ArrivalBody) -> Result<(), Step> {
        let size = seal.page_size.bytes();
        let mut decoder = Decoder::new(ArrivalReader::new(body));
        let mut hashes = PageHashes::new(seal.page_size);
        let (mut number, mut carry) = (0_u32, Vec::with_capacity(size));
        while let Some(mut block) = decoder.next_block()? {
            while !block.is_empty() {
                let (part, rest) = block.split_at(block.len().min(size - carry.len()));
                carry.extend_from_slice(part);
                block = rest;
                if carry.len() < size {
                    break;
                }
                number = number.checked_add(1).ok_or(ObjectFault::SealField("the length"))?;
                if number > seal.size_after.0 {
                    return Err(ObjectFault::SealField("the length").into());
                }
                if let Some(page) = PageNo::new(number) {
                    hashes.set(page, page_hash(page, &carry));
                }
                carry.clear();
            }
        }
        if decoder.finish()?.as_ref() != Some(seal) {
            return Err(ObjectFault::Changed.into());
        }
        hashes.resize(seal.size_after);
        self.hashes = Some(hashes);
        self.expect(seal)?;
        self.compare(seal.to, Some((seal.source.salts, seal.source.offset)));
        Ok(())
    }

    /// A piece of the WAL: each frame continues the chain, each commit is the seal's, and the state at the end is too.
    pub(super) fn segment(&mut self, seal: &Seal, body: ArrivalBody) -> Result<(), Step> {
        let mut wal = match seal.from.1 {
            Offset(0) => WalStream::new(seal.page_size),
            from => {
                let chain = Chain {
                    order: seal.order,
                    page_size: seal.page_size,
                    salts: seal.salts,
                    checksum: seal.checksum_before,
                };
                WalStream::within(chain, from)
            }
        };
        let mut seen = 0;
        let mut decoder = Decoder::new(ArrivalReader::new(body));
        while let Some(block) = decoder.next_block()? {
            wal.feed(block, |frame| self.frame(seal, &mut seen, &frame))?;
        }
        if seen != seal.commits.len() || !wal.at_frame_end() {
            return Err(ObjectFault::OpenEnd.into());
        }
        if decoder.finish()?.as_ref() != Some(seal) {
            return Err(ObjectFault::Changed.into());
        }
        if wal.header().is_some_and(|header| header.checksum != seal.checksum_before) {
            return Err(ObjectFault::SealField("the header checksum").into());
        }
        let chain = wal.chain().ok_or(ObjectFault::OpenEnd)?;
        if (chain.salts, chain.order, chain.checksum) != (seal.salts, seal.order, seal.checksum_after) {
            return Err(ObjectFault::SealField("the WAL checksum").into());
        }
        self.expect(seal)
    }

    /// The end of an index has no data, and changes nothing.
    pub(super) fn end(&mut self, seal: &Seal, body: ArrivalBody) -> Result<(), Step> {
        if Decoder::new(ArrivalReader::new(body)).finish()?.as_ref() != Some(seal) {
            return Err(ObjectFault::Changed.into());
        }
        self.expect(seal)
    }

    /// A segment that another one holds too: what it says of itself must be true all the same.
    pub(super) fn leftover(&mut self, name: ObjectName, seal: &Seal, body: ArrivalBody) -> Result<(), VerifyError> {
        let (hashes, commits) = (self.hashes.take(), self.checked.commits);
        let done = self.segment(seal, body);
        (self.hashes, self.checked.commits) = (hashes, commits);
        done.or_else(|step| self.found(name, step))
    }

    fn frame(&mut self, seal: &Seal, seen: &mut usize, frame: &Frame<'_>) -> Result<(), Step> {
        let commit = *seal.commits.get(*seen).ok_or(ObjectFault::OpenEnd)?;
        let page = frame.header.page;
        if let Some(hashes) = &mut self.hashes
            && page.get() <= commit.size.0
        {
            hashes.set(page, page_hash(page, frame.content));
        }
        match frame.header.commit {
            None if frame.end >= commit.end => return Err(ObjectFault::Commit(commit.end).into()),
            None => return Ok(()),
            Some(size) if (frame.end, size) == (commit.end, commit.size) => {}
            Some(_) => return Err(ObjectFault::Commit(frame.end).into()),
        }
        *seen += 1;
        self.checked.commits += 1;
        if let Some(hashes) = &mut self.hashes {
            hashes.resize(commit.size);
        }
        if seal.kind == SealKind::Segment {
            self.compare((seal.to.0, commit.end), in_source(seal, commit.end));
        }
        Ok(())
    }

    fn expect(&self, seal: &Seal) -> Result<(), Step> {
        let Some(hashes) = &self.hashes else { return Ok(()) };
        let (found, expected) = ((hashes.size(), hashes.digest()), (seal.size_after, seal.digest_after));
        if found == expected { Ok(()) } else { Err(ObjectFault::State { edge: Edge::After, expected, found }.into()) }
    }
}

/// Where a commit lies in the source's own WAL: as far before the end of the object as here. Only where the object is
/// a piece of that WAL, which is never shorter than it.
fn in_source(seal: &Seal, end: Offset) -> Option<(Salts, u64)> {
    let at = seal.source.offset.checked_sub(seal.to.1.0 - end.0)?;
    (end == seal.to.1 || seal.source.offset >= seal.raw_bytes).then_some((seal.source.salts, at))
}
