//! Delivery versus payment: bonds change hands if and only if the cash does.
//!
//! A `cash` record is a bank's register of one currency, a `bond` record the register of one issue. The
//! seller's consent is an offer in the bond's register; the buyer takes it with one intent on both records.

use lockstep_contract::prelude::*;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct OpenCash {
    currency: String,
    balances: BTreeMap<String, Decimal>,
}

/// A bank opens a register with what everybody has.
fn open_cash(cx: &mut Context, args: OpenCash) -> Outcome {
    cx.require(!cx.exists(), "open_already", "this register is open already")?;
    cx.require_role("registrar")?;
    cx.set("terms", &json!({"currency": args.currency, "issued": args.balances.values().copied().sum::<Decimal>()}))?;
    cx.set("balances", &args.balances)?;
    open_to(cx, args.balances.keys())
}

#[derive(Deserialize)]
struct OpenBond {
    isin: String,
    matures_on: String,
    holdings: BTreeMap<String, Decimal>,
}

/// An issuer's agent opens a register with what everybody holds.
fn open_bond(cx: &mut Context, args: OpenBond) -> Outcome {
    cx.require(!cx.exists(), "open_already", "this register is open already")?;
    cx.require_role("registrar")?;
    cx.set("terms", &json!({"isin": args.isin, "matures_on": args.matures_on}))?;
    cx.set("holdings", &args.holdings)?;
    cx.set("offers", &json!({}))?;
    open_to(cx, args.holdings.keys())
}

fn open_to<'a>(cx: &Context, holders: impl Iterator<Item = &'a String>) -> Outcome {
    cx.grant("registrar", cx.actor())?;
    for holder in holders {
        cx.grant("holder", holder)?;
    }
    Ok(())
}

/// What the seller agrees to, and what the buyer must agree to, too.
#[derive(Deserialize, PartialEq, Serialize)]
struct Terms {
    buyer: String,
    quantity: Decimal,
    /// For one of them.
    price: Decimal,
    /// The cash register in which the seller wants to be paid.
    paid_in: String,
}

#[derive(Deserialize)]
struct Offer {
    offer: String,
    #[serde(flatten)]
    terms: Terms,
}

/// The seller offers bonds to one buyer at one price.
fn offer(cx: &mut Context, args: Offer) -> Outcome {
    cx.require_role("holder")?;
    let known: Option<Value> = cx.read_optional("offers", &at(&args.offer))?;
    cx.require(known.is_none(), "offered_already", "there is an offer of this name already")?;
    cx.require(args.terms.buyer != cx.actor(), "own_offer", "bonds are offered to somebody else")?;
    cx.add("offers", &at(&args.offer), &json!({"seller": cx.actor(), "terms": args.terms}))?;
    cx.notify("offers", "bonds.offered", &json!({"offer": args.offer, "buyer": args.terms.buyer}))
}

#[derive(Deserialize)]
struct Withdraw {
    offer: String,
}

/// The seller takes an offer back.
fn withdraw(cx: &mut Context, args: Withdraw) -> Outcome {
    let offered: Offered = cx.read("offers", &at(&args.offer))?;
    cx.require(offered.seller == cx.actor(), "not_yours", "only the seller withdraws an offer")?;
    cx.remove("offers", &at(&args.offer))
}

#[derive(Deserialize)]
struct Offered {
    seller: String,
    terms: Terms,
}

/// The buyer takes an offer: record 0 is the cash, record 1 the bond, and both move or neither does.
///
/// The buyer repeats the terms, so that what is signed says what is paid and for what.
fn settle(cx: &mut Context, args: Offer) -> Outcome {
    let (cash, bond) = (cx.record(0), cx.record(1));
    let Offered { seller, terms } = bond.read("offers", &at(&args.offer))?;
    cx.require(terms.buyer == cx.actor(), "not_your_offer", "this offer was made to somebody else")?;
    cx.require(terms == args.terms, "other_terms", "the seller agreed to other terms than these")?;
    cx.require(terms.paid_in == cash.id(), "other_cash", "the seller wants to be paid in another register")?;

    let due = terms.quantity * terms.price;
    transfer(cash, "balances", &terms.buyer, &seller, due)?;
    transfer(bond, "holdings", &seller, &terms.buyer, terms.quantity)?;
    bond.remove("offers", &at(&args.offer))?;
    cash.notify("balances", "cash.paid", &json!({"from": terms.buyer, "to": seller, "amount": due}))?;
    bond.notify("holdings", "bonds.delivered", &json!({"from": seller, "to": terms.buyer, "quantity": terms.quantity}))
}

/// Moves what is there, and no more. The second read sees the first write.
fn transfer(register: Record, section: &str, from: &str, to: &str, amount: Decimal) -> Outcome {
    let has: Decimal = register.read_optional(section, &at(from))?.unwrap_or_default();
    if has < amount {
        return reject(
            format!("not_enough_{}", register.spec()),
            format!("{from} has {has} in {}, {amount} are due", register.id()),
        );
    }
    register.add(section, &at(from), &(has - amount))?;
    let had: Decimal = register.read_optional(section, &at(to))?.unwrap_or_default();
    register.add(section, &at(to), &(had + amount))
}

/// Where an object's member is. Names of actors and offers hold nothing that a pointer would escape.
fn at(name: &str) -> String {
    format!("/{name}")
}

lockstep_contract::contract!(open_cash, open_bond, offer, withdraw, settle);
