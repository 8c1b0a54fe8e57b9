//! Dealers quote real prices, and a bond changes hands against cash.

use lockstep_core::codes::Code;
use lockstep_core::json::json;

use super::story::{Step, Teller};
use crate::error::CliError;
use crate::keys::Key;

const REQUEST_FOR_QUOTE: &[u8] =
    include_bytes!("../../../../examples/request-for-quote/package/request_for_quote-1.0.0.lockstep");
const DELIVERY_VERSUS_PAYMENT: &[u8] =
    include_bytes!("../../../../examples/delivery-versus-payment/package/delivery_versus_payment-1.0.0.lockstep");
/// 560 monthly prices of five shares; see examples/request-for-quote/data for source and licence.
const PRICES: &str = include_str!("../../../../examples/request-for-quote/data/stocks.csv");

pub(super) async fn tell(teller: &mut Teller<'_>, admin: &Key) -> Result<(), CliError> {
    quotes(teller, admin).await?;
    settlement(teller, admin).await
}

async fn quotes(teller: &mut Teller<'_>, admin: &Key) -> Result<(), CliError> {
    teller.deploy(admin, REQUEST_FOR_QUOTE).await?;
    let mut requests: Vec<String> = Vec::new();
    let mut quotes = Vec::new();
    for (index, line) in PRICES.lines().skip(1).filter(|line| !line.trim().is_empty()).enumerate() {
        let bad =
            || CliError::new(Code::Internal, format!("line {} of stocks.csv is not symbol,date,price", index + 2));
        let mut parts = line.trim().split(',');
        let (Some(symbol), Some(day), Some(price)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad());
        };
        let day = date(day).ok_or_else(bad)?;
        if !requests.iter().any(|known| known == symbol) {
            requests.push(symbol.to_owned());
        }
        let dealer = if index % 2 == 0 { "dora" } else { "dan" };
        let arguments = json!({"symbol": symbol, "price": price, "date": day});
        quotes.push(Step::new(dealer, "request_for_quote.quote", &record(symbol), arguments));
    }
    for symbol in &requests {
        let arguments = json!({"symbol": symbol.as_str(), "dealers": ["dora@dealer-one", "dan@dealer-two"]});
        teller.batch(&[Step::new("alice", "request_for_quote.request", &record(symbol), arguments)]).await?;
    }
    teller.batch(&quotes).await
}

fn record(symbol: &str) -> String {
    format!("acme:rfq-{symbol}")
}

/// `Jan 1 2000`, as the file has it, in ISO 8601.
fn date(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split(' ');
    let month = MONTHS.iter().position(|name| parts.clone().next() == Some(name))? + 1;
    let (day, year): (u32, u32) = (parts.nth(1)?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

async fn settlement(teller: &mut Teller<'_>, admin: &Key) -> Result<(), CliError> {
    teller.deploy(admin, DELIVERY_VERSUS_PAYMENT).await?;
    let (cash, bond) = ("acme:cash-eur", "acme:bond-de1");
    let balances = json!({"currency": "EUR", "balances": {"bob@buyer": "10000.00", "alice@acme": "0.00"}});
    let holdings =
        json!({"isin": "DE0001102580", "matures_on": "2032-02-15", "holdings": {"alice@acme": "50", "bob@buyer": "0"}});
    teller.step(Step::new("rita", "delivery_versus_payment.open_cash", cash, balances)).await?;
    teller.step(Step::new("rita", "delivery_versus_payment.open_bond", bond, holdings)).await?;
    let terms =
        |price: &str| json!({"offer": "o-1", "buyer": "bob@buyer", "quantity": "20", "price": price, "paid_in": cash});
    teller.step(Step::new("alice", "delivery_versus_payment.offer", bond, terms("98.50"))).await?;
    // Bob signs a lower price than Alice did: neither leg moves.
    teller.step(Step::new("bob", "delivery_versus_payment.settle", cash, terms("89.50")).also(bond)).await?;
    teller.step(Step::new("bob", "delivery_versus_payment.settle", cash, terms("98.50")).also(bond)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_560_prices_with_dates() {
        let dates: Vec<_> = PRICES.lines().skip(1).filter_map(|line| date(line.split(',').nth(1)?)).collect();
        assert_eq!(dates.len(), 560);
        assert_eq!(dates.first().map(String::as_str), Some("2000-01-01"));
    }
}
