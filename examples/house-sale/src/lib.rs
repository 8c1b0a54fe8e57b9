//! The sale of a house: a listing that all see, a negotiation between two, an inspection by a third.

use lockstep_contract::prelude::*;
use serde_json::Map;

#[derive(Deserialize)]
struct List {
    buyer: String,
    inspector: String,
    supervisor: Option<String>,
    /// Whatever else the manifest lets through; what a listing must hold, the spec says.
    #[serde(flatten)]
    listing: Map<String, Value>,
}

/// The seller offers the house and says who negotiates, who inspects and who supervises.
fn list(cx: &mut Context, args: List) -> Outcome {
    cx.require(!cx.exists(), "listed_already", "this house is listed already")?;
    cx.require_role("seller")?;
    let mut listing = args.listing;
    listing.insert("status".into(), json!("for_sale"));
    listing.insert("listed_on".into(), json!(cx.date()));
    cx.set("listing", &listing)?;
    cx.set("negotiation", &json!({"offers": []}))?;
    cx.grant("seller", cx.actor())?;
    cx.grant("buyer", &args.buyer)?;
    cx.grant("inspector", &args.inspector)?;
    args.supervisor.map_or(Ok(()), |supervisor| cx.grant("supervisor", &supervisor))
}

#[derive(Deserialize)]
struct Price {
    price: Decimal,
}

/// The buyer names a price.
fn offer(cx: &mut Context, args: Price) -> Outcome {
    cx.require_role("buyer")?;
    for_sale(cx)?;
    let asking: Decimal = cx.read("listing", "/asking_price")?;
    if args.price < asking / 2 {
        return reject("offer_too_low", "an offer must be at least half the asking price");
    }
    cx.append("negotiation", "/offers", &json!({"by": cx.actor(), "price": args.price, "at": cx.time()}))?;
    cx.notify("negotiation", "offer.made", &json!({"price": args.price}))
}

/// The seller names a higher one; the buyer takes it by offering it.
fn counter_offer(cx: &mut Context, args: Price) -> Outcome {
    cx.require_role("seller")?;
    for_sale(cx)?;
    let last = last_offer(cx)?;
    if args.price <= last.price {
        return reject("counter_too_low", format!("{} is offered already", last.price));
    }
    cx.append("negotiation", "/offers", &json!({"by": cx.actor(), "price": args.price, "at": cx.time()}))?;
    cx.notify("negotiation", "offer.countered", &json!({"price": args.price}))
}

/// The seller takes the buyer's last offer; from now on that buyer is the purchaser, and may close.
fn accept(cx: &mut Context, args: Price) -> Outcome {
    cx.require_role("seller")?;
    for_sale(cx)?;
    let last = last_offer(cx)?;
    if last.by == cx.actor() {
        return reject("own_offer", "the last price is the seller's own; the buyer has not agreed to it");
    }
    if args.price != last.price {
        return reject("other_price", format!("the last offer is {}", last.price));
    }
    cx.add("negotiation", "/accepted", &json!({"price": last.price, "at": cx.time()}))?;
    cx.replace("listing", "/status", "under_offer")?;
    cx.grant("purchaser", &last.by)?;
    cx.notify("negotiation", "offer.accepted", &json!({"price": last.price}))
}

#[derive(Deserialize)]
struct Report {
    passed: bool,
    findings: Vec<String>,
}

/// The inspector reports. There is no check of the role here: the spec lets nobody else write the section.
fn inspect(cx: &mut Context, args: Report) -> Outcome {
    let report = json!({"passed": args.passed, "findings": args.findings, "by": cx.actor(), "at": cx.time()});
    cx.set("inspection", &report)?;
    cx.notify("inspection", "inspection.reported", &json!({"passed": args.passed}))
}

#[derive(Deserialize)]
struct Nothing {}

/// The purchaser buys the house as inspected.
fn close(cx: &mut Context, _: Nothing) -> Outcome {
    cx.require_role("purchaser")?;
    let status: String = cx.read("listing", "/status")?;
    cx.require(status == "under_offer", "not_under_offer", "the house is sold already")?;
    match cx.read_optional("inspection", "/passed")? {
        Some(true) => {}
        Some(false) => return reject("inspection_failed", "the inspector found the house wanting"),
        None => return reject("not_inspected", "the inspector has not reported yet"),
    }
    cx.replace("listing", "/status", "sold")?;
    cx.notify("listing", "sale.closed", &json!({"on": cx.date()}))
}

#[derive(Deserialize)]
struct Offered {
    by: String,
    price: Decimal,
}

fn last_offer(cx: &Context) -> Result<Offered, Rejection> {
    let mut offers: Vec<Offered> = cx.read("negotiation", "/offers")?;
    offers.pop().ok_or_else(|| Rejection::new("no_offer", "nobody has made an offer yet"))
}

fn for_sale(cx: &Context) -> Outcome {
    let status: String = cx.read("listing", "/status")?;
    cx.require(status == "for_sale", "not_for_sale", "an offer has been accepted already")
}

lockstep_contract::contract!(list, offer, counter_offer, accept, inspect, close);
