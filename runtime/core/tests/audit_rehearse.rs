//! A new package on a real history: what it would have done otherwise is named, and nothing else is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod audit_network;

use audit_network::{Net, Script, block_on, shop};
use lockstep_core::audit::{Rehearsal, rehearse};
use lockstep_core::database::Database;
use lockstep_core::engine::{CodeError, Engine, Host, Limits, Rejection, Stop};
use lockstep_core::intent::{Call, Target};
use lockstep_core::json;
use lockstep_core::json::Json;
use lockstep_core::names::{ContractName, MethodName, RecordId};
use lockstep_core::package::Package;

/// As the script says, but nothing whose arguments hold a word.
struct Without(&'static str);

impl Engine for Without {
    fn call(
        &self,
        package: &Package,
        name: &str,
        arguments: &str,
        host: &mut dyn Host,
        at: &Limits,
    ) -> Result<(), Stop> {
        if arguments.contains(self.0) {
            return Err(Stop::Rejected(Rejection { reason: "word".into(), message: "not this word".into() }));
        }
        Script.call(package, name, arguments, host, at)
    }
    fn check(&self, _: &Package) -> Result<(), CodeError> {
        Ok(())
    }
}

/// As the script says, but louder.
struct Louder;

impl Engine for Louder {
    fn call(
        &self,
        package: &Package,
        name: &str,
        arguments: &str,
        host: &mut dyn Host,
        at: &Limits,
    ) -> Result<(), Stop> {
        Script.call(package, name, &arguments.replace("quiet", "loud"), host, at)
    }
    fn check(&self, _: &Package) -> Result<(), CodeError> {
        Ok(())
    }
}

fn rehearsed(net: &Net, package: Package, engine: &dyn Engine) -> Rehearsal {
    let mut snapshot = block_on(net.database.snapshot()).unwrap();
    block_on(rehearse(snapshot.as_mut(), package, engine, Limits::default())).unwrap()
}

fn differing(rehearsal: &Rehearsal) -> Vec<(u64, String)> {
    let all = rehearsal.calls.values().flat_map(|call| &call.differences);
    all.map(|difference| (difference.seq, difference.what.clone())).collect()
}

/// One record with a title set by three intents, one of which the contract rejects.
fn net() -> Net {
    let mut net = Net::new(1);
    net.deploy(shop("1.0.0", false, b"one"));
    for arguments in [title("a"), title("quiet"), title("b"), json!({"reject": ["closed", "not today"]}), title("c")] {
        // The generated clock lets some expire, or come too early: until it is decided in time.
        loop {
            let before = net.endings.clone();
            net.submit(vec![("root@acme".to_owned(), write(arguments.clone()), vec![target()])]);
            let grown = |ending: &str| net.endings.get(ending) > before.get(ending);
            if grown("applied") || grown("contract") {
                break;
            }
        }
    }
    net
}

fn title(title: &str) -> Json {
    let add = json!({"op": "add", "path": "", "value": {"title": title}});
    json!({"ops": [{"record": 0, "section": "main", "op": add}]})
}

fn write(arguments: Json) -> Call {
    let (contract, method) = (ContractName::parse("shop").unwrap(), MethodName::parse("write").unwrap());
    Call::Method { contract, method, arguments }
}

fn target() -> Target {
    Target { record: RecordId::parse("acme:one").unwrap(), expect: None }
}

#[test]
fn a_version_that_does_the_same_differs_nowhere() {
    for seed in 0..6 {
        let net = Net::grown(seed, 30);
        let rehearsal = rehearsed(&net, shop("1.9.0", true, b"new"), &Script);
        assert_eq!(differing(&rehearsal), [], "seed {seed}");
        assert!(rehearsal.calls.keys().any(|called| called == "changes of memo"), "{rehearsal:?}");
    }
}

#[test]
fn each_intent_is_judged_on_the_state_that_it_really_met() {
    let rehearsal = rehearsed(&net(), shop("1.1.0", false, b"new"), &Without("\"a\""));
    let only = (0, "was applied, now rejected with contract (word): not this word".to_owned());
    assert_eq!(differing(&rehearsal), [only], "the record is there for those that came after");
}

#[test]
fn another_change_is_named_with_what_it_was() {
    let differing = differing(&rehearsed(&net(), shop("1.1.0", false, b"new"), &Louder));
    let [(1, what)] = differing.as_slice() else { panic!("{differing:?}") };
    assert!(
        what.starts_with("section main was changed by") && what.contains("quiet") && what.contains("loud"),
        "{what}"
    );
}

#[test]
fn versions_that_do_not_take_over_are_counted_and_not_tried() {
    let net = net();
    let rehearsal = rehearsed(&net, shop("2.0.0", false, b"new"), &Without("\"a\""));
    assert_eq!((rehearsal.calls["shop.write"].intents, differing(&rehearsal).len()), (1, 1), "only the record's first");
    assert!(rehearsal.skipped.iter().any(|(why, count)| why.contains("take over") && *count == 4), "{rehearsal:?}");
    let rehearsal = rehearsed(&net, shop("0.9.0", false, b"new"), &Without("\"a\""));
    assert!(rehearsal.calls.is_empty(), "{rehearsal:?}");
}
