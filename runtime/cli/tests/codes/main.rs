//! Every code, really produced: a code that nothing produces does not compile here, or fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod door;
mod findings;
mod library;
mod reading;
mod rules;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod trouble;

use lockstep_core::codes::{Code, CodeClass};
use stage::{Met, Stage};

/// How each code is met. Exhaustive: whoever adds a code says here how people meet it.
fn meet(code: Code, stage: &Stage) -> Met {
    match code {
        Code::Malformed => door::malformed(stage),
        Code::NotCanonical => door::not_canonical(stage),
        Code::DuplicateKey => door::duplicate_key(stage),
        Code::NumberLosesDigits => door::number_loses_digits(stage),
        Code::TooDeep => door::too_deep(stage),
        Code::TooLarge => door::too_large(stage),
        Code::BadSalt => door::bad_salt(stage),
        Code::BadOpening => door::bad_opening(stage),
        Code::UnknownFormat => door::unknown_format(stage),
        Code::WrongNetwork => door::wrong_network(stage),
        Code::WrongSequencer => door::wrong_sequencer(stage),
        Code::UnknownActor => door::unknown_actor(stage),
        Code::RevokedActor => door::revoked_actor(stage),
        Code::WeakKey => door::weak_key(stage),
        Code::BadSignature => door::bad_signature(stage),
        Code::NonceReused => door::nonce_reused(stage),
        Code::Expired => door::expired(stage),
        Code::ForwardRefused => library::forward_refused(stage),
        Code::ExpiryTooFar => door::expiry_too_far(stage),

        Code::NotYetValid => rules::not_yet_valid(stage),
        Code::UnknownContract => rules::unknown_contract(stage),
        Code::UnknownMethod => rules::unknown_method(stage),
        Code::UnknownSpec => rules::unknown_spec(stage),
        Code::UnknownRecord => rules::unknown_record(stage),
        Code::WrongRecords => rules::wrong_records(stage),
        Code::RawChanges => rules::raw_changes(stage),
        Code::Arguments => rules::arguments(stage),
        Code::StaleExpect => rules::stale_expect(stage),
        Code::Entitlement => rules::entitlement(stage),
        Code::Undeclared => rules::undeclared(stage),
        Code::Parties => rules::parties(stage),
        Code::Patch => rules::patch(stage),
        Code::Schema => rules::schema(stage),
        Code::Size => rules::size(stage),
        Code::Contract => rules::contract(stage),
        Code::Trap => rules::trap(stage),
        Code::DatabaseRefused => rules::database_refused(stage),
        Code::Limits => library::limits(stage),

        Code::CellDiffers => findings::cell_differs(stage),
        Code::RowMissing => findings::row_missing(stage),
        Code::RowExtra => findings::row_extra(stage),
        Code::EvidenceBroken => findings::evidence_broken(stage),
        Code::TreeBroken => findings::tree_broken(stage),
        Code::BehindCheckpoint => findings::behind_checkpoint(stage),
        Code::ForeignCheckpoint => findings::foreign_checkpoint(stage),
        Code::ExecutionDiffers => findings::execution_differs(stage),
        Code::TableShape => findings::table_shape(stage),
        Code::NewerFormat => findings::newer_format(stage),

        Code::Usage => trouble::usage(stage),
        Code::NoDirectory => trouble::no_directory(stage),
        Code::DirectoryExists => trouble::directory_exists(stage),
        Code::DirectoryInUse => trouble::directory_in_use(stage),
        Code::Configuration => trouble::configuration(stage),
        Code::UnknownKey => trouble::unknown_key(stage),
        Code::KeyFile => trouble::key_file(stage),
        Code::TokenMissing => reading::token_missing(stage),
        Code::TokenRefused => reading::token_refused(stage),
        Code::PositionGone => reading::position_gone(stage),
        Code::Ambiguous => trouble::ambiguous(stage),
        Code::NotFound => trouble::not_found(stage),
        Code::DirectoryRefused => trouble::directory_refused(stage),
        Code::PackageRefused => trouble::package_refused(stage),
        Code::BuildFailed => trouble::build_failed(stage),
        Code::ToolMissing => trouble::tool_missing(stage),
        Code::QueryRefused => trouble::query_refused(stage),
        Code::DatabaseUnavailable => trouble::database_unavailable(stage),
        Code::DatabaseShape => trouble::database_shape(stage),
        Code::OutcomeUnknown => trouble::outcome_unknown(stage),
        Code::Io => trouble::io(stage),
        Code::Overloaded => library::overloaded(stage),
        Code::Internal => library::internal(stage),
    }
}

/// The exit status that the manual has for a code.
fn status(code: Code) -> i32 {
    match code.class() {
        CodeClass::Refused => 3,
        CodeClass::Rejected => 4,
        CodeClass::Finding => 5,
        CodeClass::Error => match code {
            Code::Usage => 2,
            Code::DirectoryRefused | Code::PackageRefused | Code::QueryRefused => 3,
            Code::DirectoryInUse | Code::OutcomeUnknown | Code::Overloaded => 6,
            _ => 1,
        },
    }
}

#[test]
fn every_code_is_met_with_its_exit_status() {
    let stage = Stage::set();
    let mut wrong = Vec::new();
    for code in Code::ALL {
        let before = stage.intents();
        let met = meet(*code, &stage);
        if !met.codes.iter().any(|found| found == code.as_str())
            || met.status.is_some_and(|found| found != status(*code))
        {
            wrong.push(format!("{code}: {:?} {:?}\n  {}", met.codes, met.status, met.said));
        }
        let written = stage.intents() - before;
        // What is refused leaves no row; whatever is rejected on this directory leaves one for each intent.
        if code.class() == CodeClass::Refused && written != met.rows {
            wrong.push(format!("{code}: {written} rows"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
