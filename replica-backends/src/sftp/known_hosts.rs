//! Files in the format of OpenSSH's `known_hosts` (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

use std::path::{Path, PathBuf};

use ring::hmac;
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};

/// What a file says of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) key: PublicKey,
    /// Whether it must not be trusted any more.
    pub(super) revoked: bool,
    /// The file and the line in it, from 1.
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// Everything that the file at `path` says of the host. A file that is missing or unreadable says nothing; neither do
/// lines that cannot be read, and those about certificates.
pub(super) fn known(path: &Path, host: &str, port: u16) -> Vec<Known> {
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let name = name(host, port);
    let of_line = |(number, line): (usize, &str)| {
        let line = line.trim();
        let entry: Entry = (!line.is_empty() && !line.starts_with('#')).then(|| line.parse().ok())??;
        let is_meant = entry.marker() != Some(&Marker::CertAuthority) && names(entry.host_patterns(), &name);
        is_meant.then(|| Known {
            revoked: entry.marker() == Some(&Marker::Revoked),
            key: entry.public_key().clone(),
            file: path.to_owned(),
            line: number + 1,
        })
    };
    text.lines().enumerate().filter_map(of_line).collect()
}

/// How the file names a host.
fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == super::PORT { host } else { format!("[{host}]:{port}") }
}

fn names(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, name.as_bytes(), hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let fits = |pattern: &str| is_like(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes());
            let excluded = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(fits);
            !excluded && patterns.iter().any(|pattern| fits(pattern))
        }
    }
}

/// Whether `text` is what `pattern` says, in which `*` stands for any bytes and `?` for one.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p + 1, t));
                p += 1;
            }
            (Some(byte), _) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            (_, Some((after, from))) => {
                star = Some((after, from + 1));
                p = after;
                t = from + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn lines_that_name(text: &str, host: &str, port: u16) -> Vec<(usize, bool)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        known(file.path(), host, port).iter().map(|known| (known.line, known.revoked)).collect()
    }

    #[test]
    fn hosts_are_found_as_openssh_names_them() {
        // The hashed name is example.com.
        let text = format!(
            "# a comment\n\nh.example {KEY}\n[h.example]:2222,10.0.0.1 {KEY} somebody@there\n\
             |1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= {KEY}\n*.lan,!bad.lan {KEY}\n\
             not a line\nh.example ssh-unknown AAAA\n@revoked old.example {KEY}\n@cert-authority *.example {KEY}\n"
        );
        let cases = [
            ("h.example", 22, Some((3, false))),
            ("H.Example", 22, Some((3, false))),
            ("h.example", 2222, Some((4, false))),
            ("10.0.0.1", 22, Some((4, false))),
            ("10.0.0.1", 2222, None),
            ("example.com", 22, Some((5, false))),
            ("good.lan", 22, Some((6, false))),
            ("bad.lan", 22, None),
            ("old.example", 22, Some((9, true))),
            ("other.example", 22, None),
        ];
        for (host, port, expected) in cases {
            let expected: Vec<_> = expected.into_iter().collect();
            assert_eq!(lines_that_name(&text, host, port), expected, "{host}:{port}");
        }
        assert!(known(Path::new("/nowhere/known_hosts"), "h", 22).is_empty());
    }

    #[test]
    fn stars_and_question_marks_stand_for_what_they_should() {
        let cases = [
            ("", "", true),
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*b*b*", "abab", true),
            ("*b*b*c", "abab", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("abc", "ab", false),
            ("ab", "abc", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(is_like(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
