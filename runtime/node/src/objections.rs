//! The objections that are stored here, this node's and others': what a feed sends on and an operator is shown.

use std::sync::{Arc, Mutex, PoisonError};

use lockstep_core::database::{Database, DatabaseError};
use lockstep_core::disputes::Disputes;
use lockstep_core::json::{Json, json};
use lockstep_core::project::own_tables_by_name;
use lockstep_core::sync::{Complaint, SignedObjection};
use lockstep_core::tables::{Cell, Row, Table, name};

use crate::load::cell;
use crate::open::NodeError;

/// An objection as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) signed: SignedObjection,
    /// Whether it stops its record here.
    pub(crate) holds: bool,
    pub(crate) message: Option<String>,
    /// The proof that goes with it to others: that of a fork.
    pub(crate) proof: Option<Vec<u8>>,
}

/// All of them, in the order in which they were stored.
#[derive(Default)]
pub(crate) struct Objections(Mutex<Vec<Arc<Kept>>>);

impl Objections {
    pub(crate) fn of(kept: Vec<Kept>) -> Self {
        Objections(Mutex::new(kept.into_iter().map(Arc::new).collect()))
    }

    /// Notes what was committed.
    pub(crate) fn note(&self, kept: &[Kept]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(kept.iter().cloned().map(Arc::new));
    }

    /// Those behind the first so many.
    pub(crate) fn after(&self, count: usize) -> Vec<Arc<Kept>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(count..).map(<[_]>::to_vec).unwrap_or_default()
    }

    /// Those that say something against somebody, with what became of each.
    pub(crate) fn to_json(&self) -> Json {
        let all = self.after(0);
        all.iter().filter(|kept| kept.signed.statement.withdraws.is_none()).map(|kept| listed(kept, &all)).collect()
    }
}

fn listed(kept: &Kept, all: &[Arc<Kept>]) -> Json {
    let statement = &kept.signed.statement;
    let withdrawal = all.iter().map(|one| &one.signed.statement).find(|one| one.withdraws == Some(kept.signed.id));
    json!({
        "id": kept.signed.id.to_string(), "node": statement.node.as_str(), "kind": statement.complaint.as_str(),
        "log": statement.log.as_str(), "position": statement.position,
        "record_id": statement.record.as_ref().map(|record| record.as_str()),
        "seq": statement.event.map(|(_, seq, _)| seq), "time": statement.time.to_string(), "holds": kept.holds,
        "message": kept.message.as_deref(), "withdrawn_at": withdrawal.map(|one| one.time.to_string())
    })
}

/// Reads all objections of a database.
pub(crate) async fn load(database: &dyn Database) -> Result<(Vec<Kept>, Disputes), NodeError> {
    let own = own_tables_by_name();
    let Some(table) = own.get(name::OBJECTION) else { return Ok(Default::default()) };
    let rows = match database.follow(table, "log_position", None, usize::MAX).await {
        // A database of an earlier version gets the table in a moment.
        Err(DatabaseError::Shape { .. }) => Vec::new(),
        rows => rows?,
    };
    let (mut all, mut disputes) = (Vec::new(), Disputes::default());
    for row in &rows {
        let kept = read(table, row).map_err(|what| NodeError::Damaged(format!("an objection: {what}")))?;
        disputes.add(kept.signed.id, &kept.signed.statement, kept.holds);
        all.push(kept);
    }
    Ok((all, disputes))
}

fn read(table: &Table, row: &Row) -> Result<Kept, String> {
    let bytes = |column: &str| cell(table, row, column).and_then(Cell::as_bytes).map(<[u8]>::to_vec);
    let signed = SignedObjection::read(&bytes("statement").unwrap_or_default())?;
    let holds = cell(table, row, "holds") == Some(&Cell::Boolean(true));
    let message = cell(table, row, "message").and_then(Cell::as_str).map(str::to_owned);
    let proof = bytes("evidence").filter(|_| signed.statement.complaint == Complaint::Fork);
    Ok(Kept { signed, holds, message, proof })
}

/// The objections that a database holds, this node's and others', for whoever asks while no node runs.
///
/// # Errors
/// Where the database cannot be read or is damaged.
pub async fn objections(database: &dyn Database) -> Result<Json, NodeError> {
    Ok(Objections::of(load(database).await?.0).to_json())
}
