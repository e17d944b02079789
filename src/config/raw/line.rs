//! Where in the text a place of the structure begins.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One step down into the structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'p> {
    Key(&'p str),
    Item(usize),
}

/// The line, from 1, where `place` begins, such as `dbs[0].replicas[1]`; if there is no such place, where the innermost
/// thing begins that it would be in.
pub fn line_of(text: &str, place: &str) -> Option<usize> {
    let steps = steps(place)?;
    let first = serde_yaml::Deserializer::from_str(text).next()?;
    // The YAML crate says where it was when the way ended.
    Way(&steps).deserialize(first).err()?.location().map(|location| location.line())
}

fn steps(place: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for part in place.split('.') {
        let mut words = part.split('[');
        steps.extend(words.next().map(Step::Key));
        for number in words {
            steps.push(Step::Item(number.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

/// What is left of the way. Deserializing it always fails, at its end.
struct Way<'p>(&'p [Step<'p>]);

fn here<E: Error>() -> E {
    E::custom("here")
}

impl<'de> DeserializeSeed<'de> for Way<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Way<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.0.split_first() else { return Err(here()) };
        while let Some(key) = map.next_key::<String>()? {
            if key == *wanted {
                return map.next_value_seed(Way(rest));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Err(here())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), rest)) = self.0.split_first() else { return Err(here()) };
        for _ in 0..*wanted {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Err(here());
            }
        }
        match list.next_element_seed(Way(rest))? {
            Some(()) => Ok(()),
            None => Err(here()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_where_it_begins() {
        let text = "# first\naddr: ':1'\ndbs:\n- path: a\n- path: b\n  replicas:\n  - {path: x}\n  -\n    path: y\n";
        let lines = [
            ("addr", 2),
            ("dbs[0]", 4),
            ("dbs[1]", 5),
            ("dbs[1].replicas[0]", 7),
            ("dbs[1].replicas[1]", 9),
            ("dbs[1].replicas[1].path", 9),
        ];
        for (place, line) in lines {
            assert_eq!(line_of(text, place), Some(line), "{place}");
        }
    }

    #[test]
    fn where_a_place_is_not_what_it_would_be_in_is_found() {
        let text = "x-y: 1\ndbs:\n- path: a\n- path: b\n";
        assert_eq!(line_of(text, "logging.type"), Some(1));
        assert_eq!(line_of(text, "dbs[1].replicas[0]"), Some(4));
        assert_eq!(line_of(text, "dbs[7]"), Some(3));
        assert_eq!(line_of("", "dbs[0]"), Some(1));
        assert_eq!(line_of(text, "dbs[x]"), None);
    }
}
