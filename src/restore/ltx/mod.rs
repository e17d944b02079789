//! Restoring from files of Litestream 0.5.

mod apply;
mod source;

use std::sync::Arc;

use tokio::sync::mpsc;

use super::error::RestoreError;
use super::publish::Staged;
use super::report::{Proof, Reached, RestoreReport};
use super::source::Source;
use super::{ARRIVALS_AHEAD, ApplyError, Progress, RestoreRequest, fetch, outcome, space_missing};
use crate::history::Target;
use crate::history::ltx::{LtxPlan, LtxStop, LtxTarget, plan_ltx};
use crate::host;

pub use apply::LtxObjectFault;
pub use source::LtxSource;

/// A replica and which of its LTX files to restore.
#[derive(Debug)]
pub struct LtxChoice {
    /// The replica.
    pub source: Source,
    /// Which files.
    pub plan: LtxPlan,
}

impl LtxChoice {
    /// Plans what `request` asks for.
    ///
    /// # Errors
    /// If the headers that planning needs cannot be read, or there is no plan.
    pub(super) async fn plan(mut source: Source, request: &RestoreRequest) -> Result<Self, RestoreError> {
        let target = match (request.txid, request.target) {
            (Some(txid), _) => LtxTarget::Txid(txid),
            (None, Target::Time(time)) => LtxTarget::Time(time),
            (None, _) => LtxTarget::Latest,
        };
        loop {
            let needs = match plan_ltx(&source.ltx.catalog, &source.ltx.times, target) {
                Ok(plan) => return Ok(Self { source, plan }),
                Err(LtxStop::Fault(fault)) => return Err(RestoreError::LtxPlan { name: source.name, source: fault }),
                Err(LtxStop::Needs(needs)) => needs,
            };
            if let Err(error) = source.ltx.learn(&needs).await {
                return Err(RestoreError::Unreadable { name: source.name, source: error });
            }
        }
    }
}

/// Fetches, decodes, verifies and applies everything that the plan names.
pub(super) async fn fill(
    staged: &Staged,
    choice: LtxChoice,
    request: &RestoreRequest,
    progress: &dyn Progress,
) -> Result<RestoreReport, RestoreError> {
    let LtxChoice { source, plan } = choice;
    let available = staged.available_bytes();
    let job = apply::Job { files: plan.files.clone(), file: staged.file()?, size_max_bytes: available };
    progress.begin(plan.stored_bytes());
    let (out, arrivals) = mpsc::channel(ARRIVALS_AHEAD);
    let applying = host::receiving(move || apply::apply(&job, arrivals));
    let downloads = plan.files.iter().map(|f| (f.key.clone(), f.stored_bytes)).collect();
    let fetching = fetch::fetch_bodies(Arc::clone(&source.backend), downloads, request.parallelism, progress, out);
    let (fetched, applied) = tokio::join!(fetching, applying);
    let applied = applied.unwrap_or(Err(ApplyError::WriterStopped));
    if let Err(error) = &applied
        && let Some(bytes) = space_missing(error)
    {
        let needed = bytes.max(available.saturating_add(1));
        return Err(RestoreError::NoSpace { output: request.output.clone(), needed, available });
    }
    let (hashes, last) = outcome(&source.name, fetched, applied)?;
    Ok(RestoreReport {
        replica: source.name,
        target: request.target,
        reached: Reached::Txid(last.max),
        time: last.time,
        size: hashes.size(),
        digest: hashes.digest(),
        proof: Proof::Checksums,
        beyond_end: plan.beyond_end,
        cut_off: false,
        coarse: false,
        uncommitted: Vec::new(),
        hashes,
    })
}
