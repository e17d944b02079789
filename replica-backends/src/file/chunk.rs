//! Buffers for what is read, which are used again: a long restore reads gigabytes, and fresh memory is slow.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Size of a buffer.
pub(super) const CHUNK_LEN: usize = 256 * 1024;
/// Reads that are shorter have memory of their own: else a few bytes that somebody keeps would hold a whole buffer.
const SHORT_LEN: usize = CHUNK_LEN / 4;
/// Buffers that the process keeps while nobody needs them, however many stores it reads.
const IDLE_MAX: usize = 16;

/// Buffers of [`CHUNK_LEN`] bytes that nobody needs at the moment.
static IDLE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// `len` bytes, at most [`CHUNK_LEN`], which `fill` has written.
///
/// # Errors
/// Those of `fill`.
pub(super) fn filled<E>(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Bytes, E> {
    if len < SHORT_LEN {
        let mut short = vec![0; len];
        fill(&mut short)?;
        return Ok(short.into());
    }
    let used = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut chunk = Chunk { buffer: used.unwrap_or_else(|| vec![0; CHUNK_LEN]), len };
    fill(&mut chunk.buffer[..len])?;
    Ok(Bytes::from_owner(chunk))
}

/// A buffer in use.
struct Chunk {
    buffer: Vec<u8>,
    len: usize,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(byte: u8, len: usize) -> Bytes {
        let fill = |chunk: &mut [u8]| {
            chunk.fill(byte);
            Ok::<(), ()>(())
        };
        filled(len, fill).unwrap()
    }

    #[test]
    fn a_buffer_in_use_is_nobody_elses_and_says_only_what_was_read_last() {
        for len in [CHUNK_LEN, SHORT_LEN, SHORT_LEN - 1, 0] {
            let first = of(1, CHUNK_LEN);
            let kept = first.slice(..10);
            let second = of(2, len);
            drop(first);
            let third = of(3, len);
            assert!(kept.iter().all(|byte| *byte == 1));
            assert!(second.len() == len && second.iter().all(|byte| *byte == 2));
            drop(kept);
            assert!(third.len() == len && third.iter().all(|byte| *byte == 3));
            assert_eq!(of(4, SHORT_LEN), vec![4; SHORT_LEN]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for len in [10, CHUNK_LEN] {
            assert_eq!(filled(len, |_| Err(7)).unwrap_err(), 7);
        }
    }
}
