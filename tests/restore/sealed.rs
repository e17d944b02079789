//! Histories that Lightship wrote.

use std::sync::Arc;

use lightship::history::Target;
use lightship::restore::Proof;

use super::recording::{Recording, eventful};
use super::restore_from;

const PAGE_SIZES: [u32; 4] = [512, 1024, 4096, 65_536];

/// What SQLite makes of database and WAL.
fn checkpointed(recording: &Recording) -> Vec<u8> {
    recording.commit("PRAGMA wal_checkpoint(TRUNCATE)");
    std::fs::read(recording.file("")).unwrap()
}

#[test]
fn the_latest_state_is_restored_byte_for_byte() {
    for page_size in PAGE_SIZES {
        let recording = eventful(page_size, true);
        let (restored, report) = restore_from(Arc::new(recording.store.clone()), Target::Latest).unwrap();
        let last = recording.states.last().unwrap();
        assert!(restored == last.bytes, "page size {page_size}");
        assert!(restored == checkpointed(&recording), "page size {page_size}: not what SQLite has");
        assert_eq!((report.proof, report.time), (Proof::Digest, last.time));
        assert_eq!((report.position.index, report.position.offset), last.at);
    }
}
