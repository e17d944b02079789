//! The first object of every restore: the whole database.

use super::error::{ApplyError, ObjectFault, Step};
use super::fetch::{Arrival, ArrivalReader};
use super::image::{Edge, Expected, ImagePort, ImageWriter};
use crate::history::{Sealing, check_place};
use crate::segment::{Decoder, Seal};
use crate::types::{PageCount, PageSize};

/// Where a database header keeps its page size.
const PAGE_SIZE_FIELD: std::ops::Range<usize> = 16..18;
const DATABASE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Writes the snapshot, and returns the database so far and its size.
pub fn apply_snapshot(arrival: Arrival, sealed: bool, port: ImagePort) -> Result<(ImageWriter, PageCount), ApplyError> {
    let name = arrival.object.name;
    match (sealed, &arrival.sealing) {
        (true, Sealing::Sealed(seal)) => check_place(&name, seal)?,
        (true, Sealing::Unsealed) => return Err(ObjectFault::SealMissing.of(name)),
        (_, Sealing::Damaged(fault)) => return Err(ObjectFault::Seal(fault.clone()).of(name)),
        (false, Sealing::Unsealed) => {}
        (false, Sealing::Sealed(_)) => return Err(ObjectFault::Changed.of(name)),
    }
    if arrival.object.seal.as_deref().is_some_and(|planned| Some(planned) != seal_of(&arrival.sealing)) {
        return Err(ObjectFault::Changed.of(name));
    }
    write(arrival, port).map_err(|step| step.at(name))
}

fn seal_of(sealing: &Sealing) -> Option<&Seal> {
    if let Sealing::Sealed(seal) = sealing { Some(seal) } else { None }
}

fn write(arrival: Arrival, port: ImagePort) -> Result<(ImageWriter, PageCount), Step> {
    let Arrival { object, sealing, body } = arrival;
    let seal = seal_of(&sealing);
    let mut decoder = Decoder::new(ArrivalReader::new(body));
    let mut port = Some(port);
    let mut image: Option<ImageWriter> = None;
    let mut written_bytes = 0_u64;
    while let Some(mut block) = decoder.next_block()? {
        if let Some(port) = port.take() {
            let page_size = seal.map_or_else(|| page_size_in(block), |seal| Ok(seal.page_size))?;
            image = Some(port.begin(page_size)?);
        }
        let Some(image) = &mut image else { break };
        if seal.is_some_and(|seal| written_bytes + block.len() as u64 > seal.raw_bytes) {
            return Err(ObjectFault::SealField("the length").into());
        }
        while !block.is_empty() {
            let taken = image.run(written_bytes, block)?;
            written_bytes += taken as u64;
            block = &block[taken..];
        }
    }
    let found = decoder.finish()?;
    if found.as_ref() != seal {
        return Err(ObjectFault::Changed.into());
    }
    let mut image = match (image, port, seal) {
        (Some(image), ..) => image,
        (None, Some(port), Some(seal)) => port.begin(seal.page_size)?,
        _ => return Err(ObjectFault::NotADatabase("it is empty").into()),
    };
    let size = whole_pages(written_bytes, image.page_size())?;
    image.resize(size)?;
    if let Some(seal) = seal {
        image.expect(Expected {
            object: object.name,
            edge: Edge::After,
            size: seal.size_after,
            digest: seal.digest_after,
        })?;
    }
    Ok((image, size))
}

/// The page size that the header of a database says.
pub(super) fn page_size_in(first_block: &[u8]) -> Result<PageSize, ObjectFault> {
    if !first_block.starts_with(DATABASE_MAGIC) {
        return Err(ObjectFault::NotADatabase("its header says so"));
    }
    let field = first_block.get(PAGE_SIZE_FIELD).and_then(|f| f.first_chunk()).copied().map(u16::from_be_bytes);
    field.and_then(PageSize::from_database_header).ok_or(ObjectFault::NotADatabase("its page size makes no sense"))
}

fn whole_pages(bytes: u64, page_size: PageSize) -> Result<PageCount, ObjectFault> {
    let size = u64::from(page_size.get());
    let pages = bytes.is_multiple_of(size).then(|| u32::try_from(bytes / size).ok()).flatten();
    pages.map(PageCount).ok_or(ObjectFault::NotADatabase("its length is not a number of pages"))
}
