//! Real prices for the request-for-quote example: `stocks.csv` of `vega-datasets`, a line a month and symbol.
//!
//! Prices stay the decimal text that they are; a date such as `Jan 1 2000` becomes `2000-01-01`.

use std::fmt;

/// The file, as it is committed with its licence.
pub const STOCKS: &str = include_str!("../../../examples/request-for-quote/data/stocks.csv");

const HEADER: &str = "symbol,date,price";
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The stock's symbol, such as `MSFT`.
    pub symbol: String,
    /// The month's first day, `YYYY-MM-DD`.
    pub date: String,
    /// The price as it stands in the file, such as `39.81`.
    pub price: String,
}

/// A line that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceError {
    /// Its number in the file, from 1.
    pub line: usize,
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is not SYMBOL,DATE,PRICE with a date such as Jan 1 2000", self.line)
    }
}

impl std::error::Error for PriceError {}

/// The prices in a file of this shape, in its order.
///
/// # Errors
/// [`PriceError`] names the first line that is not one.
pub fn prices(csv: &str) -> Result<Vec<Price>, PriceError> {
    let mut lines = csv.lines().enumerate();
    if lines.next().is_none_or(|(_, header)| header != HEADER) {
        return Err(PriceError { line: 1 });
    }
    lines.map(|(index, line)| price(line).ok_or(PriceError { line: index + 1 })).collect()
}

fn price(line: &str) -> Option<Price> {
    let (symbol, rest) = line.split_once(',')?;
    let (date, price) = rest.split_once(',')?;
    let (whole, fraction) = price.split_once('.').unwrap_or((price, "0"));
    let plain = !symbol.is_empty() && symbol.bytes().all(|byte| byte.is_ascii_uppercase());
    (plain && is_digits(whole) && is_digits(fraction)).then_some(())?;
    Some(Price { symbol: symbol.to_owned(), date: iso_date(date)?, price: price.to_owned() })
}

/// `Jan 1 2000` as `2000-01-01`.
fn iso_date(date: &str) -> Option<String> {
    let mut parts = date.split(' ');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    let day: u8 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    (parts.next().is_none() && year.len() == 4 && is_digits(year)).then(|| format!("{year}-{month:02}-{day:02}"))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_560_prices_of_five_stocks() {
        let all = prices(STOCKS).unwrap();
        let count = |symbol: &str| all.iter().filter(|price| price.symbol == symbol).count();
        assert_eq!(["AAPL", "AMZN", "GOOG", "IBM", "MSFT"].map(count), [123, 123, 68, 123, 123]);
        assert_eq!(all.len(), 560);
        let first = Price { symbol: "MSFT".into(), date: "2000-01-01".into(), price: "39.81".into() };
        assert_eq!(all.first(), Some(&first));
        assert_eq!(all.last().map(|last| last.date.as_str()), Some("2010-03-01"));
    }

    #[test]
    fn a_line_of_another_shape_is_named() {
        let line = |line: &str| prices(&format!("{HEADER}\nMSFT,Jan 1 2000,39.81\n{line}\n"));
        assert!(line("IBM,Dec 31 2009,7").is_ok());
        for refused in [
            "",
            "IBM",
            "IBM,Jan 1 2000",
            "IBM,Jan 1 2000,",
            "IBM,Jan 1 2000,1e3",
            "IBM,Jan 1 2000,-1",
            "IBM,Jan 32 2000,1",
            "IBM,Ja 1 2000,1",
            "IBM,Jan 1 00,1",
            "IBM,Jan 1 2000 x,1",
            "ibm,Jan 1 2000,1",
        ] {
            assert_eq!(line(refused), Err(PriceError { line: 3 }), "{refused}");
        }
        assert_eq!(prices("symbol,price\n"), Err(PriceError { line: 1 }));
    }
}
