//! A house is sold: what goes through, and what does not and why.

use lockstep_core::json::json;

use super::story::{Step, Teller};
use crate::error::CliError;
use crate::keys::Key;

pub(super) const HOUSE_SALE: &[u8] =
    include_bytes!("../../../../examples/house-sale/package/house_sale-1.0.0.lockstep");
const HOUSE_SALE_NEXT: &[u8] = include_bytes!("../../../../examples/house-sale-1.1/package/house_sale-1.1.0.lockstep");

pub(super) async fn tell(teller: &mut Teller<'_>, admin: &Key) -> Result<(), CliError> {
    let sale = "acme:sale-1";
    let listing = json!({"buyer": "bob@buyer", "inspector": "ivy@inspector", "address": "1 Elm Street", "asking_price": "350000.00", "rooms": 4});
    let price = |price: &str| json!({"price": price});
    teller.deploy(admin, HOUSE_SALE).await?;
    teller.step(Step::new("alice", "house_sale.list", sale, listing)).await?;
    teller.step(Step::new("bob", "house_sale.offer", sale, price("150000.00"))).await?;
    teller.step(Step::new("bob", "house_sale.offer", sale, price("320000.00"))).await?;
    teller.step(Step::new("alice", "house_sale.counter_offer", sale, price("345000.00"))).await?;
    // Bob has not seen the counter-offer: what he signs is for the record as he knew it.
    teller.step(Step::new("bob", "house_sale.offer", sale, price("330000.00")).expecting(2)).await?;
    // Nobody but the inspector writes the inspection, whatever a contract would let through.
    teller.step(Step::new("bob", "house_sale.inspect", sale, json!({"passed": true, "findings": []}))).await?;
    let cheap =
        json!({"buyer": "bob@buyer", "inspector": "ivy@inspector", "address": "2 Elm Street", "asking_price": "cheap"});
    teller.step(Step::new("alice", "house_sale.list", "acme:sale-2", cheap)).await?;
    teller.step(Step::new("bob", "house_sale.offer", sale, price("345000.00"))).await?;
    teller.step(Step::new("alice", "house_sale.accept", sale, price("345000.00"))).await?;
    // A new version takes over at each record's next intent; the old one stays executable.
    teller.deploy(admin, HOUSE_SALE_NEXT).await?;
    teller
        .step(Step::new("ivy", "house_sale.inspect", sale, json!({"passed": true, "findings": ["The gutter leaks."]})))
        .await?;
    teller.step(Step::new("bob", "house_sale.close", sale, json!({}))).await?;
    let second = json!({
        "buyer": "bob@buyer", "inspector": "ivy@inspector", "address": "2 Elm Street", "asking_price": "499000.00", "rooms": 6, "energy_rating": "B"
    });
    teller.step(Step::new("alice", "house_sale.list", "acme:sale-2", second)).await
}
