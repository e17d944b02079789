//! Replicas in Amazon S3, and in services that speak its protocol.

mod profile;
mod provider;
#[cfg(test)]
mod tests;
mod uploads;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, resolve_bucket_region};

use self::profile::Profile;
use self::provider::Provider;
use self::uploads::Uploads;
use crate::cloud::{Bucket, Client, Connector, Service, choose_tls, client_options, retry_config, without_userinfo};

/// How long the region of a bucket is asked for.
const REGION_LIMIT: Duration = Duration::from_secs(30);

/// A bucket and how to log in there. Two that are equal can share a [`Bucket`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// URL of the service, with or without scheme (then https); `None` is Amazon's own.
    pub endpoint: Option<String>,
    /// The region; `None`: what the endpoint's name tells, else `us-east-1` if there is an endpoint, else asked.
    pub region: Option<String>,
    /// Whether the bucket stands in the path of requests, not in the host name.
    pub force_path_style: bool,
    /// Whether the certificate of the service goes unchecked.
    pub skip_verify: bool,
    /// How the service encrypts what it stores.
    pub encryption: S3Encryption,
    /// The class that objects get; `None`: the service's own choice.
    pub storage_class: Option<String>,
    /// Who logs in.
    pub login: S3Login,
}

/// How the service encrypts what it stores.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum S3Encryption {
    /// As the bucket is set up.
    #[default]
    Bucket,
    /// With keys of the service (SSE-S3).
    Service,
    /// With a key of Amazon's key service (SSE-KMS).
    Kms {
        /// Which; `None`: the account's own for S3.
        key_id: Option<String>,
        /// Twice (DSSE-KMS).
        twice: bool,
    },
    /// With this key of 32 bytes, in Base64, which is needed to read objects too (SSE-C).
    Customer(String),
}

/// Where the credentials come from.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum S3Login {
    /// The profile `default` of `~/.aws`, or the one that `AWS_PROFILE` names; without any, the service of the machine
    /// that this runs on (EC2 instance metadata).
    #[default]
    Machine,
    /// This profile of `~/.aws`.
    Profile(String),
    /// These.
    Keys {
        /// Who.
        access_key_id: String,
        /// The password of that.
        secret_access_key: String,
        /// A third part that temporary credentials have.
        session_token: Option<String>,
    },
    /// A token in a file is exchanged for credentials, and again before they expire (Kubernetes: IRSA).
    WebIdentity {
        /// The file.
        token_file: String,
        /// As whom.
        role_arn: String,
        /// The name that appears in the store's log.
        session_name: Option<String>,
    },
    /// The service of the container at this path (ECS).
    Container(String),
    /// The service of the pod at this URL, with the token in this file (EKS).
    Pod(String, String),
}

impl S3Options {
    /// The bucket, for as many replicas as there are in it. Nothing is sent yet.
    #[must_use]
    pub fn open(self) -> Arc<Bucket> {
        let location = match &self.endpoint {
            None => format!("s3://{}", self.bucket),
            Some(endpoint) => format!("s3://{} at {}", self.bucket, without_userinfo(endpoint)),
        };
        let (parts_max, storage_class) = (self.provider().parts_max, self.storage_class.clone());
        let options = Arc::new(self);
        let connect = move || {
            let options = Arc::clone(&options);
            Box::pin(async move { options.connect().await }) as futures::future::BoxFuture<'static, _>
        };
        let bucket = Bucket::new(Service::S3, location, parts_max, Box::new(connect));
        Arc::new(bucket.with_storage_class(storage_class))
    }

    fn provider(&self) -> Provider {
        Provider::of(self.endpoint.as_deref())
    }

    /// URL of the service, with the bucket in it if it stands in the host name.
    fn endpoint(&self) -> Option<String> {
        let endpoint = self.endpoint.as_deref()?.trim_end_matches('/');
        let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
        Some(match self.force_path_style {
            true => format!("{scheme}://{host}"),
            false => format!("{scheme}://{}.{host}", self.bucket),
        })
    }

    async fn region(&self) -> object_store::Result<String> {
        if let Some(region) = self.region.clone().or(self.provider().region) {
            return Ok(region);
        }
        if self.endpoint.is_some() {
            return Ok("us-east-1".to_owned());
        }
        choose_tls();
        let options = client_options(self.skip_verify).with_timeout(REGION_LIMIT);
        resolve_bucket_region(&self.bucket, &options).await
    }

    async fn connect(&self) -> object_store::Result<Client> {
        let region = self.region().await?;
        let profile = match &self.login {
            S3Login::Machine => Profile::find(None, &region).await?,
            S3Login::Profile(name) => Profile::find(Some(name), &region).await?,
            _ => None,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(!self.force_path_style)
            .with_disable_bulk_delete(!self.provider().bulk_delete)
            .with_disable_tagging(true)
            .with_client_options(client_options(self.skip_verify))
            .with_http_connector(Connector(Service::S3))
            .with_retry(retry_config());
        if let Some(endpoint) = self.endpoint() {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(profile) = profile {
            builder = builder.with_credentials(Arc::new(profile));
        }
        for (key, value) in self.login.config() {
            builder = builder.with_config(key, value);
        }
        for (key, value) in self.encryption.config() {
            builder = builder.with_config(key.parse()?, value);
        }
        let store = builder.build()?;
        let uploads = Uploads { store: store.clone(), skip_verify: self.skip_verify };
        Ok(Client { store: Arc::new(store), uploads: Some(Arc::new(uploads)) })
    }
}

impl S3Login {
    fn config(&self) -> Vec<(AmazonS3ConfigKey, String)> {
        use AmazonS3ConfigKey as Key;
        match self.clone() {
            Self::Machine | Self::Profile(_) => Vec::new(),
            Self::Keys { access_key_id, secret_access_key, session_token } => {
                let keys = [(Key::AccessKeyId, access_key_id), (Key::SecretAccessKey, secret_access_key)];
                keys.into_iter().chain(session_token.map(|token| (Key::Token, token))).collect()
            }
            Self::WebIdentity { token_file, role_arn, session_name } => {
                let keys = [(Key::WebIdentityTokenFile, token_file), (Key::RoleArn, role_arn)];
                keys.into_iter().chain(session_name.map(|name| (Key::RoleSessionName, name))).collect()
            }
            Self::Container(path) => vec![(Key::ContainerCredentialsRelativeUri, path)],
            Self::Pod(url, token_file) => {
                vec![(Key::ContainerCredentialsFullUri, url), (Key::ContainerAuthorizationTokenFile, token_file)]
            }
        }
    }
}

impl S3Encryption {
    /// By name, because object_store keeps the type of these keys to itself.
    fn config(&self) -> Vec<(&'static str, String)> {
        let (kind, key) = match self.clone() {
            Self::Bucket => return Vec::new(),
            Self::Service => ("AES256", None),
            Self::Kms { key_id, twice } => {
                (if twice { "aws:kms:dsse" } else { "aws:kms" }, key_id.map(|id| ("aws_sse_kms_key_id", id)))
            }
            Self::Customer(key) => ("sse-c", Some(("aws_sse_customer_key_base64", key))),
        };
        [("aws_server_side_encryption", kind.to_owned())].into_iter().chain(key).collect()
    }
}

// Without the credentials.
impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
