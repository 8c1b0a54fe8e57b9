//! An outcome of an intent that is decided here already: a repeat, or a second end of it.

use crate::crypto::Digest;
use crate::directory::Directory;
use crate::log::leaf_hash;
use crate::outcome::Outcome;

use super::compare::{Complaint, No, Objection, check_place};
use super::share::Share;

/// What a node has of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Had {
    /// The intent.
    pub intent: Digest,
    /// Hash of the outcome's leaf.
    pub leaf: Digest,
    /// Its position in the log of the node that sequenced it, where that was another node.
    pub position: Option<u64>,
}

/// What a share is beside an outcome of the same intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// The same outcome; repeats are nothing special.
    Same,
    /// Another end, or the same one at another place: an intent ends once, and has one leaf.
    Other(Objection),
    /// It proves nothing.
    Refuse(String),
}

/// Holds a share against what is here of its intent.
#[must_use]
pub fn again(share: &Share, had: &Had, directory: &Directory) -> Again {
    let outcome = match Outcome::read(&share.outcome) {
        Ok(outcome) if outcome.intent == had.intent => outcome,
        Ok(_) => return Again::Refuse("it is of another intent".to_owned()),
        Err(what) => return Again::Refuse(what),
    };
    let same = leaf_hash(&outcome.leaf()) == had.leaf && had.position.is_none_or(|at| at == share.place.position);
    match check_place(&share.place, &outcome, directory, None) {
        Err(No::Refuse(what)) => Again::Refuse(what),
        _ if same => Again::Same,
        _ => {
            let message = format!("intent {} ended twice in {}", had.intent, share.place.log);
            Again::Other(Objection { complaint: Complaint::Fork, record: None, message })
        }
    }
}
