//! The crate as a contract's author uses it, against the host in memory.

use lockstep_contract::prelude::*;
use lockstep_contract::testing::{self, Host};

#[derive(Deserialize)]
struct Offer {
    price: Decimal,
}

fn offer(cx: &mut Context, args: Offer) -> Outcome {
    cx.require_role("buyer")?;
    let asking: Decimal = cx.read("listing", "/asking_price")?;
    if args.price < asking / 2 {
        return reject("offer_too_low", "an offer must be at least half the asking price");
    }
    cx.append("negotiation", "/offers", &json!({"by": cx.actor(), "price": args.price, "at": cx.time()}))?;
    cx.notify("negotiation", "offer.made", &json!({"price": args.price}))
}

#[derive(Deserialize)]
struct Nothing {}

fn hand_over(cx: &mut Context, _: Nothing) -> Outcome {
    cx.revoke("buyer", "bob@buyer")?;
    cx.grant("buyer", "carol@buyer")
}

lockstep_contract::contract!(offer, hand_over);

fn house(roles: &[&str]) {
    let section = |name: &str, content| ((0, name.to_owned()), content);
    testing::install(Host {
        context: testing::context_of("bob@buyer", roles),
        sections: [
            section("listing", json!({"asking_price": "350000.00"})),
            section("negotiation", json!({"offers": []})),
            section(
                "parties",
                json!({"members": [
                    {"role": "buyer", "participant": "buyer", "actor": "bob@buyer", "from": 1, "to": null},
                ]}),
            ),
        ]
        .into(),
        ..Host::default()
    });
}

fn reason(outcome: Outcome) -> String {
    outcome.expect_err("the call is rejected").reason
}

#[test]
fn a_method_reads_changes_and_notifies() {
    house(&["buyer"]);
    assert_eq!(lockstep_call("offer", r#"{"price":"340000.00"}"#), Ok(()));
    let host = testing::taken();
    assert_eq!(host.sections[&(0, "negotiation".into())]["offers"][0]["price"], "340000.00");
    assert_eq!(host.notifications, [(0, "negotiation".into(), "offer.made".into(), json!({"price": "340000.00"}))]);
}

#[test]
fn every_no_has_its_reason() {
    house(&["buyer"]);
    assert_eq!(reason(lockstep_call("offer", r#"{"price":"1.00"}"#)), "offer_too_low");
    assert_eq!(reason(lockstep_call("offer", r#"{"price":1}"#)), "arguments");
    assert_eq!(reason(lockstep_call("nothing", "{}")), "no_method");
    assert_eq!(reason(lockstep_migrate("0.9.0")), "no_migration");
    house(&["seller"]);
    assert_eq!(reason(lockstep_call("offer", r#"{"price":"340000.00"}"#)), "role");
    testing::install(Host { context: testing::context_of("bob@buyer", &["buyer"]), ..Host::default() });
    assert_eq!(reason(lockstep_call("offer", r#"{"price":"340000.00"}"#)), "missing");
}

#[test]
fn roles_are_ended_and_given_in_the_parties_section() {
    house(&["buyer"]);
    assert_eq!(lockstep_call("hand_over", "{}"), Ok(()));
    let members = &testing::taken().sections[&(0, "parties".into())]["members"];
    assert_eq!(members[0]["to"], 2);
    assert_eq!(
        members[1],
        json!({"role": "buyer", "participant": "buyer", "actor": "carol@buyer", "from": 2, "to": null}),
    );
    assert_eq!(reason(lockstep_call("hand_over", "{}")), "role");
}

#[test]
fn the_first_role_of_a_new_record_makes_its_parties() {
    let mut context = testing::context_of("bob@buyer", &[]);
    context["records"][0]["exists"] = json!(false);
    testing::install(Host { context, ..Host::default() });
    let cx = Context::default();
    assert_eq!(cx.grant("seller", "alice@acme"), Ok(()));
    assert_eq!(testing::taken().sections[&(0, "parties".into())]["members"][0]["participant"], "acme");
    assert_eq!(cx.grant("seller", "globex"), Ok(()), "all of a participant's actors");
    assert_eq!(testing::taken().sections[&(0, "parties".into())]["members"][1].get("actor"), None);
    assert_eq!(cx.revoke("seller", "globex"), Ok(()));
    assert_eq!(reason(cx.revoke("seller", "bob@acme")), "role");
}
