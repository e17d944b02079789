//! Durations as Go writes them, with days added.

use std::time::Duration;

/// A signed duration: `1h30m`, `-1.5s`, `100ms`, `7d`, `0`. At most about 292 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration {
    nanoseconds: i64,
}

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Litestream takes a bare number for nanoseconds, which nobody who writes one wants.
    #[error("{0} has no unit; a bare number means nanoseconds in Litestream; write {0}s for seconds")]
    NoUnit(String),
    /// Longer than 292 years.
    #[error("{0:?} is longer than 292 years")]
    TooLong(String),
    /// Anything else.
    #[error("{0:?} is not a duration; write a number with a unit, such as 500ms, 10s, 5m, 1h30m or 7d")]
    Malformed(String),
}

const NANOSECOND: u128 = 1;
const SECOND: u128 = 1_000_000_000;
const HOUR: u128 = 3600 * SECOND;

impl GoDuration {
    /// No time at all.
    pub const ZERO: Self = Self { nanoseconds: 0 };

    /// The duration, unless it is zero or negative.
    #[must_use]
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.nanoseconds).ok().filter(|n| *n > 0).map(Duration::from_nanos)
    }

    /// Reads a duration.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let malformed = || DurationError::Malformed(shortened(text));
        let (negative, body) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if body == "0" {
            return Ok(Self::ZERO);
        }
        if !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DurationError::NoUnit(shortened(text)));
        }
        let too_long = || DurationError::TooLong(shortened(text));
        let mut total: u128 = 0;
        let mut rest = body;
        loop {
            let (term, remainder) = Term::split(rest).ok_or_else(malformed)?;
            let nanoseconds = term.nanoseconds().ok_or_else(too_long)?;
            total = total.checked_add(nanoseconds).ok_or_else(too_long)?;
            rest = remainder;
            if rest.is_empty() {
                break;
            }
        }
        let nanoseconds = i64::try_from(total).map_err(|_| too_long())?;
        Ok(Self { nanoseconds: if negative { -nanoseconds } else { nanoseconds } })
    }
}

/// One number and its unit.
struct Term<'a> {
    whole: &'a str,
    fraction: &'a str,
    unit: u128,
}

impl<'a> Term<'a> {
    /// The first term of `text` and what follows it.
    fn split(text: &'a str) -> Option<(Self, &'a str)> {
        let (whole, rest) = text.split_at(digits(text));
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        Some((Self { whole, fraction, unit: unit(name)? }, rest))
    }

    fn nanoseconds(&self) -> Option<u128> {
        const FRACTION_DIGITS_MAX: usize = 18;
        let whole = if self.whole.is_empty() { 0 } else { self.whole.parse::<u64>().ok()? };
        let fraction = &self.fraction[..self.fraction.len().min(FRACTION_DIGITS_MAX)];
        let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        let parts = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
        u128::from(whole).checked_mul(self.unit)?.checked_add(parts.checked_mul(self.unit)? / scale)
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn unit(name: &str) -> Option<u128> {
    Some(match name {
        "ns" => NANOSECOND,
        // The two letters that look like a mu: U+00B5 and U+03BC.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => HOUR,
        "d" => 24 * HOUR,
        _ => return None,
    })
}

fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 40;
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_of_go_and_days_are_read() {
        let cases = [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5ns", 5),
            ("1us", 1_000),
            ("1\u{b5}s", 1_000),
            ("1\u{3bc}s", 1_000),
            ("100ms", 100_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("-1m", -60_000_000_000),
            ("+1m", 60_000_000_000),
            ("7d", 604_800_000_000_000),
            ("1d12h", 129_600_000_000_000),
            ("0.3333333333333333333333s", 333_333_333),
        ];
        for (text, nanoseconds) in cases {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration { nanoseconds }), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "-", "s", ".s", ".", "1", "1.5", "5 s", "1s ", "1w", "1hm", "abc", "1s2", "--1s", "1S", "1é"]
        {
            assert!(GoDuration::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            GoDuration::parse("5").map_err(|e| e.to_string()),
            Err("5 has no unit; a bare number means nanoseconds in Litestream; write 5s for seconds".to_owned())
        );
        assert_eq!(GoDuration::parse("300000d"), Err(DurationError::TooLong("300000d".to_owned())));
        assert!(GoDuration::parse("99999999999999999999999h").is_err());
    }

    #[test]
    fn only_positive_durations_are_positive() {
        assert_eq!(GoDuration::parse("1s").map(GoDuration::positive), Ok(Some(Duration::from_secs(1))));
        assert_eq!(GoDuration::ZERO.positive(), None);
        assert_eq!(GoDuration::parse("-1s").map(GoDuration::positive), Ok(None));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[-+0-9.smhdnu\u{b5}é ]*|.*") {
            let _ = GoDuration::parse(&text);
        }

        #[test]
        fn seconds_survive(seconds in 1u32..) {
            let parsed = GoDuration::parse(&format!("{seconds}s")).unwrap().positive();
            prop_assert_eq!(parsed, Some(Duration::from_secs(seconds.into())));
        }
    }
}
