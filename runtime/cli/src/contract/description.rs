//! `contract.toml` and the files beside it that say what a contract is.
//!
//! ```toml
//! name = "house_sale"
//! version = "1.0.0"
//! language = "rust"
//! source = "."                              # optional: the folder of the code, where it is another version's
//!
//! [methods.offer]
//! description = "Makes an offer for the house."
//! arguments = "arguments/offer.json"        # a JSON Schema in a file, or a table here
//! records = [{ spec = "house_sale", reads = ["listing"], writes = ["negotiation"], notifies = ["offer.made"] }]
//! ```
//!
//! Every `spec/NAME.json` is a record spec. A contract without methods brings only specs.

use super::build::BuildError;
use lockstep_core::json::{Json, Limits, Object};
use std::fs;
use std::path::{Path, PathBuf};

/// What a contract's author has written down about it.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) language: String,
    /// Folder of the code; the contract's own, unless a version brings only specs and manifest anew.
    pub(super) source: PathBuf,
    pub(super) specs: Json,
    pub(super) methods: Json,
}

impl Description {
    /// Reads `contract.toml` and `spec/` of a contract's folder.
    pub(super) fn read(dir: &Path) -> Result<Self, BuildError> {
        let path = dir.join("contract.toml");
        let wrong = |message: String| BuildError::description(&path, message);
        let text = fs::read_to_string(&path).map_err(|error| BuildError::file(&path, error))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
        let mut members = match from_toml(toml::Value::Table(table)).map_err(wrong)? {
            Json::Object(members) => members,
            _ => Object::new(),
        };
        let take = |members: &mut Object, name: &str| match members.remove(name) {
            Some(Json::String(text)) => Ok(text),
            Some(_) => Err(wrong(format!("{name} is not a text"))),
            None => Err(wrong(format!("{name} is missing"))),
        };
        let (name, version, language) =
            (take(&mut members, "name")?, take(&mut members, "version")?, take(&mut members, "language")?);
        let source = match members.contains_key("source") {
            true => dir.join(take(&mut members, "source")?),
            false => dir.to_owned(),
        };
        let methods = match members.remove("methods") {
            Some(Json::Object(methods)) => read_methods(dir, &methods)?,
            Some(_) => return Err(wrong("methods is not a table".into())),
            None => Object::new(),
        };
        if let Some(unknown) = members.keys().next() {
            return Err(wrong(format!(
                "{unknown} is not known; there are name, version, language, source and methods"
            )));
        }
        Ok(Description { name, version, language, source, specs: read_specs(dir)?.into(), methods: methods.into() })
    }

    /// Whether there is something to compile.
    pub(super) fn has_code(&self) -> bool {
        self.methods.as_object().is_some_and(|methods| !methods.is_empty())
    }
}

/// The methods, with their arguments' schemas in place of the files' names.
fn read_methods(dir: &Path, methods: &Object) -> Result<Object, BuildError> {
    let mut read = Object::new();
    for (name, method) in methods.iter() {
        let mut method = method.clone();
        if let Json::Object(members) = &mut method
            && let Some(Json::String(file)) = members.get("arguments")
        {
            let schema = read_json(&dir.join(file))?;
            members.insert("arguments", schema);
        }
        read.insert(name, method);
    }
    Ok(read)
}

fn read_specs(dir: &Path) -> Result<Object, BuildError> {
    let folder = dir.join("spec");
    let mut specs = Object::new();
    if !folder.exists() {
        return Ok(specs);
    }
    for entry in fs::read_dir(&folder).map_err(|error| BuildError::file(&folder, error))? {
        let path: PathBuf = entry.map_err(|error| BuildError::file(&folder, error))?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "json") {
            specs.insert(name, read_json(&path)?);
        }
    }
    Ok(specs)
}

fn read_json(path: &Path) -> Result<Json, BuildError> {
    let bytes = fs::read(path).map_err(|error| BuildError::file(path, error))?;
    Json::parse(&bytes, &Limits::default()).map_err(|error| BuildError::description(path, error))
}

fn from_toml(value: toml::Value) -> Result<Json, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Integer(value) => parse_number(&value.to_string())?,
        toml::Value::Float(value) => parse_number(&value.to_string())?,
        toml::Value::Datetime(value) => return Err(format!("{value} is a date; write it as a text")),
        toml::Value::Array(values) => values.into_iter().map(from_toml).collect::<Result<Vec<_>, _>>()?.into(),
        toml::Value::Table(table) => {
            let member = |(name, value)| Ok((name, from_toml(value)?));
            table.into_iter().map(member).collect::<Result<Object, String>>()?.into()
        }
    })
}

fn parse_number(text: &str) -> Result<Json, String> {
    Json::parse(text.as_bytes(), &Limits::default()).map_err(|error| format!("{text}: {error}"))
}
