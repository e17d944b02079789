//! What the query of a replica URL says, as Litestream 0.5 has it: the same as keys, which win.

use std::net::Ipv4Addr;

use super::replica_url::{self, Parameter};
use super::{Resolver, stated};
use crate::config::raw::{RawReplica, Switch};
use crate::config::suggest::{did_you_mean, nearest};
use crate::config::target::ReplicaKind;
use crate::config::{ConfigError, Secret};

/// Parameters of `s3` URLs, as keys are spelt. Litestream takes `forcePathStyle` and the like as well.
const KNOWN: [&str; 10] = [
    "endpoint",
    "region",
    "force-path-style",
    "skip-verify",
    "storage-class",
    "server-side-encryption",
    "sse-kms-key-id",
    "sse-customer-algorithm",
    "sse-customer-key",
    "sse-customer-key-path",
];
/// Those that have no meaning here.
const UNUSED: [&str; 5] = ["sign-payload", "require-content-md5", "part-size", "concurrency", "sse-customer-key-md5"];

impl Resolver<'_> {
    /// `raw`, and what only its URL says.
    pub(super) fn with_query(&mut self, mut raw: RawReplica, place: &str) -> Result<RawReplica, ConfigError> {
        let Some(url) = raw.url.clone() else { return Ok(raw) };
        // What else is wrong with the URL is said by whoever reads the rest of it.
        let Ok(kind) = replica_url::kind(url.reveal()) else { return Ok(raw) };
        let parameters = replica_url::parameters(url.reveal());
        for parameter in parameters.map_err(|error| self.invalid(place, error.to_string()))? {
            self.take(&mut raw, kind, &parameter, place)?;
        }
        Ok(raw)
    }

    fn take(
        &mut self,
        raw: &mut RawReplica,
        kind: ReplicaKind,
        Parameter { name, value }: &Parameter,
        place: &str,
    ) -> Result<(), ConfigError> {
        let known = |name: &str| KNOWN.into_iter().chain(UNUSED).find(|known| is_same(known, name));
        let Some(known) = known(name).filter(|_| kind == ReplicaKind::S3) else {
            return Err(self.invalid(&format!("{place}.url"), unknown(name, kind)));
        };
        match known {
            "endpoint" => fill(&mut raw.endpoint, &with_scheme(value.reveal())),
            "region" => fill(&mut raw.region, value.reveal()),
            "force-path-style" => self.switch(&mut raw.force_path_style, known, value, place)?,
            "skip-verify" => self.switch(&mut raw.skip_verify, known, value, place)?,
            "storage-class" => fill(&mut raw.storage_class, value.reveal()),
            "server-side-encryption" => fill(&mut raw.server_side_encryption, value.reveal()),
            "sse-kms-key-id" => fill(&mut raw.sse_kms_key_id, value.reveal()),
            "sse-customer-algorithm" => fill(&mut raw.sse_customer_algorithm, value.reveal()),
            "sse-customer-key" => drop(raw.sse_customer_key.get_or_insert_with(|| value.clone())),
            "sse-customer-key-path" => fill(&mut raw.sse_customer_key_path, value.reveal()),
            _ => self.warn(&format!("{place}.url"), &format!("{known} has no effect; it is not needed here")),
        }
        Ok(())
    }

    fn switch(&self, slot: &mut Option<Switch>, name: &str, value: &Secret, place: &str) -> Result<(), ConfigError> {
        let on = match value.reveal().to_ascii_lowercase().as_str() {
            "" => return Ok(()),
            "true" | "1" | "t" | "yes" => true,
            "false" | "0" | "f" | "no" => false,
            _ => return Err(self.invalid(&format!("{place}.url"), format!("{name} is neither true nor false"))),
        };
        slot.get_or_insert(Switch(on));
        Ok(())
    }
}

/// A key that says something wins.
fn fill(slot: &mut Option<String>, value: &str) {
    if stated(slot.as_ref()).is_none() {
        *slot = Some(value.to_owned());
    }
}

/// `forcePathStyle`, `force_path_style` and `force-path-style` are one name.
fn is_same(known: &str, name: &str) -> bool {
    let bare = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    bare(known) == bare(name)
}

fn unknown(name: &str, kind: ReplicaKind) -> String {
    const SHOWN_MAX: usize = 40;
    let shown: String = name.chars().take(SHOWN_MAX).collect();
    let hint = match kind {
        ReplicaKind::S3 if nearest(name, KNOWN).is_some() => did_you_mean(name, KNOWN),
        ReplicaKind::S3 => format!("; it may have {}", KNOWN.join(", ")),
        _ => format!("; the url of a {kind} replica has none: use keys beside it"),
    };
    format!("unknown parameter {shown:?} in the query{hint}")
}

/// As Litestream has it: `http` on this machine and in private networks, `https` elsewhere.
fn with_scheme(endpoint: &str) -> String {
    if endpoint.is_empty() || endpoint.contains("://") {
        return endpoint.to_owned();
    }
    let host = endpoint.split(['/', ':']).next().unwrap_or(endpoint);
    let is_private = |address: Ipv4Addr| address.is_loopback() || address.is_private();
    let is_near = host == "localhost"
        || [".localhost", ".local"].iter().any(|suffix| host.ends_with(suffix))
        || host.parse().is_ok_and(is_private);
    format!("{}://{endpoint}", if is_near { "http" } else { "https" })
}

#[cfg(test)]
mod tests;
