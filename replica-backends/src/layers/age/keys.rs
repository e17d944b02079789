//! Who may read, and who reads: the keys of a replica.

use std::fmt;
use std::sync::Arc;

use ::age::x25519;

const RECIPIENT: &str = "age1";
const IDENTITY: &str = "AGE-SECRET-KEY-";

/// The keys of one replica. Without any, its objects are plain.
#[derive(Clone, Default)]
pub struct AgeKeys {
    pub(super) identities: Arc<[x25519::Identity]>,
    pub(super) recipients: Arc<[x25519::Recipient]>,
}

/// Why an entry of the configuration is no key. Never holds any of its text, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{list}[{entry}]{}: {problem}", line_text(*.line))]
pub struct KeyFault {
    /// "identities" or "recipients".
    pub list: &'static str,
    /// Which of them, from 0.
    pub entry: usize,
    /// Which line of it, from 1, if it has several.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: &'static str,
}

fn line_text(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

impl AgeKeys {
    /// Reads keys as Litestream 0.3 does: each text is one key, or the content of a key file with one key a line, in
    /// which lines that begin with `#` are comments. Only the keys of `age-keygen` (X25519) are known.
    ///
    /// # Errors
    /// Which entry is wrong.
    pub fn parse<'t>(
        identities: impl IntoIterator<Item = &'t str>,
        recipients: impl IntoIterator<Item = &'t str>,
    ) -> Result<Self, KeyFault> {
        Ok(Self {
            identities: parse_list("identities", identities, identity)?.into(),
            recipients: parse_list("recipients", recipients, recipient)?.into(),
        })
    }

    /// Whether objects are encrypted when they are written.
    #[must_use]
    pub fn can_write(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Whether somebody is there to read as.
    #[must_use]
    pub fn can_read(&self) -> bool {
        !self.identities.is_empty()
    }

    /// Whether what is written now can be read: one of the identities belongs to one of the recipients.
    #[must_use]
    pub fn can_read_back(&self) -> bool {
        self.identities.iter().any(|identity| self.recipients.contains(&identity.to_public()))
    }

    /// The public keys that belong to the identities.
    #[must_use]
    pub fn public_of_identities(&self) -> Vec<String> {
        self.identities.iter().map(|identity| identity.to_public().to_string()).collect()
    }

    /// Objects are plain, both ways.
    pub(super) fn is_none(&self) -> bool {
        !self.can_read() && !self.can_write()
    }
}

fn parse_list<'t, T>(
    list: &'static str,
    entries: impl IntoIterator<Item = &'t str>,
    parse: fn(&str) -> Result<T, &'static str>,
) -> Result<Vec<T>, KeyFault> {
    let mut keys = Vec::new();
    for (entry, text) in entries.into_iter().enumerate() {
        let is_file = text.trim().lines().count() > 1;
        let before = keys.len();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |problem| KeyFault { list, entry, line: is_file.then_some(number + 1), problem };
            keys.push(parse(line).map_err(fault)?);
        }
        if keys.len() == before {
            return Err(KeyFault { list, entry, line: None, problem: "it holds no key" });
        }
    }
    Ok(keys)
}

fn identity(line: &str) -> Result<x25519::Identity, &'static str> {
    line.parse().map_err(|_| match line {
        _ if line.starts_with(RECIPIENT) => "this is a public key; it belongs under recipients",
        _ if line.starts_with("AGE-SECRET-KEY-1") => "this key is damaged: it must be copied whole",
        _ if line.starts_with("AGE-") => "keys of this kind are not supported; take one that age-keygen makes",
        _ => "this is no secret key of age, which begins with AGE-SECRET-KEY-1",
    })
}

fn recipient(line: &str) -> Result<x25519::Recipient, &'static str> {
    line.parse().map_err(|_| match line {
        _ if line.starts_with(IDENTITY) => {
            "this is a secret key; it belongs under identities, and its public key (age-keygen -y) here"
        }
        _ if line.starts_with("ssh-") => "keys of SSH are not supported; take one that age-keygen makes",
        _ => "this is no public key of age, which begins with age1, or it is damaged",
    })
}

// Identities are the same if what they can read is.
impl PartialEq for AgeKeys {
    fn eq(&self, other: &Self) -> bool {
        self.recipients == other.recipients && self.public_of_identities() == other.public_of_identities()
    }
}

impl Eq for AgeKeys {}

impl fmt::Debug for AgeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgeKeys({} identities, recipients {:?})", self.identities.len(), self.recipients)
    }
}

#[cfg(test)]
mod tests {
    use ::age::secrecy::ExposeSecret;

    use super::*;

    fn pair() -> (String, String) {
        let identity = x25519::Identity::generate();
        (identity.to_string().expose_secret().to_owned(), identity.to_public().to_string())
    }

    #[test]
    fn keys_are_read_as_key_files() {
        let ((secret, public), (other_secret, other_public)) = (pair(), pair());
        let file = format!("# created: today\r\n# public key: {public}\r\n{secret}\r\n\n{other_secret}\n");
        let keys = AgeKeys::parse([file.as_str()], [public.as_str(), &format!("# both\n{other_public}")]).unwrap();
        assert_eq!((keys.identities.len(), keys.recipients.len()), (2, 2));
        assert!(keys.can_read() && keys.can_write() && keys.can_read_back());
        assert_eq!(keys.public_of_identities(), [public.clone(), other_public]);
        let foreign = AgeKeys::parse([pair().0.as_str()], [public.as_str()]).unwrap();
        assert!(!foreign.can_read_back());
    }

    #[test]
    fn a_fault_names_the_entry_and_never_the_key() {
        let (secret, public) = pair();
        let cut = &secret[..secret.len() - 1];
        let two = format!("{public}\n{secret}");
        let cases: [(&[&str], &[&str], &str); 7] = [
            (&[&secret, cut], &[], "identities[1]: this key is damaged"),
            (&[&public], &[], "identities[0]: this is a public key; it belongs under recipients"),
            (&[], &[&public, &two], "recipients[1], line 2: this is a secret key; it belongs under identities"),
            (&[], &[&public, "# nothing"], "recipients[1]: it holds no key"),
            (&[], &["ssh-ed25519 AAAA"], "recipients[0]: keys of SSH are not supported"),
            (&["AGE-PLUGIN-X-1"], &[], "identities[0]: keys of this kind are not supported"),
            (&["hunter2"], &[], "identities[0]: this is no secret key of age"),
        ];
        for (identities, recipients, expected) in cases {
            let fault = AgeKeys::parse(identities.iter().copied(), recipients.iter().copied()).unwrap_err();
            let said = format!("{fault} {fault:?}");
            assert!(said.starts_with(expected), "{said}");
            assert!(!said.contains(cut) && !said.contains("hunter2"), "{said}");
        }
        let keys = AgeKeys::parse([secret.as_str()], []).unwrap();
        assert!(!format!("{keys:?}").contains("SECRET"), "{keys:?}");
    }
}
