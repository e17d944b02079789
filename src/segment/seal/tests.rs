//! The seal: what goes in comes out, and no damage goes unnoticed.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn position() -> impl Strategy<Value = Position> {
    (any::<u64>(), 0..=Index::MAX.get(), any::<u64>()).prop_map(|(generation, index, offset)| Position {
        generation: Generation(generation),
        index: Index::new(index).unwrap(),
        offset: Offset(offset),
    })
}

fn salts() -> impl Strategy<Value = Salts> {
    any::<[u8; 8]>().prop_map(Salts::from_be_bytes)
}

fn checksum() -> impl Strategy<Value = Checksum> {
    any::<[u8; 8]>().prop_map(Checksum::from_be_bytes)
}

/// Fields that mean nothing to each other.
fn free_fields() -> impl Strategy<Value = Seal> {
    let wal = (prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)], salts(), checksum(), checksum());
    let source = (salts(), any::<u64>(), checksum());
    let who = (any::<u64>(), "\\PC{0,20}", "\\PC{0,40}", proptest::option::of(position()));
    (position(), 9..=16_u32, any::<[u32; 2]>(), any::<[u64; 3]>(), any::<[u8; 32]>(), wal, source, who).prop_map(
        |(from, shift, sizes, [digest_before, digest_after, time], content, wal, source, who)| Seal {
            kind: SealKind::Snapshot,
            generation: from.generation,
            from: (from.index, from.offset),
            to: (from.index, from.offset),
            page_size: PageSize::new(1 << shift).unwrap(),
            size_before: PageCount(sizes[0]),
            size_after: PageCount(sizes[1]),
            digest_before: StateDigest(digest_before),
            digest_after: StateDigest(digest_after),
            raw_bytes: 0,
            content,
            order: wal.0,
            salts: wal.1,
            checksum_before: wal.2,
            checksum_after: wal.3,
            source: SourceCursor { salts: source.0, offset: source.1, checksum: source.2 },
            writer: WriterId(who.0),
            time: Timestamp(time),
            parent: who.3,
            software: who.1,
            reason: who.2,
            commits: Vec::new(),
        },
    )
}

fn snapshot() -> impl Strategy<Value = Seal> {
    free_fields().prop_map(|seal| Seal { raw_bytes: seal.size_after.bytes(seal.page_size), ..seal })
}

fn segment() -> impl Strategy<Value = Seal> {
    let commits = vec((1..1000_u64, any::<u32>(), 0..100_000_u64), 1..40);
    (free_fields(), 0..1_000_000_u64, commits).prop_map(|(seal, frames_before, deltas)| {
        let frame = frame_bytes(seal.page_size) as u64;
        let from = if frames_before == 0 { 0 } else { WAL_HEADER_BYTES as u64 + frames_before * frame };
        let (mut end, mut time) = (from.max(WAL_HEADER_BYTES as u64), 0);
        let commits: Vec<Commit> = deltas
            .into_iter()
            .map(|(frames, size, later)| {
                end += frames * frame;
                time += later;
                Commit { end: Offset(end), size: PageCount(size), time: Timestamp(time) }
            })
            .collect();
        let last = *commits.last().unwrap();
        Seal {
            kind: SealKind::Segment,
            from: (seal.from.0, Offset(from)),
            to: (seal.from.0, last.end),
            size_after: last.size,
            raw_bytes: last.end.0 - from,
            time: last.time,
            commits,
            ..seal
        }
    })
}

fn sealed(object: &[u8]) -> Option<(Seal, u64)> {
    match Seal::from_tail(object, object.len() as u64) {
        Ok(Tail::Sealed(seal, data)) => Some((*seal, data)),
        _ => None,
    }
}

fn example() -> Seal {
    let zero = Salts::default();
    let (from, to) = (Offset(0), Offset(32 + 2 * 536));
    Seal {
        kind: SealKind::Segment,
        generation: Generation(0x98a6_6842_7ff8_0fee),
        from: (Index::default(), from),
        to: (Index::default(), to),
        page_size: PageSize::SMALLEST,
        size_before: PageCount(0),
        size_after: PageCount(2),
        digest_before: StateDigest(0),
        digest_after: StateDigest(5),
        raw_bytes: to.0,
        content: [7; 32],
        order: ByteOrder::Little,
        salts: zero,
        checksum_before: Checksum::default(),
        checksum_after: Checksum::default(),
        source: SourceCursor { salts: zero, offset: to.0, checksum: Checksum::default() },
        writer: WriterId(1),
        time: Timestamp(1_700_000_000_000),
        parent: None,
        software: "lightship/0.1.0".to_owned(),
        reason: String::new(),
        commits: vec![Commit { end: to, size: PageCount(2), time: Timestamp(1_700_000_000_000) }],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_sealed_is_read_again(seal in prop_oneof![snapshot(), segment()], data in vec(any::<u8>(), 0..50)) {
        let mut object = data.clone();
        object.extend(seal.to_frame());
        prop_assert_eq!(sealed(&object), Some((seal.clone(), data.len() as u64)));

        // The same with fewer bytes: it says how many it needs, and those are enough.
        let tail = &object[object.len() - FOOTER_BYTES..];
        let Ok(Tail::NeedsBytes(bytes)) = Seal::from_tail(tail, object.len() as u64) else {
            return Err(TestCaseError::fail("the footer alone does not say how long the seal is"));
        };
        let tail = &object[object.len() - bytes as usize..];
        prop_assert_eq!(
            Seal::from_tail(tail, object.len() as u64),
            Ok(Tail::Sealed(Box::new(seal), data.len() as u64))
        );
    }
}

#[test]
fn no_flipped_bit_leaves_a_seal_that_is_trusted() {
    let mut object = b"data".to_vec();
    object.extend(example().to_frame());
    assert!(sealed(&object).is_some());
    for bit in 4 * 8..object.len() * 8 {
        object[bit / 8] ^= 1 << (bit % 8);
        assert!(sealed(&object).is_none(), "bit {bit}");
        object[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_seal_that_is_cut_anywhere_is_not_trusted() {
    let frame = example().to_frame();
    for len in 0..frame.len() {
        assert!(sealed(&frame[..len]).is_none(), "{len} bytes from the front");
        if len > 0 {
            assert!(sealed(&frame[len..]).is_none(), "without the first {len} bytes");
        }
    }
}

/// A seal with these changes in its body, and a checksum that fits them.
fn forged(change: impl Fn(&mut Vec<u8>)) -> Result<Tail, SealFault> {
    let mut body = example().to_body();
    change(&mut body);
    let mut frame = SKIPPABLE_MAGIC.to_le_bytes().to_vec();
    frame.extend(((body.len() + FOOTER_BYTES) as u32).to_le_bytes());
    frame.extend(&body);
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend(xxhash_rust::xxh3::xxh3_64(&body).to_le_bytes());
    frame.extend(MAGIC);
    Seal::from_tail(&frame, frame.len() as u64)
}

#[test]
fn fields_that_contradict_each_other_are_refused_though_the_checksum_is_right() {
    assert!(matches!(forged(|_| ()), Ok(Tail::Sealed(..))));
    assert_eq!(forged(|body| body[VERSION] = 3), Err(SealFault::Version(3)));
    let senseless = Err(SealFault::Damaged("its fields make no sense"));
    for at in [KIND, ORDER, PAGE_SIZE, TO_INDEX, TO_OFFSET, FROM_OFFSET, SIZE_AFTER, RAW_BYTES, TIME] {
        assert_eq!(forged(|body| body[at] ^= 2), senseless, "byte {at}");
    }
    assert_eq!(forged(|body| body.truncate(FIXED - 1)), senseless);
    assert_eq!(forged(|body| body.push(0)), senseless, "nothing may stand behind the commits");
    let many = |body: &mut Vec<u8>| {
        body.truncate(FIXED + 1 + "lightship/0.1.0".len() + 1);
        varint::put(body, u64::MAX);
    };
    assert_eq!(forged(many), senseless, "a number of commits that no memory holds");
}

/// docs/format.md is what people write other readers from, so it must say what this file says.
#[test]
fn the_byte_map_in_the_documentation_is_the_one_in_the_code() {
    let fields = [
        ("version", VERSION),
        ("kind", KIND),
        ("order", ORDER),
        ("flags", FLAGS),
        ("page size", PAGE_SIZE),
        ("generation", GENERATION),
        ("from: index", FROM_INDEX),
        ("to: index", TO_INDEX),
        ("from: offset", FROM_OFFSET),
        ("to: offset", TO_OFFSET),
        ("size before", SIZE_BEFORE),
        ("size after", SIZE_AFTER),
        ("digest before", DIGEST_BEFORE),
        ("digest after", DIGEST_AFTER),
        ("raw bytes", RAW_BYTES),
        ("content hash", CONTENT),
        ("salts", SALTS),
        ("checksum before", CHECKSUM_BEFORE),
        ("checksum after", CHECKSUM_AFTER),
        ("source: salts", SOURCE_SALTS),
        ("source: offset", SOURCE_OFFSET),
        ("source: checksum", SOURCE_CHECKSUM),
        ("writer", WRITER),
        ("time", TIME),
        ("parent: generation", PARENT_GENERATION),
        ("parent: index", PARENT_INDEX),
        ("parent: offset", PARENT_OFFSET),
        ("end of the fixed part", FIXED),
    ];
    let document = include_str!("../../../docs/format.md");
    let ends = fields.iter().skip(1).map(|(_, at)| Some(*at)).chain([None]);
    let expected: Vec<String> = std::iter::zip(fields, ends)
        .map(|((name, at), end)| format!("| {at} | {} | {name} |", end.map_or(0, |end| end - at)))
        .collect();
    let documented: Vec<&str> =
        document.lines().filter(|l| l.strip_prefix("| ").is_some_and(starts_with_digit)).collect();
    assert_eq!(documented.len(), expected.len());
    for (expected, documented) in expected.iter().zip(documented) {
        assert!(documented.starts_with(expected.as_str()), "docs/format.md says {documented}, the code {expected}");
    }
    assert!(document.contains(&format!("`{}`", String::from_utf8_lossy(MAGIC))));
    assert!(document.contains(&format!("0x{SKIPPABLE_MAGIC:08X}")));
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}
