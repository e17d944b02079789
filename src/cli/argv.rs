//! Command lines as Go's `flag` package reads them, in a form that clap reads.
//!
//! `-name`, `--name`, `-name value`, `-name=value`; switches also `-name=true` and `-name=false`; the last of several
//! wins; `--` ends the flags; `-` alone is not a flag. Unlike in Go, flags may also follow other arguments.

use std::ffi::{OsStr, OsString};

/// What is known of a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: String,
    /// Whether it needs a value; if not, it is a switch.
    pub takes_value: bool,
    /// Whether each of several counts; if not, the last one wins.
    pub repeats: bool,
}

/// A command line after its command, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments {
    /// Flags with their values, each name once unless it repeats.
    pub values: Vec<(String, OsString)>,
    /// Switches that are on.
    pub switches: Vec<String>,
    /// The arguments that are not flags, in order.
    pub positionals: Vec<OsString>,
    /// Whether `-h`, `-help` or `--help` was among the flags.
    pub help: bool,
}

/// Why a command line cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgvError {
    /// No such flag.
    #[error("flag provided but not defined: -{0}")]
    UnknownFlag(String),
    /// The flag is the last word, without its value.
    #[error("flag needs an argument: -{0}")]
    ValueMissing(String),
    /// A switch with a value that is neither true nor false.
    #[error("invalid boolean value {value:?} for -{flag}: parse error")]
    NotABoolean {
        /// The switch.
        flag: String,
        /// Its value.
        value: String,
    },
    /// `-=x` and the like.
    #[error("bad flag syntax: {0}")]
    BadSyntax(String),
}

/// Takes the words after the command apart.
pub fn take_apart(words: impl IntoIterator<Item = OsString>, flags: &[Flag]) -> Result<Arguments, ArgvError> {
    let mut arguments = Arguments::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            arguments.positionals.extend(words);
            break;
        }
        let Some((name, value)) = split_flag(&word) else {
            arguments.positionals.push(word);
            continue;
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(ArgvError::BadSyntax(word.to_string_lossy().into_owned()));
        }
        match flags.iter().find(|flag| flag.name == name) {
            Some(flag) if flag.takes_value => {
                let value = value.or_else(|| words.next()).ok_or(ArgvError::ValueMissing(name))?;
                arguments.set_value(flag, value);
            }
            Some(flag) => arguments.set_switch(flag, value.as_deref())?,
            None if name == "h" || name == "help" => arguments.help = true,
            None => return Err(ArgvError::UnknownFlag(name)),
        }
    }
    Ok(arguments)
}

impl Arguments {
    /// The same command line with nothing left to interpret: `--name=value`, `--name`, `--`, the rest.
    #[must_use]
    pub fn canonical(self) -> Vec<OsString> {
        let mut words = Vec::new();
        for (name, value) in self.values {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            words.push(word);
        }
        words.extend(self.switches.into_iter().map(|name| OsString::from(format!("--{name}"))));
        words.push(OsString::from("--"));
        words.extend(self.positionals);
        words
    }

    fn set_value(&mut self, flag: &Flag, value: OsString) {
        self.values.retain(|(name, _)| flag.repeats || *name != flag.name);
        self.values.push((flag.name.clone(), value));
    }

    fn set_switch(&mut self, flag: &Flag, value: Option<&OsStr>) -> Result<(), ArgvError> {
        let on = match value {
            None => true,
            Some(value) => value.to_str().and_then(go_bool).ok_or_else(|| ArgvError::NotABoolean {
                flag: flag.name.clone(),
                value: value.to_string_lossy().into_owned(),
            })?,
        };
        self.switches.retain(|name| *name != flag.name);
        if on {
            self.switches.push(flag.name.clone());
        }
        Ok(())
    }
}

/// Name and value of a flag; `None` if the word is not one.
///
/// A word that is not UTF-8 can still be a flag: what stands before its `=` is read as well as may be.
fn split_flag(word: &OsStr) -> Option<(String, Option<OsString>)> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = word.as_bytes().strip_prefix(b"-").filter(|rest| !rest.is_empty())?;
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(equals) => (&bytes[..equals], Some(OsStr::from_bytes(&bytes[equals + 1..]).to_os_string())),
        None => (bytes, None),
    };
    Some((String::from_utf8_lossy(name).into_owned(), value))
}

/// The words that Go takes for booleans.
fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
