//! What nobody touched is clean, whatever it holds; and evidence alone makes the same tables again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod audit_network;

use audit_network::{Net, Script, audited, block_on};
use lockstep_core::audit::{Known, rebuild};
use lockstep_core::crypto::Signer;
use lockstep_core::database::Database;
use lockstep_core::engine::Limits;
use lockstep_core::memory::MemoryDatabase;

#[test]
fn an_untouched_database_has_no_finding() {
    for seed in 0..30 {
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
