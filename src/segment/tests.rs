//! Whole objects: ours, Litestream's (fixtures/README.md), and both damaged.

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use std::io::Write;

use super::*;
use crate::types::{Generation, Index, Offset, PageCount, PageSize, Timestamp, WriterId};
use crate::wal::{ByteOrder, Chain, Checksum, Salts, WAL_HEADER_BYTES, WalHeader, frame_bytes};

const SNAPSHOT: &[u8] = include_bytes!("../../fixtures/objects/litestream.snapshot.lz4");
const SEGMENT: &[u8] = include_bytes!("../../fixtures/objects/litestream.wal.lz4");

fn decode(object: &[u8]) -> Result<(Vec<u8>, Option<Seal>), DecodeFault> {
    let mut decoder = Decoder::new(object);
    let mut data = Vec::new();
    while let Some(block) = decoder.next_block()? {
        data.extend_from_slice(block);
    }
    Ok((data, decoder.finish()?))
}

/// Compressible, but not a repetition of one thing.
fn text(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * i / 777 + i / 13) as u8 & 0x3F).collect()
}

fn snapshot_seal(pages: u32) -> Seal {
    Seal {
        kind: SealKind::Snapshot,
        generation: Generation(1),
        from: (Index::default(), Offset(0)),
        to: (Index::default(), Offset(0)),
        page_size: PageSize::SMALLEST,
        size_before: PageCount(0),
        size_after: PageCount(pages),
        digest_before: StateDigest(0),
        digest_after: StateDigest(0),
        raw_bytes: 0,
        content: [0; 32],
        order: ByteOrder::Little,
        salts: Salts::default(),
        checksum_before: Checksum::default(),
        checksum_after: Checksum::default(),
        source: SourceCursor { salts: Salts::default(), offset: 0, checksum: Checksum::default() },
        writer: WriterId(1),
        time: Timestamp(1),
        parent: None,
        software: "test".to_owned(),
        reason: String::new(),
        commits: Vec::new(),
    }
}

fn sealed_object(pages: u32) -> (Vec<u8>, Vec<u8>) {
    let data = text(pages as usize * 512);
    let mut encoder = Encoder::new(Vec::new(), data.len() as u64);
    data.chunks(333).for_each(|piece| encoder.write(piece).unwrap());
    let (object, _) = encoder.finish(snapshot_seal(pages)).unwrap();
    (data, object)
}

fn frame(info: FrameInfo, data: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    data.chunks(70_001).for_each(|piece| encoder.write_all(piece).unwrap());
    encoder.finish().unwrap()
}

#[test]
fn objects_of_litestream_are_read() {
    let (snapshot, seal) = decode(SNAPSHOT).unwrap();
    assert!(seal.is_none() && snapshot.starts_with(b"SQLite format 3\0"));
    assert!(snapshot.len().is_multiple_of(512));

    let (segment, seal) = decode(SEGMENT).unwrap();
    assert!(seal.is_none());
    let header = WalHeader::parse(&segment).unwrap();
    let mut chain = Chain::begin(&header);
    for frame in segment[WAL_HEADER_BYTES..].chunks(frame_bytes(header.page_size)) {
        chain.verify(frame).unwrap();
    }
}

#[test]
fn an_object_of_litestream_that_is_cut_at_any_byte_is_refused() {
    for object in [SNAPSHOT, SEGMENT] {
        for len in 0..object.len() {
            assert!(matches!(decode(&object[..len]), Err(DecodeFault::Lz4(_))), "{len} of {} bytes", object.len());
        }
    }
}

#[test]
fn data_of_every_size_comes_out_of_our_objects_as_it_went_in() {
    for pages in [0, 1, 127, 128, 129, 1000, 2100] {
        let (data, object) = sealed_object(pages);
        let (decoded, seal) = decode(&object).unwrap();
        let seal = seal.unwrap();
        assert!(decoded == data, "{pages} pages");
        assert_eq!((seal.raw_bytes, seal.size_after), (data.len() as u64, PageCount(pages)));
    }
}

#[test]
fn our_object_that_is_cut_is_refused_or_at_least_has_no_seal() {
    let (_, object) = sealed_object(3);
    let Ok(Tail::Sealed(_, data_bytes)) = Seal::from_tail(&object, object.len() as u64) else { panic!("no seal") };
    for len in 0..object.len() as u64 {
        let cut = decode(&object[..len as usize]);
        // Within the magic number of the seal there is nothing yet that says that a seal was meant.
        if (data_bytes..data_bytes + 4).contains(&len) {
            assert!(cut.unwrap().1.is_none(), "{len} bytes");
        } else {
            assert!(cut.is_err(), "{len} bytes");
        }
    }
}

/// The content checksum, the seal's own and its hash of the content stand behind each other.
#[test]
fn no_flipped_bit_of_our_object_leaves_it_a_seal() {
    let (_, mut object) = sealed_object(2);
    for bit in 0..object.len() * 8 {
        object[bit / 8] ^= 1 << (bit % 8);
        assert!(!matches!(decode(&object), Ok((_, Some(_)))), "bit {bit}");
        object[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn data_that_is_not_what_the_seal_says_is_refused() {
    let data = text(1024);
    let mut object = frame(FrameInfo::new(), &data);
    let right = Seal { raw_bytes: 1024, ..snapshot_seal(2) };
    let other = object.len();
    object.extend(right.to_frame());
    assert!(matches!(decode(&object), Err(DecodeFault::Data("content hash"))));
    object.truncate(other);
    object.extend(Seal { raw_bytes: 512, ..snapshot_seal(1) }.to_frame());
    assert!(matches!(decode(&object), Err(DecodeFault::Data("length"))));
}

/// Litestream uses blocks of 4 MiB; other programs that may have made a replica use whatever LZ4 allows.
#[test]
fn every_kind_of_frame_is_read() {
    let data = text(9_000_000);
    for mode in [BlockMode::Independent, BlockMode::Linked] {
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            let info = FrameInfo::new().block_mode(mode).block_size(size);
            let info = info.content_checksum(true).block_checksums(true).content_size(Some(data.len() as u64));
            assert!(decode(&frame(info, &data)).unwrap().0 == data, "{mode:?} {size:?}");
        }
    }
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(200_000).collect();
    assert!(decode(&frame(FrameInfo::new(), &noise)).unwrap().0 == noise, "blocks that do not get smaller are stored");
}

#[test]
fn a_content_size_that_is_wrong_is_noticed() {
    let mut right = frame(FrameInfo::new().content_size(Some(1000)), &text(1000));
    assert!(decode(&right).is_ok());
    // Behind magic, flags and block size; then the header has a checksum.
    right[6] ^= 1;
    assert!(matches!(decode(&right), Err(DecodeFault::Lz4(Lz4Fault::Damaged("frame header checksum")))));
    right[14] = (xxhash_rust::xxh32::xxh32(&right[4..14], 0) >> 8) as u8;
    assert!(matches!(decode(&right), Err(DecodeFault::Lz4(Lz4Fault::Damaged("content length")))));
}

#[test]
fn frames_one_after_the_other_are_one_object() {
    let (first, second) = (text(100_000), text(70_000));
    let linked = FrameInfo::new().block_mode(BlockMode::Linked).content_checksum(true);
    let mut object = frame(linked.clone(), &first);
    let between = object.len();
    object.extend([0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    object.extend(frame(linked, &second));
    assert!(decode(&object).unwrap().0 == [first.clone(), second].concat());
    for len in between + 4..object.len() {
        let cut = decode(&object[..len]);
        let whole_frames = len == between + 11 || (len > between + 11 && len < between + 15);
        assert!(cut.is_err() != whole_frames, "{len} bytes");
    }
    // What is no frame at all ends the object, as for Litestream.
    object.truncate(between);
    object.extend(b"something else");
    assert!(decode(&object).unwrap().0 == first);
}

#[test]
fn what_is_no_lz4_frame_is_refused_by_its_first_bytes() {
    assert!(matches!(decode(b""), Err(DecodeFault::Lz4(Lz4Fault::Truncated))));
    assert!(matches!(decode(b"age-encryption.org/v1\n"), Err(DecodeFault::Lz4(Lz4Fault::Magic(_)))));
}
