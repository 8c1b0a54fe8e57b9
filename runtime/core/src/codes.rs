//! Every code that a person or a program can meet, with its cause and its remedy.
//!
//! One list: the CLI, HTTP, `lockstep explain` and `docs/codes.md` all come from it.

/// What kind of no a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CodeClass {
    /// Turned away at the door: no row, an error.
    Refused,
    /// Signed by a known actor and against the rules: a row, a log leaf, a receipt.
    Rejected,
    /// What an audit found.
    Finding,
    /// A command that could not do its work.
    Error,
}

impl CodeClass {
    /// The word in JSON and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CodeClass::Refused => "refused",
            CodeClass::Rejected => "rejected",
            CodeClass::Finding => "finding",
            CodeClass::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $text:literal $class:ident $title:literal $cause:literal $remedy:literal;)*) => {
        /// A stable code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the list.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// What kind of no it is.
            #[must_use]
            pub fn class(self) -> CodeClass {
                match self { $(Code::$variant => CodeClass::$class,)* }
            }

            /// What it means, in a line.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// Why it happens.
            #[must_use]
            pub fn cause(self) -> &'static str {
                match self { $(Code::$variant => $cause,)* }
            }

            /// What to do.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Code::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    Malformed "malformed" Refused "The submission is not a signed intent" "It is not JSON, not a DSSE envelope with openings, or a member is missing, unknown or of another type." "Make it with `lockstep intent sign`, or follow docs/spec/envelopes.md.";
    NotCanonical "not_canonical" Refused "The payload is not in canonical form" "The signed bytes are not what RFC 8785 prints for their content." "Sign the canonical bytes; docs/spec/canonical.md has vectors.";
    DuplicateKey "duplicate_key" Refused "A JSON object has a key twice" "Readers disagree on which value counts." "Send each key once.";
    NumberLosesDigits "number_loses_digits" Refused "A number would change its value" "JSON numbers are IEEE 754 doubles here; this one has more digits than a double keeps." "Send it as a string; money always is one.";
    TooDeep "too_deep" Refused "The JSON is nested too deeply" "More than 64 levels." "Flatten it.";
    TooLarge "too_large" Refused "The submission is too large" "More bytes than the network allows for one intent." "Split it, or keep large documents in several sections.";
    BadSalt "bad_salt" Refused "A salt has not 32 bytes" "Another length would let two openings fit one commitment." "Use 32 fresh random bytes, as 64 hex digits.";
    BadOpening "bad_opening" Refused "An opening does not fit its commitment" "What travels beside the signature is not what was signed." "Send the openings that were made with this envelope.";
    UnknownFormat "unknown_format" Refused "The format is not known to this version" "It was made by a newer version, or for another system." "Upgrade lockstep on this node.";
    WrongNetwork "wrong_network" Refused "The intent is for another network" "The network id in the payload is not this network's." "Sign it again for this network.";
    WrongSequencer "wrong_sequencer" Refused "Another node orders these records" "An intent goes to the node that its records are sequenced by." "Sign it for that node and send it there.";
    UnknownActor "unknown_actor" Refused "Nobody by this name is known" "The directory has no such actor." "`lockstep actor add NAME --participant P` makes one; `lockstep actor list` shows who is known.";
    RevokedActor "revoked_actor" Refused "The actor's key was revoked" "An admin of its participant took the key away." "Sign with an active actor's key.";
    WeakKey "weak_key" Refused "The public key is not acceptable" "It is not a canonical point of Ed25519, or one of the few that anybody can forge for." "Make a key with `lockstep key new NAME`.";
    BadSignature "bad_signature" Refused "The signature is not the actor's" "The payload was altered after signing, or signed with another key." "Sign again; `lockstep actor show NAME` prints the key that is known.";
    NonceReused "nonce_reused" Refused "Another intent has this nonce" "(actor, nonce) is an intent's identity; a different payload came under it before." "Use 32 fresh random bytes for every intent.";
    Expired "expired" Refused "The intent has expired" "It came, or its turn came, after the time that its actor set." "Sign it again; `--expires 10m` sets the time.";
    ForwardRefused "forward_refused" Refused "The wrapper of a handed over intent is not in order" "The node that handed it over signed something else about it, or used one count for two intents." "Its operator runs `lockstep verify`: a database that was set back has lost its counts.";
    ExpiryTooFar "expiry_too_far" Refused "The intent expires too far ahead" "The network bounds how long an intent may wait." "Set an earlier expiry.";

    NotYetValid "not_yet_valid" Rejected "The intent came before its time" "Its actor set a time before which it must not be applied." "Sign it again and send it later.";
    UnknownContract "unknown_contract" Rejected "There is no such active contract" "No version of it was deployed, or none that fits the record's version." "`lockstep contract list` shows what is active.";
    UnknownMethod "unknown_method" Rejected "The contract has no such method" "The version that judges this record does not have it." "`lockstep contract show NAME` lists the methods.";
    UnknownSpec "unknown_spec" Rejected "There is no such record spec" "No active package brings it." "`lockstep contract list` shows what is active.";
    UnknownRecord "unknown_record" Rejected "There is no such record" "The method works on a record that is there." "`lockstep record list SPEC` shows what is there.";
    WrongRecords "wrong_records" Rejected "The records are not the ones that the method takes" "Their number or their specs differ from what the manifest says." "`lockstep contract show NAME` lists what each method takes.";
    RawChanges "raw_changes" Rejected "The spec takes no raw changes" "A contract governs these records." "Call a method of the contract.";
    Arguments "arguments" Rejected "The arguments do not satisfy the method's schema" "The manifest says what a method takes." "`lockstep contract show NAME` prints the schema.";
    StaleExpect "stale_expect" Rejected "The record has moved on" "The intent was made for another version of the record." "Look at the record again, then sign with its current seq.";
    Entitlement "entitlement" Rejected "The actor may not do this" "None of the roles that the actor holds on this record may create, modify or read this section." "Ask who holds such a role; `SELECT * FROM lockstep_entitlement` shows it.";
    Undeclared "undeclared" Rejected "The contract went beyond its manifest" "It read or wrote a section, or emitted a notification, that its method does not declare." "A fault of the contract: its author declares it and deploys a new version.";
    Parties "parties" Rejected "The parties were changed in a way that rewrites history" "Memberships are opened from now on or closed as of now, never altered or removed." "Close the membership and open another one.";
    Patch "patch" Rejected "A change does not fit the section" "The path is not there, a test failed, or the operation is not possible." "Look at the record and address what is there.";
    Schema "schema" Rejected "A section would break its schema" "The spec says what each section must satisfy." "Send values that satisfy it.";
    Size "size" Rejected "A section or record would become too large" "8 MiB a section and 16 MiB a record." "Split the record.";
    Contract "contract" Rejected "The contract said no" "`reason` and `message` are the contract's own." "What the message says.";
    Trap "trap" Rejected "The contract broke" "It panicked or executed what it may not; the message has file and line." "`lockstep intent replay ID` shows it again; its author deploys a mended version.";
    Limits "limits" Rejected "The contract reached a limit" "Fuel, memory, stack, host calls or output." "Do less in one intent; the author can look with `lockstep intent replay ID`.";
    DatabaseRefused "database_refused" Rejected "The database refuses the row" "A CHECK, UNIQUE, foreign key or trigger of the database's owner refuses it." "The owner of this database sees the reason in the log.";

    CellDiffers "cell_differs" Finding "A cell is not what the evidence says" "Somebody edited it, or a disk did." "Restore the cell to the expected value; find out who writes to managed tables.";
    RowMissing "row_missing" Finding "A row is missing" "Somebody deleted it or edited its key." "Restore it from a backup or another node.";
    RowExtra "row_extra" Finding "A row is there that no evidence knows" "Somebody inserted it or edited its key." "Delete it.";
    EvidenceBroken "evidence_broken" Finding "Evidence does not verify" "A signature, hash or commitment does not fit: the cell was edited." "Restore it from a backup or another node.";
    TreeBroken "tree_broken" Finding "The log does not add up to its signed head" "Leaves are missing or altered." "Restore from a backup or another node.";
    BehindCheckpoint "behind_checkpoint" Finding "The database is older than its node knows" "The checkpoint beside the key covers more than this database holds: an older copy was restored, or the tail was cut off." "Restore the newest copy; its log must reach the checkpoint.";
    ForeignCheckpoint "foreign_checkpoint" Finding "The database contradicts the checkpoint beside the key" "Its log is not the one that this node signed." "Restore the database that belongs to this key.";
    ExecutionDiffers "execution_differs" Finding "The contract gives another result" "Executed again on the same state, it does not do what is stored." "The event was not made by the agreed contract: talk to its sequencer.";
    TableShape "table_shape" Finding "A managed table is not as it must be" "It is missing or lacks a column." "Restore it from a backup.";
    NewerFormat "newer_format" Finding "The database has a newer format" "A newer version of lockstep wrote it." "Upgrade lockstep on this machine.";

    Usage "usage" Error "The command was not understood" "A verb, option or value is wrong." "`lockstep help VERB` has examples.";
    NoDirectory "no_directory" Error "There is no lockstep.toml here" "Neither this directory nor one above it is a node's." "`lockstep init --network NAME --participant NAME` makes one; `--dir DIR` names one.";
    DirectoryExists "directory_exists" Error "The directory is not empty or not ours to replace" "Nothing of yours is overwritten." "Choose another directory.";
    DirectoryInUse "directory_in_use" Error "Another process writes to this directory" "One writer at a time." "Wait for it, or stop it.";
    Configuration "configuration" Error "The configuration is wrong" "lockstep.toml has an unknown key or a value that does not fit." "What the message says.";
    UnknownKey "unknown_key" Error "There is no such key here" "DIR/keys has no key of this actor." "`lockstep key list` shows the keys; `lockstep key new NAME` makes one.";
    KeyFile "key_file" Error "A key file cannot be used" "It is damaged, or others than its owner can read it." "`chmod 600` it, or restore it.";
    TokenMissing "token_missing" Error "Reading over HTTP needs a token" "The request has no `Authorization: Bearer TOKEN`." "`lockstep token --as ACTOR --ttl 1h` prints one.";
    TokenRefused "token_refused" Error "The token is not good here, or no longer" "It expired, is for another node, was altered, or its actor's key was rotated or revoked; the message says which." "`lockstep token --as ACTOR --ttl 1h` prints a fresh one.";
    PositionGone "position_gone" Error "There is no such position here to go on after" "It is not one that this node gave out, or the database was restored to an earlier state since." "Read what you need anew, then follow from the start or `after=latest`.";
    Ambiguous "ambiguous" Error "The name fits several actors" "Participants may have actors of the same name." "Write NAME@PARTICIPANT.";
    NotFound "not_found" Error "There is no such thing" "The id or name is not known to this database." "The `list` verbs show what is there.";
    DirectoryRefused "directory_refused" Error "The directory does not take this" "It contradicts what is agreed, or the actor may not decide it." "What the message says.";
    PackageRefused "package_refused" Error "The package cannot be used" "Its manifest, a spec or its code is not acceptable." "What the message says.";
    BuildFailed "build_failed" Error "The contract does not build" "The compiler's output says where." "Mend it and build again.";
    ToolMissing "tool_missing" Error "A tool is missing" "Building contracts needs a Rust toolchain that can make WebAssembly." "Run the command that the message names.";
    QueryRefused "query_refused" Error "The query was refused" "It is not valid SQL, or not read-only." "`sql` only reads; to change a record, submit an intent.";
    DatabaseUnavailable "database_unavailable" Error "The database does not answer" "It is missing, locked, full or not reachable." "Mend that and repeat; nothing was lost.";
    DatabaseShape "database_shape" Error "The database is not a Lockstep database, or a damaged one" "A managed table is missing or differs." "`lockstep verify` says more.";
    OutcomeUnknown "outcome_unknown" Error "Nobody knows yet how it ended" "The node or database did not answer in time." "`lockstep intent show ID` answers later; sending the same envelope again is safe.";
    Overloaded "overloaded" Error "The node has too much to do" "Its queue is full." "Send the same envelope again later.";
    Io "io" Error "A file could not be read or written" "The operating system said no." "What the message says.";
    Internal "internal" Error "Lockstep broke one of its own rules" "A bug." "Report it with the message; the database is not changed by it.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Code {
    /// The code that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Code::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_different_words() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| Code::parse(code.as_str()) == Some(*code)));
    }
}
