//! Replicas: names, intervals, what they inherit.

use std::time::Duration;

use replica_backends::layers::AgeKeys;

use super::{Resolver, positive_or, stated};
use crate::config::duration::GoDuration;
use crate::config::raw::{Interval, Keeping, RawAge, RawConfig, RawReplica, RawSnapshot, RawTier, Switch};
use crate::config::resolved::{ReplicaConfig, RetentionTier};
use crate::config::target::ReplicaTarget;
use crate::config::{ConfigError, Secret, defaults};

/// What the top level says for every replica that does not say otherwise.
pub(super) fn base_of_all(raw: &RawConfig) -> RawReplica {
    let snapshot = raw.snapshot.clone().unwrap_or_default();
    let deletes = raw.retention.as_ref().and_then(|retention| retention.enabled).is_none_or(|Switch(on)| on);
    RawReplica {
        snapshot_interval: snapshot.interval,
        retention: if deletes { snapshot.retention } else { Some(Interval(GoDuration::ZERO)) }.map(Keeping::Everything),
        access_key_id: raw.access_key_id.clone(),
        secret_access_key: raw.secret_access_key.clone(),
        sync_interval: raw.sync_interval,
        region: raw.region.clone(),
        endpoint: raw.endpoint.clone(),
        force_path_style: raw.force_path_style,
        skip_verify: raw.skip_verify,
        ..RawReplica::default()
    }
}

impl Resolver<'_> {
    /// The replicas of a database, given as a list or, as in Litestream 0.5, as one.
    pub(super) fn replicas(
        &mut self,
        one: Option<RawReplica>,
        many: Option<Vec<RawReplica>>,
        snapshot: Option<RawSnapshot>,
        base_of_all: &RawReplica,
        place: &str,
    ) -> Result<Vec<ReplicaConfig>, ConfigError> {
        let single = one.is_some();
        let replicas = match (one, many) {
            (Some(_), Some(_)) => return Err(self.invalid(place, "cannot specify replica & replicas on a database")),
            (Some(one), None) => vec![one],
            (None, many) => many.unwrap_or_default(),
        };
        let snapshot = snapshot.unwrap_or_default();
        let base = RawReplica {
            snapshot_interval: snapshot.interval.or(base_of_all.snapshot_interval),
            retention: snapshot.retention.map(Keeping::Everything).or(base_of_all.retention.clone()),
            ..base_of_all.clone()
        };
        let mut resolved = Vec::with_capacity(replicas.len());
        for (number, raw) in replicas.into_iter().enumerate() {
            let place = if single { format!("{place}.replica") } else { format!("{place}.replicas[{number}]") };
            resolved.push(self.replica(raw, &base, &place)?);
        }
        Ok(resolved)
    }

    fn replica(&mut self, raw: RawReplica, base: &RawReplica, place: &str) -> Result<ReplicaConfig, ConfigError> {
        self.warn_unused(place, &raw.unused);
        let raw = self.with_query(raw, place)?;
        let target = self.target(&raw, base, place)?;
        self.check_encryption_is_possible(&raw, target.kind(), place)?;
        self.warn_foreign_keys(&raw, &target, place);
        let fallback = ReplicaConfig::with_defaults(target);
        let (retention, retention_tiers) = match raw.retention.or(base.retention.clone()) {
            None => (fallback.retention, Vec::new()),
            Some(Keeping::Everything(interval)) => (positive_or(Some(interval), None), Vec::new()),
            Some(Keeping::Tiers(tiers)) => self.tiers(&tiers, place)?,
        };
        let check_interval = self.interval(
            place,
            "retention-check-interval",
            raw.retention_check_interval,
            defaults::RETENTION_CHECK_INTERVAL,
        )?;
        let age = raw.age.map_or_else(|| Ok(AgeKeys::default()), |age| self.age(age, place))?;
        let validation_interval = positive_or(raw.validation_interval, None);
        if validation_interval.is_some() && age.can_write() && !age.can_read() {
            let message = "needs age: identities, because a replica that cannot be read cannot be verified";
            return Err(self.invalid(&format!("{place}.validation-interval"), message));
        }
        Ok(ReplicaConfig {
            name: stated(raw.name.as_ref()).map_or(fallback.name, str::to_owned),
            sync_interval: self.interval(
                place,
                "sync-interval",
                raw.sync_interval.or(base.sync_interval),
                fallback.sync_interval,
            )?,
            retention,
            retention_tiers,
            append_only: raw.append_only.is_some_and(|Switch(on)| on),
            retention_check_interval: retention.map_or(check_interval, |kept| kept.min(check_interval)),
            snapshot_interval: positive_or(raw.snapshot_interval.or(base.snapshot_interval), None),
            validation_interval,
            age,
            target: fallback.target,
        })
    }

    /// One item says for how long everything is kept, the others which states are kept for longer.
    fn tiers(&self, raw: &[RawTier], place: &str) -> Result<(Option<Duration>, Vec<RetentionTier>), ConfigError> {
        let (mut everything, mut tiers) = (None, Vec::new());
        for (number, tier) in raw.iter().enumerate() {
            let place = format!("{place}.retention[{number}]");
            let span = tier.span.and_then(|Interval(span)| span.positive());
            let keep = span.ok_or_else(|| self.invalid(&place, "for is required, and must be more than 0"))?;
            match tier.every.and_then(|Interval(every)| every.positive()) {
                Some(every) if every > keep => return Err(self.invalid(&place, "every is longer than for")),
                Some(every) => tiers.push(RetentionTier { every, keep }),
                None if everything.is_none() => everything = Some(keep),
                None => {
                    return Err(self.invalid(&place, "two items have no every; one says how long everything is kept"));
                }
            }
        }
        let missing = "one item must have no every, such as {for: 24h}: it says for how long everything is kept";
        Ok((Some(everything.ok_or_else(|| self.invalid(&format!("{place}.retention"), missing))?), tiers))
    }

    /// Encryption that is asked for without saying for whom would be none, and nobody would notice.
    fn age(&self, raw: RawAge, place: &str) -> Result<AgeKeys, ConfigError> {
        let identities = raw.identities.map(|list| list.0).unwrap_or_default();
        let recipients = raw.recipients.map(|list| list.0).unwrap_or_default();
        let empty =
            identities.iter().map(Secret::reveal).chain(recipients.iter().map(String::as_str)).any(str::is_empty);
        if empty || identities.is_empty() && recipients.is_empty() {
            return Err(self.missing(place, "age requires identities or recipients, none of them empty"));
        }
        let keys = AgeKeys::parse(identities.iter().map(Secret::reveal), recipients.iter().map(String::as_str));
        keys.map_err(|fault| self.missing(&format!("{place}.age"), fault.to_string()))
    }

    /// Warns of keys that the kind of target has no use for; often `type` is what is missing.
    fn warn_foreign_keys(&mut self, raw: &RawReplica, target: &ReplicaTarget, place: &str) {
        let s3 = matches!(target, ReplicaTarget::S3(_));
        let gcs = matches!(target, ReplicaTarget::Gcs(_));
        let abs = matches!(target, ReplicaTarget::Abs(_));
        let sftp = matches!(target, ReplicaTarget::Sftp(_));
        let webdav = matches!(target, ReplicaTarget::Webdav(_));
        let keys = [
            ("access-key-id", raw.access_key_id.is_some(), s3),
            ("secret-access-key", raw.secret_access_key.is_some(), s3),
            ("region", raw.region.is_some(), s3),
            ("force-path-style", raw.force_path_style.is_some(), s3),
            ("skip-verify", raw.skip_verify.is_some(), s3 || webdav),
            ("bucket", raw.bucket.is_some(), s3 || gcs || abs),
            ("endpoint", raw.endpoint.is_some(), s3 || abs),
            ("account-name", raw.account_name.is_some(), abs),
            ("account-key", raw.account_key.is_some(), abs),
            ("sas-token", raw.sas_token.is_some(), abs),
            ("host", raw.host.is_some(), sftp),
            ("user", raw.user.is_some(), sftp),
            ("password", raw.password.is_some(), sftp),
            ("key-path", raw.key_path.is_some(), sftp),
            ("host-key", raw.host_key.is_some(), sftp),
            ("webdav-url", raw.webdav_url.is_some(), webdav),
            ("webdav-username", raw.webdav_username.is_some(), webdav),
            ("webdav-password", raw.webdav_password.is_some(), webdav),
        ];
        for (key, _, _) in keys.into_iter().filter(|(_, given, used)| *given && !used) {
            self.warn(&format!("{place}.{key}"), &format!("has no effect on a {} replica", target.kind()));
        }
        let kind = stated(raw.kind.as_ref());
        if kind.is_some_and(|kind| crate::config::ReplicaKind::from_name(kind) != Some(target.kind())) {
            self.warn(&format!("{place}.type"), &format!("has no effect; the url says {}", target.kind()));
        }
    }
}
