//! A contract version as shipped: manifest, specs and wasm, content-addressed.
//!
//! The digest of a package is the digest of its manifest's canonical form; the manifest names the digests
//! of the code and of the debug half (names and line tables), so one digest seals all three.

mod flows;

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::Digest;
use crate::json::{Fields, Json, Limits, ShapeError, json};
use crate::names::{ContractName, MethodName, NameError, SectionName, SpecName, Version};
use crate::schema::{Schema, SchemaError};
use crate::spec::{RecordSpec, SpecError};

pub use flows::{Flow, OUTCOME};

/// The format of packages and rows that this version reads and writes.
pub const FORMAT: u64 = 1;
/// The version of the contract world (`contracts-sdk/wit`) that this version executes.
pub const ABI: u64 = 1;
/// Most bytes that a package may have, encoded.
pub const MAX_PACKAGE_BYTES: usize = 32 << 20;
/// Most records that one intent may touch.
pub const MAX_RECORDS: usize = 16;

const MAGIC: &[u8] = b"lockstep-package/1\n";
const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// Why a package is refused.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The bytes are not a package.
    #[error("not a lockstep package: {0}")]
    Container(String),
    /// The manifest does not have a manifest's shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A name is malformed or reserved.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A spec is refused.
    #[error("spec {name}: {source}")]
    Spec {
        /// The spec.
        name: String,
        /// What is wrong with it.
        source: SpecError,
    },
    /// The schema of a method's arguments is refused.
    #[error("arguments of method {method}: {source}")]
    Arguments {
        /// The method.
        method: String,
        /// What is wrong with the schema.
        source: SchemaError,
    },
    /// Anything else that contradicts itself.
    #[error("{0}")]
    Invalid(String),
}

/// What a method does with one of its intent's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordUse {
    /// The record's spec; one of this package's, or another contract's that lists this one.
    pub spec: SpecName,
    /// Whether the record may be absent before and is made by the method.
    pub creates: bool,
    /// Sections that the method may read.
    pub reads: Vec<String>,
    /// Sections that the method may write. They can be read, too, except those of a record that the method makes:
    /// there is nothing in them yet.
    pub writes: Vec<String>,
    /// Types of the notifications that the method may emit.
    pub notifies: Vec<String>,
}

impl RecordUse {
    /// The sections that hold something which the method may read.
    pub fn readable(&self) -> impl Iterator<Item = &str> {
        let written = self.writes.iter().filter(|section| !self.creates && !self.reads.contains(section));
        self.reads.iter().chain(written).map(String::as_str)
    }

    /// Whether the method may look at what this section holds.
    #[must_use]
    pub fn may_read(&self, section: &str) -> bool {
        self.readable().any(|readable| readable == section)
    }
}

/// One method of a contract.
#[derive(Clone, Debug)]
pub struct Method {
    /// What it does with each of the intent's records, in their order.
    pub records: Vec<RecordUse>,
    /// What its arguments must satisfy.
    pub arguments: Schema,
    /// Flows from a narrow section to a wider audience that its approvers accept.
    pub declassifies: BTreeSet<Flow>,
}

/// What approvers agree to.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The contract.
    pub name: ContractName,
    /// Its version.
    pub version: Version,
    /// The record specs that it brings.
    pub specs: BTreeMap<SpecName, RecordSpec>,
    /// Its methods; none for a package that only brings specs.
    pub methods: BTreeMap<MethodName, Method>,
    /// Digest of the code half, where there is one.
    pub code: Option<Digest>,
    /// Digest of the debug half, where there is one.
    pub debug: Option<Digest>,
    document: Json,
    digest: Digest,
}

impl Manifest {
    /// Checks a manifest.
    ///
    /// # Errors
    /// [`PackageError`] says what is malformed or contradicts itself.
    pub fn parse(document: &Json) -> Result<Self, PackageError> {
        let mut fields = Fields::of(document, "manifest")?;
        expect_count(&mut fields, "format", FORMAT)?;
        expect_count(&mut fields, "abi", ABI)?;
        let name = ContractName::parse(fields.text("name")?)?;
        let version = Version::parse(fields.text("version")?)?;
        let sync = fields.text("sync")?;
        if sync != "compare" {
            return Err(PackageError::Invalid(format!(
                "sync protocol {sync} is not known to this version; it knows compare"
            )));
        }
        let mut specs = BTreeMap::new();
        for (spec, body) in fields.object("specs")?.iter() {
            let spec = SpecName::parse(spec)?;
            let parsed = RecordSpec::parse(&spec, body)
                .map_err(|source| PackageError::Spec { name: spec.to_string(), source })?;
            specs.insert(spec, parsed);
        }
        let mut methods = BTreeMap::new();
        for (method, body) in fields.object("methods")?.iter() {
            let method = MethodName::parse(method)?;
            methods.insert(method.clone(), read_method(&method, body, &specs)?);
        }
        let code = fields.nullable_parsed("code", Digest::parse)?;
        let debug = fields.nullable_parsed("debug", Digest::parse)?;
        fields.object("build")?;
        fields.finish()?;
        if code.is_none() != methods.is_empty() {
            return Err(PackageError::Invalid("a package has code if and only if it has methods".to_owned()));
        }
        if specs.is_empty() && methods.is_empty() {
            return Err(PackageError::Invalid("a package needs a spec or a method".to_owned()));
        }
        let digest = Digest::of(document.canonical().as_bytes());
        Ok(Manifest { name, version, specs, methods, code, debug, document: document.clone(), digest })
    }

    /// The package's identity: SHA-256 of the manifest's canonical form.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The document as it is agreed to.
    #[must_use]
    pub fn document(&self) -> &Json {
        &self.document
    }
}

fn expect_count(fields: &mut Fields<'_>, name: &str, known: u64) -> Result<(), PackageError> {
    let found = fields.count(name)?;
    if found != known {
        return Err(PackageError::Invalid(format!(
            "{name} {found} is not known to this version, which knows {known}; use a newer lockstep"
        )));
    }
    Ok(())
}

fn read_method(name: &MethodName, body: &Json, specs: &BTreeMap<SpecName, RecordSpec>) -> Result<Method, PackageError> {
    let what = format!("method {name}");
    let mut fields = Fields::of(body, &what)?;
    let mut records = Vec::new();
    for record in fields.array("records")? {
        let record = read_use(record, &what)?;
        if let Some(spec) = specs.get(&record.spec) {
            for section in record.reads.iter().chain(&record.writes) {
                if !spec.sections.contains_key(section) {
                    return Err(PackageError::Invalid(format!(
                        "{what} names section {section}, which spec {} does not have",
                        record.spec
                    )));
                }
            }
        }
        records.push(record);
    }
    if records.is_empty() || records.len() > MAX_RECORDS {
        return Err(PackageError::Invalid(format!(
            "{what} names {} records; an intent has 1 to {MAX_RECORDS}",
            records.len()
        )));
    }
    let arguments = Schema::compile(fields.need("arguments")?)
        .map_err(|source| PackageError::Arguments { method: name.to_string(), source })?;
    let declassifies = flows::read(&what, &fields.optional_texts("declassifies")?.unwrap_or_default(), &records)?;
    fields.optional_text("description")?;
    fields.finish()?;
    let method = Method { records, arguments, declassifies };
    flows::check(&what, &method, specs)?;
    Ok(method)
}

fn read_use(body: &Json, what: &str) -> Result<RecordUse, PackageError> {
    let mut fields = Fields::of(body, &format!("{what}, a record"))?;
    let list = |texts: Option<Vec<&str>>| texts.unwrap_or_default().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let found = RecordUse {
        spec: SpecName::parse(fields.text("spec")?)?,
        creates: fields.optional_boolean("creates")?.unwrap_or(false),
        reads: list(fields.optional_texts("reads")?),
        writes: list(fields.optional_texts("writes")?),
        notifies: list(fields.optional_texts("notifies")?),
    };
    fields.finish()?;
    for name in found.reads.iter().chain(&found.writes) {
        SectionName::parse(name)?;
    }
    if let Some(kind) = found.notifies.iter().find(|kind| !is_notification_type(kind)) {
        return Err(PackageError::Invalid(format!(
            "{what} emits {kind:?}; the type of a notification has 1 to 100 letters, digits, '.', '_' or '-'"
        )));
    }
    Ok(found)
}

fn is_notification_type(kind: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=100).contains(&kind.len()) && kind.bytes().all(plain)
}

/// A package, its halves checked against its manifest.
#[derive(Clone, Debug)]
pub struct Package {
    /// What approvers agree to.
    pub manifest: Manifest,
    /// The component without names and line tables; empty where there is no code.
    pub code: Vec<u8>,
    /// Names and line tables of the code; may be empty.
    pub debug: Vec<u8>,
}

impl Package {
    /// Puts a package together.
    ///
    /// # Errors
    /// The halves must be the ones that the manifest names.
    pub fn new(manifest: Manifest, code: Vec<u8>, debug: Vec<u8>) -> Result<Self, PackageError> {
        for (name, named, half) in [("code", manifest.code, &code), ("debug half", manifest.debug, &debug)] {
            let found = (!half.is_empty()).then(|| Digest::of(half));
            if named != found {
                return Err(PackageError::Invalid(format!("the {name} is not the one that the manifest names")));
            }
        }
        Ok(Package { manifest, code, debug })
    }

    /// The package's identity.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.manifest.digest()
    }

    /// The package as one file: a magic line, then manifest, code and debug half, each behind its length
    /// (four bytes, big-endian).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let manifest = self.manifest.document().canonical();
        let mut out = Vec::with_capacity(MAGIC.len() + 12 + manifest.len() + self.code.len() + self.debug.len());
        out.extend_from_slice(MAGIC);
        for part in [manifest.as_bytes(), &self.code, &self.debug] {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    /// Reads a package; the bytes must be exactly what [`Package::encode`] writes.
    ///
    /// # Errors
    /// [`PackageError`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackageError> {
        if bytes.len() > MAX_PACKAGE_BYTES {
            return Err(PackageError::Container(format!(
                "{} bytes; a package may have {MAX_PACKAGE_BYTES}",
                bytes.len()
            )));
        }
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| PackageError::Container("the first line is not the format's".to_owned()))?;
        let (manifest, rest) = take_part(rest)?;
        let (code, rest) = take_part(rest)?;
        let (debug, rest) = take_part(rest)?;
        if !rest.is_empty() {
            return Err(PackageError::Container(format!("{} bytes after its end", rest.len())));
        }
        let document = Json::parse_canonical(manifest, &Limits { bytes: MAX_MANIFEST_BYTES, ..Limits::default() })
            .map_err(|error| PackageError::Container(format!("manifest: {error}")))?;
        Package::new(Manifest::parse(&document)?, code.to_vec(), debug.to_vec())
    }

    /// What `contract show` prints: the manifest and the sizes.
    #[must_use]
    pub fn describe(&self) -> Json {
        json!({"manifest": self.manifest.document().clone(), "digest": self.digest().to_string(), "code_bytes": self.code.len(), "debug_bytes": self.debug.len()})
    }
}

fn take_part(bytes: &[u8]) -> Result<(&[u8], &[u8]), PackageError> {
    let short = || PackageError::Container("it ends early".to_owned());
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(short)
}
