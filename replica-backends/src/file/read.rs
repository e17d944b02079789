//! Reading an object, whole or in part.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::FileBackend;
use super::chunk::{CHUNK_LEN, filled};
use super::failure::{During, Failure};
use super::store::Target;
use crate::{Backend, ByteRange, ByteStream, ObjectMeta, Operation, Result};

/// An open object and what of it remains to be read.
#[derive(Debug)]
struct Reader {
    file: File,
    position: u64,
    end: u64,
}

impl Reader {
    /// Opens `range` of the object at `path`. Symbolic links are not followed, and a pipe does not block.
    fn open(path: &Path, range: ByteRange) -> Result<Self, Failure> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
        let file = file.during("opening the object")?;
        let meta = file.metadata().during("opening the object")?;
        if !meta.is_file() {
            return Err(not_an_object());
        }
        let (position, end) = bounds(range, meta.len());
        Ok(Self { file, position, end })
    }

    /// The next chunk, or `None` at the end of the range.
    fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let len = (CHUNK_LEN as u64).min(self.end - self.position);
        if len == 0 {
            return Ok(None);
        }
        // An object never shrinks: a file that ends early is an error and not a short object.
        let read = filled(len as usize, |chunk| self.file.read_exact_at(chunk, self.position));
        let chunk = read.during("reading the object")?;
        self.position += len;
        Ok(Some(chunk))
    }

    fn is_at_end(&self) -> bool {
        self.position == self.end
    }
}

impl FileBackend {
    /// Opens `range` of `target` and reads its first chunk, all in one visit to the blocking pool; further chunks
    /// are read when they are asked for.
    pub(super) async fn read(&self, key: &str, target: Target, range: ByteRange) -> Result<ByteStream> {
        let opened = self.blocking(move |_| {
            let mut reader = Reader::open(&target.path, range)?;
            let first = reader.next()?;
            Ok((first, (!reader.is_at_end()).then_some(reader)))
        });
        let (first, rest) = opened.await.map_err(|failure| failure.into_error(Operation::Get, key, self.location()))?;
        let first = stream::iter(first.map(Ok));
        let Some(reader) = rest else { return Ok(first.boxed()) };
        let (backend, key) = (self.clone(), key.to_owned());
        let rest = stream::try_unfold(reader, move |mut reader| {
            let (backend, key) = (backend.clone(), key.clone());
            async move {
                let read = backend.blocking(move |_| Ok((reader.next()?, reader))).await;
                let (chunk, reader) =
                    read.map_err(|failure| failure.into_error(Operation::Get, &key, backend.location()))?;
                Ok(chunk.map(|chunk| (chunk, reader)))
            }
        });
        Ok(first.chain(rest).boxed())
    }
}

/// Size and time of the object at `target`.
pub(super) fn head(target: Target) -> Result<ObjectMeta, Failure> {
    let meta = fs::symlink_metadata(&target.path).during("looking at the object")?;
    if !meta.is_file() {
        return Err(not_an_object());
    }
    object_meta(target.key, &meta).during("looking at the object")
}

/// What a listing says of the regular file `meta`.
pub(super) fn object_meta(key: String, meta: &fs::Metadata) -> io::Result<ObjectMeta> {
    Ok(ObjectMeta { key, size: meta.len(), modified: meta.modified()? })
}

/// A folder, a link or a device is nothing that was ever put.
fn not_an_object() -> Failure {
    Failure::new("looking for a regular file", Errno::NOENT)
}

/// First byte and end of `range` in an object of `size` bytes.
fn bounds(range: ByteRange, size: u64) -> (u64, u64) {
    match range {
        ByteRange::All => (0, size),
        ByteRange::Slice { start, len } => (start.min(size), start.saturating_add(len).min(size)),
        ByteRange::Suffix(len) => (size.saturating_sub(len), size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_end() {
        let slice = |start, len| bounds(ByteRange::Slice { start, len }, 10);
        assert_eq!(slice(2, 3), (2, 5));
        assert_eq!(slice(8, 9), (8, 10));
        assert_eq!(slice(10, 1), (10, 10));
        assert_eq!(slice(u64::MAX, u64::MAX), (10, 10));
        assert_eq!(slice(3, u64::MAX), (3, 10));
        assert_eq!(bounds(ByteRange::Suffix(4), 10), (6, 10));
        assert_eq!(bounds(ByteRange::Suffix(11), 10), (0, 10));
        assert_eq!(bounds(ByteRange::Suffix(0), 10), (10, 10));
        assert_eq!(bounds(ByteRange::All, 0), (0, 0));
    }
}
