//! What is done with arbitrary bytes to see that nothing breaks; shared by the fuzz targets (fuzz/) and the tests here.
//!
//! Each function takes what may come from a disk or a network, and panics if it finds a promise broken.

mod plans;

use crate::config::{self, Environment};
use crate::ltx;
use crate::segment::{Decoder, Encoder, Seal, SealKind, Tail};
use crate::wal::{Chain, FRAME_HEADER_BYTES, WAL_HEADER_BYTES, WalHeader, frame_bytes};

pub use plans::restore_plan;

/// A scan of a WAL reads nothing but whole frames, and what it accepts it would write the same.
pub fn wal_scan(wal: &[u8]) {
    let Ok(header) = WalHeader::parse(wal) else { return };
    assert_eq!(header.to_bytes(), wal[..WAL_HEADER_BYTES], "a header is accepted that would be written otherwise");
    let mut chain = Chain::begin(&header);
    let mut rest = &wal[WAL_HEADER_BYTES..];
    loop {
        let mut writing = chain;
        let before = chain;
        let Ok(frame) = chain.verify(rest) else {
            assert_eq!(chain, before, "a fault moves the chain");
            return;
        };
        assert!(frame.page.get() > 0 && frame.commit.is_none_or(|size| size.0 > 0));
        let (accepted, behind) = rest.split_at(frame_bytes(header.page_size));
        let mut again = accepted.to_vec();
        again[8..FRAME_HEADER_BYTES].fill(0);
        assert!(writing.adopt(&mut again).is_ok() && writing == chain);
        assert_eq!(again, accepted, "a frame is accepted that would be written otherwise");
        rest = behind;
    }
}

/// A seal that is accepted fits the object, and is written and read again to the same.
pub fn seal(object: &[u8]) {
    let object_bytes = object.len() as u64;
    match Seal::from_tail(object, object_bytes) {
        Ok(Tail::Sealed(seal, data_bytes)) => {
            assert!(data_bytes < object_bytes);
            let frame = seal.to_frame();
            let again = Seal::from_tail(&frame, frame.len() as u64);
            assert_eq!(again, Ok(Tail::Sealed(seal, 0)), "a seal does not survive being written");
        }
        Ok(Tail::NeedsBytes(_)) => panic!("the whole object is there, and still more of it is asked for"),
        Ok(Tail::Unsealed) | Err(_) => {}
    }
    // Of a larger object, this may be the end: then all that can be asked for is more of it.
    if let Ok(Tail::NeedsBytes(bytes)) = Seal::from_tail(object, u64::MAX) {
        assert!(bytes > object_bytes);
    }
}

/// What is decoded of an object has the length and the hash that its seal says, and is encoded and decoded again to the
/// same.
pub fn segment_decode(object: &[u8]) {
    let Some((data, seal)) = decoded(object) else { return };
    let Some(seal) = seal else { return };
    assert_eq!(seal.raw_bytes, data.len() as u64);
    let mut encoder = Encoder::new(Vec::new(), seal.raw_bytes);
    let written = encoder.write(&data).and_then(|()| encoder.finish(seal.clone()));
    let Ok((again, sealed)) = written else { panic!("memory cannot be written to") };
    assert_eq!(sealed, seal);
    assert!(decoded(&again) == Some((data, Some(seal))), "an object does not survive being written");
}

fn decoded(object: &[u8]) -> Option<(Vec<u8>, Option<Seal>)> {
    let mut decoder = Decoder::new(object);
    let mut data = Vec::new();
    while let Some(block) = decoder.next_block().ok()? {
        data.extend_from_slice(block);
    }
    let seal = decoder.finish().ok()?;
    assert!(
        seal.as_ref().is_none_or(|seal| seal.kind == SealKind::Snapshot || seal.is_end() || !seal.commits.is_empty())
    );
    Some((data, seal))
}

/// An LTX file is read or refused. What is read has pages that ascend, and none beyond its database.
pub fn ltx_decode(file: &[u8]) {
    let Ok(mut decoder) = ltx::Decoder::open(file) else { return };
    let header = *decoder.header();
    let mut last = 0;
    while let Ok(Some((page, content))) = decoder.next_page() {
        assert!(last < page.get() && page.get() <= header.commit.0);
        assert_eq!(content.len(), header.page_size.bytes());
        last = page.get();
    }
    if decoder.finish().is_ok() && header.is_whole() {
        assert!(header.commit.0 <= last + 1, "a whole database lacks pages");
    }
}

/// A configuration is read or refused; an error names the file, and is one that can be printed.
pub fn config(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let lookup = |name: &str| match name {
        "A" => Some("a: &a [*a, {b: ${B}}]".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let environment = Environment { lookup: Box::new(lookup), home: Some("/home/ann".into()), cwd: "/srv".into() };
    for expand in [true, false] {
        match config::parse("fuzz.yml", &text, &environment, expand) {
            Ok(config) => {
                assert!(config.databases.iter().all(|database| database.path.is_absolute()));
                assert!(config.databases.iter().all(|database| database.min_checkpoint_page_count > 0));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[cfg(test)]
mod tests;
