//! Logging in: with a key, a password, or both.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg};
use russh::{AlgorithmKind, Error as SshError, MethodSet};

use super::SftpOptions;
use super::host_key::{HostKeys, Untrusted};
use super::key::{KeyError, LoginKey};
use crate::Reason;

/// Questions that a host may ask before it lets one in or does not.
const QUESTIONS_MAX: usize = 8;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    #[error("cannot connect to {0}: {1}; check host, port and whatever stands between")]
    Unreachable(String, std::io::Error),
    #[error("{0} did not accept a connection within {1:?}; check host, port and whatever stands between")]
    Silent(String, Duration),
    #[error("the host did not finish the login within {0:?}")]
    Slow(Duration),
    #[error("the SSH connection failed: {}", explain(.0))]
    Ssh(SshError),
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    #[error("cannot use the key in {}: {error}", path.display())]
    Key { path: PathBuf, error: KeyError },
    #[error("the RSA key could not sign")]
    CannotSign,
    #[error("the host refuses the login of {user} with {tried}; it would take: {accepts}")]
    Refused { user: String, tried: String, accepts: String },
    #[error("the host lets {0} in, but offers no SFTP: {1}")]
    NoSftp(String, String),
}

impl LoginError {
    /// Whether somebody has to act.
    pub(super) fn needs_operator(&self) -> bool {
        match self {
            Self::Untrusted(_) | Self::Key { .. } | Self::CannotSign | Self::Refused { .. } => true,
            Self::Ssh(error) => matches!(error, SshError::NoCommonAlgo { .. }),
            Self::Unreachable(..) | Self::Silent(..) | Self::Slow(_) | Self::NoSftp(..) => false,
        }
    }

    /// What is the matter, in a word. A key is wrong whether it is ours or the host's.
    pub(super) fn reason(&self) -> Reason {
        match self {
            _ if self.needs_operator() => Reason::WrongKey,
            Self::NoSftp(..) => Reason::Other,
            _ => Reason::Unreachable,
        }
    }
}

impl From<SshError> for LoginError {
    fn from(error: SshError) -> Self {
        Self::Ssh(error)
    }
}

impl From<russh::SendError> for LoginError {
    fn from(_: russh::SendError) -> Self {
        Self::Ssh(SshError::SendError)
    }
}

fn explain(error: &SshError) -> String {
    match error {
        SshError::NoCommonAlgo { kind: AlgorithmKind::Key, ours, theirs } => format!(
            "the host has keys of the kinds {} only; to be verified it must have one of the kinds {} (if host-key is \
             set, of that kind)",
            theirs.join(", "),
            ours.join(", ")
        ),
        SshError::NoCommonAlgo { kind, ours, theirs } => {
            format!("no {kind:?} in common; the host offers {}, we {}", theirs.join(", "), ours.join(", "))
        }
        SshError::HUP | SshError::Disconnect | SshError::RecvError | SshError::SendError => {
            "the host closed it".to_owned()
        }
        SshError::Version => "the host does not speak SSH; check host and port".to_owned(),
        error => error.to_string(),
    }
}

/// Logs in at a host whose key was verified.
pub(super) async fn log_in(ssh: &mut Handle<HostKeys>, options: &SftpOptions) -> Result<(), LoginError> {
    let mut tried = Vec::new();
    let mut accepts = MethodSet::empty();
    if let Some(path) = &options.key_path {
        let key = LoginKey::read(path).map_err(|error| LoginError::Key { path: path.clone(), error })?;
        match with_key(ssh, &options.user, key).await? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => accepts = remaining_methods,
        }
        tried.push(format!("the key in {}", path.display()));
    }
    if let Some(password) = &options.password {
        match ssh.authenticate_password(&options.user, password).await? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => accepts = remaining_methods,
        }
        if answer_questions(ssh, &options.user, password).await? {
            return Ok(());
        }
        tried.push("the password".to_owned());
    }
    if tried.is_empty() {
        match ssh.authenticate_none(&options.user).await? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => accepts = remaining_methods,
        }
        tried.push("neither key-path nor password, which are not set".to_owned());
    }
    let accepts: Vec<String> = accepts.iter().map(String::from).collect();
    let accepts = if accepts.is_empty() { "it does not say what".to_owned() } else { accepts.join(", ") };
    Err(LoginError::Refused { user: options.user.clone(), tried: tried.join(" and "), accepts })
}

async fn with_key(ssh: &mut Handle<HostKeys>, user: &str, key: LoginKey) -> Result<AuthResult, LoginError> {
    match key {
        LoginKey::Curve(key) => {
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
            Ok(ssh.authenticate_publickey(user, key).await?)
        }
        LoginKey::Rsa(mut signer) => {
            let public = signer.public_key().ok_or(LoginError::CannotSign)?;
            // A host that says nothing knows at least this, if it is not ten years old.
            let hash = ssh.best_supported_rsa_hash().await?.flatten().unwrap_or(HashAlg::Sha256);
            ssh.authenticate_publickey_with(user, public, Some(hash), &mut signer).await
        }
    }
}

/// Some hosts ask for the password instead of taking it.
async fn answer_questions(ssh: &mut Handle<HostKeys>, user: &str, password: &str) -> Result<bool, LoginError> {
    let mut answer = ssh.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..QUESTIONS_MAX {
        answer = match answer {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                // What may be shown while it is typed is not a password.
                let reply = |shown: bool| if shown { String::new() } else { password.to_owned() };
                let replies = prompts.iter().map(|prompt| reply(prompt.echo)).collect();
                ssh.authenticate_keyboard_interactive_respond(replies).await?
            }
        };
    }
    Ok(false)
}
