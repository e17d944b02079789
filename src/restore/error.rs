//! Why a restore failed: which object, what is wrong with it, and what to do next.

use std::io;
use std::path::PathBuf;

use super::image::{Edge, WriterStopped};
use super::ltx::LtxObjectFault;
use crate::history::ltx::LtxPlanError;
use crate::history::{ObjectName, PlanError, plan_key};
use crate::segment::{DecodeFault, SealFault, StateDigest};
use crate::types::{Generation, Offset, PageCount, PageSize, Txid};
use crate::wal::{FrameFault, HeaderFault, Salts};

/// What is wrong with one object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectFault {
    /// It is cut short or damaged.
    #[error(transparent)]
    Decode(#[from] DecodeFault),
    /// Its history is sealed, but it is not.
    #[error("its seal is missing; its end may be cut off")]
    SealMissing,
    /// Its history has no seals, but it has.
    #[error("it has a seal, but the snapshot {} has none; the snapshot's end may be cut off", plan_key(.0))]
    SealUnexpected(ObjectName),
    /// A seal that cannot be used.
    #[error(transparent)]
    Seal(#[from] SealFault),
    /// The seal contradicts the data or what came before it.
    #[error("{0} of its seal is not that of its data")]
    SealField(&'static str),
    /// The object was replaced between planning and fetching.
    #[error("it has changed since the restore was planned; try again")]
    Changed,
    /// It does not begin with a WAL header.
    #[error(transparent)]
    Header(HeaderFault),
    /// A frame does not continue the chain.
    #[error("frame at offset {0}: {1}")]
    Frame(Offset, FrameFault),
    /// Page sizes differ.
    #[error("its page size is {0}, but the database's is {1}")]
    PageSize(PageSize, PageSize),
    /// The salts or the running checksum are not those of the object before it.
    #[error(
        "it does not continue the WAL before it (salts and checksum differ): an object is missing or from elsewhere"
    )]
    Chain,
    /// A WAL is missing between two indexes.
    #[error(
        "its salts are {found}, but the WAL of the index before it has {before}: a whole WAL between them is missing"
    )]
    WalMissing {
        /// Of this index.
        found: Salts,
        /// Of the index before it.
        before: Salts,
    },
    /// Between it and the object before it, something is missing.
    #[error("it does not begin where the object before it ends: an object is missing or from elsewhere")]
    Gap,
    /// A whole index is missing.
    #[error("the index before it is missing")]
    IndexMissing,
    /// It ends within a frame or a transaction.
    #[error("it does not end at the end of a transaction")]
    OpenEnd,
    /// The commits in it are not those of its seal.
    #[error("the commit that ends at offset {0} is not the one of its seal")]
    Commit(Offset),
    /// The database is not what the seal says.
    #[error("{}", state_fault(*.edge, *.expected, *.found))]
    State {
        /// Before or after the object.
        edge: Edge,
        /// What the seal says.
        expected: (PageCount, StateDigest),
        /// What was restored.
        found: (PageCount, StateDigest),
    },
    /// Not a database.
    #[error("it is not a SQLite database ({0})")]
    NotADatabase(&'static str),
    /// A size that cannot be.
    #[error("it makes the database {0} bytes large, which does not fit on this disk")]
    Size(u64),
}

impl ObjectFault {
    /// The same, with the name of the object.
    #[must_use]
    pub fn of(self, name: ObjectName) -> ApplyError {
        ApplyError::Object(name, Box::new(self))
    }
}

fn state_fault(edge: Edge, expected: (PageCount, StateDigest), found: (PageCount, StateDigest)) -> String {
    let ((size, digest), (found_size, found_digest)) = (expected, found);
    match edge {
        Edge::Before => format!(
            "it continues a database of {size} pages with digest {digest}, but the objects before it give {found_size} \
             pages with digest {found_digest}: an object before it is missing or replaced"
        ),
        Edge::After => format!(
            "it ends at a database of {size} pages with digest {digest}, but restoring it gives {found_size} pages \
             with digest {found_digest}"
        ),
    }
}

/// Why the objects could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// An object is at fault.
    #[error("{}: {}", plan_key(.0), .1)]
    Object(ObjectName, Box<ObjectFault>),
    /// A file of Litestream 0.5 is at fault.
    #[error("{0}: {1}")]
    Ltx(String, Box<LtxObjectFault>),
    /// Something between two objects is missing or doubled.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The staged file could not be written.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// The writing thread stopped first; it knows why.
    #[error("the restored file could not be written")]
    WriterStopped,
    /// The objects stopped coming; the fetching side knows why.
    #[error("the replica could not be read to the end")]
    Interrupted,
}

impl From<WriterStopped> for ApplyError {
    fn from(_: WriterStopped) -> Self {
        Self::WriterStopped
    }
}

/// Why one step within an object failed; the object's name is added outside.
#[derive(Debug)]
pub enum Step {
    /// The object is at fault.
    Fault(Box<ObjectFault>),
    /// A file beside the target could not be written.
    Write(io::Error),
    /// The writing thread has stopped.
    WriterStopped,
}

impl Step {
    /// The same, with the name of the object.
    pub fn at(self, name: ObjectName) -> ApplyError {
        match self {
            Self::Fault(fault) => ApplyError::Object(name, fault),
            Self::Write(error) => ApplyError::Write(error),
            Self::WriterStopped => ApplyError::WriterStopped,
        }
    }
}

impl From<ObjectFault> for Step {
    fn from(fault: ObjectFault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl From<DecodeFault> for Step {
    fn from(fault: DecodeFault) -> Self {
        ObjectFault::Decode(fault).into()
    }
}

impl From<io::Error> for Step {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<WriterStopped> for Step {
    fn from(_: WriterStopped) -> Self {
        Self::WriterStopped
    }
}

/// Why a restore failed. Nothing has been published then, and nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Every replica was read and holds nothing at all.
    #[error("no matching backups found")]
    NoBackups,
    /// A TXID was asked for, and no replica has one.
    #[error("no matching backups found: no replica was written by Litestream 0.5, so there is no TXID {0}")]
    NoTxid(Txid),
    /// The replicas hold backups, but not the generation asked for.
    #[error("no matching backups found: no replica has generation {0}")]
    NoGeneration(Generation),
    /// The newest generation cannot be used; an older one is never taken silently.
    #[error(
        "generation {generation} is newer but has no snapshot{}",
        alternative.map_or(String::new(), |g| format!("; use -generation {g}"))
    )]
    NoSnapshot {
        /// The newest.
        generation: Generation,
        /// The next best one.
        alternative: Option<Generation>,
    },
    /// No replica could be read, or those that could hold nothing.
    #[error("cannot read replica {name}: {source}")]
    Unreadable {
        /// Its name.
        name: String,
        /// Why.
        source: replica_backends::Error,
    },
    /// There is no plan.
    #[error("cannot restore from replica {name}: {source}")]
    Plan {
        /// Of which replica.
        name: String,
        /// Why.
        source: Box<PlanError>,
    },
    /// There is no plan from files of Litestream 0.5.
    #[error("cannot restore from replica {name}: {source}")]
    LtxPlan {
        /// Of which replica.
        name: String,
        /// Why.
        source: Box<LtxPlanError>,
    },
    /// The objects could not be put together.
    #[error("cannot restore from replica {name}: {source}")]
    Apply {
        /// Of which replica.
        name: String,
        /// Why.
        source: ApplyError,
    },
    /// There is a file already.
    #[error("cannot restore, output path already exists: {}", .0.display())]
    OutputExists(PathBuf),
    /// A process still uses files that belong to the database that is to be restored.
    #[error("cannot restore to {}: process {pid} still has {} open; stop it first", output.display(), file.display())]
    InUse {
        /// The database.
        output: PathBuf,
        /// The file that is open.
        file: PathBuf,
        /// Who has it open.
        pid: u32,
    },
    /// The disk is too small.
    #[error("cannot restore to {}: {needed} bytes are needed, but {available} are available there", output.display())]
    NoSpace {
        /// The database.
        output: PathBuf,
        /// In bytes.
        needed: u64,
        /// In bytes.
        available: u64,
    },
    /// A file or folder beside the target could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}
