//! Environment variables in the text of a configuration file.
//!
//! The rules are those of Litestream 0.3: `$NAME` and `${NAME}` anywhere in the text, comments included; an unset
//! variable is empty; `$1`, `$$`, `$?` and the other special names of a shell are empty; `${` without an end
//! vanishes; there is no escape. Added to them: `${NAME:-default}` (unset or empty) and `${NAME-default}` (unset).

/// Text whose variables have been replaced; secrets among them, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The text to parse.
    pub text: String,
    /// Variables that were named outside comments, without a default, and that are not set.
    pub unset: Vec<UnsetVariable>,
}

/// A variable that expanded to nothing because it is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsetVariable {
    /// Its name.
    pub name: String,
    /// Line of the file, from 1.
    pub line: usize,
}

/// Replaces the variables in `text` by what `lookup` says.
pub fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Expanded {
    let mut expanded = Expanded::default();
    let mut position = 0;
    while let Some(found) = text[position..].find('$') {
        let dollar = position + found;
        expanded.text.push_str(&text[position..dollar]);
        let (reference, length) = Reference::parse(&text[dollar + 1..]);
        match reference {
            Reference::Dollar => expanded.text.push('$'),
            Reference::Nothing => {}
            Reference::Variable { name, default } => match default.apply(lookup(name)) {
                Some(value) => expanded.text.push_str(&value),
                None => expanded.note_unset(name, &text[..dollar]),
            },
        }
        position = dollar + 1 + length;
    }
    expanded.text.push_str(&text[position..]);
    expanded
}

impl Expanded {
    fn note_unset(&mut self, name: &str, before: &str) {
        let line_so_far = before.rsplit('\n').next().unwrap_or(before);
        let in_comment = line_so_far.trim_start().starts_with('#') || line_so_far.contains(" #");
        if !in_comment {
            let line = before.matches('\n').count() + 1;
            self.unset.push(UnsetVariable { name: name.to_owned(), line });
        }
    }
}

/// What a `$` introduces.
#[derive(Debug, PartialEq, Eq)]
enum Reference<'a> {
    /// A dollar sign that stands for itself.
    Dollar,
    /// Something that expands to nothing: a special name or bad syntax.
    Nothing,
    Variable {
        name: &'a str,
        default: Fallback<'a>,
    },
}

/// What stands for a variable that has no value.
#[derive(Debug, PartialEq, Eq)]
enum Fallback<'a> {
    Empty,
    IfUnset(&'a str),
    IfUnsetOrEmpty(&'a str),
}

impl Fallback<'_> {
    fn apply(&self, value: Option<String>) -> Option<String> {
        match self {
            Self::Empty => value,
            Self::IfUnset(default) => value.or_else(|| Some((*default).to_owned())),
            Self::IfUnsetOrEmpty(default) => value.filter(|v| !v.is_empty()).or_else(|| Some((*default).to_owned())),
        }
    }
}

impl<'a> Reference<'a> {
    /// Reads the reference whose `$` stands just before `text`; the number is the bytes of `text` it takes.
    fn parse(text: &'a str) -> (Self, usize) {
        let Some(first) = text.bytes().next() else { return (Self::Dollar, 0) };
        if first == b'{' {
            return match text.find('}') {
                Some(end) => (Self::braced(&text[1..end]), end + 1),
                None => (Self::Nothing, 1),
            };
        }
        if is_special(first) {
            return (Self::Nothing, 1);
        }
        match name_length(text) {
            0 => (Self::Dollar, 0),
            length => (Self::Variable { name: &text[..length], default: Fallback::Empty }, length),
        }
    }

    fn braced(inside: &'a str) -> Self {
        let (name, rest) = inside.split_at(name_length(inside));
        let special = name.len() == 1 && is_special(name.as_bytes()[0]);
        let default = if rest.is_empty() {
            Fallback::Empty
        } else if let Some(default) = rest.strip_prefix(":-") {
            Fallback::IfUnsetOrEmpty(default)
        } else if let Some(default) = rest.strip_prefix('-') {
            Fallback::IfUnset(default)
        } else {
            return Self::Nothing;
        };
        if name.is_empty() || special { Self::Nothing } else { Self::Variable { name, default } }
    }
}

fn name_length(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// The parameters a shell keeps for itself.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("alpha".to_owned()),
            "B_2" => Some("beta".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn references_are_replaced() {
        let cases = [
            ("plain", "plain"),
            ("$A", "alpha"),
            ("${A}", "alpha"),
            ("x$A/y", "xalpha/y"),
            ("$B_2-c", "beta-c"),
            ("$AB", ""),
            ("${NOPE}", ""),
            ("${NOPE:-x}", "x"),
            ("${NOPE-x}", "x"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY-x}", ""),
            ("${A:-x}", "alpha"),
            ("${NOPE:-}", ""),
            ("$1", ""),
            ("$1A", "A"),
            ("$$", ""),
            ("$-x $? $@ $! $* $#", "x     "),
            ("${1}", ""),
            ("cost $", "cost $"),
            ("$ x", "$ x"),
            ("$é", "$é"),
            ("${A", "A"),
            ("${}x", "x"),
            ("${a b}x", "x"),
            ("# $A", "# alpha"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &lookup).text, expected, "{text}");
        }
    }

    #[test]
    fn unset_variables_are_named_unless_in_a_comment_or_defaulted() {
        let expanded = expand("a: $X\n# $Y\nb: ${Z}\nc: ${W:-1} # $V\n", &lookup);
        let named: Vec<_> = expanded.unset.iter().map(|v| (v.name.as_str(), v.line)).collect();
        assert_eq!(named, [("X", 1), ("Z", 3)]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(\\$|\\{|\\}|:|-|A|é|\n|#|.)*") {
            let _ = expand(&text, &lookup);
        }

        #[test]
        fn text_without_dollars_is_unchanged(text in "[^$]*") {
            prop_assert_eq!(expand(&text, &lookup).text, text);
        }
    }
}
