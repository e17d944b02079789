//! Google and Azure: what keys, URL and environment say, and which of them wins.

use super::target::stated_secret;
use super::{Resolver, stated};
use crate::config::raw::RawReplica;
use crate::config::target::{AbsLogin, AbsTarget, GcsTarget};
use crate::config::{ConfigError, Secret};

impl Resolver<'_> {
    pub(super) fn complete_gcs(&self, target: GcsTarget) -> GcsTarget {
        // As in Google's own libraries: a host, with or without a scheme.
        let emulator = self.variable("STORAGE_EMULATOR_HOST");
        let with_scheme = |host: String| if host.contains("://") { host } else { format!("http://{host}") };
        GcsTarget {
            emulator: emulator.map(|host| with_scheme(host).trim_end_matches('/').to_owned()),
            credentials: self.variable("GOOGLE_APPLICATION_CREDENTIALS").map(Into::into),
            ..target
        }
    }

    pub(super) fn complete_abs(
        &self,
        target: AbsTarget,
        raw: &RawReplica,
        place: &str,
    ) -> Result<AbsTarget, ConfigError> {
        let account_name = stated(raw.account_name.as_ref()).map(str::to_owned).or(target.account_name.clone());
        if account_name.is_none() {
            return Err(self.missing(place, "account-name required for abs replica"));
        }
        Ok(AbsTarget {
            account_name,
            endpoint: stated(raw.endpoint.as_ref()).map(str::to_owned),
            login: self.abs_login(raw),
            ..target
        })
    }

    /// Keys of the replica, `LITESTREAM_AZURE_*`, and then what Azure's own libraries look for. A shared signature
    /// beats a key, as in Litestream 0.5.
    fn abs_login(&self, raw: &RawReplica) -> AbsLogin {
        let of = |name: &str| self.variable(name).map(Secret::new);
        let (sas, key) = (stated_secret(raw.sas_token.as_ref()), stated_secret(raw.account_key.as_ref()));
        let stated = sas.map(AbsLogin::Sas).or_else(|| key.map(AbsLogin::Key));
        let litestream = || {
            let sas = of("LITESTREAM_AZURE_SAS_TOKEN").map(AbsLogin::Sas);
            sas.or_else(|| of("LITESTREAM_AZURE_ACCOUNT_KEY").map(AbsLogin::Key))
        };
        stated.or_else(litestream).unwrap_or_else(|| self.abs_login_of_surroundings())
    }

    fn abs_login_of_surroundings(&self) -> AbsLogin {
        let client = self.variable("AZURE_CLIENT_ID").zip(self.variable("AZURE_TENANT_ID"));
        let Some((client_id, tenant_id)) = client else { return AbsLogin::ManagedIdentity };
        if let Some(token_file) = self.variable("AZURE_FEDERATED_TOKEN_FILE") {
            return AbsLogin::WorkloadIdentity { client_id, tenant_id, token_file };
        }
        match self.variable("AZURE_CLIENT_SECRET").map(Secret::new) {
            Some(secret) => AbsLogin::Client { client_id, tenant_id, secret },
            None => AbsLogin::ManagedIdentity,
        }
    }
}

#[cfg(test)]
mod tests;
