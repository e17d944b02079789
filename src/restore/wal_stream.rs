//! The WAL of one index as it arrives: bytes in, verified frames out, however they are cut.

use super::error::ObjectFault;
use crate::types::{Offset, PageSize};
use crate::wal::{Chain, FRAME_HEADER_BYTES, FrameHeader, WAL_HEADER_BYTES, WalHeader, frame_bytes};

/// A frame that has been verified.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// What it says of its page.
    pub header: FrameHeader,
    /// The page.
    pub content: &'a [u8],
    /// Offset behind it.
    pub end: Offset,
}

/// Invariant: `verified` is at most `received`, and the bytes between them are in `carry`.
#[derive(Debug, Clone)]
pub struct WalStream {
    page_size: PageSize,
    header: Option<WalHeader>,
    chain: Option<Chain>,
    carry: Vec<u8>,
    verified: u64,
    received: u64,
}

impl WalStream {
    /// The WAL of a database with pages of `page_size`, before its first byte.
    pub fn new(page_size: PageSize) -> Self {
        Self { page_size, header: None, chain: None, carry: Vec::new(), verified: 0, received: 0 }
    }

    /// The WAL from `offset` on, where a frame begins and the chain is `chain`.
    pub fn within(chain: Chain, offset: Offset) -> Self {
        let at = offset.0;
        Self { chain: Some(chain), verified: at, received: at, ..Self::new(chain.page_size) }
    }

    /// Where the next byte belongs.
    pub fn received(&self) -> Offset {
        Offset(self.received)
    }

    /// The state after all whole frames so far; `None` before the header.
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// Its header, when that has arrived.
    pub fn header(&self) -> Option<&WalHeader> {
        self.header.as_ref()
    }

    /// Whether the bytes so far end at the end of a frame.
    pub fn at_frame_end(&self) -> bool {
        self.carry.is_empty()
    }

    /// Takes the next bytes and hands every whole frame to `each`.
    pub fn feed<E: From<ObjectFault>>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.received += bytes.len() as u64;
        while !bytes.is_empty() {
            let unit = self.unit_bytes();
            if self.carry.is_empty() && bytes.len() >= unit {
                let (whole, rest) = bytes.split_at(unit);
                self.unit(whole, &mut each)?;
                bytes = rest;
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(unit - self.carry.len()));
            self.carry.extend_from_slice(part);
            bytes = rest;
            if self.carry.len() == unit {
                let whole = std::mem::take(&mut self.carry);
                self.unit(&whole, &mut each)?;
                self.carry = whole;
                self.carry.clear();
            }
        }
        Ok(())
    }

    fn unit_bytes(&self) -> usize {
        if self.chain.is_some() { frame_bytes(self.page_size) } else { WAL_HEADER_BYTES }
    }

    fn unit<E: From<ObjectFault>>(
        &mut self,
        whole: &[u8],
        each: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let at = Offset(self.verified);
        self.verified += whole.len() as u64;
        let Some(chain) = &mut self.chain else {
            let header = WalHeader::parse(whole).map_err(ObjectFault::Header)?;
            if header.page_size != self.page_size {
                return Err(ObjectFault::PageSize(header.page_size, self.page_size).into());
            }
            self.chain = Some(Chain::begin(&header));
            self.header = Some(header);
            return Ok(());
        };
        let header = chain.verify(whole).map_err(|fault| ObjectFault::Frame(at, fault))?;
        each(Frame { header, content: &whole[FRAME_HEADER_BYTES..], end: Offset(self.verified) })
    }
}
