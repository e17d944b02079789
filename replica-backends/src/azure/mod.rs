//! Replicas in Azure Blob Storage.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use crate::cloud::{Bucket, Client, Connector, Service, client_options, retry_config, without_userinfo};

/// learn.microsoft.com/rest/api/storageservices/put-block: blocks of a blob.
const PARTS_MAX: u64 = 50_000;

/// A container and how to log in there. Two that are equal can share a [`Bucket`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct AzureOptions {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// URL of the account; `None` is its own at Azure.
    pub endpoint: Option<String>,
    /// Who logs in.
    pub login: AzureLogin,
}

/// Where the credentials come from. Those that expire are renewed before they do, except for a shared signature.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum AzureLogin {
    /// The service of the machine that this runs on.
    #[default]
    ManagedIdentity,
    /// The key of the account.
    Key(String),
    /// A shared access signature, such as `sv=...&sig=...`.
    Sas(String),
    /// A token in a file is exchanged for credentials (Kubernetes).
    WorkloadIdentity {
        /// As whom.
        client_id: String,
        /// Where that is known.
        tenant_id: String,
        /// The file.
        token_file: String,
    },
    /// A client with a secret of its own.
    Client {
        /// Who.
        client_id: String,
        /// Where that is known.
        tenant_id: String,
        /// The password.
        secret: String,
    },
}

impl AzureOptions {
    /// The container, for as many replicas as there are in it. Nothing is sent yet.
    #[must_use]
    pub fn open(self) -> Arc<Bucket> {
        let location = match &self.endpoint {
            None => format!("abs://{}@{}", self.account, self.container),
            Some(endpoint) => format!("abs://{}@{} at {}", self.account, self.container, without_userinfo(endpoint)),
        };
        let connect = move || {
            let connected = self.connect();
            Box::pin(std::future::ready(connected)) as BoxFuture<'static, _>
        };
        Arc::new(Bucket::new(Service::Azure, location, PARTS_MAX, Box::new(connect)))
    }

    fn connect(&self) -> object_store::Result<Client> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(&self.account)
            .with_container_name(&self.container)
            .with_disable_tagging(true)
            .with_client_options(client_options(false))
            .with_http_connector(Connector(Service::Azure))
            .with_retry(retry_config());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        for (key, value) in self.login.config() {
            builder = builder.with_config(key, value);
        }
        Ok(Client { store: Arc::new(builder.build()?), uploads: None })
    }
}

impl AzureLogin {
    fn config(&self) -> Vec<(AzureConfigKey, String)> {
        use AzureConfigKey as Key;
        match self.clone() {
            Self::ManagedIdentity => Vec::new(),
            Self::Key(key) => vec![(Key::AccessKey, key)],
            Self::Sas(token) => vec![(Key::SasKey, token)],
            Self::WorkloadIdentity { client_id, tenant_id, token_file } => {
                vec![(Key::ClientId, client_id), (Key::AuthorityId, tenant_id), (Key::FederatedTokenFile, token_file)]
            }
            Self::Client { client_id, tenant_id, secret } => {
                vec![(Key::ClientId, client_id), (Key::AuthorityId, tenant_id), (Key::ClientSecret, secret)]
            }
        }
    }
}

// Without the credentials.
impl fmt::Debug for AzureOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureOptions").field("container", &self.container).finish_non_exhaustive()
    }
}
