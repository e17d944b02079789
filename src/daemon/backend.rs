//! The store that a replica's configuration names.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use replica_backends::Backend;
use replica_backends::cloud::Bucket;
use replica_backends::file::{FileBackend, Ownership};
use replica_backends::s3::{S3Login as Login, S3Options};

use crate::config::{ReplicaTarget, S3Login, S3Target, Secret};

/// Opens stores. All replicas in one bucket share its client and connections, however many databases there are.
#[derive(Debug, Default)]
pub struct Stores {
    s3: Mutex<HashMap<S3Options, Arc<Bucket>>>,
}

impl Stores {
    /// Opens the store at `target` for the database at `database`; `None` if this version has no driver for it.
    ///
    /// Nothing is sent yet.
    #[must_use]
    pub fn open(&self, target: &ReplicaTarget, database: &Path) -> Option<Arc<dyn Backend>> {
        match target {
            ReplicaTarget::File { path } => {
                Some(Arc::new(FileBackend::new(path).with_ownership(ownership_of(database))))
            }
            ReplicaTarget::S3(target) => Some(Arc::new(self.bucket(s3_options(target)).folder(&target.path))),
            _ => None,
        }
    }

    fn bucket(&self, options: S3Options) -> Arc<Bucket> {
        let mut buckets = self.s3.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(buckets.entry(options.clone()).or_insert_with(|| options.open()))
    }
}

fn s3_options(target: &S3Target) -> S3Options {
    let reveal = |secret: &Secret| secret.reveal().to_owned();
    let login = match &target.login {
        S3Login::Instance => Login::Instance,
        S3Login::Keys { access_key_id, secret_access_key, session_token } => Login::Keys {
            access_key_id: reveal(access_key_id),
            secret_access_key: reveal(secret_access_key),
            session_token: session_token.as_ref().map(reveal),
        },
        S3Login::WebIdentity { token_file, role_arn, session_name } => Login::WebIdentity {
            token_file: token_file.clone(),
            role_arn: role_arn.clone(),
            session_name: session_name.clone(),
        },
        S3Login::Container(path) => Login::Container(path.clone()),
        S3Login::Pod(url, token_file) => Login::Pod(url.clone(), token_file.clone()),
    };
    S3Options {
        bucket: target.bucket.clone(),
        endpoint: target.endpoint.clone(),
        region: target.region.clone(),
        force_path_style: target.force_path_style,
        skip_verify: target.skip_verify,
        login,
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
