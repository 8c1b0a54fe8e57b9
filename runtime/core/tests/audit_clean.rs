//! What nobody touched is clean, whatever it holds; and evidence alone makes the same tables again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod audit_network;

use audit_network::{Net, Script, audited, block_on};
use lockstep_core::audit::{Known, column_classes, rebuild};
use lockstep_core::codes::Code;
use lockstep_core::crypto::Signer;
use lockstep_core::database::Database;
use lockstep_core::engine::Limits;
use lockstep_core::memory::MemoryDatabase;
use lockstep_core::tables::{Cell, name};

#[test]
fn an_untouched_database_has_no_finding() {
    for seed in 0..8 {
        let net = Net::grown(seed, 1 + (seed as usize * 7) % 40);
        let note = net.notes.last().unwrap().as_str();
        let known = Known {
            checkpoint: Some(note),
            node_key: Some(net.node_signer.public_key()),
            network: Some(net.directory.network()),
            record: None,
            executor: Some((&Script, Limits::default())),
        };
        let report = audited(&net.copy(), known);
        assert!(report.is_clean(), "seed {seed}: {:#?}", &report.findings[..report.findings.len().min(3)]);
        assert_eq!(report.network_id, Some(net.directory.network()));
        let report = audited(&net.copy(), Known::default());
        assert!(report.is_clean(), "seed {seed}: {:#?}", &report.findings[..report.findings.len().min(3)]);
        assert_eq!((report.log_size, report.root), (net.ledger.appender.size(), Some(net.ledger.appender.root())));
    }
}

#[test]
fn generated_networks_have_every_kind_of_ending() {
    let mut endings = std::collections::BTreeSet::new();
    for seed in 0..10 {
        endings.extend(Net::grown(seed, 40).endings.into_keys());
    }
    for wanted in ["applied", "contract", "stale_expect", "unknown_method", "not_yet_valid", "expired", "patch"] {
        assert!(endings.contains(wanted), "{wanted} not in {endings:?}");
    }
}

#[test]
fn evidence_applied_to_an_empty_database_gives_the_same_tables() {
    for seed in 0..10 {
        let net = Net::grown(seed, 25);
        let target = MemoryDatabase::new();
        let mut source = block_on(net.database.snapshot()).unwrap();
        block_on(rebuild(source.as_mut(), &target)).unwrap();
        let (was, is) = (net.database.contents(), target.contents());
        assert_eq!(was.keys().collect::<Vec<_>>(), is.keys().collect::<Vec<_>>());
        for (table, rows) in was {
            assert_eq!(rows, is[&table], "seed {seed}, table {table}");
        }
    }
}

/// Runs what it is asked, and then one thing more.
struct Meddler;

impl lockstep_core::engine::Engine for Meddler {
    fn call(
        &self,
        package: &lockstep_core::package::Package,
        method: &str,
        arguments: &str,
        host: &mut dyn lockstep_core::engine::Host,
        limits: &Limits,
    ) -> Result<(), lockstep_core::engine::Stop> {
        Script.call(package, method, arguments, host, limits)?;
        let operation = lockstep_core::json::Operation::from_json(
            &lockstep_core::json::json!({"op": "add", "path": "", "value": {"meddled": true}}),
        );
        drop(host.change(0, "main", operation.unwrap()));
        Ok(())
    }
    fn check(&self, _: &lockstep_core::package::Package) -> Result<(), lockstep_core::engine::CodeError> {
        Ok(())
    }
}

#[test]
fn a_contract_that_does_something_else_is_found_by_executing_it_again() {
    let net = Net::grown(700, 20);
    let known = Known { executor: Some((&Meddler, Limits::default())), ..Known::default() };
    let report = audited(&net.copy(), known);
    assert!(report.executed > 10 && !report.is_clean());
    assert!(report.findings.iter().all(|finding| finding.code == Code::ExecutionDiffers));
}

#[test]
fn what_was_judged_under_an_earlier_directory_is_executed_again_too() {
    let mut net = Net::grown(700, 10);
    let executed = |net: &Net, engine| {
        audited(&net.copy(), Known { executor: Some((engine, Limits::default())), ..Known::default() })
    };
    let before = executed(&net, &Script).executed;
    net.judging = Some(net.directory.clone());
    net.actor("late@acme");
    net.rotate("carol@acme");
    net.keys.remove("late@acme");
    net.keys.remove("carol@acme");
    for _ in 0..20 {
        let wish = net.wish(true);
        net.submit(vec![wish]);
    }
    let (seq, head) = net.judging.as_ref().map(|judging| (judging.seq(), judging.head())).unwrap();
    assert!(seq < net.directory.seq() && head != net.directory.head());
    let report = executed(&net, &Script);
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert!(report.executed >= before + 15, "{} after {before}", report.executed);
    let (meddled, earlier) = (executed(&net, &Meddler).findings, executed(&Net::grown(700, 10), &Meddler).findings);
    assert!(meddled.len() > earlier.len(), "{} and {}", meddled.len(), earlier.len());
}

#[test]
fn a_newer_format_is_a_finding() {
    let net = Net::grown(800, 4);
    let mut newer = net.copy();
    let meta = newer.rows.get_mut(name::META).unwrap();
    let row = meta.iter_mut().find(|row| row[0] == Cell::Text("format".into())).unwrap();
    row[1] = Cell::Text("2".into());
    let codes: Vec<Code> = audited(&newer, Known::default()).findings.into_iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::NewerFormat]);
    let mut newer = net.copy();
    let intents = newer.rows.get_mut(name::INTENT).unwrap();
    let outcome = net.tables().iter().find(|table| table.name == name::INTENT).unwrap().position("outcome").unwrap();
    let stored = String::from_utf8(intents[0][outcome].as_bytes().unwrap().to_vec()).unwrap();
    intents[0][outcome] = Cell::Bytes(stored.replacen("\"format\":1", "\"format\":2", 1).into_bytes());
    let findings = audited(&newer, Known::default()).findings;
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::NewerFormat]);
    assert_eq!(findings[0].column.as_deref(), Some("outcome"));
}

#[test]
fn findings_can_be_of_one_record_only() {
    let net = Net::grown(900, 16);
    let mut tampered = net.copy();
    let tables = net.tables();
    let table = tables.iter().find(|table| table.name == "listing").unwrap();
    let at = table.position("lockstep_seq").unwrap();
    let rows = tampered.rows.get_mut("listing").unwrap();
    let ids: Vec<String> = rows.iter().filter_map(|row| row[0].show()).collect();
    rows.iter_mut().for_each(|row| row[at] = Cell::Integer(77));
    let one = audited(&tampered, Known { record: Some(("listing", &ids[0])), ..Known::default() });
    assert_eq!(
        one.findings.iter().map(|finding| finding.record_id.clone()).collect::<Vec<_>>(),
        [Some(ids[0].clone())]
    );
    assert_eq!(audited(&tampered, Known::default()).findings.len(), ids.len());
}

#[test]
fn every_column_has_a_class() {
    let net = Net::grown(1000, 12);
    let classes = column_classes(&net.directory);
    for table in net.tables() {
        for column in &table.columns {
            assert!(
                classes.iter().any(|class| class.table == table.name
                    && class.column == column.name
                    && !class.proved_by.is_empty())
            );
        }
    }
}
