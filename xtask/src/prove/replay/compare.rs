//! Two databases against each other, cell by cell.

use std::collections::BTreeMap;

use lockstep_core::database::{Database, Page};
use lockstep_core::tables::{Row, Table, name};

/// Where batches end is a node's own matter: how much waited while the last commit ran.
const OF_BATCHES: [(&str, &str); 1] = [(name::INTENT, "checkpoint")];

/// What the tables hold.
pub(super) struct Contents(BTreeMap<String, (Table, Vec<Row>)>);

/// How many were held against each other, and what differs.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) rows: u64,
    pub(super) cells: u64,
    pub(super) differences: Vec<String>,
}

/// Reads every managed table whole.
pub(super) async fn tables(database: &dyn Database, tables: &[Table]) -> Result<Contents, String> {
    let mut snapshot = database.snapshot().await.map_err(|error| error.to_string())?;
    let mut contents = BTreeMap::new();
    for table in tables {
        let page = Page { after: None, limit: usize::MAX >> 1 };
        let rows = snapshot.page(table, &page).await.map_err(|error| error.to_string())?;
        contents.insert(table.name.clone(), (table.clone(), rows));
    }
    Ok(Contents(contents))
}

/// Every cell as SQLite stores it, with its type there.
pub(super) async fn storage(database: &dyn Database, tables: &[Table]) -> Result<Vec<Row>, String> {
    let mut all = Vec::new();
    for table in tables {
        let cells = table.columns.iter().map(|column| format!("typeof(\"{0}\"), quote(\"{0}\")", column.name));
        let (cells, key) = (cells.collect::<Vec<_>>().join(", "), table.key.join("\", \""));
        let sql = format!("SELECT '{0}', {cells} FROM \"{0}\" ORDER BY \"{key}\"", table.name);
        all.extend(database.query(&sql, 1_000_000).await.map_err(|error| format!("{sql}: {error}"))?.rows);
    }
    Ok(all)
}

impl Contents {
    /// Rows of a table.
    pub(super) fn rows_of(&self, table: &str) -> u64 {
        self.0.get(table).map_or(0, |(_, rows)| u64::try_from(rows.len()).unwrap_or(0))
    }

    /// Rows of a table whose column says this.
    pub(super) fn rows_with(&self, table: &str, column: &str, value: &str) -> u64 {
        let Some((table, rows)) = self.0.get(table) else { return 0 };
        let at = table.position(column);
        let says = |row: &&Row| at.and_then(|at| row.get(at)).and_then(|cell| cell.as_str()) == Some(value);
        u64::try_from(rows.iter().filter(says).count()).unwrap_or(0)
    }

    /// Every table, every row, every cell.
    pub(super) fn compare(&self, other: &Contents) -> Compared {
        self.compare_where(other, |_, _| true)
    }

    /// Everything but where batches ended.
    pub(super) fn compare_but_for_batches(&self, other: &Contents) -> Compared {
        self.compare_where(other, |table, column| table != name::CHECKPOINT && !OF_BATCHES.contains(&(table, column)))
    }

    fn compare_where(&self, other: &Contents, matters: impl Fn(&str, &str) -> bool) -> Compared {
        let mut compared = Compared::default();
        if !self.0.keys().eq(other.0.keys()) {
            compared.differences.push("they do not have the same tables".to_owned());
        }
        for (name, (table, rows)) in &self.0 {
            let columns: Vec<usize> = (0..table.columns.len())
                .filter(|at| table.columns.get(*at).is_some_and(|column| matters(name, &column.name)))
                .collect();
            let empty = Vec::new();
            let others = other.0.get(name).map_or(&empty, |(_, rows)| rows);
            if columns.is_empty() {
                continue;
            }
            if rows.len() != others.len() {
                compared.differences.push(format!("{name} has {} and {} rows", rows.len(), others.len()));
            }
            for (row, other) in rows.iter().zip(others) {
                compared.rows += 1;
                for at in &columns {
                    compared.cells += 1;
                    if row.get(*at) != other.get(*at) {
                        let column = table.columns.get(*at).map_or("", |column| column.name.as_str());
                        let key: Vec<_> =
                            table.key_positions().into_iter().filter_map(|at| row.get(at)?.show()).collect();
                        compared.differences.push(format!(
                            "{name} {} column {column}: {:?} and {:?}",
                            key.join("/"),
                            row.get(*at),
                            other.get(*at)
                        ));
                    }
                }
            }
        }
        compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::tables::{Cell, own_tables};

    fn meta(rows: &[(&str, &str)]) -> Contents {
        let table = own_tables().into_iter().find(|table| table.name == name::META);
        let text = |text: &str| Cell::Text(text.to_owned());
        let rows = rows.iter().map(|(key, value)| vec![text(key), text(value)]).collect::<Vec<_>>();
        Contents(table.map(|table| (table.name.clone(), (table, rows))).into_iter().collect())
    }

    #[test]
    fn one_other_cell_one_missing_row_and_one_missing_table_are_differences() {
        let one = meta(&[("a", "1"), ("b", "2")]);
        assert_eq!(one.compare(&meta(&[("a", "1"), ("b", "2")])).differences, Vec::<String>::new());
        assert_eq!(one.compare(&meta(&[("a", "1"), ("b", "2 ")])).differences.len(), 1);
        assert_eq!(one.compare(&meta(&[("a", "1")])).differences, ["lockstep_meta has 2 and 1 rows"]);
        assert_eq!(one.compare(&Contents(BTreeMap::new())).differences.len(), 2);
    }
}
