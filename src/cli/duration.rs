//! Durations as Litestream prints them.

use crate::types::Timestamp;

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;

/// How far a generation is behind: the time from its last change to that of the database, which may be negative.
///
/// Without any change to the generation, the longest time there is, as in Litestream.
#[must_use]
pub fn lag(database: Timestamp, generation: Option<Timestamp>) -> String {
    let Some(generation) = generation else { return go_duration(truncated(i64::MAX)) };
    let milliseconds = i128::from(database.0) - i128::from(generation.0);
    let limit = i128::from(i64::MAX);
    let nanoseconds = (milliseconds * i128::from(MILLISECOND)).clamp(-limit, limit);
    go_duration(truncated(i64::try_from(nanoseconds).unwrap_or(i64::MAX)))
}

/// Drops the digits that nobody reads: keeps seconds above 10 s, tenths above 1 s, milliseconds above 1 ms.
#[must_use]
pub fn truncated(nanoseconds: i64) -> i64 {
    let unit = match nanoseconds.saturating_abs() {
        n if n > 10 * SECOND => SECOND,
        n if n > SECOND => SECOND / 10,
        n if n > MILLISECOND => MILLISECOND,
        n if n > MICROSECOND => MICROSECOND,
        _ => 1,
    };
    nanoseconds - nanoseconds % unit
}

/// The duration as Go writes it: `1h0m5s`, `5.6s`, `12ms`, `0s`.
#[must_use]
pub fn go_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let magnitude = nanoseconds.unsigned_abs();
    let [microsecond, millisecond, second] = [MICROSECOND, MILLISECOND, SECOND].map(i64::unsigned_abs);
    let text = match magnitude {
        0 => "0s".to_owned(),
        n if n < microsecond => format!("{n}ns"),
        n if n < millisecond => format!("{}\u{b5}s", decimal(n, microsecond)),
        n if n < second => format!("{}ms", decimal(n, millisecond)),
        n => {
            let (minutes, rest) = (n / (60 * second), n % (60 * second));
            let seconds = decimal(rest, second);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// `value` in units of `unit`, a power of ten, with as many decimals as it has.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    format!("{whole}.{rest:0digits$}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (SECOND, "1s"),
            (60 * SECOND, "1m0s"),
            (3605 * SECOND, "1h0m5s"),
            (245 * SECOND + MILLISECOND, "4m5.001s"),
            (-5 * SECOND, "-5s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(go_duration(nanoseconds), expected);
        }
    }

    #[test]
    fn lag_is_shown_with_the_digits_that_matter() {
        let cases = [
            (0, "0s"),
            (1, "1ms"),
            (12, "12ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (5_678, "5.6s"),
            (10_000, "10s"),
            (10_001, "10s"),
            (12_345, "12s"),
            (3_723_456, "1h2m3s"),
        ];
        let generation = Timestamp(1_000_000_000);
        for (milliseconds, expected) in cases {
            assert_eq!(lag(Timestamp(generation.0 + milliseconds), Some(generation)), expected, "{milliseconds}");
        }
        assert_eq!(lag(generation, Some(Timestamp(generation.0 + 5_678))), "-5.6s");
        assert_eq!(lag(generation, None), "2562047h47m16s");
        assert_eq!(lag(Timestamp(u64::MAX), Some(Timestamp(0))), "2562047h47m16s");
    }

    #[test]
    fn small_durations_are_truncated_too() {
        assert_eq!(go_duration(truncated(1_500)), "1\u{b5}s");
        assert_eq!(go_duration(truncated(999)), "999ns");
        assert_eq!(go_duration(truncated(1_234_567)), "1ms");
        assert_eq!(truncated(i64::MIN) % SECOND, 0);
    }
}
