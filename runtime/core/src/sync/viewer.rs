//! Which parts of a record the participants that a node stands for may have, from seq to seq.
//!
//! Sender and receiver both decide by this, from the parties section alone: so a receiver knows what must not be
//! missing. Roles of single actors in the directory bound what an actor may do, not what its organisation's
//! database holds.

use std::collections::BTreeSet;

use crate::event::Header;
use crate::execute::may;
use crate::json::Json;
use crate::parties::members;
use crate::spec::{Mode, RecordSpec};

/// The participants that a node stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Their names.
    pub participants: BTreeSet<String>,
}

/// A record as it is judged who may see it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its spec.
    pub spec: &'a RecordSpec,
    /// Its parties section, with all its history up to now.
    pub parties: &'a Json,
}

/// What of one event a viewer is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Sections whose changes and notifications it gets.
    pub bodies: BTreeSet<String>,
    /// Sections whose content it must be given, because it may not have seen them grow.
    pub given: BTreeSet<String>,
}

impl Viewer {
    /// The roles that its participants hold on a record at `seq`, everyone's included.
    fn roles(&self, record: Seen<'_>, seq: u64) -> BTreeSet<String> {
        let everyone = record.spec.roles.iter().filter(|(_, role)| role.everyone).map(|(name, _)| name.to_string());
        let held = members(record.parties)
            .into_iter()
            .filter(|member| member.held_at(seq) && self.participants.contains(&member.participant));
        everyone.chain(held.map(|member| member.role)).collect()
    }

    /// Whether it may have the content of a section at `seq`.
    #[must_use]
    pub fn reads(&self, record: Seen<'_>, section: &str, seq: u64) -> bool {
        may(record.spec, section, &self.roles(record, seq), Mode::Read)
    }

    /// Whether it may have the headers of a record up to `seq`: it holds a role that may at least audit a section, at
    /// `seq` or later. Whoever joins late sees that, when and by whom things happened before.
    #[must_use]
    pub fn follows(&self, record: Seen<'_>, seq: u64) -> bool {
        let everyone = record.spec.roles.iter().filter(|(_, role)| role.everyone).map(|(name, _)| name.to_string());
        let held = members(record.parties)
            .into_iter()
            .filter(|member| member.to.is_none_or(|to| to > seq) && self.participants.contains(&member.participant));
        let roles = everyone.chain(held.map(|member| member.role)).collect();
        record.spec.sections.keys().any(|section| may(record.spec, section, &roles, Mode::Audit))
    }

    /// Whether it had the content of a section, last written at `written`, before the event at `seq`.
    fn had(&self, record: Seen<'_>, section: &str, written: u64, seq: u64) -> bool {
        // Under one spec, what it may see changes only where a membership begins or ends.
        let turns = members(record.parties).into_iter().flat_map(|member| [Some(member.from), member.to]).flatten();
        let mut seqs: BTreeSet<u64> = turns.filter(|turn| (written..seq).contains(turn)).collect();
        seqs.insert(written);
        written < seq && seqs.into_iter().any(|at| self.reads(record, section, at))
    }

    /// What it is to have of an event; `before` is the header of the record's event before.
    #[must_use]
    pub fn part(&self, record: Seen<'_>, header: &Header, before: Option<&Header>) -> Part {
        let mut part = Part::default();
        // Another version of the spec may open a section: then all that it may read is given, once.
        let same = before.is_some_and(|before| before.spec == header.spec);
        for (name, sealed) in &header.sections {
            if !self.reads(record, name, header.seq) {
                continue;
            }
            let written = before.and_then(|before| before.sections.get(name)).map(|sealed| sealed.seq);
            if sealed.written.is_some() {
                part.bodies.insert(name.clone());
            }
            if written.is_some_and(|written| !same || !self.had(record, name, written, header.seq)) {
                part.given.insert(name.clone());
            }
        }
        part
    }
}
