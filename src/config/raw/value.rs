//! Values: lists, switches, numbers, durations. Their errors do not repeat what may be a secret.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::config::duration::GoDuration;

/// Visitor methods that refuse a value of another kind without showing it.
macro_rules! refuse_other_kinds {
    (@method $method:ident $kind:ty, $found:literal) => {
        fn $method<E: serde::de::Error>(self, _: $kind) -> Result<Self::Value, E> {
            Err(E::custom(format_args!("expected {}, found {}", $crate::config::raw::value::Expecting(&self), $found)))
        }
    };
    (@empty $method:ident) => {
        fn $method<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Err(E::custom(format_args!("expected {}, found nothing", $crate::config::raw::value::Expecting(&self))))
        }
    };
    (seq $(, $more:ident)*) => {
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            let expected = $crate::config::raw::value::Expecting(&self);
            Err(serde::de::Error::custom(format_args!("expected {expected}, found a list")))
        }
        refuse_other_kinds!($($more),*);
    };
    (scalar) => {
        refuse_other_kinds!(@method visit_str &str, "a text");
        refuse_other_kinds!(@method visit_bool bool, "true or false");
        refuse_other_kinds!(@method visit_i64 i64, "a number");
        refuse_other_kinds!(@method visit_u64 u64, "a number");
        refuse_other_kinds!(@method visit_f64 f64, "a number");
        refuse_other_kinds!(@empty visit_unit);
        refuse_other_kinds!(@empty visit_none);
    };
}
pub(super) use refuse_other_kinds;

/// What a visitor expects, as text.
pub struct Expecting<'a, V>(pub &'a V);

impl<'de, V: Visitor<'de>> fmt::Display for Expecting<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

/// A list.
#[derive(Debug, Clone)]
pub struct List<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list (each item after `- `)")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(List(items))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<List<T>, A::Error> {
        Err(A::Error::custom(format_args!("expected {}, found a mapping", Expecting(&self))))
    }

    refuse_other_kinds!(scalar);
}

/// `true` or `false`, in any of the words YAML 1.1 has for them, since Litestream takes those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor)
    }
}

struct SwitchVisitor;

impl Visitor<'_> for SwitchVisitor {
    type Value = Switch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Switch, E> {
        Ok(Switch(on))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Switch, E> {
        match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(Switch(true)),
            "false" | "no" | "off" | "n" => Ok(Switch(false)),
            _ => Err(E::custom("expected true or false")),
        }
    }
}

/// A whole number; what range makes sense is for those to say who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeNumber(pub i64);

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeNumberVisitor)
    }
}

struct WholeNumberVisitor;

impl Visitor<'_> for WholeNumberVisitor {
    type Value = WholeNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<WholeNumber, E> {
        i64::try_from(number).map(WholeNumber).map_err(|_| E::custom(format_args!("{number} is too large")))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<WholeNumber, E> {
        Err(E::custom(format_args!("expected a whole number, found {number}")))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<WholeNumber, E> {
        Err(E::custom("expected a whole number, found a text"))
    }
}

/// A duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(pub GoDuration);

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor).map(Self)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = GoDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 500ms, 10s, 5m, 1h30m or 7d")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<GoDuration, E> {
        GoDuration::parse(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<GoDuration, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<GoDuration, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<GoDuration, E> {
        self.visit_str(&number.to_string())
    }
}

/// What retention keeps: a duration as in Litestream, or a list of tiers.
#[derive(Debug, Clone)]
pub enum Keeping {
    /// Everything, for so long.
    Everything(Interval),
    /// Some states for longer.
    Tiers(Vec<super::RawTier>),
}

impl<'de> Deserialize<'de> for Keeping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeepingVisitor)
    }
}

struct KeepingVisitor;

impl<'de> Visitor<'de> for KeepingVisitor {
    type Value = Keeping;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DurationVisitor.expecting(f)?;
        f.write_str(", or a list such as [{for: 24h}, {every: 1h, for: 7d}]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Keeping, A::Error> {
        ListVisitor(PhantomData).visit_seq(list).map(|list| Keeping::Tiers(list.0))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Keeping, E> {
        DurationVisitor.visit_str(text).map(|duration| Keeping::Everything(Interval(duration)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Keeping, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Keeping, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Keeping, E> {
        self.visit_str(&number.to_string())
    }
}
