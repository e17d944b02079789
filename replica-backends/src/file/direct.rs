//! Writing large files past the page cache.
//!
//! A replica is written once and hardly ever read. Its pages would push those of the database out of the cache, and
//! copying them there costs more than all other work on an object.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// Smaller writes are cheaper through the cache.
const LEN_MIN: usize = 64 << 10;
/// Memory, offset and length are multiples of this; a file system that wants more refuses.
const BLOCK_LEN: usize = 4096;
const SCRATCH_LEN: usize = 256 << 10;

/// Writes as much from the front of `bytes` to `file`, at the offset where it is (a multiple of a block), as can go
/// past the cache. Returns how much that was; the rest is to be written as usual. That is all of it where the file
/// system does not know how.
pub(super) fn write_front(file: &File, bytes: &[u8]) -> io::Result<usize> {
    if bytes.len() < LEN_MIN {
        return Ok(0);
    }
    let flags = fcntl_getfl(file)?;
    if fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
        return Ok(0);
    }
    let written = write_blocks(file, bytes);
    fcntl_setfl(file, flags)?;
    written
}

fn write_blocks(mut out: impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut scratch: Vec<u8> = Vec::with_capacity(SCRATCH_LEN.min(bytes.len()) + BLOCK_LEN);
    let start = scratch.as_ptr().align_offset(BLOCK_LEN);
    if start >= BLOCK_LEN {
        return Ok(0);
    }
    scratch.resize(start, 0);
    let mut written = 0;
    while bytes.len() - written >= BLOCK_LEN {
        let len = (bytes.len() - written).min(SCRATCH_LEN) / BLOCK_LEN * BLOCK_LEN;
        scratch.truncate(start);
        // Never more than there is room for, so it stays where it is.
        scratch.extend_from_slice(&bytes[written..written + len]);
        match out.write(&scratch[start..]) {
            Ok(count) => written += count,
            Err(error) if is_refusal(&error) => break,
            Err(error) => return Err(error),
        }
        if !written.is_multiple_of(BLOCK_LEN) {
            break;
        }
    }
    Ok(written)
}

/// Whether this is no failure of the disk, and the usual way may do. Nothing was written by the call.
fn is_refusal(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOTSUP | Errno::INTR))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what its script says of each write, or fails.
    struct Script<'a>(&'a mut Vec<u8>, std::vec::IntoIter<Result<usize, Errno>>);

    impl Write for Script<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(bytes.as_ptr().addr().is_multiple_of(BLOCK_LEN) && bytes.len().is_multiple_of(BLOCK_LEN));
            let len = self.1.next().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.0.extend_from_slice(&bytes[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_file_holds_the_bytes_whatever_their_number() {
        use std::io::Read;
        for len in
            [0, LEN_MIN - 1, LEN_MIN, LEN_MIN + 1, SCRATCH_LEN, SCRATCH_LEN + BLOCK_LEN - 1, 3 * SCRATCH_LEN + 77]
        {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            let front = write_front(&file, &bytes).unwrap();
            file.write_all(&bytes[front..]).unwrap();
            let mut back = Vec::new();
            std::io::Seek::rewind(&mut file).unwrap();
            file.read_to_end(&mut back).unwrap();
            assert!(back == bytes, "{len} bytes, {front} of them past the cache");
        }
    }

    #[test]
    fn whatever_the_file_system_takes_is_the_front_of_the_bytes() {
        let bytes: Vec<u8> = (0..3 * SCRATCH_LEN + 5000).map(|i| (i % 251) as u8).collect();
        let whole = bytes.len() / BLOCK_LEN * BLOCK_LEN;
        let cases = [
            (vec![], Some(whole)),
            (vec![Ok(BLOCK_LEN), Ok(8192)], Some(whole)),
            (vec![Ok(usize::MAX), Ok(BLOCK_LEN + 1)], Some(SCRATCH_LEN + BLOCK_LEN + 1)),
            (vec![Err(Errno::INVAL)], Some(0)),
            (vec![Ok(BLOCK_LEN), Err(Errno::INVAL)], Some(BLOCK_LEN)),
            (vec![Ok(BLOCK_LEN), Err(Errno::NOSPC)], None),
        ];
        for (script, expected) in cases {
            let mut file = Vec::new();
            let written = write_blocks(Script(&mut file, script.clone().into_iter()), &bytes);
            assert_eq!(written.as_ref().ok(), expected.as_ref(), "{script:?}: {written:?}");
            assert!(
                bytes.starts_with(&file) && written.is_ok_and(|written| written == file.len()) || expected.is_none()
            );
        }
    }
}
