//! Points in time as evidence carries them: RFC 3339, UTC, exactly six decimals.
//!
//! It owns the one text form of a time and its arithmetic. It does not read a clock: times arrive as
//! values. One form only, because a time is signed: `10:12:00Z` and `10:12:00.000000Z` would hash apart.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A point in time between the years 1 and 9999, in microseconds since 1970-01-01T00:00:00Z (POSIX time).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is not a time, with what was expected instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text has another shape.
    #[error("{found:?} is not a time of the form {expected}")]
    Shape {
        /// What was found, cut to a length that a message can carry.
        found: String,
        /// An example of what would be accepted.
        expected: &'static str,
    },
    /// The shape is right, but there is no such day or time of day.
    #[error("{found:?} names a day or time that does not exist")]
    NoSuchTime {
        /// What was found.
        found: String,
    },
}

impl Timestamp {
    /// 0001-01-01T00:00:00.000000Z.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800 * MICROS_PER_SECOND);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Timestamp = Timestamp(253_402_300_800 * MICROS_PER_SECOND - 1);

    /// The time that many microseconds after the epoch, when it is within the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Option<Timestamp> {
        (Timestamp::MIN.0..=Timestamp::MAX.0).contains(&micros).then_some(Timestamp(micros))
    }

    /// Microseconds since the epoch; negative before 1970.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// That much later, or earlier when negative; stops at `MIN` and `MAX`.
    #[must_use]
    pub fn plus_micros(self, micros: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(micros)).max(Timestamp::MIN).min(Timestamp::MAX)
    }

    /// That much later; stops at `MAX`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Timestamp {
        self.plus_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// Reads the form that evidence has, `2026-11-21T10:12:00.000000Z`, and no other.
    ///
    /// Leap seconds are refused, as POSIX time cannot carry them.
    pub fn parse(text: &str) -> Result<Timestamp, TimeError> {
        let error = || shape_error(text, "2026-11-21T10:12:00.000000Z");
        let (seconds, decimals) = split(text).ok_or_else(error)?;
        if decimals.len() != 6 {
            return Err(error());
        }
        read(text, seconds, decimals).ok_or_else(error)?
    }

    /// Reads what people type on a command line: as `parse`, but with six decimals or fewer.
    pub fn parse_lenient(text: &str) -> Result<Timestamp, TimeError> {
        let error = || shape_error(text, "2026-11-21T10:12:00Z, with at most six decimals");
        let (seconds, decimals) = split(text).ok_or_else(error)?;
        let dangling = text.ends_with(".Z");
        if dangling || decimals.len() > 6 {
            return Err(error());
        }
        read(text, seconds, decimals).ok_or_else(error)?
    }
}

/// Reads a duration as people write it: `30s`, `10m`, `2h`, `1d`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(seconds).filter(|seconds| *seconds < 1 << 40).map(Duration::from_secs)
}

fn shape_error(text: &str, expected: &'static str) -> TimeError {
    TimeError::Shape { found: text.chars().take(60).collect(), expected }
}

/// Cuts the `Z` off and parts the text at the decimal point, if it has one.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_suffix('Z')?;
    Some(text.split_once('.').unwrap_or((text, "")))
}

/// Reads the two halves: `None` for a wrong shape, an inner error for a date that does not exist.
fn read(text: &str, seconds: &str, decimals: &str) -> Option<Result<Timestamp, TimeError>> {
    let [year, month, day, hour, minute, second] = fields(seconds)?;
    let scale = 10_i64.pow(6_u32.checked_sub(u32::try_from(decimals.len()).ok()?)?);
    let micros = if decimals.is_empty() { 0 } else { digits(decimals)?.checked_mul(scale)? };
    let exists = year >= 1
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !exists {
        return Some(Err(TimeError::NoSuchTime { found: text.to_owned() }));
    }
    let second_of_day = (hour * 60 + minute) * 60 + second;
    let days = days_from_civil(year, month, day);
    Some(Ok(Timestamp(days * MICROS_PER_DAY + second_of_day * MICROS_PER_SECOND + micros)))
}

/// Reads `YYYY-MM-DDThh:mm:ss` into its six numbers.
fn fields(text: &str) -> Option<[i64; 6]> {
    let part = |range| text.get(range).and_then(digits);
    let mark = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let shaped =
        text.len() == 19 && mark(4, b'-') && mark(7, b'-') && mark(10, b'T') && mark(13, b':') && mark(16, b':');
    if !shaped {
        return None;
    }
    Some([part(0..4)?, part(5..7)?, part(8..10)?, part(11..13)?, part(14..16)?, part(17..19)?])
}

fn digits(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the epoch of a date in the proleptic Gregorian calendar.
///
/// Counts years from March, so that the leap day is the last of its year, in eras of 400 years (146,097 days).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of `days_from_civil`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(MICROS_PER_DAY));
        let micros_of_day = self.0.rem_euclid(MICROS_PER_DAY);
        let (second_of_day, micros) = (micros_of_day / MICROS_PER_SECOND, micros_of_day % MICROS_PER_SECOND);
        let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Timestamp, TimeError> {
        Timestamp::parse(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[track_caller]
    fn check(text: &str, micros: i64) {
        let time = Timestamp::parse(text).unwrap();
        assert_eq!(time.micros(), micros);
        assert_eq!(time.to_string(), text);
    }

    #[test]
    fn known_times_have_their_known_numbers() {
        check("1970-01-01T00:00:00.000000Z", 0);
        check("1969-12-31T23:59:59.999999Z", -1);
        check("2001-09-09T01:46:40.000000Z", 1_000_000_000_000_000);
        check("2000-02-29T12:00:00.000001Z", 951_825_600_000_001);
        check("2026-11-21T10:12:00.000000Z", 1_795_255_920_000_000);
        check("0001-01-01T00:00:00.000000Z", Timestamp::MIN.micros());
        check("9999-12-31T23:59:59.999999Z", Timestamp::MAX.micros());
    }

    #[test]
    fn days_from_all_over_the_range_come_back_from_their_text() {
        let mut time = Timestamp::MIN;
        let mut days = 0_u32;
        while time < Timestamp::MAX {
            assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
            time = time.plus_micros(11 * MICROS_PER_DAY + 11_003_007);
            days += 1;
        }
        assert!(days > 330_000);
    }

    #[test]
    fn any_other_form_of_a_time_is_refused() {
        for text in [
            "",
            "Z",
            "2026-11-21",
            "2026-11-21T10:12:00Z",
            "2026-11-21T10:12:00.00000Z",
            "2026-11-21T10:12:00.0000000Z",
            "2026-11-21 10:12:00.000000Z",
            "2026-11-21t10:12:00.000000Z",
            "2026-11-21T10:12:00.000000z",
            "2026-11-21T10:12:00.000000+00:00",
            "2026-11-21T10:12:00,000000Z",
            " 2026-11-21T10:12:00.000000Z",
            "2026-11-21T10:12:00.000000Z ",
            "+026-11-21T10:12:00.000000Z",
            "2026-11-21T10:12:00.+00000Z",
            "2026-1é-21T10:12:00.000000Z",
            "2026-11-21T10:12:0é.000000Z",
            "12026-11-21T10:12:00.000000Z",
            "2026-11-21T10:12:00.000000.Z",
        ] {
            assert!(matches!(Timestamp::parse(text), Err(TimeError::Shape { .. })), "{text:?}");
        }
    }

    #[test]
    fn days_and_times_that_do_not_exist_are_refused() {
        for text in [
            "2026-02-29T00:00:00.000000Z",
            "1900-02-29T00:00:00.000000Z",
            "2026-04-31T00:00:00.000000Z",
            "2026-00-01T00:00:00.000000Z",
            "2026-13-01T00:00:00.000000Z",
            "2026-01-00T00:00:00.000000Z",
            "2026-01-01T24:00:00.000000Z",
            "2026-01-01T00:60:00.000000Z",
            "2016-12-31T23:59:60.000000Z",
            "0000-01-01T00:00:00.000000Z",
        ] {
            assert!(matches!(Timestamp::parse(text), Err(TimeError::NoSuchTime { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_command_line_may_leave_decimals_out() {
        let exact = Timestamp::parse("2026-11-21T10:12:00.500000Z").unwrap();
        for text in ["2026-11-21T10:12:00.5Z", "2026-11-21T10:12:00.500Z", "2026-11-21T10:12:00.500000Z"] {
            assert_eq!(Timestamp::parse_lenient(text), Ok(exact));
        }
        let whole = Timestamp::parse_lenient("2026-11-21T10:12:00Z").unwrap();
        assert_eq!(exact.since(whole), Duration::from_millis(500));
        for text in ["2026-11-21T10:12:00.Z", "2026-11-21T10:12:00.0000000Z", "2026-11-21T10:12:00"] {
            assert!(Timestamp::parse_lenient(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_the_range() {
        assert_eq!(Timestamp::MAX.plus_micros(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.plus_micros(i64::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::from_micros(Timestamp::MAX.micros() + 1), None);
    }
}
