//! Frames of a transaction whose commit has not been seen yet. Only Litestream's histories need this: their segments
//! may end within a transaction, and the last one may never be committed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::types::{PageNo, PageSize};

/// More than this is kept in a file, so that memory stays bounded whatever the size of a transaction.
const MEMORY_BYTES_MAX: usize = 8 << 20;

/// Pages in the order in which the transaction wrote them: those in the file first, then those in memory.
#[derive(Debug)]
pub struct Pending {
    page_size: PageSize,
    pages: Vec<PageNo>,
    memory: Vec<u8>,
    spill: Option<File>,
    spilled_bytes: u64,
    spill_path: PathBuf,
}

impl Pending {
    /// No frames yet; `spill_path` is a file that does not exist.
    pub fn new(page_size: PageSize, spill_path: &Path) -> Self {
        Self {
            page_size,
            pages: Vec::new(),
            memory: Vec::new(),
            spill: None,
            spilled_bytes: 0,
            spill_path: spill_path.to_owned(),
        }
    }

    /// Whether no transaction is open.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Adds a frame.
    pub fn push(&mut self, page: PageNo, content: &[u8]) -> io::Result<()> {
        if self.memory.len() + content.len() > MEMORY_BYTES_MAX {
            self.spill()?;
        }
        self.pages.push(page);
        self.memory.extend_from_slice(content);
        Ok(())
    }

    /// Forgets the transaction.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.memory.clear();
        self.spilled_bytes = 0;
    }

    /// Hands all frames to `each` in order, and forgets them.
    pub fn drain<E: From<io::Error>>(&mut self, mut each: impl FnMut(PageNo, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let size = self.page_size.bytes();
        let spilled_pages = (self.spilled_bytes / size as u64) as usize;
        if let Some(spill) = &self.spill {
            let mut content = vec![0; size];
            for (slot, page) in self.pages[..spilled_pages].iter().enumerate() {
                spill.read_exact_at(&mut content, slot as u64 * size as u64)?;
                each(*page, &content)?;
            }
        }
        for (page, content) in self.pages[spilled_pages..].iter().zip(self.memory.chunks_exact(size)) {
            each(*page, content)?;
        }
        self.clear();
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match self.spill.take() {
            Some(file) => file,
            None => unnamed_file(&self.spill_path)?,
        };
        file.write_all_at(&self.memory, self.spilled_bytes)?;
        self.spill = Some(file);
        self.spilled_bytes += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }
}

/// A file that is gone when it is closed, however the process ends.
fn unnamed_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_larger_than_memory_comes_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut pending = Pending::new(PageSize::new(65_536).unwrap(), &folder.path().join("spill"));
        for round in 0..2 {
            for n in 1..=300_u32 {
                pending.push(PageNo::new(n).unwrap(), &vec![(n + round) as u8; 65_536]).unwrap();
            }
            assert_eq!(pending.len(), 300);
            let mut expected = 1..=300_u32;
            let each = |page: PageNo, content: &[u8]| -> io::Result<()> {
                assert_eq!(Some(page.get()), expected.next());
                assert!(content.len() == 65_536 && content.iter().all(|b| *b == (page.get() + round) as u8));
                Ok(())
            };
            pending.drain(each).unwrap();
            assert_eq!(expected.next(), None);
            assert!(pending.is_empty());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
