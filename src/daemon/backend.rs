//! The store that a replica's configuration names.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use replica_backends::Backend;
use replica_backends::file::{FileBackend, Ownership};

use crate::config::ReplicaTarget;

/// Opens the store at `target` for the database at `database`; `None` if this version has no driver for it.
#[must_use]
pub fn open_backend(target: &ReplicaTarget, database: &Path) -> Option<Arc<dyn Backend>> {
    match target {
        ReplicaTarget::File { path } => Some(Arc::new(FileBackend::new(path).with_ownership(ownership_of(database)))),
        _ => None,
    }
}

/// Files get mode and owner of the database, folders those of its folder, as Litestream 0.3 has it.
fn ownership_of(database: &Path) -> Ownership {
    let (Ok(file), Some(Ok(folder))) = (fs::metadata(database), database.parent().map(fs::metadata)) else {
        return Ownership::default();
    };
    Ownership {
        file_mode: file.mode() & 0o777,
        dir_mode: folder.mode() & 0o777,
        file_owner: Some((file.uid(), file.gid())),
        dir_owner: Some((folder.uid(), folder.gid())),
    }
}
