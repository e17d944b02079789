//! Replicas recorded from a real SQLite: its WAL, cut into sealed objects, and every state it went through.
//!
//! The states are put together here frame by frame and without any of the code under test, and the last one is
//! compared with what SQLite's own checkpoint makes of the WAL.

use std::path::PathBuf;

use lightship::history::ObjectName;
use lightship::segment::{Commit, Encoder, PageHashes, Seal, SealKind, SourceCursor, StateDigest, page_hash};
use lightship::types::{Generation, Index, Offset, PageCount, PageNo, PageSize, Timestamp, WriterId};
use lightship::wal::{ByteOrder, Chain, Checksum, FRAME_HEADER_BYTES, Salts, WAL_HEADER_BYTES, WalHeader, frame_bytes};
use rusqlite::Connection;
use tempfile::TempDir;

use super::store::MemoryStore;

pub const GENERATION: Generation = Generation(0x0123_4567_89ab_cdef);
/// When the first commit was seen.
pub const EPOCH_MS: u64 = 1_700_000_000_000;
/// Between two commits.
pub const STEP_MS: u64 = 1_000;

/// A state of the source.
#[derive(Debug, Clone)]
pub struct State {
    pub time: Timestamp,
    pub at: (Index, Offset),
    pub bytes: Vec<u8>,
}

pub struct Recording {
    folder: TempDir,
    pub database: Connection,
    pub store: MemoryStore,
    /// The snapshot's, then one a commit.
    pub states: Vec<State>,
    pub sealed: bool,
    page_size: PageSize,
    index: Index,
    chain: Option<Chain>,
    shipped: u64,
    hashes: PageHashes,
    now: u64,
}

impl Recording {
    /// A database with pages of `page_size`, one table and a snapshot of it.
    pub fn new(page_size: u32, sealed: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Connection::open(folder.path().join("source.db")).unwrap();
        let setup = format!(
            "PRAGMA page_size = {page_size}; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB); INSERT INTO t VALUES (0, zeroblob(3000));
             PRAGMA wal_checkpoint(TRUNCATE);"
        );
        database.execute_batch(&setup).unwrap();
        let page_size = PageSize::new(page_size).unwrap();
        let mut recording = Self {
            folder,
            database,
            store: MemoryStore::default(),
            states: Vec::new(),
            sealed,
            page_size,
            index: Index::default(),
            chain: None,
            shipped: 0,
            hashes: PageHashes::new(page_size),
            now: EPOCH_MS,
        };
        let image = std::fs::read(recording.file("")).unwrap();
        for (slot, page) in image.chunks_exact(page_size.bytes()).enumerate() {
            let number = PageNo::new(slot as u32 + 1).unwrap();
            recording.hashes.set(number, page_hash(number, page));
        }
        recording.states.push(State { time: Timestamp(EPOCH_MS), at: (Index::default(), Offset(0)), bytes: image });
        recording.snapshot();
        recording
    }

    pub fn file(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("source.db{suffix}"))
    }

    /// One transaction.
    pub fn commit(&self, sql: &str) {
        self.database.execute_batch(sql).unwrap();
    }

    /// The WAL begins anew with the next transaction.
    pub fn restart_wal(&mut self) {
        let busy: i64 = self.database.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0)).unwrap();
        assert_eq!(busy, 0);
        self.end_index();
        self.index = self.index.next().unwrap();
        (self.chain, self.shipped) = (None, 0);
    }

    /// What says that nothing more of this index will come.
    fn end_index(&mut self) {
        let Some(chain) = self.chain.filter(|_| self.sealed) else { return };
        let here = (self.index, Offset(self.shipped));
        let seal = Seal {
            order: chain.order,
            checksum_before: chain.checksum,
            checksum_after: chain.checksum,
            ..self.seal(SealKind::Segment, here, self.hashes.digest(), self.hashes.size())
        };
        self.put(ObjectName::Segment(GENERATION, here.0, here.1), &[], seal);
    }

    /// A snapshot at the beginning of the current index.
    pub fn snapshot(&mut self) {
        assert_eq!(self.shipped, 0);
        let bytes = self.states.last().unwrap().bytes.clone();
        let seal = self.seal(SealKind::Snapshot, (self.index, Offset(0)), self.hashes.digest(), self.hashes.size());
        self.put(ObjectName::Snapshot(GENERATION, self.index), &bytes, seal);
    }

    /// Everything in the WAL that has not been shipped, as one object.
    pub fn ship(&mut self) {
        let wal = std::fs::read(self.file("-wal")).unwrap();
        let from = (self.index, Offset(self.shipped));
        let (digest_before, size_before) = (self.hashes.digest(), self.hashes.size());
        let mut at = self.shipped as usize;
        if at == 0 {
            self.chain = Some(Chain::begin(&WalHeader::parse(&wal).unwrap()));
            at = WAL_HEADER_BYTES;
        }
        let before = self.chain.unwrap();
        let mut chain = before;
        let mut commits = Vec::new();
        let mut image = self.states.last().unwrap().bytes.clone();
        while let Some(frame) = wal.get(at..at + frame_bytes(self.page_size)) {
            let Ok(header) = chain.verify(frame) else { break };
            at += frame.len();
            let content = &frame[FRAME_HEADER_BYTES..];
            self.hashes.set(header.page, page_hash(header.page, content));
            let start = header.page.file_offset(self.page_size) as usize;
            image.resize(image.len().max(start + content.len()), 0);
            image[start..start + content.len()].copy_from_slice(content);
            if let Some(size) = header.commit {
                image.resize(size.bytes(self.page_size) as usize, 0);
                self.hashes.resize(size);
                self.now += STEP_MS;
                let (end, time) = (Offset(at as u64), Timestamp(self.now));
                commits.push(Commit { end, size, time });
                self.states.push(State { time, at: (self.index, end), bytes: image.clone() });
            }
        }
        let end = commits.last().unwrap().end;
        self.chain = Some(chain);
        let raw = wal[self.shipped as usize..end.0 as usize].to_vec();
        self.shipped = end.0;
        let seal = Seal {
            to: (self.index, end),
            order: before.order,
            salts: before.salts,
            checksum_before: before.checksum,
            checksum_after: chain.checksum,
            commits,
            ..self.seal(SealKind::Segment, from, digest_before, size_before)
        };
        self.put(ObjectName::Segment(GENERATION, from.0, from.1), &raw, seal);
    }

    fn seal(&self, kind: SealKind, from: (Index, Offset), digest_before: StateDigest, size_before: PageCount) -> Seal {
        Seal {
            kind,
            generation: GENERATION,
            from,
            to: from,
            page_size: self.page_size,
            size_before,
            size_after: self.hashes.size(),
            digest_before,
            digest_after: self.hashes.digest(),
            raw_bytes: 0,
            content: [0; 32],
            order: ByteOrder::Little,
            salts: Salts::default(),
            checksum_before: Checksum::default(),
            checksum_after: Checksum::default(),
            source: SourceCursor { salts: Salts::default(), offset: 0, checksum: Checksum::default() },
            writer: WriterId(1),
            time: Timestamp(self.now),
            parent: None,
            software: "test".to_owned(),
            reason: String::new(),
            commits: Vec::new(),
        }
    }

    fn put(&mut self, name: ObjectName, raw: &[u8], seal: Seal) {
        let mut encoder = Encoder::new(Vec::new(), raw.len() as u64);
        encoder.write(raw).unwrap();
        let (mut bytes, seal) = encoder.finish(seal).unwrap();
        if !self.sealed {
            bytes.truncate(bytes.len() - seal.to_frame().len());
        }
        self.store.put(&name.key().unwrap(), bytes, self.now);
    }
}

/// What the program that wrote a history says of itself: a few of everything that a WAL can hold.
pub fn eventful(page_size: u32, sealed: bool) -> Recording {
    let mut r = Recording::new(page_size, sealed);
    for n in 1..=3 {
        r.commit(&format!("INSERT INTO t VALUES ({n}, randomblob({}))", n * 900));
        r.ship();
    }
    for n in 4..=8 {
        r.commit(&format!("INSERT INTO t VALUES ({n}, randomblob(20000))"));
    }
    r.ship();
    r.restart_wal();
    r.commit("UPDATE t SET v = randomblob(700) WHERE id % 2 = 0");
    r.commit("DELETE FROM t WHERE id > 5");
    r.ship();
    r.commit("VACUUM");
    r.ship();
    r.restart_wal();
    r.snapshot();
    r.commit("CREATE TABLE u (x); INSERT INTO u VALUES (1)");
    r.ship();
    r.commit("INSERT INTO t VALUES (100, randomblob(200000))");
    r.ship();
    r.restart_wal();
    for n in 200..204 {
        r.commit(&format!("INSERT INTO t VALUES ({n}, randomblob(500))"));
    }
    r.ship();
    r
}
