//! Credentials of a profile in `~/.aws/credentials` and `~/.aws/config`, as Amazon's own library reads them: keys, a
//! role that is assumed, a command that prints them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

/// Credentials are renewed so long before they expire.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);
/// Those that do not expire are read again after so long: somebody may have put others there.
const READ_AGAIN: Duration = Duration::from_secs(900);

/// A profile that has credentials.
#[derive(Debug)]
pub(super) struct Profile {
    name: Option<String>,
    region: String,
    current: Mutex<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    credential: Arc<AwsCredential>,
    renew_at: SystemTime,
}

impl Profile {
    /// The profile `name`; without a name the one that `AWS_PROFILE` names, else `default`. `None` if there is none, or
    /// it has no credentials, and no name was given.
    ///
    /// # Errors
    /// If the profile cannot be read, or what it names gives no credentials.
    pub(super) async fn find(name: Option<&str>, region: &str) -> object_store::Result<Option<Self>> {
        match read(name, region).await {
            Ok(current) => {
                let (name, current) = (name.map(str::to_owned), Mutex::new(current));
                Ok(Some(Self { name, region: region.to_owned(), current }))
            }
            Err(CredentialsError::CredentialsNotLoaded(_)) if name.is_none() => Ok(None),
            Err(error) => Err(failed(name, &error)),
        }
    }
}

#[async_trait]
impl CredentialProvider for Profile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut current = self.current.lock().await;
        if SystemTime::now() >= current.renew_at {
            let name = self.name.as_deref();
            *current = read(name, &self.region).await.map_err(|error| failed(name, &error))?;
        }
        Ok(Arc::clone(&current.credential))
    }
}

/// The files are read anew each time.
async fn read(name: Option<&str>, region: &str) -> Result<Current, CredentialsError> {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_region(Some(Region::new(region.to_owned())))
        .with_http_client(http);
    let mut builder = ProfileFileCredentialsProvider::builder().configure(&config);
    if let Some(name) = name {
        builder = builder.profile_name(name);
    }
    let found = builder.build().provide_credentials().await?;
    let now = SystemTime::now();
    let renew_at = found.expiry().map_or(now + READ_AGAIN, |expiry| expiry - RENEWED_BEFORE);
    let credential = AwsCredential {
        key_id: found.access_key_id().to_owned(),
        secret_key: found.secret_access_key().to_owned(),
        token: found.session_token().map(str::to_owned),
    };
    Ok(Current { credential: Arc::new(credential), renew_at })
}

fn failed(name: Option<&str>, error: &CredentialsError) -> object_store::Error {
    let name = name.unwrap_or("default");
    let why = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let why: Vec<String> = why.map(ToString::to_string).collect();
    let text = format!("no credentials in the profile {name:?} of ~/.aws: {}", why.join(": "));
    object_store::Error::Generic { store: "S3", source: text.into() }
}
