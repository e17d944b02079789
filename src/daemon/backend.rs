//! The store that a replica's configuration names.

use std::collections::HashMap;
use std::fs;
use std::hash::Hash;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use replica_backends::Backend;
use replica_backends::azure::{AzureLogin, AzureOptions};
use replica_backends::cloud::Bucket;
use replica_backends::file::{FileBackend, Ownership};
use replica_backends::gcs::{GcsLogin, GcsOptions};
use replica_backends::layers::{Age, Memory};
use replica_backends::s3::{S3Encryption as Encryption, S3Login as Login, S3Options};
use replica_backends::sftp::{Host, SftpOptions};
use replica_backends::webdav::{Server, WebdavOptions};

use crate::config::{
    AbsLogin, AbsTarget, GcsTarget, ReplicaConfig, ReplicaTarget, S3Encryption, S3Login, S3Target, Secret, SftpTarget,
    WebdavTarget,
};
use crate::history::keys::is_never_encrypted;
use crate::ship::{AllStreams, Streams};

/// Opens stores. All replicas in one bucket, or on one host, share its client and connections, however many databases
/// there are.
#[derive(Debug, Default)]
pub struct Stores {
    buckets: Mutex<HashMap<Options, Arc<Bucket>>>,
    hosts: Mutex<HashMap<SftpOptions, Arc<Host>>>,
    servers: Mutex<HashMap<WebdavOptions, Arc<Server>>>,
    streams: Mutex<HashMap<Place, Streams>>,
    all_streams: AllStreams,
}

/// What is slow or away as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Disk,
    Bucket(Options),
    Host(SftpOptions),
    Server(WebdavOptions),
}

/// What names a bucket, and who logs in there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Options {
    S3(S3Options),
    Gcs(GcsOptions),
    Azure(AzureOptions),
}

impl Options {
    fn open(self) -> Arc<Bucket> {
        match self {
            Self::S3(options) => options.open(),
            Self::Gcs(options) => options.open(),
            Self::Azure(options) => options.open(),
        }
    }
}

impl Stores {
    /// How many large uploads may be under way to where `target` is.
    pub fn streams(&self, target: &ReplicaTarget) -> Streams {
        let place = match target {
            ReplicaTarget::File { .. } => Place::Disk,
            ReplicaTarget::S3(target) => Place::Bucket(Options::S3(s3_options(target))),
            ReplicaTarget::Gcs(target) => Place::Bucket(Options::Gcs(gcs_options(target))),
            ReplicaTarget::Abs(target) => Place::Bucket(Options::Azure(azure_options(target))),
            ReplicaTarget::Sftp(target) => Place::Host(sftp_options(target)),
            ReplicaTarget::Webdav(target) => Place::Server(webdav_options(target)),
        };
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(place).or_insert_with(|| Streams::new(&self.all_streams)).clone()
    }

    /// Opens the store of `replica` for the database at `database`. `memory` is for those who write encrypted and
    /// cannot read. Nothing is sent yet.
    pub fn open(&self, replica: &ReplicaConfig, database: &Path, memory: Option<Arc<dyn Memory>>) -> Arc<dyn Backend> {
        let store = self.store(&replica.target, database);
        Arc::new(Age::new(store, replica.age.clone(), is_never_encrypted, memory))
    }

    fn store(&self, target: &ReplicaTarget, database: &Path) -> Arc<dyn Backend> {
        match target {
            ReplicaTarget::File { path } => Arc::new(FileBackend::new(path).with_ownership(ownership_of(database))),
            ReplicaTarget::S3(target) => self.in_bucket(Options::S3(s3_options(target)), &target.path),
            ReplicaTarget::Gcs(target) => self.in_bucket(Options::Gcs(gcs_options(target)), &target.path),
            ReplicaTarget::Abs(target) => self.in_bucket(Options::Azure(azure_options(target)), &target.path),
            ReplicaTarget::Sftp(target) => {
                Arc::new(shared(&self.hosts, sftp_options(target), SftpOptions::open).folder(&target.path))
            }
            ReplicaTarget::Webdav(target) => {
                Arc::new(shared(&self.servers, webdav_options(target), WebdavOptions::open).folder(&target.path))
            }
        }
    }

    fn in_bucket(&self, options: Options, path: &str) -> Arc<dyn Backend> {
        Arc::new(shared(&self.buckets, options, Options::open).folder(path))
    }
}

/// The client that was opened with these options; it is opened if there is none.
fn shared<O: Clone + Eq + Hash, C>(
    clients: &Mutex<HashMap<O, Arc<C>>>,
    options: O,
    open: impl FnOnce(O) -> Arc<C>,
) -> Arc<C> {
    let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(clients.entry(options.clone()).or_insert_with(|| open(options)))
}

fn reveal(secret: &Secret) -> String {
    secret.reveal().to_owned()
}

fn sftp_options(target: &SftpTarget) -> SftpOptions {
    SftpOptions {
        host: target.host.clone(),
        user: target.user.clone(),
        password: target.password.as_ref().map(reveal),
        key_path: target.key_path.clone(),
        host_key: target.host_key.clone(),
        known_hosts: target.known_hosts.clone(),
    }
}

fn webdav_options(target: &WebdavTarget) -> WebdavOptions {
    WebdavOptions {
        url: target.url.clone(),
        user: target.user.clone(),
        password: target.password.as_ref().map(reveal),
        skip_verify: target.skip_verify,
    }
}

fn gcs_options(target: &GcsTarget) -> GcsOptions {
    let login = match (&target.emulator, &target.credentials) {
        (Some(_), _) => GcsLogin::Nobody,
        (None, Some(file)) => GcsLogin::File(file.display().to_string()),
        (None, None) => GcsLogin::Surroundings,
    };
    GcsOptions { bucket: target.bucket.clone(), endpoint: target.emulator.clone(), login }
}

fn azure_options(target: &AbsTarget) -> AzureOptions {
    let login = match target.login.clone() {
        AbsLogin::ManagedIdentity => AzureLogin::ManagedIdentity,
        AbsLogin::Key(key) => AzureLogin::Key(reveal(&key)),
        AbsLogin::Sas(token) => AzureLogin::Sas(reveal(&token)),
        AbsLogin::WorkloadIdentity { client_id, tenant_id, token_file } => {
            AzureLogin::WorkloadIdentity { client_id, tenant_id, token_file }
        }
        AbsLogin::Client { client_id, tenant_id, secret } => {
            AzureLogin::Client { client_id, tenant_id, secret: reveal(&secret) }
        }
    };
    AzureOptions {
        account: target.account_name.clone().unwrap_or_default(),
        container: target.container.clone(),
        endpoint: target.endpoint.clone(),
        login,
    }
}

fn s3_options(target: &S3Target) -> S3Options {
    let login = match &target.login {
        S3Login::Machine => Login::Machine,
        S3Login::Profile(name) => Login::Profile(name.clone()),
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
    let encryption = match target.encryption.clone() {
        S3Encryption::Bucket => Encryption::Bucket,
        S3Encryption::Service => Encryption::Service,
        S3Encryption::Kms { key_id, twice } => Encryption::Kms { key_id, twice },
        S3Encryption::Customer(key) => Encryption::Customer(reveal(&key)),
    };
    S3Options {
        bucket: target.bucket.clone(),
        endpoint: target.endpoint.clone(),
        region: target.region.clone(),
        force_path_style: target.force_path_style,
        skip_verify: target.skip_verify,
        encryption,
        storage_class: target.storage_class.clone(),
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
