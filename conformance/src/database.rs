//! What a participant's database must do, whatever it is.
//!
//! Every case begins with an empty database of its own. Killing processes is left to the adapters' own tests,
//! since only they know what to kill.

mod cells;
mod commits;
mod histories;
mod outbox;
mod peers;
mod reads;
mod sample;
mod shapes;

use lockstep_core::database::{Database, Pending};

use crate::{Case, Report};

/// Where databases come from.
pub trait Factory: Send + Sync {
    /// An empty database.
    fn fresh(&self) -> Pending<'_, Result<Box<dyn Database>, String>>;
    /// Another handle to the database that [`Factory::fresh`] made last, with connections of its own, while the first
    /// is still open; none where a database lives in its handle only.
    fn again(&self) -> Pending<'_, Result<Option<Box<dyn Database>>, String>>;
}

type Run = for<'f> fn(&'f dyn Factory) -> Pending<'f, Result<(), String>>;

/// Lists cases: the promise and the function that tries it.
macro_rules! cases {
    ($($name:literal => $run:path,)+) => {
        const CASES: &[(&str, Run)] = &[$(($name, |factory| Box::pin($run(factory)))),+];
    };
}

cases! {
    "a batch is there whole" => commits::whole,
    "a batch with a row that is refused leaves nothing" => commits::refused_leaves_nothing,
    "a batch on another head conflicts and leaves nothing" => commits::conflict,
    "of many racing batches on one head exactly one succeeds" => commits::race,
    "what was acknowledged is there for other connections" => commits::seen_again,
    "a batch that is committed again is there once" => commits::again,
    "a history made from a seed leaves the same rows however it is batched" => histories::batched,
    "an insert of a known key is refused" => commits::known_key,
    "a put replaces the row with the same key" => commits::put,
    "a batch that leaves the head as it is may be committed twice" => commits::beside_the_log,
    "an update changes the named columns of one row only" => commits::update,
    "an update of a row that is not there is refused" => commits::update_nothing,
    "writes to one table happen in their order" => commits::order,
    "a unique index is kept" => commits::unique,
    "a commit whose caller stops waiting is whole or nothing" => commits::dropped,
    "every kind of cell comes back as it was written" => cells::every_kind,
    "extremes of every kind come back as they were written" => cells::extremes,
    "a document of 8 MiB comes back as it was written" => cells::large,
    "text of every script comes back as it was written" => cells::scripts,
    "a cell of another kind is refused" => cells::wrong_kind,
    "selecting by 10,000 values finds every row once" => reads::select_many,
    "selecting by a value of each kind finds it" => reads::select_kinds,
    "following an integer column gives its order" => reads::follow,
    "pages of any size give all rows in byte order" => reads::pages,
    "a snapshot does not see later commits" => reads::snapshot,
    "a table that is not there is named" => reads::missing_table,
    "a query cannot change anything" => reads::query_is_read_only,
    "preparing twice changes nothing" => shapes::twice,
    "a column is added to a table with rows" => shapes::add_column,
    "a table of another shape is refused" => shapes::other_shape,
    "pending notifications come in their order" => outbox::pending,
    "noting a delivery twice is noting it once" => outbox::twice,
    "what was delivered stays delivered" => outbox::stays,
    "what is seen of another node stands in place of what was seen before" => peers::replaced,
    "what is seen of another node leaves the log's head alone" => peers::leaves_head,
}

/// Runs all cases, one after the other.
pub async fn run(factory: &dyn Factory) -> Report {
    let mut report = Report::default();
    for (name, case) in CASES {
        let failure = case(factory).await.err();
        report.cases.push(Case { name, failure });
    }
    report
}
