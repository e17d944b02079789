//! S3: what keys, URL, top level and environment say, and which of them wins.

mod encryption;

use super::target::stated_secret;
use super::{Resolver, stated};
use crate::config::raw::{RawReplica, Switch};
use crate::config::target::{S3Login, S3Target};
use crate::config::{ConfigError, Secret};

impl Resolver<'_> {
    pub(super) fn complete_s3(
        &self,
        target: S3Target,
        raw: &RawReplica,
        base: &RawReplica,
        place: &str,
    ) -> Result<S3Target, ConfigError> {
        let first = |key: Option<&String>, url: Option<String>, base: Option<&String>| {
            stated(key).map(str::to_owned).or(url).or_else(|| stated(base).map(str::to_owned))
        };
        let endpoint = first(raw.endpoint.as_ref(), target.endpoint, base.endpoint.as_ref());
        let region = first(raw.region.as_ref(), target.region, base.region.as_ref());
        let path_style = raw.force_path_style.or(base.force_path_style);
        let has_dot = target.bucket.contains('.');
        Ok(S3Target {
            // A service that is not Amazon's knows nothing of the regions that its environment speaks of.
            region: region.or_else(|| {
                let of_amazon = || self.variable("AWS_REGION").or_else(|| self.variable("AWS_DEFAULT_REGION"));
                if endpoint.is_none() { of_amazon() } else { None }
            }),
            // Only Amazon's own service wants the bucket in the host name, and it needs no endpoint. Its certificate
            // fits no name with a dot before its own.
            force_path_style: path_style.map_or(endpoint.is_some() || has_dot, |Switch(on)| on),
            skip_verify: raw.skip_verify.or(base.skip_verify).is_some_and(|Switch(on)| on),
            encryption: self.s3_encryption(raw, place)?,
            storage_class: self.s3_storage_class(raw, place)?,
            login: self.s3_login(raw, base, place)?,
            endpoint,
            ..target
        })
    }

    /// Keys of the replica, of the top level, `AWS_*`, `LITESTREAM_*`, and then what the surroundings offer.
    fn s3_login(&self, raw: &RawReplica, base: &RawReplica, place: &str) -> Result<S3Login, ConfigError> {
        let stated = |raw: &RawReplica| {
            (stated_secret(raw.access_key_id.as_ref()), stated_secret(raw.secret_access_key.as_ref()))
        };
        let of = |name: &str| self.variable(name).map(Secret::new);
        let configured = [stated(raw), stated(base)];
        let environment = ["AWS", "LITESTREAM"]
            .map(|prefix| (of(&format!("{prefix}_ACCESS_KEY_ID")), of(&format!("{prefix}_SECRET_ACCESS_KEY"))));
        // The halves may come from two places, as in Litestream.
        let id = configured.iter().chain(&environment).find_map(|(id, _)| id.clone());
        let secret = configured.iter().chain(&environment).find_map(|(_, secret)| secret.clone());
        match (id, secret) {
            (Some(access_key_id), Some(secret_access_key)) => {
                // A session token belongs to the keys beside it.
                let is_of_amazon = environment[0].0.as_ref() == Some(&access_key_id);
                let session_token = of("AWS_SESSION_TOKEN").filter(|_| is_of_amazon);
                Ok(S3Login::Keys { access_key_id, secret_access_key, session_token })
            }
            (None, None) => Ok(self.s3_login_of_surroundings()),
            (Some(_), None) => Err(self.missing(place, "access-key-id without secret-access-key")),
            (None, Some(_)) => Err(self.missing(place, "secret-access-key without access-key-id")),
        }
    }

    fn s3_login_of_surroundings(&self) -> S3Login {
        let both = |first: &str, second: &str| self.variable(first).zip(self.variable(second));
        if let Some((token_file, role_arn)) = both("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN") {
            return S3Login::WebIdentity { token_file, role_arn, session_name: self.variable("AWS_ROLE_SESSION_NAME") };
        }
        if let Some(name) = self.variable("AWS_PROFILE") {
            return S3Login::Profile(name);
        }
        if let Some(path) = self.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return S3Login::Container(path);
        }
        match both("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some((url, token_file)) => S3Login::Pod(url, token_file),
            None => S3Login::Machine,
        }
    }

    /// An environment variable that says something.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment.lookup)(name).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests;
