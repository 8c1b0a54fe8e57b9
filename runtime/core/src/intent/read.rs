//! Reading payloads and openings, strictly.

use crate::crypto::{ALGORITHMS, Digest, Salt};
use crate::json::{Fields, Json, Operation, ShapeError};
use crate::names::{ActorId, ContractName, MethodName, NodeName, RecordId, SpecName};
use crate::package::FORMAT;
use crate::time::Timestamp;

use super::{Call, Openings, Payload, RawChange, Target};

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PayloadError {
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error("format {0} with {1} is not known to this version")]
    Format(u64, String),
}

impl Payload {
    pub(super) fn read(json: &Json) -> Result<Self, PayloadError> {
        let mut fields = Fields::of(json, "intent")?;
        let format = fields.count("format")?;
        let algorithms = fields.text("algorithms")?;
        if format != FORMAT || algorithms != ALGORITHMS {
            return Err(PayloadError::Format(format, algorithms.to_owned()));
        }
        let mut records = Vec::new();
        for (index, record) in fields.array("records")?.iter().enumerate() {
            let found = record.as_str().and_then(|text| Digest::parse(text).ok());
            records.push(found.ok_or_else(|| {
                ShapeError::new(format!("intent/records/{index}"), "a commitment (64 hex digits)", record.kind())
            })?);
        }
        let payload = Payload {
            network: fields.parsed("network", Digest::parse)?,
            sequencer: fields.parsed("sequencer", NodeName::parse)?,
            actor: fields.parsed("actor", ActorId::parse)?,
            nonce: fields.parsed("nonce", Digest::parse)?,
            expires: fields.parsed("expires", Timestamp::parse)?,
            not_before: fields.optional_parsed("not_before", Timestamp::parse)?,
            call: fields.parsed("call", Digest::parse)?,
            records,
        };
        fields.finish()?;
        Ok(payload)
    }
}

impl Openings {
    pub(super) fn read(json: &Json) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(json, "openings")?;
        let call = match fields.need("call")? {
            Json::Null => None,
            opened => {
                let mut inner = Fields::of(opened, "openings.call")?;
                let salt = inner.parsed("salt", Salt::parse)?;
                let call = read_call(&mut inner)?;
                inner.finish()?;
                Some((salt, call))
            }
        };
        let targets = fields.array("records")?.iter().map(read_target).collect::<Result<_, _>>()?;
        fields.finish()?;
        Ok(Openings { call, targets })
    }
}

fn read_target(json: &Json) -> Result<Option<(Salt, Target)>, ShapeError> {
    if json.is_null() {
        return Ok(None);
    }
    let mut inner = Fields::of(json, "openings/records")?;
    let salt = inner.parsed("salt", Salt::parse)?;
    let target = Target { record: inner.parsed("record", RecordId::parse)?, expect: inner.nullable_count("expect")? };
    inner.finish()?;
    Ok(Some((salt, target)))
}

impl Call {
    /// Reads a call as [`Call::to_json`] writes it.
    ///
    /// # Errors
    /// What is malformed in it.
    pub fn from_json(json: &Json) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(json, "call")?;
        let call = read_call(&mut fields)?;
        fields.finish()?;
        Ok(call)
    }
}

fn read_call(fields: &mut Fields<'_>) -> Result<Call, ShapeError> {
    if let Some(contract) = fields.optional_parsed("contract", ContractName::parse)? {
        let method = fields.parsed("method", MethodName::parse)?;
        return Ok(Call::Method { contract, method, arguments: fields.need("arguments")?.clone() });
    }
    let spec = fields.parsed("spec", SpecName::parse)?;
    let changes = fields.array("changes")?.iter().map(read_change).collect::<Result<_, _>>()?;
    Ok(Call::Changes { spec, changes })
}

fn read_change(json: &Json) -> Result<RawChange, ShapeError> {
    let bad = |expected: &str| ShapeError::new("call/changes", expected, json.kind());
    let Json::Object(object) = json else { return Err(bad("an object")) };
    let mut operation = object.clone();
    let record =
        operation.remove("record").and_then(|record| record.as_u64()).and_then(|record| usize::try_from(record).ok());
    let section = operation.remove("section").and_then(|section| section.as_str().map(str::to_owned));
    let operation = Operation::from_json(&Json::Object(operation))
        .map_err(|error| bad(&format!("an RFC 6902 operation ({error})")))?;
    Ok(RawChange {
        record: record.ok_or_else(|| bad("`record`, the position of the change's record"))?,
        section: section.ok_or_else(|| bad("`section`, the section to change"))?,
        operation,
    })
}
