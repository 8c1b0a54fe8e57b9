//! Deliveries: what is pending, and what became of it.

use lockstep_core::database::{CommitError, DatabaseError, Delivery};
use lockstep_core::tables::{Cell, Row, name, own_tables};
use sqlx::Arguments;
use sqlx::postgres::PgArguments;

use crate::bind::{One, Wire};
use crate::commit::all_of;
use crate::connect::PostgresDatabase;
use crate::read;
use crate::write::Statement;

/// Pending notifications in order.
pub(crate) async fn undelivered(database: &PostgresDatabase, limit: usize) -> Result<Vec<Row>, DatabaseError> {
    let Some(table) = own_tables().into_iter().find(|table| table.name == name::OUTBOX) else { return Ok(Vec::new()) };
    read::first(database, &table, "WHERE status = 'pending' ORDER BY position", limit).await
}

/// Notes what became of deliveries, in one transaction. What was delivered stays delivered; a notification that
/// is not there any more is nothing to note.
pub(crate) async fn deliver(database: &PostgresDatabase, deliveries: &[Delivery]) -> Result<(), DatabaseError> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let statements = deliveries.iter().map(statement).collect::<Result<Vec<_>, _>>();
    note(database, statements.map_err(|detail| DatabaseError::Unavailable { detail })?).await
}

/// Changes operational columns, in one transaction and in its turn among commits.
pub(crate) async fn note(database: &PostgresDatabase, statements: Vec<Statement>) -> Result<(), DatabaseError> {
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
    let (set, what, cell) = match &delivery.result {
        Ok(time) => {
            ("status = 'delivered', delivered_at = $1, last_error = NULL", Wire::Timestamp, Cell::Timestamp(*time))
        }
        Err(reason) => ("last_error = $1", Wire::Text, Cell::Text(reason.replace('\0', ""))),
    };
    let sql = format!(
        "UPDATE {} SET {set}, attempts = greatest(attempts, $2) WHERE id = $3 AND status = 'pending'",
        name::OUTBOX
    );
    let mut arguments = PgArguments::default();
    let values =
        [(what, cell), (Wire::Integer, Cell::count(delivery.attempt)), (Wire::Text, Cell::Text(delivery.id.clone()))];
    for (wire, cell) in values {
        let one = One::new(wire, &cell).ok_or("a delivery has another kind of value")?;
        arguments.add(one).map_err(|error| error.to_string())?;
    }
    Ok(Statement::changing_any(sql, arguments))
}
