//! Numbers: doubles that print as what was written.
//!
//! RFC 8785 prints every number as the shortest text of a double. A sender who writes a number that a
//! double cannot hold would see another number signed, so such a number is refused. The rule compares
//! decimal values, not spellings: `1.0`, `1e2` and `0.10` are welcome, `9007199254740993` is not.

use std::fmt;

/// The whole numbers below this are the ones a double holds without gaps (2^53).
const EXACT_BELOW: u64 = 1 << 53;

/// A finite number, never negative zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Number(f64);

/// A number is never NaN, so equality is total.
impl Eq for Number {}

/// Decimal digits without leading or trailing zeros, and the power of ten they are multiplied with.
///
/// Two texts denote one number exactly when their decimals (and signs) are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    digits: u64,
    exponent: i64,
}

impl Number {
    /// The number for a double; none for NaN and the infinities. Negative zero becomes zero.
    pub fn from_f64(value: f64) -> Option<Number> {
        // Adding zero turns -0 into 0 and changes nothing else.
        value.is_finite().then_some(Number(value + 0.0))
    }

    /// The number as a double.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The integer, when this is a whole number between -(2^53 - 1) and 2^53 - 1.
    pub fn as_i64(self) -> Option<i64> {
        (self.is_integer() && self.0.abs() < EXACT_BELOW as f64).then_some(self.0 as i64)
    }

    /// Whether the number has no fraction.
    pub fn is_integer(self) -> bool {
        self.0.fract() == 0.0
    }

    /// Reads a text that already has JSON's grammar for numbers; none when a double would change its value.
    pub(super) fn from_json_text(text: &str) -> Option<Number> {
        let decimal = Decimal::of(text)?;
        let value: f64 = text.parse().ok()?;
        let number = Number::from_f64(value)?;
        (decimal.is_safe() || Decimal::of(number.print(&mut ryu_js::Buffer::new()))? == decimal).then_some(number)
    }

    /// The text that RFC 8785 prescribes, which is ECMAScript's.
    pub(super) fn print(self, buffer: &mut ryu_js::Buffer) -> &str {
        buffer.format_finite(self.0)
    }
}

impl Decimal {
    /// The decimal of a JSON number's text, its sign left aside; none when it has more than 19 digits or an
    /// exponent beyond any double, which no double prints.
    fn of(text: &str) -> Option<Decimal> {
        let (mantissa, written_exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let mut digits: u64 = 0;
        let mut exponent: i64 = 0;
        // Zeros count only once a digit follows them.
        let mut zeros: u32 = 0;
        let mut in_fraction = false;
        for byte in mantissa.bytes() {
            match byte {
                b'.' => in_fraction = true,
                b'0' => {
                    zeros = zeros.checked_add(1)?;
                    exponent -= i64::from(in_fraction);
                }
                b'1'..=b'9' => {
                    if digits != 0 {
                        digits = digits.checked_mul(10_u64.checked_pow(zeros.checked_add(1)?)?)?;
                    }
                    digits = digits.checked_add(u64::from(byte - b'0'))?;
                    zeros = 0;
                    exponent -= i64::from(in_fraction);
                }
                _ => {}
            }
        }
        if digits == 0 {
            return Some(Decimal { digits: 0, exponent: 0 });
        }
        let shift = match written_exponent {
            Some(text) => text.parse::<i64>().ok()?,
            None => 0,
        };
        let exponent = exponent.checked_add(i64::from(zeros))?.checked_add(shift)?;
        Some(Decimal { digits, exponent })
    }

    /// Whether any double nearest to this decimal prints as it: 15 digits always survive, away from the
    /// subnormal numbers and from infinity. Saves printing nearly every number that comes in.
    fn is_safe(self) -> bool {
        self.digits < 1_000_000_000_000_000 && (-290..290).contains(&self.exponent)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.print(&mut ryu_js::Buffer::new()))
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Number {
        Number(f64::from(value))
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Number {
        Number(f64::from(value))
    }
}

impl From<u64> for Number {
    /// For numbers that we made ourselves: one of 2^53 or more is our bug, never input.
    fn from(value: u64) -> Number {
        assert!(value < EXACT_BELOW, "a number in our own JSON is below 2^53");
        Number(value as f64)
    }
}

impl From<i64> for Number {
    /// For numbers that we made ourselves: one of 2^53 or more is our bug, never input.
    fn from(value: i64) -> Number {
        assert!(value.unsigned_abs() < EXACT_BELOW, "a number in our own JSON is below 2^53");
        Number(value as f64)
    }
}

impl From<usize> for Number {
    /// For numbers that we made ourselves: one of 2^53 or more is our bug, never input.
    fn from(value: usize) -> Number {
        Number::from(value as u64)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let printed = Number::from_json_text(text).map(|number| number.to_string());
        assert_eq!(printed.as_deref(), expected, "{text}");
    }

    #[test]
    fn spellings_of_one_number_print_alike() {
        for text in ["1", "1.0", "1e0", "10e-1", "0.1E1", "0.01e+2", "1.000000000000000000000000000000"] {
            check(text, Some("1"));
        }
        check("0.10", Some("0.1"));
        check("1e2", Some("100"));
        check("1E30", Some("1e+30"));
        check("100000000000000000000", Some("100000000000000000000"));
        check("1000000000000000000000", Some("1e+21"));
        check("0.000001", Some("0.000001"));
        check("0.0000001", Some("1e-7"));
    }

    #[test]
    fn zero_has_one_form() {
        for text in ["0", "-0", "0.0", "-0.000", "0e5", "-0e-99999999999999999999", "0e99999999999999999999"] {
            check(text, Some("0"));
        }
    }

    #[test]
    fn the_edges_of_a_double_survive() {
        for text in [
            "9007199254740991",
            "9007199254740992",
            "9007199254740994",
            "-9007199254740992",
            "5e-324",
            "2.225073858507201e-308",
            "2.2250738585072014e-308",
            "1.7976931348623157e+308",
            "0.30000000000000004",
            "123456789012345680000",
        ] {
            check(text, Some(text));
        }
    }

    #[test]
    fn a_number_that_a_double_would_change_is_refused() {
        for text in [
            "9007199254740993",
            "-9007199254740993",
            "12345678901234567890",
            "123456789012345678901234567890",
            "1e400",
            "-1e400",
            "1e-400",
            "4.9e-324",
            "2e-324",
            "0.1000000000000000055511151231257827",
            "333333333.33333329",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1.7976931348623158e308",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn what_is_called_safe_survives_printing() {
        // Every count of digits at every exponent of the safe range, so that skipping the print is no gamble.
        for count in 1..=15_u32 {
            for exponent in -290..290_i64 {
                let digits = 999_999_999_999_999_u64 / 10_u64.pow(15 - count) - u64::from(count) * 2;
                let text = format!("{}e{exponent}", digits.max(1));
                let decimal = Decimal::of(&text).unwrap();
                let printed = Number::from_f64(text.parse().unwrap()).unwrap().to_string();
                assert_eq!(Decimal::of(&printed), Some(decimal), "{text}");
            }
        }
    }

    #[test]
    fn doubles_without_a_json_form_are_no_numbers() {
        assert_eq!(Number::from_f64(f64::NAN), None);
        assert_eq!(Number::from_f64(f64::INFINITY), None);
        assert!(Number::from_f64(-0.0).unwrap().get().is_sign_positive());
    }

    #[test]
    #[should_panic(expected = "below 2^53")]
    fn our_own_numbers_stay_below_2_to_the_53() {
        let _ = Number::from(1_u64 << 53);
    }
}
