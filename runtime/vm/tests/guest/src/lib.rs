//! A contract for the engine's own tests: one method per thing that a call can do or suffer.

use lockstep_contract::prelude::*;

#[derive(Deserialize)]
struct Offer {
    price: Decimal,
}

#[derive(Deserialize)]
struct Nothing {}

/// What a small method does: parses, reads once, writes once, notifies once.
fn offer(cx: &mut Context, args: Offer) -> Outcome {
    cx.require_role("buyer")?;
    let asking: Decimal = cx.read("listing", "/asking_price")?;
    if args.price < asking / 2 {
        return reject("offer_too_low", "an offer must be at least half the asking price");
    }
    cx.append("negotiation", "/offers", &json!({"by": cx.actor(), "price": args.price, "at": cx.time()}))?;
    cx.notify("negotiation", "offer.made", &json!({"price": args.price}))
}

/// Uses every kind of host call once.
fn everything(cx: &mut Context, _: Nothing) -> Outcome {
    cx.log("everything begins");
    let keys = cx.keys("listing", "")?;
    cx.require(keys == ["asking_price", "é"], "keys", "the keys arrive in order")?;
    let none: Option<Value> = cx.read_optional("listing", "/nothing")?;
    cx.require(none.is_none(), "none", "nothing is read as nothing")?;
    cx.set("negotiation", &json!({"a": 1, "list": []}))?;
    cx.add("negotiation", "/b", &2)?;
    cx.replace("negotiation", "/a", &"two")?;
    cx.test("negotiation", "/b", &2)?;
    cx.copy_value("negotiation", "/b", "/list/0")?;
    cx.move_value("negotiation", "/b", "/list/-")?;
    cx.remove("negotiation", "/list/0")?;
    cx.record(1).append("negotiation", "/offers", &"second record")?;
    cx.grant("buyer", "carol@buyer")
}

/// Goes on after the host refused something.
fn recovers(cx: &mut Context, _: Nothing) -> Outcome {
    match cx.read::<Value>("secret", "") {
        Err(no) => reject("recovered", format!("{}: {}", no.reason, no.message)),
        Ok(_) => reject("not_refused", "the section was handed over"),
    }
}

/// Panics two calls deep.
fn panics(cx: &mut Context, _: Nothing) -> Outcome {
    first_step(cx)
}

#[inline(never)]
fn first_step(cx: &Context) -> Outcome {
    second_step(&[cx.seq()])
}

#[inline(never)]
fn second_step(numbers: &[u64]) -> Outcome {
    let wanted = numbers.len() + 2;
    let number = numbers[wanted];
    reject("unreachable", number.to_string())
}

/// Divides by zero in the SDK's decimal: the place is the author's.
fn divides(_: &mut Context, args: Offer) -> Outcome {
    let ratio = args.price / 0;
    reject("unreachable", ratio.to_string())
}

lockstep_contract::contract!(offer, everything, recovers, panics, divides);
