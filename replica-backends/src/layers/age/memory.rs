//! What a writer that cannot read knows of the objects it has written.

use std::fmt;

/// Remembers the ends of objects, for those who write for recipients and have no identity: a replica is continued from
/// the end of its last object.
///
/// An object is recognised by the head of its encryption, of which no two are the same. So even if several attempts to
/// put an object went out and only one of them has got through, it is known which one.
pub trait Memory: Send + Sync + fmt::Debug {
    /// `key` is about to be put; its encryption is called `head`, and `end` is the end of its content, at most
    /// `END_BYTES`. Called before the last byte goes out.
    fn note(&self, key: &str, head: &str, end: &[u8]);

    /// What is remembered of the end of the content of `key`, if it is the encryption called `head`. May be less than
    /// was noted.
    fn recall(&self, key: &str, head: &str) -> Option<Vec<u8>>;

    /// These were deleted.
    fn forget(&self, keys: &[String]);
}

/// As much of the end of each object is noted.
pub const END_BYTES: usize = 64 << 10;

/// The last bytes of what passes by.
#[derive(Debug, Default)]
pub struct End(Vec<u8>);

impl End {
    /// More has passed by.
    pub fn push(&mut self, content: &[u8]) {
        if content.len() >= END_BYTES {
            self.0.clear();
        }
        self.0.extend_from_slice(&content[content.len().saturating_sub(END_BYTES)..]);
        let surplus = self.0.len().saturating_sub(END_BYTES);
        self.0.drain(..surplus);
    }

    /// The last bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_passes_by_is_kept() {
        let all: Vec<u8> = (0..3 * END_BYTES + 17).map(|n| (n % 251) as u8).collect();
        for step in [1000, END_BYTES - 1, END_BYTES, END_BYTES + 1, all.len()] {
            let mut end = End::default();
            all.chunks(step).for_each(|chunk| end.push(chunk));
            assert!(end.bytes() == &all[all.len() - END_BYTES..], "{step}");
        }
        let mut short = End::default();
        [b"ab".as_slice(), b"", b"c"].into_iter().for_each(|chunk| short.push(chunk));
        assert_eq!(short.bytes(), b"abc");
    }
}
