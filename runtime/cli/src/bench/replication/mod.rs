//! `lockstep bench --replication`: what it costs to have the same rows at other organisations, too.
//!
//! Nodes are processes of this binary on loopback, over TLS, each with a SQLite file of its own. Readers may read all
//! that the contract's methods declare, so that they execute every intent again before they write a row; a run in which
//! they did not fails. Beside the reader stands a bare writer of the rows that it wrote.

mod load;
mod network;
mod phases;
mod report;

use std::path::Path;

use lockstep_core::tables::Table;

use super::compare::{Files, compare};
use super::floor::{self, Range};
use super::load::Spread;
use super::progress::Progress;
use super::store::Store;
use super::written::Written;
use super::{BenchArgs, machine};
use crate::error::CliError;
use network::{Nodes, internal};
use phases::{Backlog, Bench};
pub(super) use report::Measured;

pub(super) async fn measure(dir: &Path, args: &BenchArgs, progress: &Progress) -> Result<Measured, CliError> {
    let machine = machine::describe(dir)?;
    let work = args.workload(Spread::Even);
    progress.begin("founding the network");
    let nodes = Nodes::make(dir, usize::from(args.readers)).await?;
    let mut bench = Bench { nodes, dir: dir.to_owned(), work, progress };
    bench.open_records().await?;
    for reader in &mut bench.nodes.readers {
        reader.stop()?;
    }
    let alone = bench.alone().await?;
    let store = |name: &str| Store::file(&dir.join(name));
    let copies = Copies { before: store("before.db"), after: store("reader.db"), floor: store("floor.db") };
    let file = bench.nodes.readers.first().map(network::Member::file).ok_or_else(|| internal("no reader"))?;
    Store::file(&file).copy(&copies.before, &[]).await?;
    let backlog = bench.backlog().await?;
    Store::file(&file).copy(&copies.after, &[]).await?;
    let together = bench.together().await?;
    let lag = bench.lag(together).await?;
    let connected = bench.connected().await?;
    let compared = all_executed(&bench, &lag)?;
    let tables = std::mem::take(&mut bench.nodes.tables);
    for member in bench.nodes.readers.iter_mut().chain([&mut bench.nodes.sequencer]) {
        member.stop()?;
    }
    let (floor, same) = lay(&copies, &tables, &backlog, progress).await?;
    Ok(Measured { machine, work, alone, backlog, together, lag, connected, compared, floor, same })
}

/// Databases of the first reader: before the backlog, after it, and the bare writer's.
struct Copies {
    before: Store,
    after: Store,
    floor: Store,
}

/// How often it is asked once more whether all is counted.
const COUNTED: usize = 50;

/// How many outcomes all readers took in since they were started; each must have been executed again.
fn all_executed(bench: &Bench<'_>, lag: &phases::Lag) -> Result<u64, CliError> {
    let each = (3 * bench.work.intents + lag.times.len()) as u64;
    for reader in &bench.nodes.readers {
        let mut compared = reader.compared()?;
        // Rows are there a moment before they are counted.
        for _ in 0..COUNTED {
            if compared.0 + compared.1 >= each {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            compared = reader.compared()?;
        }
        if compared != (each, 0) {
            let name = reader.organisation.name;
            let message = format!("{name} executed {} of {each} again, {} in part", compared.0, compared.1);
            return Err(internal(message));
        }
    }
    Ok(each * bench.nodes.readers.len() as u64)
}

/// Writes what the reader wrote on its backlog, with nothing around it, and compares.
async fn lay(
    copies: &Copies,
    tables: &[Table],
    backlog: &Backlog,
    progress: &Progress,
) -> Result<(floor::Floor, super::compare::Compared), CliError> {
    // Who is connected since when is no row that an outcome brings.
    let tables: Vec<Table> = tables.iter().filter(|table| !table.is_operational()).cloned().collect();
    let after = copies.after.open().await?;
    let written = Written::read(after.as_ref(), &tables).await?;
    let range = Range { from: backlog.from, many: backlog.to, to: backlog.to };
    let floor = floor::lay(&written, range, &copies.before, &copies.floor, progress).await?;
    progress.begin("comparing both databases");
    let beside = copies.floor.open().await?;
    let files = Files { base: &copies.before, end_to_end: &copies.after, floor: &copies.floor };
    Ok((floor, compare(&tables, after.as_ref(), beside.as_ref(), &files).await?))
}
