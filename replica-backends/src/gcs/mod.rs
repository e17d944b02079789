//! Replicas in Google Cloud Storage.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

use crate::cloud::{Bucket, Client, Connector, Service, client_options, retry_config, without_userinfo};

/// cloud.google.com/storage/quotas: parts of an upload.
const PARTS_MAX: u64 = 10_000;

/// A bucket and how to log in there. Two that are equal can share a [`Bucket`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct GcsOptions {
    /// The bucket.
    pub bucket: String,
    /// URL of the service; `None` is Google's own.
    pub endpoint: Option<String>,
    /// Who logs in.
    pub login: GcsLogin,
}

/// Where the credentials come from. All but none are renewed before they expire.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum GcsLogin {
    /// What `gcloud auth application-default login` has left, else the service of the machine that this runs on.
    #[default]
    Surroundings,
    /// A file with the key of a service account, or of a user.
    File(String),
    /// Nobody: emulators ask for nothing.
    Nobody,
}

impl GcsOptions {
    /// The bucket, for as many replicas as there are in it. Nothing is sent yet.
    #[must_use]
    pub fn open(self) -> Arc<Bucket> {
        let location = match &self.endpoint {
            None => format!("gcs://{}", self.bucket),
            Some(endpoint) => format!("gcs://{} at {}", self.bucket, without_userinfo(endpoint)),
        };
        let connect = move || {
            let connected = self.connect();
            Box::pin(std::future::ready(connected)) as BoxFuture<'static, _>
        };
        Arc::new(Bucket::new(Service::Gcs, location, PARTS_MAX, Box::new(connect)))
    }

    fn connect(&self) -> object_store::Result<Client> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.bucket)
            .with_client_options(client_options(false))
            .with_http_connector(Connector(Service::Gcs))
            .with_retry(retry_config());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
        }
        builder = match &self.login {
            GcsLogin::Surroundings => builder,
            GcsLogin::File(path) => builder.with_application_credentials(path),
            GcsLogin::Nobody => builder.with_bearer_token(""),
        };
        Ok(Client { store: Arc::new(builder.build()?), uploads: None })
    }
}

impl fmt::Debug for GcsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcsOptions").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
