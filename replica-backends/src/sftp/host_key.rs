//! Whether the host is the one it should be. What cannot be verified is refused, with what to do in the error.

use std::borrow::Cow;
use std::path::PathBuf;

use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Preferred, client};

use super::known_hosts::{Known, known};
use super::login::LoginError;

/// The host is not trusted.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Untrusted {
    /// Nobody has said which key it has.
    #[error(
        "the key of the host is unknown, so nobody was logged in: compare {fingerprint} with what the host itself says \
         (ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub there); if it is the same, add host-key: \"{line}\" to the \
         replica, or add the host to {files}{others}"
    )]
    Unknown {
        /// A digest of the key, as OpenSSH shows it.
        fingerprint: String,
        /// The kind of the key, as OpenSSH's files are named.
        kind: &'static str,
        /// The key, as `host-key` takes it.
        line: String,
        /// Where else it was looked for.
        files: String,
        /// What is known instead.
        others: String,
    },
    /// It has another.
    #[error(
        "the key of the host has CHANGED, so nobody was logged in: it shows {fingerprint}, but {place} says another; \
         either the host was set up anew, or somebody stands between. Find out which; if the new key is right, \
         replace the old one there by \"{line}\""
    )]
    Changed {
        /// Who says so.
        place: String,
        /// A digest of the key that is shown.
        fingerprint: String,
        /// That key.
        line: String,
    },
    /// It is known to be in wrong hands.
    #[error("the key of the host, {fingerprint}, is marked as revoked in {place}, so nobody was logged in")]
    Revoked {
        /// Where.
        place: String,
        /// A digest of the key.
        fingerprint: String,
    },
    /// What is configured is no key.
    #[error("host-key is not a public key such as \"ssh-ed25519 AAAA...\": {0}")]
    Malformed(String),
    /// What is configured cannot be used.
    #[error(
        "host-key is of the kind {0}, which cannot be verified here: state the ed25519 or ecdsa key of the host \
         (ssh-keyscan -t ed25519,ecdsa HOST shows them, without proving that they are right)"
    )]
    Kind(String),
}

/// What is known of a host's key.
#[derive(Debug)]
pub(super) struct HostKeys {
    stated: Option<PublicKey>,
    known: Vec<Known>,
    files: Vec<PathBuf>,
}

/// Signatures of these can be verified.
fn can_be_verified(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Ed25519 | Algorithm::Ecdsa { .. })
}

impl HostKeys {
    /// `stated` is what the configuration says; without it the `files` decide.
    pub(super) fn new(host: &str, port: u16, stated: Option<&str>, files: &[PathBuf]) -> Result<Self, Untrusted> {
        let parse =
            |text: &str| PublicKey::from_openssh(text.trim()).map_err(|error| Untrusted::Malformed(error.to_string()));
        let stated = stated.map(parse).transpose()?;
        if let Some(key) = stated.as_ref().filter(|key| !can_be_verified(&key.algorithm())) {
            return Err(Untrusted::Kind(key.algorithm().to_string()));
        }
        let known = files.iter().flat_map(|file| known(file, host, port)).collect();
        Ok(Self { stated, known, files: files.to_vec() })
    }

    /// A host has several keys: it is asked for the one that is stated, or else first for those that are known.
    pub(super) fn preferred(&self) -> Preferred {
        let mut preferred = Preferred::default();
        let mut key = preferred.key.to_vec();
        key.retain(can_be_verified);
        match &self.stated {
            Some(stated) => key.retain(|algorithm| *algorithm == stated.algorithm()),
            None => key.sort_by_key(|algorithm| !self.known.iter().any(|known| known.key.algorithm() == *algorithm)),
        }
        preferred.key = Cow::Owned(key);
        preferred
    }

    fn check(&self, shown: &PublicKey) -> Result<(), Untrusted> {
        let line = || shown.to_openssh().unwrap_or_default().trim().to_owned();
        let fingerprint = shown.fingerprint(HashAlg::Sha256).to_string();
        let place = |known: &Known| format!("line {} of {}", known.line, known.file.display());
        let is_shown = |known: &&Known| known.key.key_data() == shown.key_data();
        if let Some(known) = self.known.iter().filter(is_shown).find(|known| known.revoked) {
            return Err(Untrusted::Revoked { place: place(known), fingerprint });
        }
        if let Some(stated) = &self.stated {
            let changed = || Untrusted::Changed { place: "host-key".to_owned(), fingerprint, line: line() };
            return if stated.key_data() == shown.key_data() { Ok(()) } else { Err(changed()) };
        }
        let mut trusted = self.known.iter().filter(|known| !known.revoked);
        if trusted.clone().any(|known| is_shown(&known)) {
            return Ok(());
        }
        match trusted.find(|known| known.key.algorithm() == shown.algorithm()) {
            Some(known) => Err(Untrusted::Changed { place: place(known), fingerprint, line: line() }),
            None => Err(Untrusted::Unknown {
                fingerprint,
                kind: if shown.algorithm() == Algorithm::Ed25519 { "ed25519" } else { "ecdsa" },
                line: line(),
                files: self.file_names(),
                others: self.others(),
            }),
        }
    }

    fn file_names(&self) -> String {
        let names: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        if names.is_empty() { "known_hosts".to_owned() } else { names.join(" or ") }
    }

    /// Keys that are known, but that the host did not show.
    fn others(&self) -> String {
        let kinds: Vec<String> = self.known.iter().map(|known| known.key.algorithm().to_string()).collect();
        if kinds.is_empty() {
            return String::new();
        }
        format!(" (what is known there is of the kind {}, which was not shown)", kinds.join(", "))
    }
}

impl client::Handler for HostKeys {
    type Error = LoginError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, LoginError> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => Ok(self.check(key).map(|()| true)?),
            PublicKeyOrCertificate::Certificate(_) => Ok(false),
        }
    }
}
