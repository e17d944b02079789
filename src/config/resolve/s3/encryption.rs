//! How S3 encrypts what it stores, and the class that it stores it in.
//!
//! The keys are Litestream 0.5's, and `server-side-encryption` beside them. What is asked for and cannot be had is an
//! error: whoever asks for encryption must not find out later that there was none.

use crate::config::raw::RawReplica;
use crate::config::resolve::target::stated_secret;
use crate::config::resolve::{Resolver, stated};
use crate::config::target::{ReplicaKind, S3Encryption};
use crate::config::{ConfigError, Secret};

/// Classes of Amazon's whose objects must be asked for hours before they can be read.
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

impl Resolver<'_> {
    pub(super) fn s3_encryption(&self, raw: &RawReplica, place: &str) -> Result<S3Encryption, ConfigError> {
        let key_id = stated(raw.sse_kms_key_id.as_ref()).map(str::to_owned);
        let customer = self.customer_key(raw, place)?;
        let encryption = match (stated(raw.server_side_encryption.as_ref()), customer, key_id) {
            (None, None, None) => S3Encryption::Bucket,
            (None, Some(key), None) => S3Encryption::Customer(key),
            (Some("AES256"), None, None) => S3Encryption::Service,
            (Some("aws:kms") | None, None, key_id) => S3Encryption::Kms { key_id, twice: false },
            (Some("aws:kms:dsse"), None, key_id) => S3Encryption::Kms { key_id, twice: true },
            (Some("AES256"), None, Some(_)) => {
                let message = "AES256 uses no key of KMS; remove sse-kms-key-id, or set aws:kms";
                return Err(self.invalid(&format!("{place}.server-side-encryption"), message));
            }
            (mode, Some(_), _) => {
                let other = if mode.is_some() { "server-side-encryption" } else { "sse-kms-key-id" };
                let message = format!("cannot be combined with a customer key; remove {other} or sse-customer-key");
                return Err(self.invalid(&format!("{place}.{other}"), message));
            }
            (Some(other), None, _) => {
                let message = format!("{other:?} is none of AES256, aws:kms, aws:kms:dsse");
                return Err(self.invalid(&format!("{place}.server-side-encryption"), message));
            }
        };
        match &encryption {
            S3Encryption::Kms { key_id: Some(id), .. } if !id.bytes().all(|byte| byte.is_ascii_graphic()) => {
                let message = "is no id of a key: it has a blank, or a character that is not ASCII";
                Err(self.missing(&format!("{place}.sse-kms-key-id"), message))
            }
            _ => Ok(encryption),
        }
    }

    fn customer_key(&self, raw: &RawReplica, place: &str) -> Result<Option<Secret>, ConfigError> {
        let key = stated_secret(raw.sse_customer_key.as_ref());
        let file = stated(raw.sse_customer_key_path.as_ref());
        let algorithm = stated(raw.sse_customer_algorithm.as_ref());
        if let Some(other) = algorithm.filter(|algorithm| *algorithm != "AES256") {
            let message = format!("{other:?} is not AES256, the only algorithm that there is");
            return Err(self.invalid(&format!("{place}.sse-customer-algorithm"), message));
        }
        let (name, key) = match (key, file) {
            (Some(_), Some(_)) => {
                return Err(self.invalid(place, "cannot specify sse-customer-key & sse-customer-key-path"));
            }
            (Some(key), None) => ("sse-customer-key", key),
            (None, Some(file)) => ("sse-customer-key-path", self.key_in(file, place)?),
            (None, None) if algorithm.is_some() => {
                let message = "sse-customer-algorithm without sse-customer-key or sse-customer-key-path";
                return Err(self.missing(place, message));
            }
            (None, None) => return Ok(None),
        };
        if is_key(key.reveal()) {
            return Ok(Some(key));
        }
        let message = "is no key of 32 bytes in Base64, such as `openssl rand -base64 32` makes";
        Err(self.missing(&format!("{place}.{name}"), message))
    }

    fn key_in(&self, file: &str, place: &str) -> Result<Secret, ConfigError> {
        let path = self.environment.absolute(file.as_ref());
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Secret::new(text.trim())),
            Err(error) => {
                let message = format!("cannot read the key in {}: {error}", path.display());
                Err(self.missing(&format!("{place}.sse-customer-key-path"), message))
            }
        }
    }

    pub(super) fn s3_storage_class(&self, raw: &RawReplica, place: &str) -> Result<Option<String>, ConfigError> {
        let Some(class) = stated(raw.storage_class.as_ref()) else { return Ok(None) };
        let place = format!("{place}.storage-class");
        if ARCHIVES.contains(&class) {
            let message = format!(
                "objects in {class} cannot be read without asking for them hours before, so nothing could be restored; \
                 use GLACIER_IR or STANDARD_IA"
            );
            return Err(self.invalid(&place, message));
        }
        if class.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')) {
            return Ok(Some(class.to_owned()));
        }
        Err(self.missing(&place, format!("{class:?} is no storage class, such as STANDARD_IA")))
    }

    /// Refuses encryption, or a class, for a replica that is not in S3.
    pub(in crate::config::resolve) fn check_encryption_is_possible(
        &self,
        raw: &RawReplica,
        kind: ReplicaKind,
        place: &str,
    ) -> Result<(), ConfigError> {
        let keys = [
            ("server-side-encryption", raw.server_side_encryption.is_some()),
            ("sse-kms-key-id", raw.sse_kms_key_id.is_some()),
            ("sse-customer-algorithm", raw.sse_customer_algorithm.is_some()),
            ("sse-customer-key", raw.sse_customer_key.is_some()),
            ("sse-customer-key-path", raw.sse_customer_key_path.is_some()),
            ("storage-class", raw.storage_class.is_some()),
        ];
        match keys.into_iter().find(|(_, given)| *given && kind != ReplicaKind::S3) {
            Some((key, _)) => {
                let message = format!("only s3 replicas have it, and this one is {kind}; remove it, or correct type");
                Err(self.invalid(&format!("{place}.{key}"), message))
            }
            None => Ok(()),
        }
    }
}

/// Whether it is the Base64 of 32 bytes: 43 digits, of which the last holds four bits, and a `=`.
fn is_key(text: &str) -> bool {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |byte: u8| DIGITS.iter().position(|digit| *digit == byte);
    let Some(digits) = text.strip_suffix('=').map(str::as_bytes) else { return false };
    digits.len() == 43
        && digits.iter().all(|digit| value(*digit).is_some())
        && digits.last().is_some_and(|last| value(*last).is_some_and(|value| value % 4 == 0))
}

#[cfg(test)]
mod tests;
