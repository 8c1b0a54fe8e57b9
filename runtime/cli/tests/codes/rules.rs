//! Rejected: a row, a leaf, a receipt.

use crate::stage::{Met, Stage, edit};

const PRICE: &str = r#"{"price":"345000.00"}"#;

pub(crate) fn not_yet_valid(stage: &Stage) -> Met {
    stage.call("house_sale.offer", "bob", PRICE, &["--not-before", "2999-01-01T00:00:00Z"]).into()
}

pub(crate) fn unknown_contract(stage: &Stage) -> Met {
    stage.call("boat_sale.offer", "bob", PRICE, &[]).into()
}

pub(crate) fn unknown_method(stage: &Stage) -> Met {
    stage.call("house_sale.burn", "bob", PRICE, &[]).into()
}

pub(crate) fn unknown_spec(stage: &Stage) -> Met {
    let file = stage.file("none.json", b"[]");
    stage.run(&["submit", "--changes", &file, "--spec", "nothing", "acme:task-1", "--as", "alice"]).into()
}

pub(crate) fn unknown_record(stage: &Stage) -> Met {
    stage.run(&["submit", "house_sale.offer", "acme:nowhere", "--as", "bob", "--args", PRICE]).into()
}

pub(crate) fn wrong_records(stage: &Stage) -> Met {
    stage.call("house_sale.offer", "bob", PRICE, &["--also", "acme:sale-2"]).into()
}

pub(crate) fn raw_changes(stage: &Stage) -> Met {
    let file = stage.file("sale.json", br#"[{"section":"listing","op":"remove","path":""}]"#);
    stage.run(&["submit", "--changes", &file, "--spec", "house_sale", "acme:sale-1", "--as", "alice"]).into()
}

pub(crate) fn arguments(stage: &Stage) -> Met {
    stage.call("house_sale.offer", "bob", r#"{"price":7}"#, &[]).into()
}

pub(crate) fn stale_expect(stage: &Stage) -> Met {
    stage.call("house_sale.offer", "bob", PRICE, &["--expect", "99"]).into()
}

pub(crate) fn entitlement(stage: &Stage) -> Met {
    stage.raw(r#"[{"section":"verdict","op":"add","path":"","value":"guilty"}]"#, &[]).into()
}

pub(crate) fn undeclared(stage: &Stage) -> Met {
    stage.run(&["submit", "probe.recovers", "acme:probe-1", "--as", "alice"]).into()
}

pub(crate) fn parties(stage: &Stage) -> Met {
    let member = r#"{"members":[{"role":"boss","participant":"acme","from":99}]}"#;
    stage.raw(&format!(r#"[{{"section":"parties","op":"add","path":"","value":{member}}}]"#), &[]).into()
}

pub(crate) fn patch(stage: &Stage) -> Met {
    stage.raw(r#"[{"section":"body","op":"remove","path":"/nothing"}]"#, &[]).into()
}

pub(crate) fn schema(stage: &Stage) -> Met {
    stage.raw(r#"[{"section":"body","op":"replace","path":"/note","value":"much too long"}]"#, &[]).into()
}

pub(crate) fn size(stage: &Stage) -> Met {
    let value = "x".repeat(8 << 20);
    stage
        .raw(&format!(r#"[{{"section":"body","op":"add","path":"/data","value":"{value}"}}]"#), &["--timeout", "120s"])
        .into()
}

pub(crate) fn contract(stage: &Stage) -> Met {
    stage.call("house_sale.offer", "bob", r#"{"price":"1.00"}"#, &[]).into()
}

pub(crate) fn trap(stage: &Stage) -> Met {
    stage.run(&["submit", "probe.panics", "acme:probe-1", "--as", "alice"]).into()
}

/// As a CHECK of the database's owner.
pub(crate) fn database_refused(stage: &Stage) -> Met {
    let dir = stage.copy();
    let trigger = "CREATE TRIGGER owners BEFORE UPDATE ON task BEGIN SELECT RAISE(ABORT, 'the owner says no'); END";
    edit(&dir.join("lockstep.db"), &[trigger]).unwrap();
    stage
        .raw(r#"[{"section":"body","op":"replace","path":"/note","value":"no"}]"#, &["--dir", dir.to_str().unwrap()])
        .into()
}
