//! Values of flags.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use crate::config::duration::GoDuration;
use crate::history::ltx::LtxLevel;
use crate::types::{Clock, Generation, Index, Position, SystemClock, Timestamp, Txid};

/// Hex digits without `0x`, at most `7fffffff`.
pub fn index(text: &str) -> Result<Index, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let index = if digits { u32::from_str_radix(text, 16).ok().and_then(Index::new) } else { None };
    index.ok_or_else(|| format!("invalid value {text:?} for flag -index: invalid hexadecimal format"))
}

/// A duration, which is more than 0.
pub fn duration(flag: &str, text: &str) -> Result<Duration, String> {
    let parsed = GoDuration::parse(text).map_err(|error| format!("invalid value for flag -{flag}: {error}"))?;
    parsed.positive().ok_or_else(|| format!("invalid value {text:?} for flag -{flag}: it must be more than 0"))
}

/// RFC 3339 with any offset, or a duration and "ago". Fractions below a millisecond are dropped; times before 1970
/// become 1970.
pub fn timestamp(text: &str) -> Result<Timestamp, String> {
    // The blank before "format" is the one Litestream prints, which cannot break a line.
    let invalid = || "invalid -timestamp, must specify in ISO 8601\u{a0}format (e.g. 2000-01-01T00:00:00Z)".to_owned();
    if let Some(span) = text.strip_suffix("ago").map(str::trim_end) {
        let span = GoDuration::parse(span).ok().and_then(GoDuration::positive).ok_or_else(invalid)?;
        let back = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        return Ok(Timestamp(SystemClock.now().0.saturating_sub(back)));
    }
    if !has_date_time_and_offset(text) {
        return Err(invalid());
    }
    let time = jiff::Timestamp::from_str(&text.to_ascii_uppercase()).map_err(|_| invalid())?;
    Ok(Timestamp(u64::try_from(time.as_millisecond()).unwrap_or(0)))
}

/// The shape of RFC 3339. jiff reads more than that, and what it is to read is best agreed upon.
fn has_date_time_and_offset(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c.to_ascii_uppercase() }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with('0') => fraction.trim_start_matches('0'),
        Some(_) => return false,
        None => rest,
    };
    matches!(rest, "Z" | "+00:00" | "-00:00")
}

/// Sixteen hex digits.
pub fn generation(text: &str) -> Result<Generation, String> {
    text.parse().map_err(|error| format!("invalid value for flag -generation: {error}"))
}

/// Sixteen hex digits.
pub fn txid(text: &str) -> Result<Txid, String> {
    text.parse().map_err(|error| format!("invalid value for flag -txid: {error}"))
}

/// As it is printed.
pub fn position(text: &str) -> Result<Position, String> {
    text.parse().map_err(|error| format!("invalid value for flag -position: {error}"))
}

/// A level, or `None` for all of them.
pub fn level(text: &str) -> Result<Option<LtxLevel>, String> {
    if text == "all" {
        return Ok(None);
    }
    let level = text.parse().ok().and_then(LtxLevel::new);
    level.map(Some).ok_or_else(|| format!("invalid value {text:?} for flag -level: must be 0 to 9, or \"all\""))
}

/// A number; less than 1 means 1.
pub fn parallelism(text: &str) -> Result<usize, String> {
    let number: i64 = text.parse().map_err(|_| format!("invalid value {text:?} for flag -parallelism: parse error"))?;
    Ok(usize::try_from(number).unwrap_or(1).max(1))
}

/// A URL; all of them are UTF-8.
pub fn utf8(word: OsString) -> Result<String, String> {
    word.into_string().map_err(|word| format!("{word:?} is not UTF-8"))
}
