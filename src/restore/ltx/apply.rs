//! LTX files in, database out: later pages win, and each file cuts the database to the size it states.

use std::fs::File;

use tokio::sync::mpsc;

use crate::history::ltx::{LtxEntry, LtxName};
use crate::host;
use crate::ltx::{Decoder, LtxFault, LtxHeader, RollingChecksum};
use crate::restore::apply::put_together;
use crate::restore::error::ApplyError;
use crate::restore::fetch::{ArrivalBody, ArrivalReader};
use crate::restore::image::{ImagePort, ImageWriter, WriterStopped};
use crate::segment::PageHashes;
use crate::types::{PageCount, PageSize, Txid};

/// What is wrong with one file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LtxObjectFault {
    /// It is cut short or damaged.
    #[error(transparent)]
    Decode(#[from] LtxFault),
    /// The file is not the one its name says.
    #[error("it holds TXIDs {0} to {1}; the file has been renamed or swapped")]
    Misplaced(Txid, Txid),
    /// Page sizes differ.
    #[error("its page size is {0}, but the database's is {1}")]
    PageSize(PageSize, PageSize),
    /// The file keeps checksums of the database, and they are not those of what was restored.
    #[error("the database {0} it has not the checksum that it says: a file before it is missing or replaced")]
    Rolling(&'static str),
    /// A size that cannot be.
    #[error("it makes the database {0} bytes large, which does not fit on this disk")]
    Size(u64),
    /// The writing thread has stopped; it knows why.
    #[error("the restored file could not be written")]
    WriterStopped,
}

impl From<WriterStopped> for LtxObjectFault {
    fn from(_: WriterStopped) -> Self {
        Self::WriterStopped
    }
}

/// What to put together, and where.
#[derive(Debug)]
pub struct Job {
    /// Which files, in order.
    pub files: Vec<LtxEntry>,
    /// An empty file.
    pub file: File,
    /// No state of the database may need more.
    pub size_max_bytes: u64,
}

/// Carries out `job`; returns the hash of every page and the header of the last file. Blocks.
///
/// # Errors
/// Which file is at fault, or why the database cannot be written.
pub fn apply(job: &Job, mut arrivals: mpsc::Receiver<ArrivalBody>) -> Result<(PageHashes, LtxHeader), ApplyError> {
    put_together(Some(&job.file), job.files.len() > 1, |port| {
        let mut database = Database { image: Image::Port(port), size: PageCount(0), rolling: None };
        let mut last = None;
        for entry in &job.files {
            let body = host::receive(&mut arrivals).ok_or(ApplyError::Interrupted)?;
            let applied = database.apply(&entry.name, ArrivalReader::new(body), job.size_max_bytes);
            last = Some(applied.map_err(|fault| match fault {
                LtxObjectFault::WriterStopped => ApplyError::WriterStopped,
                fault => ApplyError::Ltx(entry.key.clone(), Box::new(fault)),
            })?);
        }
        last.ok_or(ApplyError::Interrupted)
    })
}

/// The database so far.
struct Database {
    image: Image,
    size: PageCount,
    /// If the first file keeps checksums of the database.
    rolling: Option<RollingChecksum>,
}

/// The page size is known when the first file has come.
enum Image {
    Port(ImagePort),
    Writer(ImageWriter),
    Failed,
}

impl Database {
    fn apply(
        &mut self,
        name: &LtxName,
        input: ArrivalReader,
        size_max_bytes: u64,
    ) -> Result<LtxHeader, LtxObjectFault> {
        let mut decoder = Decoder::open(input)?;
        let header = *decoder.header();
        if (header.min, header.max) != (name.min, name.max) {
            return Err(LtxObjectFault::Misplaced(header.min, header.max));
        }
        let bytes = header.commit.bytes(header.page_size);
        if bytes > size_max_bytes {
            return Err(LtxObjectFault::Size(bytes));
        }
        let image = self.image.begin(header.page_size)?;
        if image.page_size() != header.page_size {
            return Err(LtxObjectFault::PageSize(header.page_size, image.page_size()));
        }
        self.check_before(&header)?;
        let image = self.image.begin(header.page_size)?;
        while let Some((page, content)) = decoder.next_page()? {
            image.page(page, content)?;
            if let Some(rolling) = &mut self.rolling {
                rolling.set(page, content);
            }
        }
        let after = decoder.finish()?;
        // Also when it grew: the lock page, and pages that were never written, are zeros.
        image.resize(header.commit)?;
        self.size = header.commit;
        if let (Some(rolling), Some(after)) = (&mut self.rolling, after) {
            rolling.cut(header.commit);
            if rolling.stored() != after {
                return Err(LtxObjectFault::Rolling("after"));
            }
        }
        Ok(header)
    }

    /// Without checksums from the first file on, those of a later one cannot be compared; none is taken as proof then.
    fn check_before(&mut self, header: &LtxHeader) -> Result<(), LtxObjectFault> {
        match (header.pre_apply, &self.rolling) {
            (Some(_), None) if header.is_whole() => self.rolling = Some(RollingChecksum::new(header.page_size)),
            (Some(before), Some(rolling)) if rolling.stored() != before => {
                return Err(LtxObjectFault::Rolling("before"));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Image {
    fn begin(&mut self, page_size: PageSize) -> Result<&mut ImageWriter, LtxObjectFault> {
        if let Self::Port(_) = self {
            let Self::Port(port) = std::mem::replace(self, Self::Failed) else { return Err(WriterStopped.into()) };
            *self = Self::Writer(port.begin(page_size)?);
        }
        if let Self::Writer(writer) = self { Ok(writer) } else { Err(WriterStopped.into()) }
    }
}
