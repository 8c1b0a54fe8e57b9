//! What a command ends with: one place that maps every failure to a code, a hint and an exit status.

use lockstep_core::codes::{Code, CodeClass};
use lockstep_core::database::DatabaseError;
use lockstep_core::json::{Json, json};
use lockstep_node::{NodeError, SubmitError};

/// How a command ended when it did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// An intent was rejected or expired.
    Rejected,
    /// A check found something.
    Found,
}

impl Exit {
    pub(crate) fn status(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Rejected => 4,
            Exit::Found => 5,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The next thing to do; the code's remedy where nothing better is known.
    pub(crate) hint: Option<String>,
    /// The format that a database says it has, where this version does not know it.
    pub(crate) format: Option<String>,
    /// Whether a log has it already, where nothing else must stand.
    pub(crate) logged: bool,
}

impl CliError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        CliError { code, message: message.into(), hint: None, format: None, logged: false }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        CliError { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn status(&self) -> u8 {
        match self.code {
            // Not signed at all: the verb was the wrong one for such a spec.
            Code::Usage | Code::RawChanges => 2,
            Code::OutcomeUnknown | Code::Overloaded | Code::DirectoryInUse => 6,
            code if code.class() == CodeClass::Refused => 3,
            Code::DirectoryRefused | Code::PackageRefused | Code::QueryRefused => 3,
            _ => 1,
        }
    }

    pub(crate) fn hint_text(&self) -> String {
        self.hint.clone().unwrap_or_else(|| self.code.remedy().to_owned())
    }

    pub(crate) fn to_json(&self) -> Json {
        json!({"error": {"code": self.code.as_str(), "message": self.message.as_str(), "hint": self.hint_text()}})
    }
}

impl From<NodeError> for CliError {
    fn from(error: NodeError) -> Self {
        CliError::new(error.code(), error.to_string())
    }
}

impl From<SubmitError> for CliError {
    fn from(error: SubmitError) -> Self {
        CliError::new(error.code(), error.to_string())
    }
}

impl From<DatabaseError> for CliError {
    fn from(error: DatabaseError) -> Self {
        let code = match &error {
            DatabaseError::Query { .. } => Code::QueryRefused,
            DatabaseError::Shape { .. } => Code::DatabaseShape,
            DatabaseError::NewerFormat { .. } => Code::NewerFormat,
            DatabaseError::Open { .. } | DatabaseError::Unavailable { .. } => Code::DatabaseUnavailable,
        };
        let message = error.to_string();
        let format = match error {
            DatabaseError::NewerFormat { format, .. } => Some(format),
            _ => None,
        };
        CliError { format, ..CliError::new(code, message) }
    }
}

/// An error of the operating system about a file.
pub(crate) fn file_error(path: &std::path::Path, error: &std::io::Error) -> CliError {
    CliError::new(Code::Io, format!("{}: {error}", path.display()))
}
