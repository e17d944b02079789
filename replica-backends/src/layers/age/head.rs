//! The head of an encrypted object: age's header, which holds the key of the object once for each recipient, and the
//! nonce behind it.

use bytes::Bytes;

/// What every object of age begins with, whatever its version.
pub const INTRO: &[u8] = b"age-encryption.org/";
/// Begins the last line of a header.
const LAST_LINE: &[u8] = b"\n--- ";
const NONCE_BYTES: usize = 16;

/// No header is longer: some ten thousand recipients.
pub const HEAD_BYTES_MAX: u64 = 1 << 20;

/// Length of a chunk, all but the last of an object.
pub const CHUNK_BYTES: u64 = 64 << 10;
/// What it is in the store, with its tag.
pub const STORED_CHUNK_BYTES: u64 = CHUNK_BYTES + TAG_BYTES;
const TAG_BYTES: u64 = 16;

/// What the first bytes of an object are.
#[derive(Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The head is so many bytes long.
    Head(usize),
    /// More bytes are needed to tell.
    Open,
    /// It is not encrypted.
    Plain,
}

/// Looks at the first bytes of an object.
#[must_use]
pub fn beginning(bytes: &[u8]) -> Beginning {
    let known = bytes.len().min(INTRO.len());
    if bytes[..known] != INTRO[..known] {
        return Beginning::Plain;
    }
    let find = |from: usize, what: &[u8]| {
        bytes.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    let last_line = find(0, LAST_LINE).map(|at| at + 1);
    let head = last_line.and_then(|at| find(at, b"\n")).map(|end| end + 1 + NONCE_BYTES);
    head.filter(|head| *head <= bytes.len()).map_or(Beginning::Open, Beginning::Head)
}

/// A head as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head(Bytes);

impl Head {
    /// The first bytes of an object, up to the end that [`beginning`] has found.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Where the first chunk begins.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The name that tells this encryption from every other: the authenticator in the header's last line, and the
    /// nonce. Both are made from random numbers, so they are never the same twice.
    #[must_use]
    pub fn name(&self) -> String {
        use std::fmt::Write;
        let (header, nonce) = self.0.split_at(self.0.len().saturating_sub(NONCE_BYTES));
        let line = header.rsplit(|byte| *byte == b'\n').nth(1).unwrap_or_default();
        let mut name = String::from_utf8_lossy(line).trim_start_matches("--- ").replace(' ', "");
        for byte in nonce {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// Where chunk number `chunk` begins in the store; saturates.
    #[must_use]
    pub fn start_of(&self, chunk: u64) -> u64 {
        self.len().saturating_add(chunk.saturating_mul(STORED_CHUNK_BYTES))
    }

    /// How long the content of an object of `stored_bytes` is. Not authenticated: for that the last chunk is read.
    #[must_use]
    pub fn content_bytes(&self, stored_bytes: u64) -> u64 {
        let body = stored_bytes.saturating_sub(self.len());
        body.saturating_sub(body.div_ceil(STORED_CHUNK_BYTES) * TAG_BYTES)
    }
}

/// At most so many bytes are stored for `len` bytes of content, with a head of `head` bytes.
#[must_use]
pub fn stored_bytes_max(len: u64, head: u64) -> u64 {
    (len / CHUNK_BYTES + 1).saturating_mul(TAG_BYTES).saturating_add(len).saturating_add(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found() {
        let head = b"age-encryption.org/v1\n-> X25519 abc\nbody\n--- mac\n0123456789abcdef".as_slice();
        assert_eq!(beginning(&[head, b"\n--- and more\n"].concat()), Beginning::Head(head.len()));
        for len in 0..head.len() {
            assert_eq!(beginning(&head[..len]), Beginning::Open, "{len}");
        }
        assert_eq!(Head::new(Bytes::copy_from_slice(head)).name(), "mac30313233343536373839616263646566");
        for plain in [b"\x04\x22\x4d\x18".as_slice(), b"{", b"age-encryption,org/v1\n"] {
            assert_eq!(beginning(plain), Beginning::Plain);
        }
    }

    #[test]
    fn lengths_are_those_of_the_format() {
        let head = Head::new(Bytes::from(vec![0; 200]));
        for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES, 1 << 40] {
            let stored = 200 + len + len.div_ceil(CHUNK_BYTES).max(1) * TAG_BYTES;
            assert_eq!(head.content_bytes(stored), len);
            assert!(stored_bytes_max(len, 200) >= stored && stored_bytes_max(len, 200) <= stored + TAG_BYTES);
        }
        assert_eq!((head.content_bytes(0), head.start_of(u64::MAX)), (0, u64::MAX));
    }
}
