//! `contract test --against-history`: what a new version would have done to the intents of a real database.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by failing")]

mod support;

use std::path::PathBuf;

use lockstep_core::json::{Json, Limits};
use lockstep_core::package::{Manifest, Package};
use support::{Place, Ran, package, root};

/// The example's next version, with one optional field more.
fn next() -> PathBuf {
    root().join("examples/house-sale-1.1/package/house_sale-1.1.0.lockstep")
}

/// The next version as it would be with another text somewhere in its manifest.
fn changed(place: &Place, from: &str, to: &str) -> PathBuf {
    let package = Package::decode(&std::fs::read(next()).unwrap()).unwrap();
    let text = package.manifest.document().canonical();
    assert!(text.contains(from), "{from} is not in {text}");
    let document = Json::parse(text.replace(from, to).as_bytes(), &Limits::default()).unwrap();
    let changed = Package::new(Manifest::parse(&document).unwrap(), package.code, package.debug).unwrap();
    let path = place.0.join("changed.lockstep");
    std::fs::write(&path, changed.encode()).unwrap();
    path
}

fn tested(place: &Place, package: &std::path::Path) -> Ran {
    let history = format!("sqlite:{}", place.dir().join("lockstep.db").display());
    place.run(&["contract", "test", package.to_str().unwrap(), "--against-history", &history])
}

/// A sale with an offer that is taken, and one that is not.
fn sale(name: &str) -> Place {
    let place = Place::sale(name);
    let low = ["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"1.00"}"#];
    assert_eq!(place.run(&low).status, 4);
    place
}

#[test]
fn a_version_with_an_optional_field_more_does_the_same() {
    let place = sale("history-same");
    let before = std::fs::read(place.dir().join("lockstep.db")).unwrap();
    let ran = tested(&place, &next());
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(
        ran.stdout,
        "passed  history: house_sale.list, 1 intent\npassed  history: house_sale.offer, 2 intents\n2 passed, 0 failed\n"
    );
    assert_eq!(std::fs::read(place.dir().join("lockstep.db")).unwrap(), before, "the history is only read");
    assert_eq!(tested(&place, &package()).status, 0, "the same version is as good");
}

#[test]
fn a_version_that_decides_otherwise_is_named_to_the_intent() {
    let place = sale("history-other");
    let applied = place.well(&["intent", "list", "--status", "applied", "--limit", "1", "--json"]).json();
    let id = applied.as_array().unwrap()[0].get("intent_id").and_then(Json::as_str).unwrap().to_owned();
    let ran = tested(&place, &changed(&place, r#""notifies":["offer.made"]"#, r#""notifies":["offer.seen"]"#));
    assert_eq!(ran.status, 5, "{}{}", ran.stdout, ran.stderr);
    let named = format!("{} on acme:sale-1 at seq 1: was applied, now rejected with undeclared", &id[..12]);
    assert!(ran.stdout.contains(&named), "{named}\n{}", ran.stdout);
    assert!(ran.stdout.ends_with("1 passed, 1 failed\n"), "{}", ran.stdout);
}

#[test]
fn a_version_that_cannot_take_over_says_what_it_skipped() {
    let place = sale("history-skipped");
    let ran = tested(&place, &changed(&place, r#""version":"1.1.0""#, r#""version":"2.0.0""#));
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("passed  skipped: 2 intents\n        2: their records are on versions"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_damaged_history_is_refused_with_the_way_to_the_damage() {
    let place = sale("history-damaged");
    let (file, edit) = (place.dir().join("lockstep.db"), ["UPDATE house_sale SET lockstep_seq = 7"]);
    let work = lockstep_sqlite::client::execute(&file, &edit);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work).unwrap();
    let ran = tested(&place, &next());
    assert_eq!(ran.status, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("lockstep verify --database sqlite:"), "{}", ran.stderr);
}
