//! What is looked up for each intent is found by an index: however long the log is, the next one costs the same.

use lockstep_core::tables::{name, own_tables};

/// By which columns rows are looked up while intents are decided, answered and followed.
const LOOKUPS: [(&str, &str); 13] = [
    (name::INTENT, "intent_id"),
    (name::INTENT, "nonce"),
    (name::EVENT, "event_id"),
    (name::EVENT, "intent_id"),
    (name::EVENT, "record_id"),
    (name::EVENT, "log_position"),
    (name::OUTBOX, "event_id"),
    (name::OUTBOX, "status"),
    (name::FEED, "intent_id"),
    (name::FORWARD, "intent_id"),
    (name::LOG, "position"),
    (name::CHECKPOINT, "size"),
    (name::CHECKPOINT, "log"),
];

#[test]
fn what_each_intent_looks_up_has_an_index() {
    for (table, column) in LOOKUPS {
        let found = own_tables().into_iter().find(|found| found.name == table);
        let leads = found.is_some_and(|table| {
            let mut all = table.indexes.iter().map(|index| &index.columns).chain([&table.key]);
            all.any(|columns| columns.first().is_some_and(|first| first == column))
        });
        assert!(leads, "rows of {table} are looked up by {column}, which no index begins with");
    }
}
