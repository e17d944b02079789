//! On WALs that a real SQLite wrote (fixtures/README.md): a WAL made by our own code would share its mistakes.

use super::*;
use crate::types::{PageNo, PageSize};

const OK_BEFORE: &[u8] = include_bytes!("../../fixtures/wal/ok-512/before.db");
const OK_WAL: &[u8] = include_bytes!("../../fixtures/wal/ok-512/wal");
const OK_AFTER: &[u8] = include_bytes!("../../fixtures/wal/ok-512/after.db");

/// What a scan of a WAL found.
struct Scan {
    header: WalHeader,
    frames: Vec<(FrameHeader, usize)>,
    chain: Chain,
    /// What ended it; `None` at the exact end of the bytes.
    stop: Option<FrameFault>,
}

fn scan(wal: &[u8]) -> Scan {
    let header = WalHeader::parse(wal).unwrap();
    let (mut chain, mut frames) = (Chain::begin(&header), Vec::new());
    let mut at = WAL_HEADER_BYTES;
    let stop = loop {
        if at == wal.len() {
            break None;
        }
        match chain.verify(&wal[at..]) {
            Ok(frame) => frames.push((frame, at)),
            Err(fault) => break Some(fault),
        }
        at += frame_bytes(header.page_size);
    };
    Scan { header, frames, chain, stop }
}

/// The database file after a checkpoint of everything that is committed.
fn checkpointed(before: &[u8], wal: &[u8]) -> Vec<u8> {
    let Scan { header, frames, .. } = scan(wal);
    let mut file = before.to_vec();
    let committed = frames.iter().rposition(|(frame, _)| frame.commit.is_some()).map_or(0, |last| last + 1);
    for (frame, at) in &frames[..committed] {
        let (offset, bytes) = (frame.page.file_offset(header.page_size) as usize, header.page_size.bytes());
        file.resize(file.len().max(offset + bytes), 0);
        file[offset..offset + bytes].copy_from_slice(&wal[at + FRAME_HEADER_BYTES..][..bytes]);
        if let Some(size) = frame.commit {
            file.resize(size.bytes(header.page_size) as usize, 0);
        }
    }
    file
}

#[test]
fn every_frame_of_a_sound_wal_is_verified_and_makes_the_database_that_sqlite_makes() {
    for (before, wal, after, page_size, commits) in [
        (OK_BEFORE, OK_WAL, OK_AFTER, 512, 5),
        (
            &include_bytes!("../../fixtures/wal/ok-1024/before.db")[..],
            &include_bytes!("../../fixtures/wal/ok-1024/wal")[..],
            &include_bytes!("../../fixtures/wal/ok-1024/after.db")[..],
            1024,
            5,
        ),
    ] {
        let found = scan(wal);
        assert_eq!(found.stop, None);
        assert_eq!((found.header.order, found.header.page_size.get()), (ByteOrder::Little, page_size));
        assert_eq!(found.frames.iter().filter(|(frame, _)| frame.commit.is_some()).count(), commits);
        assert!(checkpointed(before, wal) == after, "page size {page_size}");
    }
}

#[test]
fn big_endian_checksums_are_read_as_sqlite_reads_them() {
    let wal = include_bytes!("../../fixtures/wal/big-endian-checksums.wal");
    let found = scan(wal);
    assert_eq!((found.stop, found.header.order), (None, ByteOrder::Big));
    assert_ne!(found.chain.checksum, scan(OK_WAL).chain.checksum);
    assert!(checkpointed(OK_BEFORE, wal) == OK_AFTER);
}

#[test]
fn frames_of_the_wal_before_are_not_taken_for_this_one() {
    let wal = include_bytes!("../../fixtures/wal/restarted/wal");
    let found = scan(wal);
    assert!(matches!(found.stop, Some(FrameFault::Salts { .. })), "{:?}", found.stop);
    let end = WAL_HEADER_BYTES + found.frames.len() * frame_bytes(found.header.page_size);
    let (leftover, _) = Chain::claimed(&wal[end..]).unwrap();
    assert!(found.header.salts.follow(leftover), "salt-1 goes up by one when a WAL begins anew");
    let before = include_bytes!("../../fixtures/wal/restarted/before.db");
    assert!(checkpointed(before, wal) == include_bytes!("../../fixtures/wal/restarted/after.db"));
}

#[test]
fn frames_without_a_commit_are_verified_but_belong_to_no_state() {
    let wal = include_bytes!("../../fixtures/wal/uncommitted/wal");
    let found = scan(wal);
    assert!(found.frames.last().is_some_and(|(frame, _)| frame.commit.is_none()));
    let before = include_bytes!("../../fixtures/wal/uncommitted/before.db");
    let after = include_bytes!("../../fixtures/wal/uncommitted/after.db");
    assert!(before != after && checkpointed(before, wal) == after);
}

#[test]
fn each_kind_of_damage_stops_the_scan_where_sqlite_stops_and_has_its_own_name() {
    let checksum = scan(include_bytes!("../../fixtures/wal/frame-checksum.wal"));
    assert!(matches!(checksum.stop, Some(FrameFault::Checksum { .. })), "{:?}", checksum.stop);
    let salts = scan(include_bytes!("../../fixtures/wal/frame-salts.wal"));
    assert!(matches!(salts.stop, Some(FrameFault::Salts { .. })), "{:?}", salts.stop);
    let short = scan(include_bytes!("../../fixtures/wal/frame-cut-short.wal"));
    assert_eq!(short.stop, Some(FrameFault::Short));
    let zero = scan(include_bytes!("../../fixtures/wal/page-zero.wal"));
    assert_eq!(zero.stop, Some(FrameFault::PageZero));
    for stopped in [checksum, salts, short, zero] {
        assert_eq!(stopped.frames.len(), 2);
    }
}

#[test]
fn a_fault_leaves_the_chain_where_it_was() {
    let found = scan(include_bytes!("../../fixtures/wal/frame-checksum.wal"));
    let mut chain = found.chain;
    let third = &OK_WAL[WAL_HEADER_BYTES + 2 * frame_bytes(found.header.page_size)..];
    assert!(chain.verify(third).is_ok(), "the sound frame still follows");
}

#[test]
fn every_flipped_bit_of_a_header_is_noticed() {
    let header = WalHeader::parse(OK_WAL).unwrap();
    assert_eq!(header.to_bytes(), OK_WAL[..WAL_HEADER_BYTES]);
    for bit in 0..WAL_HEADER_BYTES * 8 {
        let mut damaged = OK_WAL[..WAL_HEADER_BYTES].to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(WalHeader::parse(&damaged).is_err(), "bit {bit}");
    }
    for len in 0..WAL_HEADER_BYTES {
        assert_eq!(WalHeader::parse(&OK_WAL[..len]), Err(HeaderFault::Short(len)));
    }
    let damaged = include_bytes!("../../fixtures/wal/header-checksum.wal");
    assert!(matches!(WalHeader::parse(damaged), Err(HeaderFault::Checksum { .. })));
}

#[test]
fn every_flipped_bit_of_a_frame_is_noticed() {
    let header = WalHeader::parse(OK_WAL).unwrap();
    let frame = &OK_WAL[WAL_HEADER_BYTES..][..frame_bytes(header.page_size)];
    for bit in 0..frame.len() * 8 {
        let mut damaged = frame.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Chain::begin(&header).verify(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn headers_name_what_is_wrong_with_them() {
    let with = |at: usize, value: u32| {
        let mut bytes: Vec<u8> = OK_WAL[..WAL_HEADER_BYTES].to_vec();
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        WalHeader::parse(&bytes)
    };
    assert_eq!(with(0, 0x5351_4c69), Err(HeaderFault::Magic(0x5351_4c69)));
    assert_eq!(with(4, 3_007_001), Err(HeaderFault::Version(3_007_001)));
    assert_eq!(with(8, 1000), Err(HeaderFault::PageSize(1000)));
}

#[test]
fn adopted_frames_are_sound_in_their_new_wal() {
    let found = scan(OK_WAL);
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let salts = Salts { first: 7, second: 9 };
        let header = WalHeader::synthetic(order, PageSize::new(512).unwrap(), 3, salts);
        assert_eq!(WalHeader::parse(&header.to_bytes()), Ok(header));
        let (mut writing, mut passing) = (Chain::begin(&header), Chain::begin(&header));
        let mut wal = header.to_bytes().to_vec();
        for (_, at) in &found.frames {
            let mut frame = OK_WAL[*at..*at + frame_bytes(header.page_size)].to_vec();
            passing.pass(&frame).unwrap();
            writing.adopt(&mut frame).unwrap();
            assert_eq!(passing, writing);
            wal.extend(frame);
        }
        let adopted = scan(&wal);
        assert_eq!((adopted.stop, adopted.chain), (None, writing));
        assert!(checkpointed(OK_BEFORE, &wal) == OK_AFTER);
    }
}

#[test]
fn a_frame_that_is_too_short_is_refused_by_every_operation() {
    let header = WalHeader::parse(OK_WAL).unwrap();
    let mut chain = Chain::begin(&header);
    let mut short = vec![0; frame_bytes(header.page_size) - 1];
    assert_eq!(chain.verify(&short), Err(FrameFault::Short));
    assert_eq!(chain.pass(&short), Err(FrameFault::Short));
    assert_eq!(chain.adopt(&mut short), Err(FrameFault::Short));
    assert_eq!(Chain::claimed(&short[..FRAME_HEADER_BYTES - 1]), None);
    assert_eq!(chain, Chain::begin(&header));
    assert_eq!(PageNo::new(0), None);
}
