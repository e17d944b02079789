//! What the configuration takes from the process it is read in.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// Looks an environment variable up.
pub type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Variables and folders, passed in so that nothing below reads them from the process.
pub struct Environment {
    /// The value of an environment variable.
    pub lookup: Lookup,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// What relative paths are relative to.
    pub cwd: PathBuf,
}

impl Environment {
    /// That of this process. Variables that are not UTF-8 have their bad bytes replaced.
    pub fn of_this_process() -> std::io::Result<Self> {
        let lookup = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Ok(Self { lookup: Box::new(lookup), home, cwd: std::env::current_dir()? })
    }

    /// The path without `~` at its start, absolute, and without `.`, `..` and double slashes.
    ///
    /// Links are not followed: the path names what it names even before it exists.
    /// `~user` is a name like any other, as in Litestream.
    #[must_use]
    pub fn absolute(&self, path: &Path) -> PathBuf {
        let mut components = path.components().peekable();
        let mut absolute = PathBuf::new();
        match (&self.home, components.peek()) {
            (Some(home), Some(Component::Normal(first))) if *first == OsStr::new("~") => {
                absolute.push(&self.cwd);
                absolute.push(home);
                components.next();
            }
            _ => absolute.push(&self.cwd),
        }
        for component in components {
            match component {
                Component::CurDir => {}
                Component::ParentDir => {
                    absolute.pop();
                }
                other => absolute.push(other),
            }
        }
        absolute
    }
}

impl fmt::Debug for Environment {
    /// Without the variables: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("home", &self.home).field("cwd", &self.cwd).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let environment =
            Environment { lookup: Box::new(|_| None), home: Some("/home/ann".into()), cwd: "/srv/app".into() };
        let cases = [
            ("db", "/srv/app/db"),
            ("./a/../db", "/srv/app/db"),
            ("../db", "/srv/db"),
            ("../../../db", "/db"),
            ("/a//b/./c/..", "/a/b"),
            ("~", "/home/ann"),
            ("~/db", "/home/ann/db"),
            ("~bob/db", "/srv/app/~bob/db"),
            ("x/~", "/srv/app/x/~"),
        ];
        for (path, expected) in cases {
            assert_eq!(environment.absolute(Path::new(path)), Path::new(expected), "{path}");
        }
        let homeless = Environment { home: None, ..environment };
        assert_eq!(homeless.absolute(Path::new("~/db")), Path::new("/srv/app/~/db"));
    }
}
