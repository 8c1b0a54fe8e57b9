//! What a kind of shared record looks like: sections, schemas, roles, entitlements, projected columns.
//!
//! A spec is data that participants agree to. Its identity is the digest of its canonical form, and it
//! governs until the package of a later contract version brings another one.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::Digest;
use crate::json::{Fields, Json, Pointer, ShapeError};
use crate::names::{ContractName, NameError, RoleName, SectionName, SpecName};
use crate::package::OUTCOME;
use crate::projection::{ColumnType, TypeError};
use crate::schema::{Schema, SchemaError};

/// The section that every record has: who holds which role, from seq to seq.
pub const PARTIES: &str = "parties";

/// Columns of the history view, which projected columns stand beside.
const HISTORY_COLUMNS: [&str; 9] =
    ["record_id", "seq", "valid_from", "valid_to", "actor", "intent_id", "contract", "contract_version", "method"];

/// What the names of tables and views beside a spec's own table end with.
const TAKEN_ENDINGS: [&str; 3] = ["_history", "_changes", "_version"];

/// Most sections, roles or projected columns that a spec may have.
const MAX_PARTS: usize = 64;

/// Most sections of a record, the parties included.
pub(crate) const MAX_SECTIONS: usize = MAX_PARTS + 1;

/// Why a spec is refused.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The document does not have a spec's shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A name is malformed or reserved.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A section's schema is outside the subset.
    #[error("section {section}: {source}")]
    Schema {
        /// The section.
        section: String,
        /// What is wrong with the schema.
        source: SchemaError,
    },
    /// A projected column's type is malformed.
    #[error("projected column {column}: {source}")]
    Type {
        /// The column.
        column: String,
        /// What is wrong with the type.
        source: TypeError,
    },
    /// Anything else that contradicts itself.
    #[error("{0}")]
    Invalid(String),
}

/// What a role may do with a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Give the section its first content.
    Create,
    /// Change content that is there.
    Modify,
    /// See the content.
    Read,
    /// See headers, commitments and proofs, no content.
    Audit,
}

impl Mode {
    /// Every mode, strongest first.
    pub const ALL: [Mode; 4] = [Mode::Create, Mode::Modify, Mode::Read, Mode::Audit];

    /// The word in specs, tables and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Create => "create",
            Mode::Modify => "modify",
            Mode::Read => "read",
            Mode::Audit => "audit",
        }
    }
}

/// Which roles may do what with one section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<Mode, BTreeSet<RoleName>>);

impl Grants {
    /// The roles that may.
    pub fn roles(&self, mode: Mode) -> impl Iterator<Item = &RoleName> {
        self.0.get(&mode).into_iter().flatten()
    }

    fn read(fields: &mut Fields<'_>, what: &str, roles: &BTreeMap<RoleName, RoleSpec>) -> Result<Self, SpecError> {
        let mut grants = BTreeMap::new();
        for mode in Mode::ALL {
            let mut granted = BTreeSet::new();
            for name in fields.optional_texts(mode.as_str())?.unwrap_or_default() {
                let role = RoleName::parse(name)?;
                if !roles.contains_key(&role) {
                    return Err(SpecError::Invalid(format!(
                        "{what}: {} names role {role}, which the spec does not define",
                        mode.as_str()
                    )));
                }
                granted.insert(role);
            }
            grants.insert(mode, granted);
        }
        Ok(Grants(grants))
    }
}

/// A role that a record's parties may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSpec {
    /// Every active actor of the network holds it, on every record, without being named among the parties.
    pub everyone: bool,
}

/// One section.
#[derive(Clone, Debug)]
pub struct SectionSpec {
    /// What its content must satisfy.
    pub schema: Schema,
    /// Who may do what with it.
    pub grants: Grants,
}

/// An ordinary column filled from a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The section it is taken from.
    pub section: String,
    /// Where in the section.
    pub pointer: Pointer,
    /// The column's type.
    pub kind: ColumnType,
    /// Whether the adapter keeps an index on it.
    pub index: bool,
}

/// A record spec, checked.
#[derive(Clone, Debug)]
pub struct RecordSpec {
    /// The sections by name; `parties` is always among them.
    pub sections: BTreeMap<String, SectionSpec>,
    /// The roles by name.
    pub roles: BTreeMap<RoleName, RoleSpec>,
    /// The projected columns by name.
    pub projections: BTreeMap<String, Projection>,
    /// Whether intents may carry changes instead of a contract method.
    pub raw_changes: bool,
    /// Contracts besides the defining one that may read or change these records.
    pub contracts: BTreeSet<ContractName>,
    /// What the records are, for people; becomes the table's comment.
    pub description: String,
    document: Json,
    digest: Digest,
}

impl RecordSpec {
    /// Checks a spec.
    ///
    /// # Errors
    /// [`SpecError`] says where it is malformed, uses a reserved name, a schema keyword outside the subset, or
    /// a projected column whose type cannot hold what the schema allows.
    pub fn parse(name: &SpecName, document: &Json) -> Result<Self, SpecError> {
        if let Some(ending) = TAKEN_ENDINGS.iter().find(|ending| name.as_str().ends_with(**ending)) {
            return Err(SpecError::Invalid(format!(
                "the name ends with {ending}, as the tables and views beside another spec's table do"
            )));
        }
        let mut fields = Fields::of(document, &format!("spec {name}"))?;
        let roles = read_roles(&mut fields)?;
        let mut sections = read_sections(&mut fields, &roles)?;
        sections.insert(PARTIES.to_owned(), read_parties(&mut fields, &roles)?);
        let projections = read_projections(&mut fields, document, &sections)?;
        let raw_changes = fields.optional_boolean("raw_changes")?.unwrap_or(false);
        let mut contracts = BTreeSet::new();
        for contract in fields.optional_texts("contracts")?.unwrap_or_default() {
            contracts.insert(ContractName::parse(contract)?);
        }
        let description = fields.optional_text("description")?.unwrap_or_default().to_owned();
        fields.finish()?;
        let digest = Digest::of(document.canonical().as_bytes());
        Ok(RecordSpec {
            sections,
            roles,
            projections,
            raw_changes,
            contracts,
            description,
            document: document.clone(),
            digest,
        })
    }

    /// The spec's identity: SHA-256 of its canonical form.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The document as it was agreed to.
    #[must_use]
    pub fn document(&self) -> &Json {
        &self.document
    }
}

fn read_roles(fields: &mut Fields<'_>) -> Result<BTreeMap<RoleName, RoleSpec>, SpecError> {
    let mut roles = BTreeMap::new();
    for (name, role) in fields.object("roles")?.iter() {
        let mut inner = Fields::of(role, &format!("role {name}"))?;
        let everyone = inner.optional_boolean("everyone")?.unwrap_or(false);
        inner.optional_text("description")?;
        inner.finish()?;
        roles.insert(RoleName::parse(name)?, RoleSpec { everyone });
    }
    bounded("roles", roles.len())?;
    Ok(roles)
}

fn read_sections(
    fields: &mut Fields<'_>,
    roles: &BTreeMap<RoleName, RoleSpec>,
) -> Result<BTreeMap<String, SectionSpec>, SpecError> {
    let mut sections = BTreeMap::new();
    for (name, section) in fields.object("sections")?.iter() {
        SectionName::parse_declared(name)?;
        if name == OUTCOME {
            return Err(SpecError::Invalid(format!(
                "no section is called {OUTCOME}: what is declassified to it is how an intent ends"
            )));
        }
        let mut inner = Fields::of(section, &format!("section {name}"))?;
        let schema = Schema::compile(inner.need("schema")?)
            .map_err(|source| SpecError::Schema { section: name.to_owned(), source })?;
        let grants = Grants::read(&mut inner, &format!("section {name}"), roles)?;
        inner.optional_text("description")?;
        inner.finish()?;
        sections.insert(name.to_owned(), SectionSpec { schema, grants });
    }
    bounded("sections", sections.len())?;
    if sections.is_empty() {
        return Err(SpecError::Invalid("a spec needs at least one section".to_owned()));
    }
    Ok(sections)
}

/// The parties section: its schema is ours, its grants are the spec's.
fn read_parties(fields: &mut Fields<'_>, roles: &BTreeMap<RoleName, RoleSpec>) -> Result<SectionSpec, SpecError> {
    let grants = match fields.optional("parties") {
        None => Grants::default(),
        Some(parties) => {
            let mut inner = Fields::of(parties, "parties")?;
            let grants = Grants::read(&mut inner, "parties", roles)?;
            inner.finish()?;
            grants
        }
    };
    let schema = Schema::compile(&crate::parties::schema(roles.keys()))
        .map_err(|source| SpecError::Schema { section: PARTIES.to_owned(), source })?;
    Ok(SectionSpec { schema, grants })
}

fn read_projections(
    fields: &mut Fields<'_>,
    document: &Json,
    sections: &BTreeMap<String, SectionSpec>,
) -> Result<BTreeMap<String, Projection>, SpecError> {
    let mut projections = BTreeMap::new();
    let Some(listed) = fields.optional_object("projections")? else { return Ok(projections) };
    for (name, projection) in listed.iter() {
        SectionName::parse_declared(name)?;
        if sections.contains_key(name) || HISTORY_COLUMNS.contains(&name) {
            let taken = if sections.contains_key(name) { "a section" } else { "a column of the history" };
            let message = format!("projected column {name} has the name of {taken}; give it another one");
            return Err(SpecError::Invalid(message));
        }
        let mut inner = Fields::of(projection, &format!("projected column {name}"))?;
        let section = inner.text("section")?.to_owned();
        let pointer = Pointer::parse(inner.text("pointer")?)
            .map_err(|error| SpecError::Invalid(format!("projected column {name}: {error}")))?;
        let kind = ColumnType::parse(inner.text("type")?)
            .map_err(|source| SpecError::Type { column: name.to_owned(), source })?;
        let index = inner.optional_boolean("index")?.unwrap_or(false);
        inner.optional_text("description")?;
        inner.finish()?;
        let Some(schema) = document.get("sections").and_then(|all| all.get(&section)).and_then(|one| one.get("schema"))
        else {
            return Err(SpecError::Invalid(format!(
                "projected column {name} is taken from section {section}, which the spec does not define"
            )));
        };
        kind.can_hold(schema, &pointer).map_err(|source| SpecError::Type { column: name.to_owned(), source })?;
        projections.insert(name.to_owned(), Projection { section, pointer, kind, index });
    }
    bounded("projected columns", projections.len())?;
    Ok(projections)
}

fn bounded(what: &str, count: usize) -> Result<(), SpecError> {
    if count > MAX_PARTS {
        return Err(SpecError::Invalid(format!("{count} {what}; a spec may have {MAX_PARTS}")));
    }
    Ok(())
}
