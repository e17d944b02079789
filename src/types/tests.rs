//! The vocabulary: what is accepted, what is not, and how it is written.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn generations_are_read_as_they_are_written(bits in any::<u64>()) {
        prop_assert_eq!(Generation(bits).to_string().parse(), Ok(Generation(bits)));
    }

    #[test]
    fn no_other_text_is_a_generation(text in "[0-9a-fA-F x]{0,20}") {
        let valid = text.len() == 16 && !text.contains(|c: char| !matches!(c, '0'..='9' | 'a'..='f'));
        prop_assert_eq!(text.parse::<Generation>().is_ok(), valid);
    }

    #[test]
    fn times_are_written_to_the_millisecond(ms in 0..4_102_444_800_000_u64) {
        let time = Timestamp(ms);
        prop_assert_eq!(Timestamp::from(time.to_system_time()), time);
        let read: jiff::Timestamp = time.to_string().parse().unwrap();
        prop_assert_eq!(read.as_millisecond(), ms as i64);
    }
}

#[test]
fn times_before_1970_and_beyond_the_calendar_are_no_panic() {
    let before = std::time::UNIX_EPOCH - std::time::Duration::from_secs(1);
    assert_eq!(Timestamp::from(before), Timestamp(0));
    assert_eq!(Timestamp(u64::MAX).to_string(), "18446744073709551615 ms after 1970");
    assert_eq!(Timestamp(1_700_000_000_123).to_string(), "2023-11-14T22:13:20.123Z");
    assert_eq!(Timestamp(1_700_000_000_999).to_seconds_text(), "2023-11-14T22:13:20Z");
}

#[test]
fn indexes_end_where_litestream_stops_reading_them() {
    assert_eq!(Index::new(0x8000_0000), None);
    assert_eq!(Index::MAX.next(), None);
    assert_eq!(Index::default().next(), Index::new(1));
    assert_eq!(Index::new(0x2a).unwrap().to_string(), "0000002a");
}

#[test]
fn pages_are_counted_from_one() {
    let size = PageSize::new(1024).unwrap();
    assert_eq!(PageNo::new(0), None);
    let third = PageNo::new(3).unwrap();
    assert_eq!((third.slot(), third.file_offset(size)), (2, 2048));
    assert_eq!(PageCount(3).pages().last(), Some(third));
    assert_eq!(PageCount(u32::MAX).bytes(PageSize::new(65_536).unwrap()), 0xFFFF_FFFF * 0x1_0000);
}
