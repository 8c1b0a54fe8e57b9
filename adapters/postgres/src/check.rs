//! The look at a server before it is trusted: what would break the promise of a commit is refused, with the statement
//! that mends it. Nothing of the server's is changed.

use lockstep_core::tables::Table;
use sqlx::Row;
use sqlx::postgres::PgConnection;

/// The oldest version that has all that is used.
const OLDEST: i32 = 130_000;

/// A no, in words with what mends it.
pub(crate) type Verdict = Result<(), String>;

async fn setting(connection: &mut PgConnection, name: &str) -> Result<String, sqlx::Error> {
    let value = sqlx::query_scalar("SELECT coalesce(current_setting($1, true), '')").bind(name);
    value.fetch_one(connection).await
}

/// Whether the server keeps what it acknowledges.
pub(crate) async fn server(connection: &mut PgConnection, read_only: bool) -> Result<Verdict, sqlx::Error> {
    let version: i32 = setting(connection, "server_version_num").await?.parse().unwrap_or(0);
    if version < OLDEST {
        let found = setting(connection, "server_version").await?;
        return Ok(Err(format!("PostgreSQL {found} is too old: Lockstep needs 13 or newer; upgrade the server")));
    }
    let encoding = setting(connection, "server_encoding").await?;
    if encoding != "UTF8" {
        let mend = "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0";
        return Ok(Err(format!("the database's encoding is {encoding}; mend it with another database: {mend}")));
    }
    if read_only {
        return Ok(Ok(()));
    }
    for name in ["fsync", "full_page_writes"] {
        if setting(connection, name).await? != "on" {
            let mend = format!("ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();");
            return Ok(Err(format!(
                "{name} is off, so that a commit may not survive a power cut; mend it with: {mend}"
            )));
        }
    }
    let standby: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await?;
    let promoted = "it is a standby, which takes no writes; name the primary, or promote it: SELECT pg_promote();";
    Ok(if standby { Err(promoted.to_owned()) } else { Ok(()) })
}

/// What our sessions set: a server that acknowledges before it has written does not do so for us, one that waits for
/// its standbys goes on to.
pub(crate) async fn synchronous_commit(connection: &mut PgConnection) -> Result<&'static str, sqlx::Error> {
    Ok(match setting(connection, "synchronous_commit").await?.as_str() {
        "remote_apply" => "remote_apply",
        "remote_write" => "remote_write",
        "local" => "local",
        _ => "on",
    })
}

/// Whether the role may use the schema.
pub(crate) async fn privileges(
    connection: &mut PgConnection,
    schema: &str,
    read_only: bool,
) -> Result<Verdict, sqlx::Error> {
    let sql = "SELECT has_schema_privilege($1, 'USAGE'), current_user::text";
    let row = sqlx::query(sql).bind(schema).fetch_one(&mut *connection).await?;
    let (usage, role): (bool, String) = (row.try_get(0)?, row.try_get(1)?);
    if !usage {
        return Ok(Err(format!(
            "{role} may not use schema {schema}; mend it with: GRANT USAGE ON SCHEMA {schema} TO {role};"
        )));
    }
    let wanted = if read_only { "SELECT" } else { "SELECT, INSERT, UPDATE" };
    let sql = "SELECT c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname LIKE 'lockstep\\_%' AND NOT \
               (has_table_privilege(c.oid, 'SELECT') AND ($2 OR has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE'))) LIMIT 1";
    let lacking: Option<String> =
        sqlx::query_scalar(sql).bind(schema).bind(read_only).fetch_optional(connection).await?;
    Ok(match lacking {
        None => Ok(()),
        Some(table) => Err(format!(
            "{role} lacks rights on {table}; mend it with: GRANT {wanted} ON ALL TABLES IN SCHEMA {schema} TO {role};"
        )),
    })
}

/// What stands at our tables and would change or hide rows that are written: BEFORE triggers for rows, rules, row
/// security. The table, and a no in words. AFTER triggers, constraints and indexes of the user's are welcome.
pub(crate) async fn meddlers(
    connection: &mut PgConnection,
    tables: &[Table],
) -> Result<Option<(String, String)>, sqlx::Error> {
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let sql = "WITH ours AS (SELECT c.oid, c.relname::text AS name, c.relrowsecurity AS hides FROM pg_class AS c \
                 JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relname = ANY($1)) \
               SELECT o.name, 'trigger ' || quote_ident(t.tgname) || ' may change rows before they are written; mend it with: DROP TRIGGER ' \
                 || quote_ident(t.tgname) || ' ON ' || quote_ident(o.name) || '; or make it an AFTER trigger' \
               FROM ours AS o JOIN pg_trigger AS t ON t.tgrelid = o.oid WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 3 = 3 \
               UNION ALL SELECT o.name, 'rule ' || quote_ident(r.rulename) || ' may write other rows; mend it with: DROP RULE ' \
                 || quote_ident(r.rulename) || ' ON ' || quote_ident(o.name) || ';' \
               FROM ours AS o JOIN pg_rewrite AS r ON r.ev_class = o.oid WHERE r.ev_enabled <> 'D' AND r.rulename <> '_RETURN' \
               UNION ALL SELECT o.name, 'row security may hide rows; mend it with: ALTER TABLE ' || quote_ident(o.name) || ' DISABLE ROW LEVEL SECURITY;' \
               FROM ours AS o WHERE o.hides LIMIT 1";
    let row = sqlx::query(sql).bind(names).fetch_optional(connection).await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}
