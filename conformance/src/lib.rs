//! Suites that hold every implementation of a seam to its promise.
//!
//! They use the seam only, so that an adapter written elsewhere is judged by the same cases: implement
//! [`database::Factory`] or [`transport::Factory`] in ten lines and look at the [`Report`].

pub mod database;
pub mod transport;

/// How one case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is promised.
    pub name: &'static str,
    /// What was found instead; none where the promise holds.
    pub failure: Option<String>,
}

/// How all cases went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The cases in the order in which they ran.
    pub cases: Vec<Case>,
}

impl Report {
    /// The cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| case.failure.is_some())
    }
}

/// Fails a case with words where a condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use ensure;
