//! The query of a replica URL: what stands behind its `?`.

use super::{ReplicaUrlError, Secret, decode, kind};
use crate::config::ReplicaKind;

/// One of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// As it was written.
    pub name: String,
    /// Perhaps a key.
    pub value: Secret,
}

/// The parameters in the query of `url`. In a `file:` URL a question mark is part of the path.
pub fn parameters(url: &str) -> Result<Vec<Parameter>, ReplicaUrlError> {
    if kind(url)? == ReplicaKind::File {
        return Ok(Vec::new());
    }
    let without_fragment = url.split('#').next().unwrap_or(url);
    let Some((_, query)) = without_fragment.split_once('?') else { return Ok(Vec::new()) };
    let parameter = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(Parameter { name: decode(name)?, value: Secret::new(decode(value)?) })
    };
    query.split('&').filter(|text| !text.is_empty()).map(parameter).collect()
}
