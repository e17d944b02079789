//! One index of the commit log: its commits, and where their bytes are.

use std::collections::VecDeque;
use std::io;

use super::{Consumer, Mark, Source};
use crate::types::{Index, Offset};
use crate::wal::{WAL_HEADER_BYTES, WalHeader};

/// How an index begins.
#[derive(Debug)]
pub struct Opening {
    /// Its number.
    pub index: Index,
    /// Its header.
    pub header: WalHeader,
    /// Where its bytes are.
    pub source: Source,
    /// Its first point that is still of interest.
    pub begin: Mark,
    /// Whether its frames need other salts and checksums than the source's.
    pub rebased: bool,
}

/// One WAL of the replica.
#[derive(Debug)]
pub(super) struct IndexLog {
    pub(super) index: Index,
    pub(super) header: WalHeader,
    pub(super) source: Source,
    /// Where the oldest replica is; everything before is forgotten.
    pub(super) begin: Mark,
    pub(super) commits: VecDeque<Mark>,
    /// Frames that have been read ahead for [`CommitLog::seal`], and where they begin in the source's WAL file.
    pub(super) kept: Option<(u64, Vec<u8>)>,
    /// Its frames have other salts and checksums than the source's.
    pub(super) rebased: bool,
    /// Nothing more will be appended.
    pub(super) closed: bool,
    /// An object of it exists, or is being made.
    pub(super) used: bool,
}

impl IndexLog {
    pub(super) fn end(&self) -> &Mark {
        self.commits.back().unwrap_or(&self.begin)
    }

    /// Reads what is in the source's WAL only, and not kept yet, into memory.
    pub(super) fn keep(
        &mut self,
        read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
        spare: &mut Vec<u8>,
    ) -> io::Result<()> {
        if !matches!(self.source, Source::Wal(_)) {
            return Ok(());
        }
        let start = self.begin.source.offset.max(WAL_HEADER_BYTES as u64);
        let end = self.end().source.offset;
        let (start, mut bytes) = self.kept.take().unwrap_or_else(|| {
            spare.clear();
            (start, std::mem::take(spare))
        });
        let have = bytes.len();
        let all = usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?;
        if have < all {
            bytes.reserve_exact(all - have);
            bytes.resize(all, 0);
            read(start + have as u64, &mut bytes[have..])?;
        }
        self.kept = Some((start, bytes));
        Ok(())
    }

    /// Bytes of it in the source's WAL that `consumer` has yet to ship.
    pub(super) fn lag(&self, consumer: &Consumer) -> u64 {
        if matches!(self.source, Source::Spool(_)) {
            return 0;
        }
        let from = match consumer {
            Consumer::At(index, mark) | Consumer::Believed(index, mark)
                if *index == self.index && mark.offset.0 > 0 =>
            {
                mark.source.offset
            }
            Consumer::At(index, _) | Consumer::Believed(index, _) if *index <= self.index => self.begin.source.offset,
            Consumer::Offered(ticket) if ticket.index <= self.index => self.begin.source.offset,
            _ => return 0,
        };
        self.end().source.offset.saturating_sub(from)
    }

    /// Whether `consumer` has all of it.
    pub(super) fn is_shipped_to(&self, consumer: &Consumer) -> bool {
        let all = |have: &Mark| have.offset >= self.end().offset;
        matches!(consumer, Consumer::At(at, have) if *at > self.index || *at == self.index && all(have))
    }

    /// The commits behind `from` up to the last one that fits and whose digest is known; the first such at least.
    pub(super) fn next_commits(&self, from: &Mark, bytes_max: u64) -> Option<Vec<Mark>> {
        let first = self.commits.partition_point(|c| c.offset <= from.offset);
        // Behind 4 GiB no object can begin, so there all that is left is one object.
        let whole = self.commits.len().saturating_sub(first + 1);
        let can_end = |i: usize, c: &Mark| c.offset < Offset::LIMIT || (self.closed && i == whole);
        let known = |(i, c): &(usize, &Mark)| c.digest.is_some() && can_end(*i, c);
        let ends = || self.commits.range(first..).enumerate().filter(known);
        let fitting = ends().take_while(|(_, c)| c.offset.0 - from.offset.0 <= bytes_max).last();
        let (last, _) = fitting.or_else(|| ends().next())?;
        Some(self.commits.range(first..=first + last).copied().collect())
    }
}
