//! The bytes of an index that is in no WAL: in memory while they are few, then in a file that has no name.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// So much is kept in memory.
const MEMORY_BYTES: usize = 4 << 20;
/// So much is written to the file at once.
const WRITE_BYTES: usize = 256 << 10;

/// A whole index, header included.
#[derive(Debug)]
pub enum Spool {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file without a name, which is gone when the last shipper lets go of it, however this process ends.
    File(File),
}

impl Spool {
    /// Fills `buffer` from `offset` of the index.
    ///
    /// # Errors
    /// If there is not so much, or the file cannot be read.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(offset).map_err(io::Error::other)?;
                let part = from.checked_add(buffer.len()).and_then(|to| bytes.get(from..to));
                buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File(file) => file.read_exact_at(buffer, offset),
        }
    }
}

/// A spool that is being filled.
#[derive(Debug)]
pub struct SpoolWriter {
    folder: PathBuf,
    pending: Vec<u8>,
    file: Option<File>,
    written: u64,
}

impl SpoolWriter {
    /// An empty one; its file, if it needs one, is on the disk of `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), pending: Vec::new(), file: None, written: 0 }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// If the file cannot be made or written.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        let kept = if self.file.is_some() { WRITE_BYTES } else { MEMORY_BYTES };
        if self.pending.len() > kept { self.write_out() } else { Ok(()) }
    }

    /// What was appended.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(mut self) -> io::Result<Spool> {
        if self.file.is_some() {
            self.write_out()?;
        }
        Ok(self.file.map_or(Spool::Memory(self.pending), Spool::File))
    }

    fn write_out(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => unnamed_file(&self.folder)?,
        };
        file.write_all_at(&self.pending, self.written)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        self.pending.shrink_to(2 * WRITE_BYTES);
        self.file = Some(file);
        Ok(())
    }
}

fn unnamed_file(folder: &Path) -> io::Result<File> {
    let path = folder.join("spool.tmp");
    // One that a killed process has left behind has no content yet. The folder is locked, so nobody else makes one.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spooled(bytes: &[u8], piece: usize) -> Spool {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::new(folder.path());
        bytes.chunks(piece).for_each(|piece| writer.push(piece).unwrap());
        let spool = writer.finish().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        spool
    }

    #[test]
    fn what_is_spooled_comes_back_from_memory_and_from_the_file() {
        for len in [0, 1000, MEMORY_BYTES, MEMORY_BYTES + 1, 9_000_001] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 / 5) as u8).collect();
            let spool = spooled(&bytes, 4120);
            assert_eq!(matches!(spool, Spool::Memory(_)), len <= MEMORY_BYTES, "{len} bytes");
            let mut back = vec![0; len];
            spool.read_exact_at(&mut back, 0).unwrap();
            assert!(back == bytes);
            assert!(spool.read_exact_at(&mut [0], len as u64).is_err());
            if len > 500 {
                let mut part = vec![0; 400];
                spool.read_exact_at(&mut part, len as u64 - 500).unwrap();
                assert!(part == bytes[len - 500..len - 100]);
            }
        }
    }
}
