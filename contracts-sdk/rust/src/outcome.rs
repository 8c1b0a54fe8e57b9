//! How a method ends: by returning, or with a rejection.

use std::fmt;

/// What a method returns.
pub type Outcome = Result<(), Rejection>;

/// The contract's no: everything that the call changed is dropped, the intent is recorded as rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A short stable word, such as `offer_too_low`.
    pub reason: String,
    /// What to tell people.
    pub message: String,
}

impl Rejection {
    /// A no for where an error is wanted, such as `ok_or_else`; elsewhere [`reject`] reads better.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Rejection { reason: reason.into(), message: message.into() }
    }
}

/// Ends the method with a rejection: `return reject("offer_too_low", "an offer must be …")`.
///
/// It is generic so that helpers returning a value can reject, too.
///
/// # Errors
/// Always: that is what it is for.
pub fn reject<T>(reason: impl Into<String>, message: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::new(reason, message))
}

/// What the host answers when it does not do what was asked.
///
/// `?` turns it into a rejection whose reason is the failure's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A short stable word, such as `patch`.
    pub code: String,
    /// What happened, for people.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Failure { code: code.into(), message: message.into() }
    }
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        Rejection { reason: failure.code, message: failure.message }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Rejection {}
impl std::error::Error for Failure {}
