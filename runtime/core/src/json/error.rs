//! Why a document is refused: a code for programs, a sentence for people.

/// Why bytes are not a document for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at byte {offset}")]
pub struct JsonError {
    /// What is wrong, for programs.
    pub kind: JsonErrorKind,
    /// Where it is wrong, in bytes from the start.
    pub offset: usize,
    /// What is wrong and what to do, for people.
    pub message: String,
}

/// The reasons for which a document is refused; each has a code that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonErrorKind {
    /// The text is not JSON.
    Syntax,
    /// A byte order mark stands before the document.
    ByteOrderMark,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// An escape names half of a character.
    LoneSurrogate,
    /// A NUL character, raw or escaped: databases cannot hold it.
    NulCharacter,
    /// An object has one key twice.
    DuplicateKey,
    /// Arrays and objects nest deeper than the limit.
    TooDeep,
    /// The document is longer than the limit.
    TooLong,
    /// A number would come out of the canonical form as another number.
    NumberLosesDigits,
    /// The document is fine, its bytes are not its canonical form.
    NotCanonical,
}

impl JsonErrorKind {
    /// The stable code of this reason.
    pub fn code(self) -> &'static str {
        match self {
            JsonErrorKind::Syntax => "syntax",
            JsonErrorKind::ByteOrderMark => "byte_order_mark",
            JsonErrorKind::NotUtf8 => "not_utf8",
            JsonErrorKind::LoneSurrogate => "lone_surrogate",
            JsonErrorKind::NulCharacter => "nul_character",
            JsonErrorKind::DuplicateKey => "duplicate_key",
            JsonErrorKind::TooDeep => "too_deep",
            JsonErrorKind::TooLong => "too_long",
            JsonErrorKind::NumberLosesDigits => "number_loses_digits",
            JsonErrorKind::NotCanonical => "not_canonical",
        }
    }
}
