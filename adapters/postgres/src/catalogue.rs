//! What the schema has, from PostgreSQL's own catalogue.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

/// Everything in the schema that has a name of our concern.
pub(crate) struct Catalogue {
    /// Tables, views, indexes and sequences by name.
    pub(crate) relations: BTreeMap<String, Relation>,
    /// The columns of tables.
    pub(crate) columns: BTreeMap<String, Vec<Found>>,
    /// Indexes that are plain: whole columns, all rows, usable.
    pub(crate) indexes: BTreeMap<String, FoundIndex>,
}

/// Anything with a name.
pub(crate) struct Relation {
    /// `r` for tables, `p` for partitioned ones, `v` for views, `i` for indexes.
    pub(crate) kind: String,
    pub(crate) comment: String,
}

/// A column as it is.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) required: bool,
    pub(crate) collation: String,
    pub(crate) comment: String,
    /// From 1; 0 where it is not in the primary key.
    pub(crate) key_position: i64,
}

/// An index as it is.
pub(crate) struct FoundIndex {
    pub(crate) table: String,
    pub(crate) columns: Vec<String>,
    pub(crate) unique: bool,
}

const RELATIONS: &str = "SELECT c.relname::text, c.relkind::text, coalesce(obj_description(c.oid, 'pg_class'), '') \
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = current_schema()";

const COLUMNS: &str = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
      coalesce(l.collname::text, ''), coalesce(col_description(c.oid, a.attnum), ''), \
      coalesce(array_position(k.indkey::int2[], a.attnum), -1)::bigint + 1 \
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    LEFT JOIN pg_collation AS l ON l.oid = a.attcollation \
    LEFT JOIN pg_index AS k ON k.indrelid = c.oid AND k.indisprimary \
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') ORDER BY c.oid, a.attnum";

const INDEXES: &str = "SELECT i.relname::text, c.relname::text, x.indisunique, \
      ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(number, place) \
        JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.number ORDER BY k.place) \
    FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS c ON c.oid = x.indrelid \
    JOIN pg_namespace AS n ON n.oid = i.relnamespace \
    WHERE n.nspname = current_schema() AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL";

impl Catalogue {
    pub(crate) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let relation =
            |row: &PgRow| Ok((row.try_get(0)?, Relation { kind: row.try_get(1)?, comment: row.try_get(2)? }));
        let index = |row: &PgRow| {
            let index = FoundIndex { table: row.try_get(1)?, unique: row.try_get(2)?, columns: row.try_get(3)? };
            Ok((row.try_get(0)?, index))
        };
        let relations = sqlx::query(RELATIONS).fetch_all(&mut *connection).await?;
        let indexes = sqlx::query(INDEXES).fetch_all(&mut *connection).await?;
        let mut columns: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        for row in sqlx::query(COLUMNS).fetch_all(connection).await? {
            columns.entry(row.try_get(0)?).or_default().push(Found::of(&row)?);
        }
        let relations = relations.iter().map(relation).collect::<Result<_, sqlx::Error>>()?;
        Ok(Catalogue { relations, columns, indexes: indexes.iter().map(index).collect::<Result<_, sqlx::Error>>()? })
    }
}

impl Found {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Found {
            name: row.try_get(1)?,
            kind: row.try_get(2)?,
            required: row.try_get(3)?,
            collation: row.try_get(4)?,
            comment: row.try_get(5)?,
            key_position: row.try_get(6)?,
        })
    }
}
