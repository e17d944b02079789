//! The seal: what an object says of itself, behind its data, in a frame that LZ4 readers skip.

use super::StateDigest;
use super::content::ContentHash;
use super::varint;
use crate::types::{Generation, Index, Offset, PageCount, PageSize, Position, Timestamp, WriterId};
use crate::wal::{ByteOrder, Checksum, Salts, WAL_HEADER_BYTES, frame_bytes};

// Byte map of the body (docs/format.md); numbers are little-endian, WAL fields are as a WAL stores them.
const VERSION: usize = 0;
const KIND: usize = VERSION + 1;
const ORDER: usize = KIND + 1;
const FLAGS: usize = ORDER + 1;
const PAGE_SIZE: usize = FLAGS + 1;
const GENERATION: usize = PAGE_SIZE + 4;
const FROM_INDEX: usize = GENERATION + 8;
const TO_INDEX: usize = FROM_INDEX + 4;
const FROM_OFFSET: usize = TO_INDEX + 4;
const TO_OFFSET: usize = FROM_OFFSET + 8;
const SIZE_BEFORE: usize = TO_OFFSET + 8;
const SIZE_AFTER: usize = SIZE_BEFORE + 4;
const DIGEST_BEFORE: usize = SIZE_AFTER + 4;
const DIGEST_AFTER: usize = DIGEST_BEFORE + 8;
const RAW_BYTES: usize = DIGEST_AFTER + 8;
const CONTENT: usize = RAW_BYTES + 8;
const SALTS: usize = CONTENT + 32;
const CHECKSUM_BEFORE: usize = SALTS + 8;
const CHECKSUM_AFTER: usize = CHECKSUM_BEFORE + 8;
const SOURCE_SALTS: usize = CHECKSUM_AFTER + 8;
const SOURCE_OFFSET: usize = SOURCE_SALTS + 8;
const SOURCE_CHECKSUM: usize = SOURCE_OFFSET + 8;
const WRITER: usize = SOURCE_CHECKSUM + 8;
const TIME: usize = WRITER + 8;
const PARENT_GENERATION: usize = TIME + 8;
const PARENT_INDEX: usize = PARENT_GENERATION + 8;
const PARENT_OFFSET: usize = PARENT_INDEX + 4;
const FIXED: usize = PARENT_OFFSET + 8;

// Byte map of the footer: body length (u32) | XXH3 of the body (u64) | magic.
const FOOTER_BYTES: usize = 4 + 8 + MAGIC.len();
const MAGIC: &[u8; 8] = b"LSHPSEAL";

const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
const SKIPPABLE_HEADER: usize = 8;
const FORMAT_VERSION: u8 = 2;
const FLAG_PARENT: u8 = 1;

/// How many bytes from the end of an object hold most seals whole.
pub const SEAL_TAIL_BYTES: u64 = 4096;

/// What kind of object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealKind {
    /// A whole database, at exactly the position `from` = `to`.
    Snapshot,
    /// The WAL between `from` and `to`; with the 32-byte header if it starts at offset 0.
    Segment,
    /// A merged range: a WAL of its own, header first, with the last version of every page that changed from the
    /// beginning of one index to the beginning of a later one, in one transaction.
    Range,
}

/// One transaction in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Offset behind its last frame.
    pub end: Offset,
    /// Size of the database after it.
    pub size: PageCount,
    /// When it was seen; never goes backwards within a generation.
    pub time: Timestamp,
}

/// Where the end of an object lies in the source's own WAL: what a replicator needs to go on from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceCursor {
    /// Salts of the source's WAL; zero if it had none.
    pub salts: Salts,
    /// Byte offset in the source's WAL file.
    pub offset: u64,
    /// Running checksum of the source's WAL there.
    pub checksum: Checksum,
}

/// What an object says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Snapshot, segment or merged range.
    pub kind: SealKind,
    /// The generation it belongs to.
    pub generation: Generation,
    /// Where it begins.
    pub from: (Index, Offset),
    /// Where it ends.
    pub to: (Index, Offset),
    /// Page size of the database.
    pub page_size: PageSize,
    /// Size of the database at `from`.
    pub size_before: PageCount,
    /// Size of the database at `to`.
    pub size_after: PageCount,
    /// Digest of the database at `from`.
    pub digest_before: StateDigest,
    /// Digest of the database at `to`.
    pub digest_after: StateDigest,
    /// Length of the data, uncompressed.
    pub raw_bytes: u64,
    /// Hash of the LZ4 frame that holds the data.
    pub content: ContentHash,
    /// How the WAL's checksums read their input.
    pub order: ByteOrder,
    /// Salts of every frame in it (not a snapshot).
    pub salts: Salts,
    /// Running WAL checksum at `from`; for offset 0 that of the header (not a snapshot).
    pub checksum_before: Checksum,
    /// Running WAL checksum behind its last frame (not a snapshot).
    pub checksum_after: Checksum,
    /// Where `to` lies in the source's own WAL.
    pub source: SourceCursor,
    /// Who wrote it.
    pub writer: WriterId,
    /// When the state at `to` was seen.
    pub time: Timestamp,
    /// The history this generation was forked from (a snapshot only).
    pub parent: Option<Position>,
    /// Name and version of the program that wrote it.
    pub software: String,
    /// Why the generation began or the snapshot was taken (a snapshot only).
    pub reason: String,
    /// All transactions in it, in order; of a merged range the one that ends it (not a snapshot).
    pub commits: Vec<Commit>,
}

/// Why the end of an object is not a seal that can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    /// The object ends like a sealed one, but its seal is damaged.
    #[error("its seal is damaged ({0})")]
    Damaged(&'static str),
    /// Written by another version of this program.
    #[error("its seal has version {0}, which this program does not know; use the version of lightship that wrote it")]
    Version(u8),
}

/// What the last bytes of an object turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// A seal, and how many bytes of the object come before it.
    Sealed(Box<Seal>, u64),
    /// The end of a seal: the last `n` bytes of the object are needed to read all of it.
    NeedsBytes(u64),
    /// No seal: Litestream wrote it, or its end is missing.
    Unsealed,
}

impl Seal {
    /// The reason of a snapshot that was due.
    pub const ON_INTERVAL: &str = "snapshot-interval";
    /// The reason of a snapshot with which more can be deleted.
    pub const FOR_RETENTION: &str = "retention";

    /// Reads the seal at the end of an object of `object_bytes`, of which `tail` is the end.
    ///
    /// # Errors
    /// If there is a seal, but a damaged one.
    pub fn from_tail(tail: &[u8], object_bytes: u64) -> Result<Tail, SealFault> {
        let Some((rest, footer)) = tail.split_last_chunk::<FOOTER_BYTES>() else { return Ok(Tail::Unsealed) };
        if &footer[12..] != MAGIC {
            return Ok(Tail::Unsealed);
        }
        let body_bytes = u32_at(footer, 0) as usize;
        let total = body_bytes as u64 + (SKIPPABLE_HEADER + FOOTER_BYTES) as u64;
        if total > object_bytes {
            return Err(SealFault::Damaged("it is longer than the object"));
        }
        if rest.len() < body_bytes + SKIPPABLE_HEADER {
            return Ok(Tail::NeedsBytes(total));
        }
        let frame = &tail[tail.len() - total as usize..];
        if u32_at(frame, 0) != SKIPPABLE_MAGIC || u32_at(frame, 4) as usize != body_bytes + FOOTER_BYTES {
            return Err(SealFault::Damaged("its frame does not fit its length"));
        }
        let seal = Self::from_content(&frame[SKIPPABLE_HEADER..])?;
        Ok(Tail::Sealed(Box::new(seal), object_bytes - total))
    }

    /// The frame at the end of `tail` that carries a seal, if it is all there; only its length and end are looked at.
    #[must_use]
    pub fn frame_in(tail: &[u8]) -> Option<&[u8]> {
        let (_, footer) = tail.split_last_chunk::<FOOTER_BYTES>().filter(|(_, footer)| footer[12..] == *MAGIC)?;
        let total = u32_at(footer, 0) as usize + SKIPPABLE_HEADER + FOOTER_BYTES;
        tail.get(tail.len().checked_sub(total)?..)
    }

    /// Reads the content of a skippable frame; `Ok(None)` if it is somebody else's frame.
    pub(super) fn from_skippable(magic: u32, content: &[u8]) -> Result<Option<Self>, SealFault> {
        let ours = magic == SKIPPABLE_MAGIC && content.ends_with(MAGIC);
        if ours { Self::from_content(content).map(Some) } else { Ok(None) }
    }

    fn from_content(content: &[u8]) -> Result<Self, SealFault> {
        let (body, footer) = content.split_last_chunk::<FOOTER_BYTES>().ok_or(SealFault::Damaged("it is too short"))?;
        if u32_at(footer, 0) as usize != body.len() {
            return Err(SealFault::Damaged("its length is wrong"));
        }
        if u64_at(footer, 4) != xxhash_rust::xxh3::xxh3_64(body) {
            return Err(SealFault::Damaged("its checksum is wrong"));
        }
        match body.first() {
            Some(&FORMAT_VERSION) => Self::from_body(body).ok_or(SealFault::Damaged("its fields make no sense")),
            Some(&version) => Err(SealFault::Version(version)),
            None => Err(SealFault::Damaged("it is empty")),
        }
    }

    /// Whether this is the end of an index: a segment of no bytes, which takes the name that a segment behind the last
    /// one would have (docs/format.md).
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.kind == SealKind::Segment && self.from == self.to
    }

    /// Whether this is the end of a history that goes on behind a gap, with a snapshot.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        self.is_end() && !self.reason.is_empty()
    }

    /// Whether this is a snapshot that was taken because one was due, and not because a replica needed one.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.kind == SealKind::Snapshot && [Self::ON_INTERVAL, Self::FOR_RETENTION].contains(&self.reason.as_str())
    }

    /// The skippable frame that carries this seal.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        let body = self.to_body();
        let mut frame = Vec::with_capacity(body.len() + SKIPPABLE_HEADER + FOOTER_BYTES);
        frame.extend(SKIPPABLE_MAGIC.to_le_bytes());
        frame.extend(((body.len() + FOOTER_BYTES) as u32).to_le_bytes());
        frame.extend(&body);
        frame.extend((body.len() as u32).to_le_bytes());
        frame.extend(xxhash_rust::xxh3::xxh3_64(&body).to_le_bytes());
        frame.extend(MAGIC);
        frame
    }

    fn to_body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(FIXED + 64 + self.commits.len() * 4);
        body.push(FORMAT_VERSION);
        body.push(match self.kind {
            SealKind::Snapshot => 0,
            SealKind::Segment => 1,
            SealKind::Range => 2,
        });
        body.push(match self.order {
            ByteOrder::Little => 0,
            ByteOrder::Big => 1,
        });
        body.push(if self.parent.is_some() { FLAG_PARENT } else { 0 });
        body.extend(self.page_size.get().to_le_bytes());
        body.extend(self.generation.0.to_le_bytes());
        body.extend(self.from.0.get().to_le_bytes());
        body.extend(self.to.0.get().to_le_bytes());
        body.extend(self.from.1.0.to_le_bytes());
        body.extend(self.to.1.0.to_le_bytes());
        body.extend(self.size_before.0.to_le_bytes());
        body.extend(self.size_after.0.to_le_bytes());
        body.extend(self.digest_before.0.to_le_bytes());
        body.extend(self.digest_after.0.to_le_bytes());
        body.extend(self.raw_bytes.to_le_bytes());
        body.extend(self.content);
        body.extend(self.salts.to_be_bytes());
        body.extend(self.checksum_before.to_be_bytes());
        body.extend(self.checksum_after.to_be_bytes());
        body.extend(self.source.salts.to_be_bytes());
        body.extend(self.source.offset.to_le_bytes());
        body.extend(self.source.checksum.to_be_bytes());
        body.extend(self.writer.0.to_le_bytes());
        body.extend(self.time.0.to_le_bytes());
        body.extend(self.parent.map_or(0, |p| p.generation.0).to_le_bytes());
        body.extend(self.parent.map_or(0, |p| p.index.get()).to_le_bytes());
        body.extend(self.parent.map_or(0, |p| p.offset.0).to_le_bytes());
        debug_assert_eq!(body.len(), FIXED);
        for text in [&self.software, &self.reason] {
            varint::put(&mut body, text.len() as u64);
            body.extend(text.as_bytes());
        }
        self.put_commits(&mut body);
        body
    }

    /// Each commit as three small numbers: its frames, the change of the database size (zigzag), the milliseconds
    /// since the commit before it.
    fn put_commits(&self, body: &mut Vec<u8>) {
        let frame = frame_bytes(self.page_size) as u64;
        let (mut end, mut size, mut time) = (first_frame(self.from.1), self.size_before.0, 0);
        varint::put(body, self.commits.len() as u64);
        for commit in &self.commits {
            varint::put(body, (commit.end.0 - end) / frame);
            varint::put(body, zigzag(i64::from(commit.size.0) - i64::from(size)));
            varint::put(body, commit.time.0.saturating_sub(time));
            (end, size, time) = (commit.end.0, commit.size.0, commit.time.0);
        }
    }

    fn from_body(body: &[u8]) -> Option<Self> {
        let mut rest = body.get(FIXED..)?;
        let software = take_text(&mut rest)?;
        let reason = take_text(&mut rest)?;
        let index = |at: usize| Index::new(u32_at(body, at));
        let parent = (body[FLAGS] & FLAG_PARENT != 0).then(|| {
            Some(Position {
                generation: Generation(u64_at(body, PARENT_GENERATION)),
                index: index(PARENT_INDEX)?,
                offset: Offset(u64_at(body, PARENT_OFFSET)),
            })
        });
        let mut seal = Self {
            kind: [SealKind::Snapshot, SealKind::Segment, SealKind::Range].get(body[KIND] as usize).copied()?,
            order: [ByteOrder::Little, ByteOrder::Big].get(body[ORDER] as usize).copied()?,
            page_size: PageSize::new(u32_at(body, PAGE_SIZE))?,
            generation: Generation(u64_at(body, GENERATION)),
            from: (index(FROM_INDEX)?, Offset(u64_at(body, FROM_OFFSET))),
            to: (index(TO_INDEX)?, Offset(u64_at(body, TO_OFFSET))),
            size_before: PageCount(u32_at(body, SIZE_BEFORE)),
            size_after: PageCount(u32_at(body, SIZE_AFTER)),
            digest_before: StateDigest(u64_at(body, DIGEST_BEFORE)),
            digest_after: StateDigest(u64_at(body, DIGEST_AFTER)),
            raw_bytes: u64_at(body, RAW_BYTES),
            content: *body[CONTENT..].first_chunk()?,
            salts: Salts::from_be_bytes(*body[SALTS..].first_chunk()?),
            checksum_before: Checksum::from_be_bytes(*body[CHECKSUM_BEFORE..].first_chunk()?),
            checksum_after: Checksum::from_be_bytes(*body[CHECKSUM_AFTER..].first_chunk()?),
            source: SourceCursor {
                salts: Salts::from_be_bytes(*body[SOURCE_SALTS..].first_chunk()?),
                offset: u64_at(body, SOURCE_OFFSET),
                checksum: Checksum::from_be_bytes(*body[SOURCE_CHECKSUM..].first_chunk()?),
            },
            writer: WriterId(u64_at(body, WRITER)),
            time: Timestamp(u64_at(body, TIME)),
            parent: match parent {
                Some(parent) => Some(parent?),
                None => None,
            },
            software,
            reason,
            commits: Vec::new(),
        };
        seal.commits = seal.take_commits(&mut rest)?;
        (rest.is_empty() && seal.is_consistent()).then_some(seal)
    }

    fn take_commits(&self, rest: &mut &[u8]) -> Option<Vec<Commit>> {
        let frame = frame_bytes(self.page_size) as u64;
        let count = usize::try_from(varint::take(rest)?).ok()?;
        if count > rest.len() / 3 {
            return None;
        }
        let (mut end, mut size, mut time) = (first_frame(self.from.1), self.size_before.0, 0_u64);
        let mut commits = Vec::with_capacity(count);
        for _ in 0..count {
            end = end.checked_add(varint::take(rest)?.checked_mul(frame)?)?;
            size = u32::try_from(i64::from(size).checked_add(unzigzag(varint::take(rest)?))?).ok()?;
            time = time.checked_add(varint::take(rest)?)?;
            commits.push(Commit { end: Offset(end), size: PageCount(size), time: Timestamp(time) });
        }
        Some(commits)
    }

    /// What must hold of the fields among themselves, whoever wrote them.
    fn is_consistent(&self) -> bool {
        let span = self.to.1.0.checked_sub(self.from.1.0);
        match self.kind {
            SealKind::Snapshot => {
                let bytes = self.size_after.bytes(self.page_size);
                self.from == self.to && self.commits.is_empty() && self.raw_bytes == bytes
            }
            SealKind::Segment => {
                let ends = |c: &Commit| c.end == self.to.1 && c.size == self.size_after && c.time == self.time;
                let same_state = (self.size_before, self.digest_before) == (self.size_after, self.digest_after);
                let ended = self.commits.last().map_or(self.is_end() && same_state, ends);
                self.from.0 == self.to.0 && span == Some(self.raw_bytes) && ended
            }
            SealKind::Range => {
                let whole_indexes = self.from.0 < self.to.0 && (self.from.1, self.to.1) == (Offset(0), Offset(0));
                let only = Commit { end: Offset(self.raw_bytes), size: self.size_after, time: self.time };
                whole_indexes && self.commits == [only]
            }
        }
    }
}

/// Where the frames of a segment that begins at `from` begin.
fn first_frame(from: Offset) -> u64 {
    from.0.max(WAL_HEADER_BYTES as u64)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(varint::take(rest)?).ok()?;
    let (text, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    String::from_utf8(text.to_vec()).ok()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | (u64::from(u32_at(bytes, at + 4)) << 32)
}

#[cfg(test)]
mod tests;
