//! Replica URLs.
//!
//! They mean what they mean in Litestream 0.3, with two exceptions, both for `file`. `file://rep` is the folder `rep`
//! in the current one, where Litestream takes it for `/rep`; and percent escapes are decoded, where Litestream makes
//! a folder with a percent sign in its name.

mod query;
mod s3_host;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::Secret;
pub use query::{Parameter, parameters};

use super::target::{AbsTarget, GcsTarget, ReplicaKind, ReplicaTarget, S3Target, SftpTarget, WebdavTarget};

/// The text is not the URL of a replica. The messages hold no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaUrlError {
    /// There is no `scheme:`.
    #[error("replica url scheme required: {0}")]
    SchemeRequired(String),
    /// No replica has this scheme.
    #[error("unknown replica type in url: {0:?}; known are file, s3, gcs, abs, sftp, webdav and webdavs")]
    UnknownScheme(String),
    /// A percent sign without two hex digits after it.
    #[error("invalid percent escape in replica url; write %25 for a percent sign")]
    BadEscape,
    /// Decoded, it is not UTF-8.
    #[error("replica url is not UTF-8 once decoded")]
    NotUtf8,
    /// `file://`.
    #[error("file replica path required")]
    PathRequired,
    /// No bucket where one is needed.
    #[error("bucket required for {0} replica")]
    BucketRequired(ReplicaKind),
    /// No host where one is needed.
    #[error("host required for {0} replica")]
    HostRequired(ReplicaKind),
    /// Of a WebDAV server.
    #[error("webdav-url must begin with http:// or https://")]
    NotHttp,
}

/// Whether a command line argument is a URL and not the path of a database.
#[must_use]
pub fn is_url(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

/// Reads a URL. The path of a file target is as written: perhaps relative, perhaps with a `~`.
///
/// Of an SFTP target the user may be missing; a configuration can supply it.
pub fn parse(url: &str) -> Result<ReplicaTarget, ReplicaUrlError> {
    let (scheme, rest) = split_scheme(url)?;
    let scheme = scheme.to_ascii_lowercase();
    let secure = scheme == "webdavs";
    let kind = ReplicaKind::from_name(&scheme).ok_or(ReplicaUrlError::UnknownScheme(scheme))?;
    if kind == ReplicaKind::File {
        return file(rest);
    }
    let place = Place::parse(rest)?;
    Ok(match kind {
        ReplicaKind::File | ReplicaKind::S3 => ReplicaTarget::S3(s3(&place)?),
        ReplicaKind::Gcs => {
            let (bucket, path) = (place.bucket(kind)?, place.key_prefix());
            ReplicaTarget::Gcs(GcsTarget { bucket, path, ..GcsTarget::default() })
        }
        ReplicaKind::Abs => ReplicaTarget::Abs(AbsTarget {
            container: place.bucket(kind)?,
            path: place.key_prefix(),
            account_name: place.user,
            ..AbsTarget::default()
        }),
        ReplicaKind::Sftp => ReplicaTarget::Sftp(sftp(place)?),
        ReplicaKind::Webdav => {
            let path = place.key_prefix();
            let scheme = if secure { "https" } else { "http" };
            ReplicaTarget::Webdav(WebdavTarget { path, ..webdav(scheme, place)? })
        }
    })
}

/// Reads the URL of a WebDAV server. Its path belongs to the server.
pub(super) fn webdav_server(url: &str) -> Result<WebdavTarget, ReplicaUrlError> {
    let (scheme, rest) = split_scheme(url).map_err(|_| ReplicaUrlError::NotHttp)?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(ReplicaUrlError::NotHttp);
    }
    let target = webdav(&scheme, Place::parse(rest)?)?;
    let path = rest.trim_start_matches('/').split_once('/').map_or("", |(_, path)| path);
    let url = format!("{}/{path}", target.url);
    Ok(WebdavTarget { url: url.trim_end_matches('/').to_owned(), ..target })
}

fn webdav(scheme: &str, place: Place) -> Result<WebdavTarget, ReplicaUrlError> {
    if place.host.is_empty() {
        return Err(ReplicaUrlError::HostRequired(ReplicaKind::Webdav));
    }
    let url = format!("{scheme}://{}", place.host);
    Ok(WebdavTarget { url, user: place.user, password: place.password, ..WebdavTarget::default() })
}

/// The kind that the scheme of the URL names.
pub fn kind(url: &str) -> Result<ReplicaKind, ReplicaUrlError> {
    let scheme = split_scheme(url)?.0.to_ascii_lowercase();
    ReplicaKind::from_name(&scheme).ok_or(ReplicaUrlError::UnknownScheme(scheme))
}

fn split_scheme(url: &str) -> Result<(&str, &str), ReplicaUrlError> {
    let scheme_required = || ReplicaUrlError::SchemeRequired(without_userinfo(url));
    let (scheme, rest) = url.split_once(':').ok_or_else(scheme_required)?;
    let starts_well = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let goes_on_well = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'));
    if starts_well && goes_on_well { Ok((scheme, rest)) } else { Err(scheme_required()) }
}

/// What may be shown of a URL that cannot be read: nothing before an `@`, and no query.
pub(super) fn without_userinfo(url: &str) -> String {
    let url = url.split('?').next().unwrap_or(url);
    url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("***@{rest}"))
}

fn file(rest: &str) -> Result<ReplicaTarget, ReplicaUrlError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = match path.strip_prefix("localhost") {
        Some(after) if after.starts_with('/') => after,
        _ => path,
    };
    if path.is_empty() {
        return Err(ReplicaUrlError::PathRequired);
    }
    Ok(ReplicaTarget::File { path: PathBuf::from(OsString::from_vec(decode_bytes(path)?)) })
}

fn s3(place: &Place) -> Result<S3Target, ReplicaUrlError> {
    let host = s3_host::parse(&place.host);
    let bucket = host.bucket.filter(|bucket| !bucket.is_empty());
    let bucket = bucket.ok_or(ReplicaUrlError::BucketRequired(ReplicaKind::S3))?;
    Ok(S3Target {
        bucket,
        path: place.key_prefix(),
        force_path_style: host.endpoint.is_some(),
        endpoint: host.endpoint,
        region: host.region,
        ..S3Target::default()
    })
}

fn sftp(place: Place) -> Result<SftpTarget, ReplicaUrlError> {
    if place.host.is_empty() {
        return Err(ReplicaUrlError::HostRequired(ReplicaKind::Sftp));
    }
    Ok(SftpTarget {
        path: place.clean_path(),
        host: place.host,
        user: place.user.unwrap_or_default(),
        password: place.password,
        ..SftpTarget::default()
    })
}

/// The parts of a URL after its scheme, without query and fragment.
#[derive(Debug)]
struct Place {
    user: Option<String>,
    password: Option<Secret>,
    host: String,
    path: String,
}

impl Place {
    fn parse(rest: &str) -> Result<Self, ReplicaUrlError> {
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match userinfo.split_once(':') {
            Some((user, password)) => (user, Some(Secret::new(decode(password)?))),
            None => (userinfo, None),
        };
        let user = Some(decode(user)?).filter(|user| !user.is_empty());
        Ok(Self { user, password, host: decode(host)?, path: decode(path)? })
    }

    /// The host as the name of a bucket; a port there means nothing.
    fn bucket(&self, kind: ReplicaKind) -> Result<String, ReplicaUrlError> {
        let (bucket, _) = s3_host::split_port(&self.host);
        if bucket.is_empty() { Err(ReplicaUrlError::BucketRequired(kind)) } else { Ok(bucket.to_owned()) }
    }

    fn key_prefix(&self) -> String {
        key_prefix(&self.path)
    }

    fn clean_path(&self) -> String {
        clean(&self.path)
    }
}

/// What every key below `path` begins with.
pub(super) fn key_prefix(path: &str) -> String {
    clean(path).trim_start_matches('/').to_owned()
}

/// The path without `.`, `..`, double slashes and a slash at its end.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

fn decode(text: &str) -> Result<String, ReplicaUrlError> {
    String::from_utf8(decode_bytes(text)?).map_err(|_| ReplicaUrlError::NotUtf8)
}

/// Replaces `%41` by `A`. A NUL cannot be part of a path or a key.
fn decode_bytes(text: &str) -> Result<Vec<u8>, ReplicaUrlError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let high = bytes.next().and_then(hex_digit).ok_or(ReplicaUrlError::BadEscape)?;
            let low = bytes.next().and_then(hex_digit).ok_or(ReplicaUrlError::BadEscape)?;
            high << 4 | low
        } else {
            byte
        };
        if byte == 0 {
            return Err(ReplicaUrlError::BadEscape);
        }
        decoded.push(byte);
    }
    Ok(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
