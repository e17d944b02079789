//! Files of Litestream 0.5: each is what its name, its index and its checksum say, and none is missing.

use std::sync::Arc;

use replica_backends::Backend;
use tokio::sync::mpsc;

use super::suspicion::{READS, Suspicion};
use super::{Checked, VerifyError};
use crate::history::ltx::{LtxEntry, LtxLevel, LtxStop, LtxTarget, plan_ltx};
use crate::host;
use crate::ltx::{Decoder, LtxFault};
use crate::restore::fetch::{ArrivalBody, ArrivalReader, fetch_bodies};
use crate::restore::{ARRIVALS_AHEAD, LtxSource, Progress, Source};
use crate::segment::Lz4Fault;

/// Verifies every LTX file of `source`.
///
/// # Errors
/// If a file cannot be read; one that is damaged is a finding, not an error.
pub async fn verify_ltx(source: &Source, parallelism: usize, progress: &dyn Progress) -> Result<Checked, VerifyError> {
    let mut last: Option<Suspicion> = None;
    for read in 0..READS {
        let mut again = LtxSource::new(Arc::clone(&source.backend));
        if read > 0 {
            again.list().await?;
        }
        let listed = if read > 0 { &again } else { &source.ltx };
        let mut checked = match verify_once((&source.backend, listed), parallelism, progress).await {
            // Litestream removes what it has merged.
            Err(error) if error.is_outdated() => continue,
            checked => checked?,
        };
        let found = Suspicion { faults: std::mem::take(&mut checked.faults), diverged: None };
        let common = last.as_ref().map(|last| found.common(last)).filter(|common| !common.is_empty());
        if found.is_empty() || common.is_some() {
            checked.faults = common.unwrap_or_default().faults;
            return Ok(checked);
        }
        last = Some(found);
    }
    Err(VerifyError::Restless("ltx".to_owned()))
}

async fn verify_once(
    (backend, source): (&Arc<dyn Backend>, &LtxSource),
    parallelism: usize,
    progress: &dyn Progress,
) -> Result<Checked, VerifyError> {
    let mut checked = Checked { proved: false, ..Checked::new("ltx".to_owned()) };
    if let Err(LtxStop::Fault(fault)) = plan_ltx(&source.catalog, &source.times, LtxTarget::Latest) {
        checked.fault("ltx".to_owned(), &fault);
    }
    for level in source.catalog.levels().filter(|level| level[0].name.level != LtxLevel::SNAPSHOT) {
        for pair in level.windows(2).filter(|pair| pair[1].name.min > pair[0].name.max.next()) {
            let missing = pair[0].name.max.next();
            checked.fault(pair[1].key.clone(), &format!("TXID {missing} is missing before it on its level"));
        }
    }
    let files: Vec<LtxEntry> = source.catalog.entries().to_vec();
    progress.begin(files.iter().map(|f| f.stored_bytes).sum());
    let downloads = files.iter().map(|f| (f.key.clone(), f.stored_bytes)).collect();
    let (out, mut arrivals) = mpsc::channel(ARRIVALS_AHEAD);
    let reading = host::receiving(move || {
        for file in &files {
            let Some(body) = host::receive(&mut arrivals) else { break };
            checked.objects += 1;
            checked.stored_bytes += file.stored_bytes;
            match one(file, body) {
                Ok(()) => {}
                Err(LtxFault::Read(error)) | Err(LtxFault::Page(_, Lz4Fault::Read(error))) => {
                    return Err(VerifyError::Interrupted(file.key.clone(), error.to_string()));
                }
                Err(fault) => checked.fault(file.key.clone(), &fault),
            }
        }
        Ok(checked)
    });
    let fetching = fetch_bodies(Arc::clone(backend), downloads, parallelism, progress, out);
    let (fetched, read) = tokio::join!(fetching, reading);
    fetched?;
    read.unwrap_or_else(|panic| Err(VerifyError::Interrupted("ltx".to_owned(), panic.to_string())))
}

fn one(file: &LtxEntry, body: ArrivalBody) -> Result<(), LtxFault> {
    let decoder = Decoder::open(ArrivalReader::new(body))?;
    let header = *decoder.header();
    decoder.finish()?;
    if (header.min, header.max) == (file.name.min, file.name.max) {
        Ok(())
    } else {
        Err(LtxFault::Header("its TXIDs are not those of its name"))
    }
}
