//! Targets: what the URL says, what the keys say, and which of them wins.
//!
//! A key of the replica beats its URL, and the URL beats the top level.

use super::{Resolver, stated};
use crate::config::raw::{RawReplica, Switch};
use crate::config::target::{AbsTarget, GcsTarget, ReplicaKind, ReplicaTarget, S3Target, SftpTarget, WebdavTarget};
use crate::config::{ConfigError, Secret};

use super::replica_url;

impl Resolver<'_> {
    /// The target of a replica. `base` is what the top level says for all.
    pub(super) fn target(
        &self,
        raw: &RawReplica,
        base: &RawReplica,
        place: &str,
    ) -> Result<ReplicaTarget, ConfigError> {
        let target = match raw.url.as_ref().map(Secret::reveal).filter(|url| !url.is_empty()) {
            Some(url) => {
                let kind = replica_url::kind(url).map_err(|error| self.invalid(place, error.to_string()))?;
                self.check_url_stands_alone(raw, kind, place)?;
                replica_url::parse(url).map_err(|error| self.missing(place, error.to_string()))?
            }
            None => self.target_from_keys(raw, place)?,
        };
        self.complete(target, raw, base, place)
    }

    fn check_url_stands_alone(&self, raw: &RawReplica, kind: ReplicaKind, place: &str) -> Result<(), ConfigError> {
        let has_bucket = matches!(kind, ReplicaKind::S3 | ReplicaKind::Gcs | ReplicaKind::Abs);
        let excluded = [
            ("path", stated(raw.path.as_ref()).is_some()),
            ("bucket", has_bucket && stated(raw.bucket.as_ref()).is_some()),
            ("host", kind == ReplicaKind::Sftp && stated(raw.host.as_ref()).is_some()),
            ("webdav-url", kind == ReplicaKind::Webdav && stated_secret(raw.webdav_url.as_ref()).is_some()),
        ];
        match excluded.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(self.invalid(place, format!("cannot specify url & {key} for {kind} replica"))),
            None => Ok(()),
        }
    }

    fn target_from_keys(&self, raw: &RawReplica, place: &str) -> Result<ReplicaTarget, ConfigError> {
        let name = stated(raw.kind.as_ref()).unwrap_or("file");
        let kind = ReplicaKind::from_name(name)
            .ok_or_else(|| self.invalid(place, format!("unknown replica type in config: {name:?}")))?;
        let path = stated(raw.path.as_ref()).unwrap_or_default().to_owned();
        if replica_url::is_url(&path) {
            let shown = replica_url::without_userinfo(&path);
            let message = format!("replica path cannot be a url, please use the 'url' field instead: {shown}");
            return Err(self.invalid(place, message));
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        // Cleaned as in a URL: stores take keys by the letter.
        let prefix = replica_url::key_prefix(&path);
        Ok(match kind {
            ReplicaKind::File if path.is_empty() => return Err(self.missing(place, "file replica path required")),
            ReplicaKind::File => ReplicaTarget::File { path: path.into() },
            ReplicaKind::S3 => {
                ReplicaTarget::S3(S3Target { bucket: text(&raw.bucket), path: prefix, ..S3Target::default() })
            }
            ReplicaKind::Gcs => {
                ReplicaTarget::Gcs(GcsTarget { bucket: text(&raw.bucket), path: prefix, ..GcsTarget::default() })
            }
            ReplicaKind::Abs => {
                ReplicaTarget::Abs(AbsTarget { container: text(&raw.bucket), path: prefix, ..AbsTarget::default() })
            }
            ReplicaKind::Sftp => {
                ReplicaTarget::Sftp(SftpTarget { host: text(&raw.host), path, ..SftpTarget::default() })
            }
            ReplicaKind::Webdav => {
                ReplicaTarget::Webdav(WebdavTarget { path: prefix, ..self.webdav_server(raw, place)? })
            }
        })
    }

    fn webdav_server(&self, raw: &RawReplica, place: &str) -> Result<WebdavTarget, ConfigError> {
        let url = stated_secret(raw.webdav_url.as_ref());
        let url = url.ok_or_else(|| self.missing(place, "webdav-url required for webdav replica"))?;
        replica_url::webdav_server(url.reveal()).map_err(|error| self.missing(place, error.to_string()))
    }

    /// Adds what only keys can say, and sees that nothing is missing.
    fn complete(
        &self,
        target: ReplicaTarget,
        raw: &RawReplica,
        base: &RawReplica,
        place: &str,
    ) -> Result<ReplicaTarget, ConfigError> {
        let kind = target.kind();
        let bucket_required = |bucket: &str| match bucket {
            "" => Err(self.missing(place, format!("bucket required for {kind} replica"))),
            _ => Ok(()),
        };
        Ok(match target {
            ReplicaTarget::File { path } => ReplicaTarget::File { path: self.environment.absolute(&path) },
            ReplicaTarget::S3(target) => {
                bucket_required(&target.bucket)?;
                ReplicaTarget::S3(self.complete_s3(target, raw, base, place)?)
            }
            ReplicaTarget::Gcs(target) => {
                bucket_required(&target.bucket)?;
                ReplicaTarget::Gcs(self.complete_gcs(target))
            }
            ReplicaTarget::Abs(target) => {
                bucket_required(&target.container)?;
                ReplicaTarget::Abs(self.complete_abs(target, raw, place)?)
            }
            ReplicaTarget::Sftp(target) => ReplicaTarget::Sftp(self.complete_sftp(target, raw, place)?),
            ReplicaTarget::Webdav(target) => ReplicaTarget::Webdav(complete_webdav(target, raw)),
        })
    }
}

fn complete_webdav(target: WebdavTarget, raw: &RawReplica) -> WebdavTarget {
    WebdavTarget {
        user: stated(raw.webdav_username.as_ref()).map(str::to_owned).or(target.user),
        password: stated_secret(raw.webdav_password.as_ref()).or(target.password),
        skip_verify: raw.skip_verify.is_some_and(|Switch(on)| on),
        ..target
    }
}

/// A secret that says something.
pub(super) fn stated_secret(secret: Option<&Secret>) -> Option<Secret> {
    secret.filter(|secret| !secret.reveal().is_empty()).cloned()
}
