//! Deliveries: what is pending, and what became of it.

use lockstep_core::database::{CommitError, DatabaseError, Delivery};
use lockstep_core::tables::{Cell, Row, name, own_tables};
use sqlx::mysql::MySqlArguments;

use crate::bind::bind_cell;
use crate::commit::all_of;
use crate::connect::MySqlDatabase;
use crate::read;
use crate::write::Statement;

/// Pending notifications in order.
pub(crate) async fn undelivered(database: &MySqlDatabase, limit: usize) -> Result<Vec<Row>, DatabaseError> {
    let Some(table) = own_tables().into_iter().find(|table| table.name == name::OUTBOX) else { return Ok(Vec::new()) };
    let sql = format!("{} WHERE status = 'pending' ORDER BY position LIMIT ?", read::select_sql(&table));
    read::rows(database, &table, sql, &[read::count(limit)]).await
}

/// Notes what became of deliveries, in one transaction. What was delivered stays delivered; a notification that
/// is not there any more is nothing to note.
pub(crate) async fn deliver(database: &MySqlDatabase, deliveries: &[Delivery]) -> Result<(), DatabaseError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let statements = deliveries.iter().map(statement).collect::<Result<Vec<_>, _>>();
    note(database, statements.map_err(|detail| DatabaseError::Unavailable { detail })?).await
}

/// Changes operational columns, in one transaction and in its turn among commits.
pub(crate) async fn note(database: &MySqlDatabase, statements: Vec<Statement>) -> Result<(), DatabaseError> {
    let unavailable = |detail: String| DatabaseError::Unavailable { detail };
    let Some(committer) = &database.committer else {
        return Err(unavailable("the database is open read-only".to_owned()));
    };
    match committer.run(move |writer| Box::pin(writer.transact(all_of(statements)))).await {
        Some(Ok(())) => Ok(()),
        Some(Err(CommitError::Conflict)) | None => Err(unavailable("the committer stopped".to_owned())),
        Some(Err(
            CommitError::Refused { detail } | CommitError::Unavailable { detail } | CommitError::Unknown { detail },
        )) => Err(unavailable(detail)),
    }
}

fn statement(delivery: &Delivery) -> Result<Statement, String> {
    let attempt = Cell::Integer(i64::try_from(delivery.attempt).unwrap_or(i64::MAX));
    let (set, what) = match &delivery.result {
        Ok(time) => ("status = 'delivered', delivered_at = ?, last_error = NULL", Cell::Timestamp(*time)),
        Err(reason) => ("last_error = ?", Cell::Text(reason.replace('\0', ""))),
    };
    let sql = format!(
        "UPDATE {} SET {set}, attempts = GREATEST(attempts, ?) WHERE id = ? AND status = 'pending'",
        name::OUTBOX
    );
    // The server sets columns in the order written, and compares before it sets any.
    let mut arguments = MySqlArguments::default();
    for value in [what, attempt, Cell::Text(delivery.id.clone())] {
        bind_cell(&mut arguments, &value)?;
    }
    Ok(Statement::changing_any(name::OUTBOX, sql, arguments))
}
