//! What Litestream 0.3 wrote has no seals: LZ4 checksums, lengths, and the checksums of the WAL say what they can.

use super::walk::Walk;
use crate::history::ObjectName;
use crate::restore::error::{ObjectFault, Step};
use crate::restore::fetch::{ArrivalBody, ArrivalReader};
use crate::restore::snapshot::page_size_in;
use crate::restore::wal_stream::WalStream;
use crate::segment::Decoder;
use crate::types::{Offset, PageSize, Position, Timestamp};

impl Walk {
    /// One object. What is known of the database ends with the frames: nothing says what it should be.
    pub(super) fn unsealed(&mut self, name: ObjectName, body: ArrivalBody) -> Result<(), Step> {
        let mut decoder = Decoder::new(ArrivalReader::new(body));
        match name {
            ObjectName::Snapshot(..) => {
                let (mut bytes, mut page_size) = (0, None);
                while let Some(block) = decoder.next_block()? {
                    if page_size.is_none() {
                        page_size = Some(page_size_in(block)?);
                    }
                    bytes += block.len() as u64;
                }
                let page_size = page_size.ok_or(ObjectFault::NotADatabase("it is empty"))?;
                if !bytes.is_multiple_of(u64::from(page_size.get())) {
                    return Err(ObjectFault::NotADatabase("its length is not a number of pages").into());
                }
                self.page_size = Some(page_size);
            }
            ObjectName::Range(..) => return Err(ObjectFault::SealMissing.into()),
            ObjectName::Segment(_, index, offset) => self.unsealed_segment(&mut decoder, name, (index, offset))?,
        }
        if decoder.finish()?.is_some() {
            return Err(ObjectFault::Changed.into());
        }
        Ok(())
    }

    fn unsealed_segment(
        &mut self,
        decoder: &mut Decoder<ArrivalReader>,
        name: ObjectName,
        (index, offset): (crate::types::Index, Offset),
    ) -> Result<(), Step> {
        let page_size = self.page_size.unwrap_or(PageSize::SMALLEST);
        let mut before = None;
        let mut wal = match (offset, self.wal.take()) {
            (Offset(0), ended) => {
                if self.wal_at.is_some_and(|at| at != index && at.next() != Some(index)) {
                    self.wal_at = Some(index);
                    return Err(ObjectFault::IndexMissing.into());
                }
                before = ended.and_then(|wal| wal.header().map(|h| h.salts));
                WalStream::new(page_size)
            }
            (_, Some(wal)) if self.wal_at == Some(index) && wal.received() == offset => wal,
            // Without the part before, only the frame of LZ4 can be checked; the hole itself is what is wrong.
            _ => {
                self.wal_at = Some(index);
                return Err(ObjectFault::Gap.into());
            }
        };
        self.wal_at = Some(index);
        let mut end = None;
        while let Some(block) = decoder.next_block()? {
            wal.feed(block, |frame| -> Result<(), Step> {
                if frame.header.commit.is_some() {
                    self.checked.commits += 1;
                    end = Some(frame.end);
                }
                Ok(())
            })?;
        }
        if let (Some(before), Some(header)) = (before, wal.header())
            && !header.salts.follow(before)
        {
            return Err(ObjectFault::WalMissing { found: header.salts, before }.into());
        }
        if let Some(offset) = end {
            let generation = name.generation();
            self.checked.end = Some((Position { generation, index, offset }, Timestamp::default()));
        }
        self.wal = Some(wal);
        Ok(())
    }
}
