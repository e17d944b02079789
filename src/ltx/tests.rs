//! Files that the real Litestream wrote, before 0.5.16 (frames) and after it (blocks), and what damage does to them.

use super::*;
use crate::types::{PageCount, PageNo};

const FRAMES: [&[u8]; 2] =
    [include_bytes!("../../fixtures/ltx/frames-whole.ltx"), include_bytes!("../../fixtures/ltx/frames-increment.ltx")];
const BLOCKS: [&[u8]; 2] =
    [include_bytes!("../../fixtures/ltx/blocks-whole.ltx"), include_bytes!("../../fixtures/ltx/blocks-increment.ltx")];

type Page = (PageNo, Vec<u8>);

/// Every page, the header, and the database's checksum after the file.
fn decode(file: &[u8]) -> Result<(LtxHeader, Vec<Page>, Option<u64>), LtxFault> {
    let mut decoder = Decoder::open(file)?;
    let header = *decoder.header();
    let mut pages = Vec::new();
    while let Some((page, content)) = decoder.next_page()? {
        pages.push((page, content.to_vec()));
    }
    Ok((header, pages, decoder.finish()?))
}

fn apply(files: [&[u8]; 2]) -> Vec<u8> {
    let mut database = Vec::new();
    for file in files {
        let (header, pages, _) = decode(file).unwrap();
        database.resize(header.commit.bytes(header.page_size) as usize, 0);
        for (page, content) in pages {
            let start = page.file_offset(header.page_size) as usize;
            database[start..start + content.len()].copy_from_slice(&content);
        }
    }
    database
}

#[test]
fn both_ways_to_store_a_page_give_the_database_that_litestream_restores() {
    assert!(apply(FRAMES) == include_bytes!("../../fixtures/ltx/frames.db"));
    assert!(apply(BLOCKS) == include_bytes!("../../fixtures/ltx/blocks.db"));
    let (header, pages, after) = decode(BLOCKS[1]).unwrap();
    assert_eq!((header.min.get(), header.max.get(), header.commit), (2, 2, PageCount(9)));
    assert!(!header.is_whole() && pages.len() < 9);
    assert_eq!((header.pre_apply, after), (None, None));
}

#[test]
fn every_file_that_is_cut_or_longer_is_refused() {
    for file in FRAMES.into_iter().chain(BLOCKS) {
        for keep in 0..file.len() {
            let fault = decode(&file[..keep]).unwrap_err();
            assert!(matches!(fault, LtxFault::Truncated | LtxFault::Page(..)), "{keep} bytes: {fault}");
        }
        assert!(matches!(decode(&[file, &[0]].concat()), Err(LtxFault::Trailing)));
    }
}

#[test]
fn a_flipped_bit_is_refused_or_changes_nothing() {
    for file in FRAMES.into_iter().chain(BLOCKS) {
        let (_, sound, _) = decode(file).unwrap();
        for at in 0..file.len() {
            let mut damaged = file.to_vec();
            damaged[at] ^= 1 << (at % 8);
            // LZ4 can say the same thing in two ways, and of compressed bytes there is no checksum.
            if let Ok((_, pages, _)) = decode(&damaged) {
                assert!(pages == sound, "byte {at}");
            }
        }
    }
}

#[test]
fn checksums_of_the_database_are_compared_if_a_file_keeps_them() {
    let (header, pages, _) = decode(BLOCKS[0]).unwrap();
    let mut rolling = RollingChecksum::new(header.page_size);
    pages.iter().for_each(|(page, content)| rolling.set(*page, content));
    let whole = rolling.stored();
    let extra = PageNo::new(20).unwrap();
    rolling.set(extra, &[7; 512]);
    assert_ne!(rolling.stored(), whole);
    rolling.cut(header.commit);
    assert_eq!(rolling.stored(), whole);

    // The same file, with that checksum: flags 0, the field after the database set, the file's checksum anew.
    let mut file = BLOCKS[0].to_vec();
    file[4..8].fill(0);
    let end = file.len();
    file[end - 16..end - 8].copy_from_slice(&whole.to_be_bytes());
    let Err(LtxFault::Checksum { expected, .. }) = decode(&file) else {
        panic!("the checksum did not cover the flags")
    };
    file[end - 8..].copy_from_slice(&expected.to_be_bytes());
    let (header, _, after) = decode(&file).unwrap();
    assert_eq!((header.pre_apply, after), (Some(0), Some(whole)));
}
