//! Which keys and folder prefixes are well formed, for every driver alike.

/// Says what is wrong with `key`, if anything is.
///
/// A key is relative and `/`-separated; segments are not empty, not `.` and not `..`, and hold no NUL. Drivers
/// rely on it: such a key can be joined to a root and never leaves it.
pub(crate) fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("the key is empty");
    }
    for segment in key.split('/') {
        match segment {
            "" => return Err("the key has an empty segment (a leading, trailing or double slash)"),
            "." | ".." => return Err("the key has a segment '.' or '..'"),
            _ if segment.contains('\0') => return Err("the key has a NUL"),
            _ => {}
        }
    }
    Ok(())
}

/// Says what is wrong with the folder `prefix`, if anything is: it is empty, or a key followed by `/`.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    match prefix.strip_suffix('/') {
        Some(folder) => check_key(folder),
        None if prefix.is_empty() => Ok(()),
        None => Err("the folder prefix does not end with '/'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_leaves_the_root() {
        for good in ["a", "a/b", "..a", "a..", "...", " ", "a\\b", "%2e%2e/é"] {
            assert_eq!(check_key(good), Ok(()), "{good:?}");
        }
        for bad in ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\0", "\0/a"] {
            assert!(check_key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_is_a_folder() {
        for good in ["", "a/", "a/b/"] {
            assert_eq!(check_prefix(good), Ok(()), "{good:?}");
        }
        for bad in ["a", "/", "//", "/a/", "a//", "../", "a/./"] {
            assert!(check_prefix(bad).is_err(), "{bad:?}");
        }
    }
}
