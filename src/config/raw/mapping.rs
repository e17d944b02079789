//! Mappings with a fixed set of keys.
//!
//! The derive of serde would do, but for three things: the line of an unknown or repeated key, keys that are known
//! yet unused, and the merge key `<<`, on which configurations with anchors depend.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::unused::UnusedKey;
use super::value::refuse_other_kinds;
use crate::config::suggest::{did_you_mean, nearest};

/// Defines a mapping: a struct of optional fields, and how they are spelt.
macro_rules! keys {
    (
        $(#[$meta:meta])*
        pub struct $name:ident at $place:literal, $unused:path {
            $( $field:ident : $kind:ty = $key:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default)]
        pub struct $name {
            $(
                #[doc = concat!("`", $key, "`")]
                pub $field: Option<$kind>,
            )*
            /// Keys that were given and have no meaning here.
            pub unused: Vec<&'static $crate::config::raw::UnusedKey>,
        }

        impl $name {
            /// How the keys are spelt.
            pub const NAMES: &'static [&'static str] = &[$($key),*];
            /// What holds them, in words.
            pub const PLACE: &'static str = $place;
        }

        impl $crate::config::raw::mapping::Mapping for $name {
            const NAMES: &'static [&'static str] = Self::NAMES;
            const PLACE: &'static str = Self::PLACE;
            const UNUSED: &'static [$crate::config::raw::UnusedKey] = $unused;

            fn set<'de, A: serde::de::MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                match key {
                    $( $key => self.$field = map.next_value()?, )*
                    _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                }
                Ok(())
            }

            fn note_unused(&mut self, key: &'static $crate::config::raw::UnusedKey) {
                self.unused.push(key);
            }

            fn inherit(&mut self, base: Self) {
                $( if self.$field.is_none() { self.$field = base.$field; } )*
                self.unused.extend(base.unused);
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::raw::mapping::deserialize(deserializer)
            }
        }
    };
}
pub(super) use keys;

/// What [`keys!`] knows of a mapping.
pub trait Mapping: Default + for<'de> serde::Deserialize<'de> {
    const NAMES: &'static [&'static str];
    const PLACE: &'static str;
    const UNUSED: &'static [UnusedKey];
    /// Reads the value of one of `NAMES`.
    fn set<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
    /// Remembers that one of `UNUSED` was given.
    fn note_unused(&mut self, key: &'static UnusedKey);
    /// Takes what it lacks from `base`.
    fn inherit(&mut self, base: Self);
}

/// Reads a mapping.
pub fn deserialize<'de, M: Mapping, D: Deserializer<'de>>(deserializer: D) -> Result<M, D::Error> {
    deserializer.deserialize_any(MappingVisitor(PhantomData))
}

struct MappingVisitor<M>(PhantomData<M>);

impl<'de, M: Mapping> Visitor<'de> for MappingVisitor<M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`key: value` lines")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<M, A::Error> {
        let mut mapping = M::default();
        let mut bases = Vec::new();
        let mut seen = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed::<M> { seen: &mut seen, mapping: PhantomData })? {
            match key {
                Key::Known(name) => mapping.set(name, &mut map)?,
                Key::Merge => bases.extend(map.next_value::<Bases<M>>()?.0),
                Key::Unused(key) => {
                    map.next_value::<IgnoredAny>()?;
                    mapping.note_unused(key);
                }
                Key::Extension => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        bases.into_iter().for_each(|base| mapping.inherit(base));
        Ok(mapping)
    }

    refuse_other_kinds!(seq, scalar);
}

/// The value of `<<`: one mapping or several, of which the first that has a key gives it.
struct Bases<M>(Vec<M>);

impl<'de, M: Mapping> serde::Deserialize<'de> for Bases<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BasesVisitor(PhantomData)).map(Self)
    }
}

struct BasesVisitor<M>(PhantomData<M>);

impl<'de, M: Mapping> Visitor<'de> for BasesVisitor<M> {
    type Value = Vec<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or a list of mappings to merge")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<M>, A::Error> {
        MappingVisitor(PhantomData).visit_map(map).map(|mapping| vec![mapping])
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<M>, A::Error> {
        let mut bases = Vec::new();
        while let Some(base) = list.next_element()? {
            bases.push(base);
        }
        Ok(bases)
    }

    refuse_other_kinds!(scalar);
}

enum Key {
    Known(&'static str),
    Unused(&'static UnusedKey),
    /// `<<`
    Merge,
    /// `x-...`: the author's own, to hang anchors on.
    Extension,
}

/// Reads a key and judges it there and then, so that an error bears its line.
struct KeySeed<'a, M> {
    seen: &'a mut Vec<String>,
    mapping: PhantomData<M>,
}

impl<'de, M: Mapping> DeserializeSeed<'de> for KeySeed<'_, M> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, M: Mapping> Visitor<'de> for KeySeed<'_, M> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        if self.seen.iter().any(|seen| seen == key) {
            return Err(E::custom(format_args!("key {key:?} is given twice")));
        }
        let known = M::NAMES.iter().find(|name| **name == key).map(|name| Key::Known(name));
        let unused = || M::UNUSED.iter().find(|unused| unused.key == key).map(Key::Unused);
        let special = || match key {
            "<<" => Some(Key::Merge),
            _ => key.starts_with("x-").then_some(Key::Extension),
        };
        let judged = known.or_else(unused).or_else(special).ok_or_else(|| unknown_key::<M, E>(key))?;
        self.seen.push(key.to_owned());
        Ok(judged)
    }
}

/// Whatever follows a colon in a key was meant for a value, perhaps a secret one, and is not shown.
fn unknown_key<M: Mapping, E: Error>(key: &str) -> E {
    if let Some((before, _)) = key.split_once(':') {
        return E::custom(format_args!("unknown key {:?}; write a space after the colon", shortened(before)));
    }
    let place = M::PLACE;
    let homes = super::HOMES.iter().filter(|(names, _)| names.contains(&key));
    let homes: Vec<&str> = homes.map(|(_, home)| *home).collect();
    let candidates = || M::NAMES.iter().copied().chain(M::UNUSED.iter().map(|unused| unused.key));
    let hint = if !homes.is_empty() {
        format!("; it belongs to {}, not to {place}", homes.join(" or "))
    } else if nearest(key, candidates()).is_some() {
        did_you_mean(key, candidates())
    } else {
        format!("; {place} may have {}", M::NAMES.join(", "))
    };
    E::custom(format_args!("unknown key {:?}{hint}", shortened(key)))
}

fn shortened(key: &str) -> String {
    const SHOWN_MAX: usize = 40;
    key.chars().take(SHOWN_MAX).collect()
}
