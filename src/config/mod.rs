//! The configuration: found, read, checked, resolved.
//!
//! [`locate()`] says which file, [`load`] reads it: environment variables are replaced in the text
//! ([`mod@expand`]), the text is parsed strictly ([`raw`]), and what it says is completed with [`defaults`] and
//! checked. Nothing downstream sees a value that has a default as an `Option`, or reads the environment.

pub mod defaults;
pub mod duration;
mod environment;
mod error;
pub mod expand;
mod locate;
pub mod raw;
pub mod replica_url;
mod resolve;
mod resolved;
mod secret;
pub mod suggest;
mod target;

use std::io::ErrorKind;
use std::path::Path;

pub use environment::{Environment, Lookup};
pub use error::ConfigError;
pub use locate::{CONFIG_VARIABLE, locate};
pub use resolved::{Config, DatabaseConfig, LogFormat, LogLevel, Logging, ReplicaConfig, RetentionTier};
pub use resolved::{default_meta_path, default_sync_interval};
pub use secret::Secret;
pub use target::{
    AbsLogin, AbsTarget, GcsTarget, ReplicaKind, ReplicaTarget, S3Encryption, S3Login, S3Target, SftpTarget,
    WebdavTarget,
};

/// Reads the configuration in the file at `path`; `expand` says whether variables in its text are replaced.
pub fn load(path: &Path, environment: &Environment, expand: bool) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => ConfigError::FileNotFound(environment.absolute(path)),
        _ => ConfigError::Unreadable { path: path.to_path_buf(), source },
    })?;
    parse(&path.display().to_string(), &text, environment, expand)
}

/// Reads the configuration in `text`, whose file errors call `file`.
pub fn parse(file: &str, text: &str, environment: &Environment, expand: bool) -> Result<Config, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let expanded = if expand {
        expand::expand(text, &*environment.lookup)
    } else {
        expand::Expanded { text: text.to_owned(), unset: Vec::new() }
    };
    let raw = raw::parse(file, &expanded.text, &expanded.unset)?;
    let resolved = resolve::resolve(raw, file, environment, &expanded.unset);
    resolved.map_err(|error| error.with_line(file, |place| raw::line_of(&expanded.text, place)))
}

#[cfg(test)]
mod tests;
