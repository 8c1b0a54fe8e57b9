//! Exact decimal numbers, for money and quantities.
//!
//! In JSON a decimal is a string, `"340000.00"`, because JSON's own numbers are binary fractions. A decimal
//! keeps the places it was written with (`1.50` stays `1.50`) and compares by value (`1.5 == 1.50`).
//! Arithmetic is exact; only division and what would exceed 18 places round, half to even. A result with
//! more than 36 digits is a bug of the contract and panics at the place of the operation.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};
use std::str::FromStr;

/// Most places after the point.
const MAX_SCALE: u32 = 18;
/// No decimal has more digits than this, so that one digit more always fits an `i128`.
const LIMIT: i128 = 10_i128.pow(36);

/// An exact decimal number of up to 36 digits, up to 18 of them after the point.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    /// The digits without the point; `|units| < LIMIT`.
    units: i128,
    /// How many of them are after the point; at most `MAX_SCALE`.
    scale: u32,
}

/// Why a text is not a decimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecimalError(String);

impl Decimal {
    /// Nothing.
    pub const ZERO: Decimal = Decimal { units: 0, scale: 0 };
    /// One.
    pub const ONE: Decimal = Decimal { units: 1, scale: 0 };

    /// `units` divided by ten to the `scale`: `Decimal::new(34_000_050, 2)` is `340000.50`.
    ///
    /// # Panics
    /// Beyond 18 places or 36 digits.
    #[track_caller]
    pub fn new(units: i128, scale: u32) -> Self {
        assert!(scale <= MAX_SCALE, "a decimal has at most {MAX_SCALE} places");
        Decimal { units, scale }.bounded()
    }

    /// Whether it is 0, in any number of places.
    pub fn is_zero(self) -> bool {
        self.units == 0
    }

    /// Whether it is greater than 0.
    pub fn is_positive(self) -> bool {
        self.units > 0
    }

    /// Whether it is less than 0.
    pub fn is_negative(self) -> bool {
        self.units < 0
    }

    /// The digits after the point that it is written with.
    pub fn scale(self) -> u32 {
        self.scale
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Decimal { units: self.units.abs(), scale: self.scale }
    }

    /// Written with exactly `places` digits after the point, rounded half to even.
    ///
    /// # Panics
    /// Beyond 18 places or 36 digits.
    #[must_use]
    #[track_caller]
    pub fn round(self, places: u32) -> Self {
        assert!(places <= MAX_SCALE, "a decimal has at most {MAX_SCALE} places");
        if places >= self.scale {
            return self.widened(places);
        }
        let unit = 10_i128.pow(self.scale - places);
        let rest = self.units.rem_euclid(unit);
        let floor = self.units.div_euclid(unit);
        Decimal { units: half_even(floor, rest, unit), scale: places }
    }

    /// The same value with `scale` places, where that is not fewer.
    #[track_caller]
    fn widened(self, scale: u32) -> Self {
        let factor = 10_i128.pow(scale - self.scale);
        match self.units.checked_mul(factor) {
            Some(units) => Decimal { units, scale }.bounded(),
            None => overflow(),
        }
    }

    #[track_caller]
    fn bounded(self) -> Self {
        if self.units.abs() >= LIMIT { overflow() } else { self }
    }

    #[track_caller]
    fn plus(self, other: Self) -> Self {
        let scale = self.scale.max(other.scale);
        let units = self.widened(scale).units + other.widened(scale).units;
        Decimal { units, scale }.bounded()
    }

    #[track_caller]
    fn times(self, other: Self) -> Self {
        let Some(units) = self.units.checked_mul(other.units) else { overflow() };
        let scale = self.scale + other.scale;
        if scale <= MAX_SCALE {
            return Decimal { units, scale }.bounded();
        }
        let unit = 10_i128.pow(scale - MAX_SCALE);
        let units = half_even(units.div_euclid(unit), units.rem_euclid(unit), unit);
        Decimal { units, scale: MAX_SCALE }.bounded()
    }

    /// Long division: places are added until nothing is left or there is no room for one more.
    #[track_caller]
    fn over(self, divisor: Self) -> Self {
        assert!(divisor.units != 0, "a decimal was divided by zero");
        let by = divisor.units.abs();
        let sign = self.units.signum() * divisor.units.signum();
        let mut quotient = self.units.abs() / by;
        let mut rest = self.units.abs() % by;
        // The quotient of the digits alone has self.scale - divisor.scale places, which may be negative.
        let mut scale = i64::from(self.scale) - i64::from(divisor.scale);
        let room = |quotient: i128| quotient < LIMIT / 10;
        while scale < i64::from(self.scale) || (rest != 0 && scale < i64::from(MAX_SCALE) && room(quotient)) {
            let digit = rest * 10 / by;
            rest = rest * 10 % by;
            quotient = quotient.checked_mul(10).and_then(|q| q.checked_add(digit)).unwrap_or_else(|| overflow());
            scale += 1;
        }
        let units = sign * half_even(quotient, rest, by);
        Decimal { units, scale: scale as u32 }.bounded()
    }
}

/// `floor` or one more, whichever `floor + rest / unit` is nearer to; the even one from the middle.
fn half_even(floor: i128, rest: i128, unit: i128) -> i128 {
    match (rest * 2).cmp(&unit) {
        Ordering::Less => floor,
        Ordering::Greater => floor + 1,
        Ordering::Equal => floor + (floor & 1),
    }
}

#[cold]
#[track_caller]
fn overflow() -> ! {
    panic!("a decimal has at most 36 digits")
}

macro_rules! from_integers {
    ($($integer:ty),+) => {$(
        impl From<$integer> for Decimal {
            fn from(value: $integer) -> Self {
                Decimal { units: i128::from(value), scale: 0 }
            }
        }

        impl PartialEq<$integer> for Decimal {
            fn eq(&self, other: &$integer) -> bool {
                *self == Decimal::from(*other)
            }
        }

        impl PartialOrd<$integer> for Decimal {
            fn partial_cmp(&self, other: &$integer) -> Option<Ordering> {
                Some(self.cmp(&Decimal::from(*other)))
            }
        }
    )+};
}

from_integers!(i32, u32, i64, u64);

macro_rules! operators {
    ($($name:ident $method:ident $by:ident),+) => {$(
        impl<T: Into<Decimal>> $name<T> for Decimal {
            type Output = Decimal;
            #[track_caller]
            fn $method(self, other: T) -> Decimal {
                self.$by(other.into())
            }
        }
    )+};
}

operators!(Add add plus, Sub sub minus, Mul mul times, Div div over);

impl Decimal {
    #[track_caller]
    fn minus(self, other: Self) -> Self {
        self.plus(-other)
    }
}

impl<T: Into<Decimal>> AddAssign<T> for Decimal {
    #[track_caller]
    fn add_assign(&mut self, other: T) {
        *self = *self + other;
    }
}

impl<T: Into<Decimal>> SubAssign<T> for Decimal {
    #[track_caller]
    fn sub_assign(&mut self, other: T) {
        *self = *self - other;
    }
}

impl Neg for Decimal {
    type Output = Decimal;
    fn neg(self) -> Decimal {
        Decimal { units: -self.units, scale: self.scale }
    }
}

impl std::iter::Sum for Decimal {
    fn sum<I: Iterator<Item = Decimal>>(values: I) -> Decimal {
        values.fold(Decimal::ZERO, |sum, value| sum + value)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        // Whole parts first, then fractions as 18 digits: neither can overflow.
        let parts = |d: &Decimal| {
            let unit = 10_i128.pow(d.scale);
            (d.units.div_euclid(unit), d.units.rem_euclid(unit) * 10_i128.pow(MAX_SCALE - d.scale))
        };
        parts(self).cmp(&parts(other))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl Default for Decimal {
    fn default() -> Self {
        Decimal::ZERO
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Plain notation only: an optional minus, digits, optionally a point and digits. No exponent, no plus,
    /// no superfluous leading zero.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(DecimalError(format!("\"{text}\" has no digit after the point"))),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let leading = whole.is_empty() || (whole.len() > 1 && whole.starts_with('0'));
        if leading || !plain(whole) || !plain(fraction) {
            return Err(DecimalError("a decimal looks like \"-1234.50\"".into()));
        }
        if fraction.len() > MAX_SCALE as usize || whole.len() + fraction.len() > 36 {
            return Err(DecimalError("a decimal has at most 36 digits, 18 of them after the point".into()));
        }
        let units = whole.bytes().chain(fraction.bytes()).fold(0, |sum, b| sum * 10 + i128::from(b - b'0'));
        Ok(Decimal { units: if text.starts_with('-') { -units } else { units }, scale: fraction.len() as u32 })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_i128.pow(self.scale);
        let (whole, fraction) = (self.units.abs() / unit, self.units.abs() % unit);
        let text = match self.scale {
            0 => whole.to_string(),
            scale => format!("{whole}.{fraction:0width$}", width = scale as usize),
        };
        f.pad_integral(self.units >= 0, "", &text)
    }
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecimalError {}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal as a string, such as \"340000.00\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn decimals_print_as_they_were_written() {
        for text in ["0", "0.00", "-0.5", "350000.00", "123456789012345678.123456789012345678"] {
            assert_eq!(d(text).to_string(), text);
        }
    }

    #[test]
    fn other_notations_are_refused() {
        for text in ["", "-", ".5", "5.", "+1", "1e3", "01", " 1", "1,5", "0x1", "1.2.3", "٣"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
        assert!("0.1234567890123456789".parse::<Decimal>().is_err());
        assert!("1".repeat(37).parse::<Decimal>().is_err());
    }

    #[test]
    fn decimals_compare_by_value() {
        assert_eq!(d("1.0"), d("1.00"));
        assert!(d("-1.5") < d("-1.25"));
        assert!(d("999999999999999999999999999999999999") > d("0.000000000000000001"));
        assert!(d("2.5") > 2 && d("2.0") == 2);
    }

    #[test]
    fn arithmetic_is_exact_and_division_rounds_half_to_even() {
        assert_eq!((d("0.1") + d("0.2")).to_string(), "0.3");
        assert_eq!((d("350000.00") / 2).to_string(), "175000.00");
        assert_eq!((d("1") / 3).to_string(), "0.333333333333333333");
        assert_eq!((d("-2") / 3).to_string(), "-0.666666666666666667");
        assert_eq!((d("1.5") * d("1.5")).to_string(), "2.25");
        assert_eq!((d("10") / d("0.25")).to_string(), "40");
        assert_eq!((d("3") - d("3.50")).to_string(), "-0.50");
    }

    #[test]
    fn rounding_goes_half_to_even() {
        let cases = [("2.5", "2"), ("3.5", "4"), ("-2.5", "-2"), ("-3.5", "-4"), ("2.51", "3"), ("-0.4", "0")];
        for (text, rounded) in cases {
            assert_eq!(d(text).round(0).to_string(), rounded, "{text}");
        }
        assert_eq!(d("1.5").round(3).to_string(), "1.500");
    }

    #[test]
    #[should_panic(expected = "at most 36 digits")]
    fn a_result_with_too_many_digits_panics() {
        let _ = d("999999999999999999999999999999999999") + 1;
    }

    #[test]
    fn json_decimals_are_strings() {
        assert_eq!(serde_json::to_string(&d("1.50")).ok().as_deref(), Some("\"1.50\""));
        assert!(serde_json::from_str::<Decimal>("1.5").is_err());
    }
}
