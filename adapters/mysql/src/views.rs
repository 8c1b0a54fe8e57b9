//! The views beside the tables: history, changes, entitlements, the state of the network.
//!
//! All are plain joins over indexed columns, so that a filter by record or by projected value reaches an index
//! (`tests/views.rs` reads the query plans). They ask for the rights of whoever reads them, so that no owner has to
//! exist where a dump is restored.

use lockstep_core::crypto::Digest;
use lockstep_core::spec::PARTIES;
use lockstep_core::tables::{Kind, Role, Table, name, version_table_name};

use crate::bind::{literal, quoted};
use crate::check::Server;

/// Columns of the history view; a projected column of the same name is left to the record table.
const HISTORY: [&str; 9] =
    ["record_id", "seq", "valid_from", "valid_to", "actor", "intent_id", "contract", "contract_version", "method"];

/// A view that belongs there.
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) sql: String,
    /// A text in its definition that no other one has: the server writes definitions anew, and drops comments.
    pub(crate) mark: String,
}

/// The views that belong to these tables.
pub(crate) fn of(server: &Server, tables: &[Table]) -> Vec<View> {
    let mut views = Vec::new();
    let records: Vec<&Table> = tables.iter().filter(|table| table.role == Role::Records).collect();
    for table in &records {
        let versions =
            tables.iter().find(|other| other.role == Role::Versions && other.name == version_table_name(&table.name));
        views.push(view(format!("{}_history", table.name), &history(&table.name, versions)));
        views.push(view(format!("{}_changes", table.name), &changes(&table.name)));
    }
    if tables.iter().any(|table| table.name == name::SPEC) {
        let arms: Vec<String> = records.iter().map(|table| entitlement(server, &table.name)).collect();
        let body = if arms.is_empty() { nothing() } else { arms.join("\nUNION ALL\n") };
        views.push(view(name::ENTITLEMENT.to_owned(), &body));
    }
    if tables.iter().any(|table| table.name == name::PEER) {
        views.push(view(name::NETWORK_STATUS.to_owned(), &network_status()));
    }
    views
}

/// A body ends with a condition, which the mark goes on with.
fn view(name: String, body: &str) -> View {
    let digest = Digest::of(body.as_bytes()).to_string();
    let mark = format!("lockstep {}", digest.get(..32).unwrap_or(&digest));
    let sql = format!(
        "CREATE OR REPLACE SQL SECURITY INVOKER VIEW {} AS\n{body} AND {} <> ''",
        quoted(&name),
        literal(&mark)
    );
    View { name, sql, mark }
}

/// A row per version. The versions table leads where there is one: its indexes are on projected values.
fn history(spec: &str, versions: Option<&Table>) -> String {
    let projected: String = versions
        .into_iter()
        .flat_map(|table| &table.columns)
        .filter(|column| matches!(column.kind, Kind::Projected(_)) && !HISTORY.contains(&column.name.as_str()))
        .map(|column| format!(", v.{0} AS {0}", quoted(&column.name)))
        .collect();
    let from = match versions {
        Some(table) => format!(
            "{} AS v\nJOIN {} AS e ON e.record_id = v.record_id AND e.seq = v.seq\nWHERE 1 = 1",
            quoted(&table.name),
            name::EVENT
        ),
        None => format!("{} AS e\nWHERE e.spec = {}", name::EVENT, literal(spec)),
    };
    let leader = if versions.is_some() { "v" } else { "e" };
    format!(
        "SELECT {leader}.record_id AS record_id, e.seq AS seq, e.`time` AS valid_from,\n  {} AS valid_to,\n  \
         e.actor AS actor, e.intent_id AS intent_id, e.contract AS contract, e.contract_version AS contract_version, e.`method` AS `method`{projected}\n\
         FROM {from}",
        valid_to()
    )
}

/// When the next version came. The server finds `seq > e.seq` only by reading a record's versions from the first one
/// on, so that the newest version and the one that follows at once, which need no search, are asked for before.
fn valid_to() -> String {
    let time_of = |condition: &str| {
        format!(
            "(SELECT n.`time` FROM {} AS n WHERE n.record_id = e.record_id AND n.seq {condition} ORDER BY n.seq LIMIT 1)",
            name::EVENT
        )
    };
    let newest =
        format!("(SELECT l.seq FROM {} AS l WHERE l.record_id = e.record_id ORDER BY l.seq DESC LIMIT 1)", name::EVENT);
    format!("IF({newest} = e.seq, NULL, COALESCE({}, {}))", time_of("= e.seq + 1"), time_of("> e.seq"))
}

/// A row per change. What `move` and `copy` brought is in `value` as well.
fn changes(spec: &str) -> String {
    format!(
        "SELECT e.record_id AS record_id, e.seq AS seq, e.`time` AS `time`, e.actor AS actor, c.section AS section, c.op AS op, c.path AS path,\n  \
         c.`before` AS `before`, CASE c.op WHEN 'remove' THEN NULL ELSE c.`value` END AS `after`\n\
         FROM {} AS e\nJOIN {} AS c ON c.event_id = e.event_id\nWHERE e.spec = {}",
        name::EVENT,
        name::CHANGE,
        literal(spec)
    )
}

/// A row for each other node of the network. Whom nothing was noted of was never reached.
fn network_status() -> String {
    format!(
        "SELECT n.node AS node, n.participant AS participant, COALESCE(p.reachable, 0) AS reachable, p.since AS since,\n  \
         COALESCE(p.behind_events, 0) AS behind_events,\n  \
         CASE WHEN p.behind_since IS NULL THEN 0 ELSE GREATEST(0, TIMESTAMPDIFF(SECOND, p.behind_since, UTC_TIMESTAMP(6))) END AS behind_s,\n  \
         p.last_error AS last_error, p.`at` AS `at`\n\
         FROM {} AS n\nJOIN {} AS o ON o.participant = n.participant\nLEFT JOIN {} AS p ON p.node = n.node\n\
         WHERE n.status = 'active' AND o.status = 'active' AND n.node <> (SELECT m.value FROM {} AS m WHERE m.`key` = 'node')",
        name::NODE,
        name::PARTICIPANT,
        name::PEER,
        name::META,
    )
}

fn nothing() -> String {
    "SELECT '' AS spec, '' AS record_id, '' AS section, '' AS subject, '' AS mode, 1 AS from_seq, 1 AS to_seq FROM DUAL WHERE 1 = 0".to_owned()
}

/// Who may do what with the sections of one spec's records: a row per role held, by the version of the spec that
/// governs the record. Everybody's subject is `*`. STRAIGHT_JOIN is how the server is told to join in the order written.
fn entitlement(server: &Server, spec: &str) -> String {
    let text = format!("VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {}", server.collation());
    let arm = |subject: &str, from: &str, to: &str, join: &str, condition: &str| {
        format!(
            "SELECT {spec} AS spec, r.record_id AS record_id, part.section AS section, {subject} AS subject, m.mode AS mode, {from} AS from_seq, {to} AS to_seq\n\
             FROM {records} AS r\n\
             STRAIGHT_JOIN {specs} AS s ON s.name = {spec} AND s.digest = {governing}\n\
             STRAIGHT_JOIN JSON_TABLE(JSON_ARRAY_APPEND(JSON_KEYS(s.document, '$.sections'), '$', '{PARTIES}'), '$[*]' COLUMNS (section {text} PATH '$')) AS part\n\
             STRAIGHT_JOIN (SELECT 'create' AS mode UNION ALL SELECT 'modify' UNION ALL SELECT 'read' UNION ALL SELECT 'audit') AS m\n\
             STRAIGHT_JOIN JSON_TABLE(JSON_EXTRACT(s.document, CONCAT(CASE part.section WHEN '{PARTIES}' THEN '$.' ELSE '$.sections.' END, part.section, '.', m.mode)), '$[*]' COLUMNS (role {text} PATH '$')) AS held{join}\n\
             WHERE COALESCE(JSON_CONTAINS(s.document, 'true', CONCAT('$.roles.', held.role, '.everyone')), 0) {condition}",
            spec = literal(spec),
            records = quoted(spec),
            specs = name::SPEC,
            governing = governing(spec),
        )
    };
    let members = format!(
        "\nSTRAIGHT_JOIN JSON_TABLE(r.{PARTIES}, '$.members[*]' COLUMNS (role {text} PATH '$.role', actor {text} PATH '$.actor', \
         participant {text} PATH '$.participant', from_seq BIGINT PATH '$.from', to_seq BIGINT PATH '$.to')) AS party"
    );
    let everyone = arm("'*'", "1", "NULL", "", "= 1");
    let named = arm(
        "COALESCE(party.actor, party.participant)",
        "party.from_seq",
        "party.to_seq",
        &members,
        "= 0 AND party.role = held.role",
    );
    format!("{everyone}\nUNION ALL\n{named}")
}

/// The digest of the spec that governs a record: the newest one of its contract that is not newer than the version
/// the record is on.
fn governing(spec: &str) -> String {
    let contract = "SUBSTRING_INDEX(r.lockstep_contract, '@', 1)";
    let version = "SUBSTRING_INDEX(r.lockstep_contract, '@', -1)";
    format!(
        "(SELECT g.digest FROM {} AS g WHERE g.name = {} AND g.contract = {contract} AND {} <= {} ORDER BY {} DESC LIMIT 1)",
        name::SPEC,
        literal(spec),
        sortable("g.contract_version"),
        sortable(version),
        sortable("g.contract_version"),
    )
}

/// A version as text that sorts like it: its three numbers, padded.
fn sortable(version: &str) -> String {
    let part = |upto: u8| format!("LPAD(SUBSTRING_INDEX(SUBSTRING_INDEX({version}, '.', {upto}), '.', -1), 10, '0')");
    format!("CONCAT({}, {}, {})", part(1), part(2), part(3))
}
