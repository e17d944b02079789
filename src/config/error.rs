//! Why a configuration cannot be used. None of these messages holds a secret.

use std::path::PathBuf;

use super::expand::UnsetVariable;

/// The configuration cannot be used; only its author can help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such file.
    #[error("config file not found: {}", .0.display())]
    FileNotFound(PathBuf),
    /// There is a file, but it cannot be read.
    #[error("cannot read config file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The text is not YAML, or holds a key or a value that it must not hold.
    #[error("{file}:{line}:{column}: {message}{}", unset_text(unset))]
    Syntax {
        /// The file, as it was named.
        file: String,
        /// Line from 1, after variables were replaced.
        line: usize,
        /// Column from 1.
        column: usize,
        /// What is wrong, with the place in the structure.
        message: String,
        /// Variables in that line that are not set, one of which may be the cause.
        unset: Vec<UnsetVariable>,
    },
    /// Every key and value is good, but together they make no sense.
    #[error("{}{message}{}", place_text(place), unset_text(unset))]
    Invalid {
        /// Where: file, line, database, replica. Empty for a URL of the command line.
        place: String,
        /// What is wrong.
        message: String,
        /// Variables that are not set, one of which may be the cause.
        unset: Vec<UnsetVariable>,
    },
    /// The path is none of the configured databases.
    #[error("database not found in config: {}{}", path.display(), configured_text(configured))]
    DatabaseNotFound {
        /// The path that was asked for.
        path: PathBuf,
        /// The configured ones.
        configured: Vec<PathBuf>,
    },
}

impl ConfigError {
    /// Adds the line of its place in `file`, as `line_of` finds it.
    pub(super) fn with_line(mut self, file: &str, line_of: impl Fn(&str) -> Option<usize>) -> Self {
        if let Self::Invalid { place, .. } = &mut self
            && let Some(within) = place.strip_prefix(file).and_then(|rest| rest.strip_prefix(": "))
            && let Some(line) = line_of(within)
        {
            *place = format!("{file}:{line}: {within}");
        }
        self
    }

    /// Something wrong in `place`, where no variable can be the cause.
    pub(super) fn invalid(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), message: message.into(), unset: Vec::new() }
    }
}

fn place_text(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{place}: ") }
}

fn unset_text(unset: &[UnsetVariable]) -> String {
    if unset.is_empty() {
        return String::new();
    }
    let names: Vec<String> = unset.iter().map(|v| format!("{} (line {})", v.name, v.line)).collect();
    format!("; these environment variables are not set and expand to nothing: {}", names.join(", "))
}

fn configured_text(configured: &[PathBuf]) -> String {
    if configured.is_empty() {
        return "; none is configured".to_owned();
    }
    let paths: Vec<String> = configured.iter().map(|path| path.display().to_string()).collect();
    format!("; configured: {}", paths.join(", "))
}
