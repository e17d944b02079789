//! Which LTX files a restore needs, in which order.

use std::fmt;

use super::{LtxCatalog, LtxEntry, LtxTimes, NeedsTimes};
use crate::types::{Timestamp, Txid};

/// Which state is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LtxTarget {
    /// The newest.
    Latest,
    /// The last transaction that was seen at or before this instant.
    Time(Timestamp),
    /// The state after this transaction.
    Txid(Txid),
}

/// A restore from LTX files, before anything is fetched.
///
/// Invariant: the first file holds a whole database, and each other one begins at or before the transaction after the
/// one before it, and reaches further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LtxPlan {
    /// In the order in which they are applied.
    pub files: Vec<LtxEntry>,
    /// The last transaction in them.
    pub txid: Txid,
    /// When it was seen, as far as the headers have been read.
    pub time: Option<Timestamp>,
    /// The wanted point lies behind the end of the history.
    pub beyond_end: bool,
}

impl LtxPlan {
    /// What has to be fetched, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.stored_bytes).sum()
    }
}

impl fmt::Display for LtxPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            writeln!(f, "ltx         {}  ({} bytes)", file.key, file.stored_bytes)?;
        }
        write!(f, "restores    TXID {}", self.txid)?;
        if let Some(time) = self.time {
            write!(f, " of {time}")?;
        }
        writeln!(f, "\nproof       file checksums only: Litestream 0.5 wrote this history, so there is no digest")?;
        write!(f, "downloads   {} objects, {} bytes", self.files.len(), self.stored_bytes())
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LtxPlanError {
    /// No file holds a whole database.
    #[error("none of its LTX files begins with TXID 0000000000000001, so there is nothing to apply the others to")]
    NoWhole,
    /// The wanted time comes before everything.
    #[error("{wanted} is before the first restorable point of its LTX files, which is {first}")]
    TooEarly {
        /// What was asked for.
        wanted: Timestamp,
        /// What there is.
        first: Timestamp,
    },
    /// The wanted transaction comes before everything that can be restored.
    #[error("TXID {wanted} is before the first one that can be restored, which is {first}")]
    TxidTooLow {
        /// What was asked for.
        wanted: Txid,
        /// What there is.
        first: Txid,
    },
    /// The wanted transaction comes after everything.
    #[error("TXID {wanted} is after the last one there is, which is {last}")]
    TxidTooHigh {
        /// What was asked for.
        wanted: Txid,
        /// What there is.
        last: Txid,
    },
    /// The wanted transaction has been merged with its neighbours.
    #[error(
        "TXID {wanted} can no longer be told apart: {file} holds it together with others; the state before it is TXID \
         {before}, the one after it TXID {file_max}"
    )]
    Merged {
        /// What was asked for.
        wanted: Txid,
        /// The last state before it.
        before: Txid,
        /// The smallest file that holds it.
        file: String,
        /// The last transaction in that.
        file_max: Txid,
    },
    /// A transaction is missing although later ones are there.
    #[error(
        "TXID {missing} is missing, but {next} exists: the history has a hole there; restore the state before it with \
         -txid {before}"
    )]
    Hole {
        /// The first that is missing.
        missing: Txid,
        /// The last one before it.
        before: Txid,
        /// The file that shows it.
        next: String,
    },
}

/// Why planning stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LtxStop {
    /// These headers have to be read first; then plan again.
    Needs(NeedsTimes),
    /// There is no plan.
    Fault(Box<LtxPlanError>),
}

impl From<NeedsTimes> for LtxStop {
    fn from(needs: NeedsTimes) -> Self {
        Self::Needs(needs)
    }
}

impl From<LtxPlanError> for LtxStop {
    fn from(error: LtxPlanError) -> Self {
        Self::Fault(Box::new(error))
    }
}

/// Plans the restore of `target`.
///
/// # Errors
/// What is wrong with the files, or which headers have to be read before the question can be answered.
pub fn plan_ltx(catalog: &LtxCatalog, times: &LtxTimes, target: LtxTarget) -> Result<LtxPlan, LtxStop> {
    let newest = catalog.newest().ok_or(LtxPlanError::NoWhole)?;
    let first = catalog.oldest_whole().ok_or(LtxPlanError::NoWhole)?;
    let wanted = match target {
        LtxTarget::Latest => newest.name.max,
        LtxTarget::Time(time) => match times.last_until(catalog, time)?.filter(|txid| *txid >= first.name.max) {
            Some(txid) => txid,
            None => return Err(LtxPlanError::TooEarly { wanted: time, first: times.of(first)? }.into()),
        },
        LtxTarget::Txid(wanted) if wanted > newest.name.max => {
            return Err(LtxPlanError::TxidTooHigh { wanted, last: newest.name.max }.into());
        }
        LtxTarget::Txid(wanted) => wanted,
    };
    if wanted < first.name.max {
        return Err(LtxPlanError::TxidTooLow { wanted, first: first.name.max }.into());
    }
    let files = chain(catalog, wanted);
    let Some(last) = files.last() else { return Err(LtxPlanError::NoWhole.into()) };
    if last.name.max < wanted {
        return Err(unreached(catalog, last.name.max, wanted).into());
    }
    let time = times.of(last).ok();
    let beyond_end = match target {
        LtxTarget::Time(time) if wanted == newest.name.max => times.of(newest)? < time,
        _ => false,
    };
    Ok(LtxPlan { txid: last.name.max, time, beyond_end, files: files.into_iter().cloned().collect() })
}

/// The whole database that reaches furthest, and then each time the file that does: few files, and none that adds
/// nothing. It ends at `wanted`, or where no file goes on.
fn chain(catalog: &LtxCatalog, wanted: Txid) -> Vec<&LtxEntry> {
    let mut files: Vec<&LtxEntry> = Vec::new();
    loop {
        let at = files.last().map(|last| last.name.max);
        let fits = |e: &&LtxEntry| match at {
            None => e.name.is_whole() && e.name.max <= wanted,
            // What begins at the first transaction has every page; the first choice was the best of those.
            Some(at) => !e.name.is_whole() && e.name.min <= at.next() && e.name.max > at && e.name.max <= wanted,
        };
        // Of several that reach as far, the one that overlaps least.
        let best = catalog.entries().iter().filter(fits).max_by_key(|e| (e.name.max, e.name.min));
        match best {
            Some(best) => files.push(best),
            None => return files,
        }
    }
}

/// Why no chain of files leads from `reached` to `wanted`.
fn unreached(catalog: &LtxCatalog, reached: Txid, wanted: Txid) -> LtxPlanError {
    let holds = |e: &&LtxEntry| e.name.min <= wanted && e.name.max > wanted && e.name.min <= reached.next();
    let ends = |e: &LtxEntry| e.name.max == wanted;
    if let Some(file) = catalog.entries().iter().filter(holds).min_by_key(|e| e.name.max)
        && !catalog.entries().iter().any(ends)
    {
        return LtxPlanError::Merged { wanted, before: reached, file: file.key.clone(), file_max: file.name.max };
    }
    let beyond = catalog.entries().iter().filter(|e| e.name.min > reached.next()).min_by_key(|e| e.name.min);
    let next = beyond.map_or_else(String::new, |e| e.key.clone());
    LtxPlanError::Hole { missing: reached.next(), before: reached, next }
}
