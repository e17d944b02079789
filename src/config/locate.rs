//! Which file holds the configuration.

use std::path::{Path, PathBuf};

use super::{Environment, defaults};

/// The variable that names the file when `-config` does not.
pub const CONFIG_VARIABLE: &str = "LITESTREAM_CONFIG";

/// The absolute path of the configuration: that of `-config`, else `$LITESTREAM_CONFIG`, else `/etc/litestream.yml`.
///
/// An empty name counts as none. Whether the file exists is for [`load`](super::load) to say.
#[must_use]
pub fn locate(flag: Option<&Path>, environment: &Environment) -> PathBuf {
    let flag = flag.filter(|path| !path.as_os_str().is_empty()).map(Path::to_path_buf);
    let variable = || (environment.lookup)(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let chosen = flag.or_else(variable).unwrap_or_else(|| defaults::CONFIG_PATH.into());
    environment.absolute(&chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variable: Option<&str>) -> Environment {
        let variable = variable.map(str::to_owned);
        let lookup = move |name: &str| if name == CONFIG_VARIABLE { variable.clone() } else { None };
        Environment { lookup: Box::new(lookup), home: Some("/home/ann".into()), cwd: "/srv".into() }
    }

    #[test]
    fn the_flag_beats_the_variable_beats_the_default() {
        let cases = [
            (Some("a.yml"), Some("/b.yml"), "/srv/a.yml"),
            (Some("~/a.yml"), None, "/home/ann/a.yml"),
            (None, Some("b.yml"), "/srv/b.yml"),
            (Some(""), Some("/b.yml"), "/b.yml"),
            (None, Some(""), "/etc/litestream.yml"),
            (None, None, "/etc/litestream.yml"),
        ];
        for (flag, variable, expected) in cases {
            let located = locate(flag.map(Path::new), &environment(variable));
            assert_eq!(located, Path::new(expected), "{flag:?} {variable:?}");
        }
    }
}
