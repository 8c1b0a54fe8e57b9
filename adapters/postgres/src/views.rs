//! The views beside the tables: history, changes, entitlements, the state of the network.
//!
//! All are plain joins over indexed columns, so that a filter by record or by projected value reaches an index
//! (`tests/views.rs` reads the query plans).

use lockstep_core::spec::PARTIES;
use lockstep_core::tables::{Kind, Role, Table, name, version_table_name};

use crate::bind::{literal, quoted};

/// Columns of the history view; a projected column of the same name is left to the record table.
const HISTORY: [&str; 9] =
    ["record_id", "seq", "valid_from", "valid_to", "actor", "intent_id", "contract", "contract_version", "method"];

/// Names and definitions of the views that belong to these tables.
pub(crate) fn of(tables: &[Table]) -> Vec<(String, String)> {
    let mut views = Vec::new();
    let records: Vec<&Table> = tables.iter().filter(|table| table.role == Role::Records).collect();
    for table in &records {
        let versions =
            tables.iter().find(|other| other.role == Role::Versions && other.name == version_table_name(&table.name));
        views.push(view(format!("{}_history", table.name), &history(&table.name, versions)));
        views.push(view(format!("{}_changes", table.name), &changes(&table.name)));
    }
    if tables.iter().any(|table| table.name == name::SPEC) {
        let arms: Vec<String> = records.iter().map(|table| entitlement(&table.name)).collect();
        let body = if arms.is_empty() { nothing() } else { arms.join("\nUNION ALL\n") };
        views.push(view(name::ENTITLEMENT.to_owned(), &body));
    }
    if tables.iter().any(|table| table.name == name::PEER) {
        views.push(view(name::NETWORK_STATUS.to_owned(), &network_status()));
    }
    views
}

fn view(name: String, body: &str) -> (String, String) {
    let sql = format!("CREATE OR REPLACE VIEW {} AS\n{body}", quoted(&name));
    (name, sql)
}

/// A row per version. The versions table leads where there is one: its indexes are on projected values.
fn history(spec: &str, versions: Option<&Table>) -> String {
    let projected: String = versions
        .into_iter()
        .flat_map(|table| &table.columns)
        .filter(|column| matches!(column.kind, Kind::Projected(_)) && !HISTORY.contains(&column.name.as_str()))
        .map(|column| format!(", v.{}", quoted(&column.name)))
        .collect();
    let from = match versions {
        Some(table) => format!(
            "{} AS v\nJOIN {} AS e ON e.record_id = v.record_id AND e.seq = v.seq",
            quoted(&table.name),
            name::EVENT
        ),
        None => format!("{} AS e\nWHERE e.spec = {}", name::EVENT, literal(spec)),
    };
    let leader = if versions.is_some() { "v" } else { "e" };
    format!(
        "SELECT {leader}.record_id AS record_id, e.seq AS seq, e.time AS valid_from,\n  \
         (SELECT n.time FROM {event} AS n WHERE n.record_id = e.record_id AND n.seq > e.seq ORDER BY n.seq LIMIT 1) AS valid_to,\n  \
         e.actor AS actor, e.intent_id AS intent_id, e.contract AS contract, e.contract_version AS contract_version, e.method AS method{projected}\n\
         FROM {from}",
        event = name::EVENT
    )
}

/// A row per change. What `move` and `copy` brought is in `value` as well.
fn changes(spec: &str) -> String {
    format!(
        "SELECT e.record_id AS record_id, e.seq AS seq, e.time AS time, e.actor AS actor, c.section AS section, c.op AS op, c.path AS path,\n  \
         c.before AS before, CASE c.op WHEN 'remove' THEN NULL ELSE c.value END AS after\n\
         FROM {} AS e\nJOIN {} AS c ON c.event_id = e.event_id\nWHERE e.spec = {}",
        name::EVENT,
        name::CHANGE,
        literal(spec)
    )
}

/// A row for each other node of the network. Whom nothing was noted of was never reached.
fn network_status() -> String {
    format!(
        "SELECT n.node AS node, n.participant AS participant, coalesce(p.reachable, false) AS reachable, p.since AS since,\n  \
         coalesce(p.behind_events, 0) AS behind_events,\n  \
         CASE WHEN p.behind_since IS NULL THEN 0 ELSE greatest(0, floor(extract(epoch FROM now() - p.behind_since))::bigint) END AS behind_s,\n  \
         p.last_error AS last_error, p.at AS at\n\
         FROM {} AS n\nJOIN {} AS o ON o.participant = n.participant\nLEFT JOIN {} AS p ON p.node = n.node\n\
         WHERE n.status = 'active' AND o.status = 'active' AND n.node <> (SELECT m.value FROM {} AS m WHERE m.key = 'node')",
        name::NODE,
        name::PARTICIPANT,
        name::PEER,
        name::META,
    )
}

fn nothing() -> String {
    "SELECT NULL::text AS spec, NULL::text AS record_id, NULL::text AS section, NULL::text AS subject, NULL::text AS mode, \
     NULL::bigint AS from_seq, NULL::bigint AS to_seq WHERE false"
        .to_owned()
}

/// Who may do what with the sections of one spec's records: a row per role held, by the version of the spec that
/// governs the record. Everybody's subject is `*`. What is computed of documents has its type and its order, those of
/// the columns that it stands beside, said.
fn entitlement(spec: &str) -> String {
    let arm = |subject: &str, from: &str, to: &str, join: &str, condition: &str| {
        format!(
            "SELECT {spec}::text COLLATE \"C\" AS spec, r.record_id AS record_id, section.key COLLATE \"C\" AS section, \
             ({subject})::text COLLATE \"C\" AS subject, m.mode COLLATE \"C\" AS mode, ({from})::bigint AS from_seq, ({to})::bigint AS to_seq\n\
             FROM {records} AS r\n\
             JOIN {specs} AS s ON s.name = {spec} AND s.digest = {governing}\n\
             CROSS JOIN LATERAL jsonb_each((s.document -> 'sections') || jsonb_build_object('{parties}', s.document -> '{parties}')) AS section\n\
             CROSS JOIN (VALUES ('create'::text), ('modify'), ('read'), ('audit')) AS m(mode)\n\
             CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(section.value -> m.mode, '[]')) AS role(name){join}\n\
             WHERE coalesce((s.document -> 'roles' -> role.name ->> 'everyone')::boolean, false) = {condition}",
            spec = literal(spec),
            records = quoted(spec),
            specs = name::SPEC,
            governing = governing(spec),
            parties = PARTIES,
        )
    };
    let holder = "coalesce(party.value ->> 'actor', party.value ->> 'participant')";
    let held = format!("\nCROSS JOIN LATERAL jsonb_array_elements(coalesce(r.{PARTIES} -> 'members', '[]')) AS party");
    let named = arm(
        holder,
        "party.value ->> 'from'",
        "party.value ->> 'to'",
        &held,
        "false AND party.value ->> 'role' = role.name",
    );
    let everyone = arm("'*'", "1", "NULL", "", "true");
    format!("{everyone}\nUNION ALL\n{named}")
}

/// The digest of the spec that governs a record: the newest one of its contract that is not newer than the version
/// the record is on.
fn governing(spec: &str) -> String {
    let contract = "split_part(r.lockstep_contract, '@', 1)";
    let version = "split_part(r.lockstep_contract, '@', 2)";
    format!(
        "(SELECT g.digest FROM {} AS g WHERE g.name = {} AND g.contract = {contract} AND {} <= {} ORDER BY {} DESC LIMIT 1)",
        name::SPEC,
        literal(spec),
        sortable("g.contract_version"),
        sortable(version),
        sortable("g.contract_version"),
    )
}

/// A version as its numbers.
fn sortable(version: &str) -> String {
    format!("string_to_array({version}, '.')::bigint[]")
}
