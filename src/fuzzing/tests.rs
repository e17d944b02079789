//! The fuzz targets without a fuzzing engine: sound inputs, changed at random, for `LIGHTSHIP_FUZZ_SECONDS` each (1).
//!
//! A failure prints the seed it came from; `LIGHTSHIP_FUZZ_SEED` begins there.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
use std::io::Write;

const WAL: &[u8] = include_bytes!("../../fixtures/wal/ok-512/wal");
const WAL_BIG: &[u8] = include_bytes!("../../fixtures/wal/big-endian-checksums.wal");
const RESTARTED: &[u8] = include_bytes!("../../fixtures/wal/restarted/wal");
const SNAPSHOT: &[u8] = include_bytes!("../../fixtures/objects/litestream.snapshot.lz4");
const SEGMENT: &[u8] = include_bytes!("../../fixtures/objects/litestream.wal.lz4");
const SEALED: &[u8] = include_bytes!("../../fixtures/objects/sealed.wal.lz4");
const SEALED_SNAPSHOT: &[u8] = include_bytes!("../../fixtures/objects/sealed.snapshot.lz4");
const LTX: [&[u8]; 3] = [
    include_bytes!("../../fixtures/ltx/blocks-whole.ltx"),
    include_bytes!("../../fixtures/ltx/blocks-increment.ltx"),
    include_bytes!("../../fixtures/ltx/frames-whole.ltx"),
];
const CONFIG: &[u8] = include_bytes!("../../litestream.yml.example");

type Target = fn(&[u8]);

/// Says which input it was if the target panics.
struct Case<'a> {
    seed: u64,
    input: &'a [u8],
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let input: String = self.input.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("LIGHTSHIP_FUZZ_SEED={} finds this; the input is {input}", self.seed);
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Feeds `target` with changed `inputs`; `repair` makes some of them pass the first checks again.
fn fuzz(target: Target, inputs: &[&[u8]], repair: fn(&mut Vec<u8>)) {
    let end = Instant::now() + Duration::from_secs(number("LIGHTSHIP_FUZZ_SECONDS", 1));
    let first = number("LIGHTSHIP_FUZZ_SEED", Instant::now().elapsed().as_nanos() as u64 ^ fastrand::u64(..));
    inputs.iter().for_each(|input| target(input));
    let mut runs = 0;
    for seed in (0..).map(|i| first.wrapping_add(i)) {
        let mut random = Rng::with_seed(seed);
        let mut input = inputs[random.usize(..inputs.len())].to_vec();
        for _ in 0..random.u32(1..=6) {
            mutate(&mut input, inputs, &mut random);
        }
        if random.bool() {
            repair(&mut input);
        }
        let case = Case { seed, input: &input };
        target(case.input);
        runs += 1;
        if Instant::now() > end {
            break;
        }
    }
    println!("{runs} inputs from seed {first}");
}

fn mutate(input: &mut Vec<u8>, inputs: &[&[u8]], random: &mut Rng) {
    const TELLING: [u8; 8] = [0, 1, 0x7F, 0x80, 0xFF, b'"', b'{', b'$'];
    let at = random.usize(..=input.len());
    let len = random.usize(..64).min(input.len() - at);
    match random.u32(..9) {
        0 | 1 if at < input.len() => input[at] ^= 1 << random.u32(..8),
        2 if at < input.len() => input[at] = TELLING[random.usize(..TELLING.len())],
        3 => input[at..at + len].iter_mut().for_each(|byte| *byte = random.u8(..)),
        4 => drop(input.drain(at..at + len)),
        5 => input.truncate(at),
        6 => {
            let piece = input[at..at + len].to_vec();
            let to = random.usize(..=input.len());
            input.splice(to..to, piece);
        }
        7 => {
            let other = inputs[random.usize(..inputs.len())];
            let from = random.usize(..=other.len());
            let piece = &other[from..(from + 1 + random.usize(..200)).min(other.len()).max(from)];
            input.splice(at..at + len, piece.iter().copied());
        }
        _ => {
            let value = random.u32(..).to_le_bytes();
            let end = (at + 4).min(input.len());
            input[at..end].copy_from_slice(&value[..end - at]);
        }
    }
}

/// Chains all frames to the header again, so that the scan comes to what is behind the checksums.
#[expect(clippy::ptr_arg, reason = "one of several repairs, of which others change the length")]
fn repair_wal(wal: &mut Vec<u8>) {
    use crate::wal::{Chain, WAL_HEADER_BYTES, WalHeader, frame_bytes};
    let Ok(header) = WalHeader::parse(wal).or_else(|_| WalHeader::parse(WAL)) else { return };
    if wal.len() < WAL_HEADER_BYTES {
        return;
    }
    wal[..WAL_HEADER_BYTES].copy_from_slice(&header.to_bytes());
    let mut chain = Chain::begin(&header);
    for frame in wal[WAL_HEADER_BYTES..].chunks_mut(frame_bytes(header.page_size)) {
        let _ = chain.adopt(frame);
    }
}

/// Gives what may be a seal a footer with the right length and checksum.
fn repair_seal(object: &mut Vec<u8>) {
    let magic = 0x184D_2A5E_u32.to_le_bytes();
    let Some(at) = object.windows(4).rposition(|window| window == magic) else { return };
    let Some(body) = object.get(at + 8..object.len().saturating_sub(20)).map(<[u8]>::to_vec) else { return };
    object.truncate(at + 4);
    object.extend((body.len() as u32 + 20).to_le_bytes());
    object.extend(&body);
    object.extend((body.len() as u32).to_le_bytes());
    object.extend(xxhash_rust::xxh3::xxh3_64(&body).to_le_bytes());
    object.extend(b"LSHPSEAL");
}

fn leave(_: &mut Vec<u8>) {}

#[test]
fn wal_scan() {
    fuzz(super::wal_scan, &[WAL, WAL_BIG, RESTARTED, &WAL[..32]], repair_wal);
}

#[test]
fn seal() {
    fuzz(super::seal, &[SEALED, SEALED_SNAPSHOT, SNAPSHOT], repair_seal);
}

#[test]
fn segment_decode() {
    // Without checksums, so that damage comes as far as the block decoder.
    let data = [WAL, WAL].concat();
    let unchecked = |mode| {
        let mut encoder = FrameEncoder::with_frame_info(FrameInfo::new().block_mode(mode), Vec::new());
        encoder.write_all(&data).unwrap();
        encoder.finish().unwrap()
    };
    let (linked, independent) = (unchecked(BlockMode::Linked), unchecked(BlockMode::Independent));
    fuzz(
        super::segment_decode,
        &[SNAPSHOT, SEGMENT, SEALED, SEALED_SNAPSHOT, linked.as_slice(), independent.as_slice()],
        repair_seal,
    );
}

/// Gives the file the checksum that its content has, if it comes to that.
fn repair_ltx(file: &mut Vec<u8>) {
    let checksum = match crate::ltx::Decoder::open(file.as_slice()).and_then(crate::ltx::Decoder::finish) {
        Err(crate::ltx::LtxFault::Checksum { expected, .. }) => expected,
        _ => return,
    };
    let at = file.len() - 8;
    file[at..].copy_from_slice(&checksum.to_be_bytes());
}

#[test]
fn ltx_decode() {
    fuzz(super::ltx_decode, &LTX, repair_ltx);
}

#[test]
fn config() {
    let short =
        b"dbs:\n  - path: ${A}\n    replicas:\n      - url: s3://b.${EMPTY:-x}/p\n        sync-interval: 1h2m3s\n";
    fuzz(super::config, &[CONFIG, short], leave);
}

#[test]
fn restore_plan() {
    let long: Vec<u8> = (0..64).collect();
    fuzz(super::restore_plan, &[&[], &[7; 40], &long, &[0xFF; 64]], leave);
}

/// The few inputs with which a fuzzing engine has reached the most (docs/reliability.md, "How it is fuzzed").
#[test]
fn what_fuzzing_has_come_to_breaks_nothing() {
    let targets = [
        ("wal_scan", super::wal_scan as Target),
        ("seal", super::seal),
        ("segment_decode", super::segment_decode),
        ("ltx_decode", super::ltx_decode),
        ("config", super::config),
        ("restore_plan", super::restore_plan),
    ];
    for (name, target) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus").join(name);
        let inputs: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        for input in &inputs {
            println!("{}", input.display());
            target(&fs::read(input).unwrap());
        }
        assert!(!inputs.is_empty(), "{name}");
    }
}

/// A target that finds nothing must be told from one that cannot find anything.
#[test]
#[should_panic(expected = "found")]
fn a_broken_promise_is_found() {
    fuzz(|input| assert!(input == WAL || input.first() == Some(&0x37), "found"), &[WAL], leave);
}
