//! Findings of `verify`.

use crate::library;
use crate::stage::{Met, Stage};

pub(crate) fn cell_differs(stage: &Stage) -> Met {
    stage.edited(&["UPDATE house_sale SET asking_price = 1"])
}

pub(crate) fn row_missing(stage: &Stage) -> Met {
    stage.edited(&["DELETE FROM lockstep_change WHERE position = 0"])
}

pub(crate) fn row_extra(stage: &Stage) -> Met {
    stage.edited(&["INSERT INTO task (record_id, lockstep_seq, lockstep_head, lockstep_contract, lockstep_scope, lockstep_updated_at) SELECT 'acme:task-2', lockstep_seq, lockstep_head, lockstep_contract, lockstep_scope, lockstep_updated_at FROM task"])
}

pub(crate) fn evidence_broken(stage: &Stage) -> Met {
    stage.edited(&["UPDATE lockstep_event SET openings = CAST(replace(CAST(openings AS TEXT), '\"340000.00\"', '\"940000.00\"') AS BLOB)"])
}

/// An intent is gone, and its leaf's hash with it: nothing says any more what stood there.
pub(crate) fn tree_broken(stage: &Stage) -> Met {
    stage.edited(&[
        "DELETE FROM lockstep_intent WHERE log_position = (SELECT min(log_position) FROM lockstep_intent)",
        "UPDATE lockstep_log SET hashes = zeroblob(length(hashes)) WHERE level = 0",
    ])
}

/// A checkpoint of a copy that went on, beside a database that did not.
pub(crate) fn behind_checkpoint(stage: &Stage) -> Met {
    let (old, new) = (stage.copy(), went_on(stage));
    std::fs::copy(new.join("checkpoint"), old.join("checkpoint")).unwrap();
    stage.run_in(&old, &["verify"]).into()
}

/// Two copies that went on, each in its own way.
pub(crate) fn foreign_checkpoint(stage: &Stage) -> Met {
    let (one, other) = (went_on(stage), went_on(stage));
    std::fs::copy(other.join("checkpoint"), one.join("checkpoint")).unwrap();
    stage.run_in(&one, &["verify"]).into()
}

fn went_on(stage: &Stage) -> std::path::PathBuf {
    let dir = stage.copy();
    let offer = ["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", "{}"];
    assert_eq!(stage.run_in(&dir, &offer).status, 4);
    dir
}

/// A sequencer that does not do what the contract says signs it all the same.
pub(crate) fn execution_differs(stage: &Stage) -> Met {
    let dir = stage.copy();
    library::lie(stage, &dir);
    let clean = stage.run_in(&dir, &["verify"]);
    assert_eq!(clean.status, 0, "{}", clean.stdout);
    stage.run_in(&dir, &["verify", "--execute"]).into()
}

pub(crate) fn table_shape(stage: &Stage) -> Met {
    stage.edited(&["ALTER TABLE lockstep_change RENAME COLUMN value TO worth"])
}

pub(crate) fn newer_format(stage: &Stage) -> Met {
    stage.edited(&["UPDATE lockstep_meta SET value = '2' WHERE key = 'format'"])
}
