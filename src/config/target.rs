//! Where a replica lives.

use std::fmt;
use std::path::PathBuf;

use super::Secret;

/// Where a replica lives and how to log in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaTarget {
    /// A folder.
    File {
        /// The folder, absolute once the configuration is resolved.
        path: PathBuf,
    },
    /// Amazon S3 or a service that speaks its protocol.
    S3(S3Target),
    /// Google Cloud Storage.
    Gcs(GcsTarget),
    /// Azure Blob Storage.
    Abs(AbsTarget),
    /// A folder on a host reached by SFTP.
    Sftp(SftpTarget),
    /// A folder on a WebDAV server.
    Webdav(WebdavTarget),
}

/// A place in S3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct S3Target {
    /// The bucket.
    pub bucket: String,
    /// Prefix of every key; may be empty.
    pub path: String,
    /// URL of the service, if not Amazon's own.
    pub endpoint: Option<String>,
    /// The region, if stated; else the service is asked.
    pub region: Option<String>,
    /// Whether the bucket stands in the path of requests, not in the host name.
    pub force_path_style: bool,
    /// Whether the certificate of the service goes unchecked.
    pub skip_verify: bool,
    /// How the service encrypts what it stores.
    pub encryption: S3Encryption,
    /// The class that objects get, if stated.
    pub storage_class: Option<String>,
    /// How one logs in.
    pub login: S3Login,
}

/// How S3 encrypts what it stores.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum S3Encryption {
    /// As the bucket is set up.
    #[default]
    Bucket,
    /// With keys of the service.
    Service,
    /// With a key of Amazon's key service.
    Kms {
        /// Which, if stated.
        key_id: Option<String>,
        /// Whether twice.
        twice: bool,
    },
    /// With this key, 32 bytes in Base64.
    Customer(Secret),
}

/// Where the credentials for S3 come from. Those that come from a service or a file are renewed before they expire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum S3Login {
    /// The default profile of `~/.aws`, else the instance metadata service of the machine.
    #[default]
    Machine,
    /// A profile of `~/.aws`.
    Profile(String),
    /// Keys, with the session token that temporary ones have.
    Keys {
        /// Who.
        access_key_id: Secret,
        /// The password of that.
        secret_access_key: Secret,
        /// Of temporary keys.
        session_token: Option<Secret>,
    },
    /// A token in a file that is exchanged for keys of a role.
    WebIdentity {
        /// The file.
        token_file: String,
        /// The role.
        role_arn: String,
        /// What the store's log shows.
        session_name: Option<String>,
    },
    /// The service of the container, at this path.
    Container(String),
    /// The service of the pod, at this URL, with the token in this file.
    Pod(String, String),
}

/// A place in Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcsTarget {
    /// The bucket.
    pub bucket: String,
    /// Prefix of every key; may be empty.
    pub path: String,
    /// URL of an emulator, which asks for no credentials; `None`: Google.
    pub emulator: Option<String>,
    /// File of the credentials; `None`: those that gcloud has left, or that the machine offers.
    pub credentials: Option<PathBuf>,
}

/// A place in Azure Blob Storage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AbsTarget {
    /// The storage account, if stated.
    pub account_name: Option<String>,
    /// How one logs in.
    pub login: AbsLogin,
    /// The container; Litestream's key for it is `bucket`.
    pub container: String,
    /// Prefix of every key; may be empty.
    pub path: String,
    /// URL of the service, if not the account's own.
    pub endpoint: Option<String>,
}

/// Where the credentials for Azure come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AbsLogin {
    /// The identity of the machine.
    #[default]
    ManagedIdentity,
    /// The key of the account.
    Key(Secret),
    /// A shared access signature.
    Sas(Secret),
    /// A token in a file, of this client and tenant.
    WorkloadIdentity {
        /// As whom.
        client_id: String,
        /// Where.
        tenant_id: String,
        /// The file.
        token_file: String,
    },
    /// A client with a secret.
    Client {
        /// Who.
        client_id: String,
        /// Where.
        tenant_id: String,
        /// The password of that.
        secret: Secret,
    },
}

/// A folder on another host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SftpTarget {
    /// Name or address, with `:port` unless that is 22.
    pub host: String,
    /// Who logs in.
    pub user: String,
    /// The password, if that is how.
    pub password: Option<Secret>,
    /// File of the private key, if that is how.
    pub key_path: Option<PathBuf>,
    /// The public key of the host, as in `known_hosts` but without the name; `None`: those files decide.
    pub host_key: Option<String>,
    /// Files of OpenSSH that say which hosts have which keys.
    pub known_hosts: Vec<PathBuf>,
    /// The folder; may be empty. Relative to where the host puts the user if it does not begin with a slash.
    pub path: String,
}

/// A folder on a WebDAV server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebdavTarget {
    /// Of the server: `http` or `https`, without user and without a slash at its end.
    pub url: String,
    /// Who logs in, if somebody must.
    pub user: Option<String>,
    /// The password of that.
    pub password: Option<Secret>,
    /// Whether the certificate of the server goes unchecked.
    pub skip_verify: bool,
    /// The folder below the URL; may be empty.
    pub path: String,
}

impl ReplicaTarget {
    /// The kind, as `type:` names it; also the replica's name if it has none.
    #[must_use]
    pub fn kind(&self) -> ReplicaKind {
        match self {
            Self::File { .. } => ReplicaKind::File,
            Self::S3(_) => ReplicaKind::S3,
            Self::Gcs(_) => ReplicaKind::Gcs,
            Self::Abs(_) => ReplicaKind::Abs,
            Self::Sftp(_) => ReplicaKind::Sftp,
            Self::Webdav(_) => ReplicaKind::Webdav,
        }
    }
}

impl fmt::Display for ReplicaTarget {
    /// The place as a URL without passwords. Two replicas that share it would overwrite each other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = |path: &str| path.trim_matches('/').to_owned();
        match self {
            Self::File { path } => write!(f, "file://{}", path.display()),
            Self::S3(S3Target { bucket, path, endpoint: None, .. }) => write!(f, "s3://{bucket}/{}", rest(path)),
            Self::S3(S3Target { bucket, path, endpoint: Some(endpoint), .. }) => {
                write!(f, "s3://{bucket}/{} at {}", rest(path), without_login(endpoint).trim_end_matches('/'))
            }
            Self::Gcs(GcsTarget { bucket, path, .. }) => write!(f, "gcs://{bucket}/{}", rest(path)),
            Self::Abs(AbsTarget { account_name, container, path, .. }) => match account_name {
                Some(account) => write!(f, "abs://{account}@{container}/{}", rest(path)),
                None => write!(f, "abs://{container}/{}", rest(path)),
            },
            Self::Sftp(SftpTarget { host, user, path, .. }) => write!(f, "sftp://{user}@{host}/{}", rest(path)),
            Self::Webdav(WebdavTarget { url, path, .. }) => {
                // "http" and "https" become "webdav" and "webdavs".
                write!(f, "webdav{}/{}", url.strip_prefix("http").unwrap_or(url), rest(path))
            }
        }
    }
}

/// A URL, or a host, without who logs in there.
fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, _)| url.split_at(scheme.len() + 3));
    let authority = rest.split('/').next().unwrap_or(rest);
    let hidden = authority.rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}{}", &rest[hidden..])
}

/// The kinds of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaKind {
    /// A folder.
    File,
    /// S3.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Abs,
    /// SFTP.
    Sftp,
    /// WebDAV.
    Webdav,
}

impl ReplicaKind {
    /// The kind that `type:` or the scheme of a URL names. `gs` is Litestream 0.5's word for `gcs`, and `webdavs` is
    /// WebDAV by way of HTTPS.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "file" => Self::File,
            "s3" => Self::S3,
            "gcs" | "gs" => Self::Gcs,
            "abs" => Self::Abs,
            "sftp" => Self::Sftp,
            "webdav" | "webdavs" => Self::Webdav,
            _ => return None,
        })
    }

    /// As `type:` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Abs => "abs",
            Self::Sftp => "sftp",
            Self::Webdav => "webdav",
        }
    }
}

impl fmt::Display for ReplicaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
