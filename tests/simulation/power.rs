//! What a power cut leaves on the disk of a machine: what was not synced may be gone, or be there in part.

use std::fs;
use std::path::Path;

use fastrand::Rng;

/// Where the `-shm` file says how many frames a checkpoint has begun to copy (sqlite.org/walformat.html).
const COPIED_AT: usize = 128;
const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// With `synchronous = normal` SQLite syncs the WAL before a checkpoint copies it, and the database before the WAL
/// restarts. So what is lost are frames that no checkpoint has begun to copy: from some byte on.
pub fn cut_wal(wal: &mut Vec<u8>, shm: &[u8], random: &mut Rng) {
    let number = |bytes: Option<&[u8]>| bytes.and_then(|bytes| bytes.try_into().ok());
    let copied = number(shm.get(COPIED_AT..COPIED_AT + 4)).map_or(0, u32::from_ne_bytes) as usize;
    let page = number(wal.get(8..12)).map_or(0, u32::from_be_bytes) as usize;
    let synced = if copied == 0 { 0 } else { WAL_HEADER + copied * (FRAME_HEADER + page) };
    if synced < wal.len() {
        tear(wal, synced, random);
    }
}

/// The state folder promises nothing: of each file nothing, a part or an `older` one may be left, synced or not.
pub fn tear_state(folder: &Path, older: &Path, random: &mut Rng) -> String {
    let mut what = String::new();
    let mut files: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    for name in files {
        let path = folder.join(&name);
        let mut bytes = fs::read(&path).unwrap();
        let kind = match random.u32(0..8) {
            0 => {
                fs::remove_file(&path).unwrap();
                "gone"
            }
            1 if older.join(&name).exists() => {
                fs::copy(older.join(&name), &path).unwrap();
                "older"
            }
            2 | 3 if !bytes.is_empty() => {
                tear(&mut bytes, 0, random);
                fs::write(&path, bytes).unwrap();
                "torn"
            }
            _ => "whole",
        };
        what += &format!(" {} {kind}", name.display());
    }
    what
}

/// From some byte on there is nothing, or there are zeros.
fn tear(bytes: &mut Vec<u8>, from: usize, random: &mut Rng) {
    let (len, cut) = (bytes.len(), random.usize(from..bytes.len()));
    bytes.truncate(cut);
    if random.bool() {
        bytes.resize(len, 0);
    }
}
