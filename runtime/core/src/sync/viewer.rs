//! Which parts of a record the participants that a node stands for may have, from seq to seq.
//!
//! Sender and receiver both decide by this, from the parties section alone: so a receiver knows what must not be
//! missing. Roles of single actors in the directory bound what an actor may do, not what its organisation's
//! database holds. What a single actor is shown of that, [`Reader`] says; both go by the same [`Rights`].

use std::collections::BTreeSet;

use crate::directory::Directory;
use crate::event::Header;
use crate::execute::may;
use crate::json::Json;
use crate::names::ActorId;
use crate::parties::{Member, members};
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

/// An actor that looks at what a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Who it is.
    pub actor: ActorId,
    /// The roles that the directory lets it take on.
    pub roles: BTreeSet<String>,
}

/// Whoever holds memberships: what that lets it see, from seq to seq.
pub trait Rights {
    /// Whether a membership is one of its own.
    fn holds(&self, member: &Member) -> bool;

    /// Whether it may have the content of a section at `seq`.
    fn reads(&self, record: Seen<'_>, section: &str, seq: u64) -> bool {
        may(record.spec, section, &roles(self, record, |member| member.held_at(seq)), Mode::Read)
    }

    /// The sections whose content it may have at `seq`, in order.
    fn sections<'a>(&self, record: Seen<'a>, seq: u64) -> Vec<&'a str> {
        let roles = roles(self, record, |member| member.held_at(seq));
        let readable = record.spec.sections.keys().filter(|section| may(record.spec, section, &roles, Mode::Read));
        readable.map(String::as_str).collect()
    }

    /// Whether it may have the headers of a record up to `seq`: it holds a role that may at least audit a section, at
    /// `seq` or later. Whoever joins late sees that, when and by whom things happened before.
    fn follows(&self, record: Seen<'_>, seq: u64) -> bool {
        let roles = roles(self, record, |member| member.to.is_none_or(|to| to > seq));
        record.spec.sections.keys().any(|section| may(record.spec, section, &roles, Mode::Audit))
    }
}

/// The roles of memberships that fit, everyone's included.
fn roles<R: Rights + ?Sized>(rights: &R, record: Seen<'_>, fits: impl Fn(&Member) -> bool) -> BTreeSet<String> {
    let everyone = record.spec.roles.iter().filter(|(_, role)| role.everyone).map(|(name, _)| name.to_string());
    let held = members(record.parties).into_iter().filter(|member| fits(member) && rights.holds(member));
    everyone.chain(held.map(|member| member.role)).collect()
}

impl Rights for Viewer {
    fn holds(&self, member: &Member) -> bool {
        self.participants.contains(&member.participant)
    }
}

impl Rights for Reader {
    fn holds(&self, member: &Member) -> bool {
        member.is_for(&self.actor) && self.roles.contains(&member.role)
    }
}

impl Reader {
    /// An actor as the directory knows it now; `None` where it does not, or its key was revoked.
    #[must_use]
    pub fn of(directory: &Directory, actor: &ActorId) -> Option<Self> {
        let known = directory.actors().get(actor).filter(|known| known.revoked.is_none())?;
        Some(Reader { actor: actor.clone(), roles: known.roles.clone() })
    }
}

impl Viewer {
    /// Whether it may have the content of a section at `seq`.
    #[must_use]
    pub fn reads(&self, record: Seen<'_>, section: &str, seq: u64) -> bool {
        Rights::reads(self, record, section, seq)
    }

    /// Whether it may have the headers of a record up to `seq`.
    #[must_use]
    pub fn follows(&self, record: Seen<'_>, seq: u64) -> bool {
        Rights::follows(self, record, seq)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::crypto::Digest;
    use crate::event::SealedSection;
    use crate::json::json;
    use crate::names::{NodeName, RecordId, SpecName};
    use crate::time::Timestamp;

    fn spec() -> RecordSpec {
        let document = json!({
            "roles": {"owner": {}, "buyer": {}, "auditor": {}, "anyone": {"everyone": true}},
            "parties": {"create": ["owner"], "modify": ["owner"]},
            "sections": {
                "open": {"schema": {}, "create": ["owner"], "read": ["buyer"]},
                "secret": {"schema": {}, "create": ["owner"], "modify": ["buyer"], "audit": ["auditor"]}
            }
        });
        RecordSpec::parse(&SpecName::parse("deal").unwrap(), &document).unwrap()
    }

    /// Memberships of bolt: role, from, to.
    fn parties(list: &[(&str, u64, Option<u64>)]) -> Json {
        let member = |(role, from, to): &(&str, u64, Option<u64>)| json!({"role": *role, "participant": "bolt", "from": *from, "to": *to});
        json!({"members": list.iter().map(member).collect::<Vec<_>>()})
    }

    fn viewer(participant: &str) -> Viewer {
        Viewer { participants: BTreeSet::from([participant.to_owned()]) }
    }

    /// The header at `seq`, with the seq at which each section was written last.
    fn header(spec: &str, seq: u64, written: &[(&str, u64)]) -> Header {
        let digest = Digest::of(b"any");
        let sections = written.iter().map(|(name, at)| {
            let written = (*at == seq).then_some((digest, digest));
            ((*name).to_owned(), SealedSection { seq: *at, content: digest, written })
        });
        Header {
            network: digest,
            log: "acme/1".to_owned(),
            record: RecordId::parse("acme:one").unwrap(),
            epoch: 1,
            seq,
            prev: Some(digest),
            spec: Digest::of(spec.as_bytes()),
            package: digest,
            directory: (1, digest),
            intent: digest,
            sequencer: NodeName::parse("acme").unwrap(),
            time: Timestamp::MIN,
            sections: sections.collect::<BTreeMap<_, _>>(),
            reads: digest,
        }
    }

    fn names(set: BTreeSet<String>) -> String {
        set.into_iter().collect::<Vec<_>>().join(" ")
    }

    /// Bodies and contents of what bolt is to have of the event at `seq`, where the one before was under `spec`.
    fn part(
        list: &[(&str, u64, Option<u64>)],
        seq: u64,
        spec_before: &str,
        [then, now]: [&[(&str, u64)]; 2],
    ) -> [String; 2] {
        let (spec, parties) = (spec(), parties(list));
        let before = header(spec_before, seq - 1, then);
        let part =
            viewer("bolt").part(Seen { spec: &spec, parties: &parties }, &header("now", seq, now), Some(&before));
        [names(part.bodies), names(part.given)]
    }

    #[test]
    fn contents_are_read_from_seq_to_seq_and_headers_from_the_start() {
        let (spec, parties) = (spec(), parties(&[("buyer", 4, Some(8))]));
        let seen = Seen { spec: &spec, parties: &parties };
        assert_eq!([3, 4, 7, 8].map(|seq| viewer("bolt").reads(seen, "open", seq)), [false, true, true, false]);
        assert_eq!([1, 4, 7, 8].map(|seq| viewer("bolt").follows(seen, seq)), [true, true, true, false]);
        assert!(!viewer("gaze").follows(seen, 5) && !viewer("gaze").reads(seen, "open", 5));
    }

    #[test]
    fn an_actor_sees_by_its_own_memberships_and_the_roles_that_it_may_take_on() {
        let spec = spec();
        let parties = json!({"members": [
            {"role": "buyer", "participant": "bolt", "actor": "bob@bolt", "from": 1, "to": 4},
            {"role": "buyer", "participant": "bolt", "from": 8},
        ]});
        let seen = Seen { spec: &spec, parties: &parties };
        let reader = |name: &str, role: &str| Reader {
            actor: ActorId::parse(name).unwrap(),
            roles: BTreeSet::from([role.to_owned()]),
        };
        let reads = |reader: &Reader| [1, 4, 8].map(|seq| reader.reads(seen, "open", seq));
        assert_eq!(reads(&reader("bob@bolt", "buyer")), [true, false, true], "in, out at 4, back at 8");
        assert_eq!(reads(&reader("eve@bolt", "buyer")), [false, false, true], "the first membership is bob's alone");
        assert_eq!(reads(&reader("bob@bolt", "owner")), [false; 3], "a role that the directory does not give him");
        assert_eq!(reads(&reader("bob@gaze", "buyer")), [false; 3]);
        assert!(reader("eve@bolt", "buyer").follows(seen, 1), "who comes late sees that something happened before");
    }

    #[test]
    fn who_may_only_audit_follows_and_reads_nothing() {
        let (spec, parties) = (spec(), parties(&[("auditor", 1, None)]));
        let seen = Seen { spec: &spec, parties: &parties };
        assert!(viewer("bolt").follows(seen, 1));
        assert!(!["open", "secret", "parties"].iter().any(|section| viewer("bolt").reads(seen, section, 1)));
    }

    #[test]
    fn a_node_that_stands_for_several_sees_what_any_of_them_may() {
        let (spec, parties) = (spec(), parties(&[("buyer", 1, None)]));
        let both = Viewer { participants: ["bolt", "gaze"].map(str::to_owned).into() };
        assert!(both.reads(Seen { spec: &spec, parties: &parties }, "secret", 1));
    }

    #[test]
    fn what_was_seen_growing_is_not_given_again() {
        let inside = [("buyer", 1, None)];
        assert_eq!(part(&inside, 5, "now", [&[("open", 3)], &[("open", 5)]]), ["open", ""]);
        assert_eq!(part(&inside, 5, "now", [&[("open", 3)], &[("open", 3)]]), ["", ""]);
    }

    #[test]
    fn who_comes_or_comes_back_is_given_what_was_written_while_it_was_out() {
        let back = [("buyer", 1, Some(4)), ("buyer", 8, None)];
        assert_eq!(
            part(&back, 8, "now", [&[("open", 2), ("secret", 5)], &[("open", 2), ("secret", 5)]]),
            ["", "secret"]
        );
        assert_eq!(part(&back, 8, "now", [&[("secret", 5)], &[("secret", 8)]]), ["secret", "secret"]);
        assert_eq!(part(&back, 9, "now", [&[("secret", 5)], &[("secret", 9)]]), ["secret", ""]);
        assert_eq!(part(&back, 5, "now", [&[("secret", 2)], &[("secret", 5)]]), ["", ""]);
    }

    #[test]
    fn a_new_version_of_the_spec_gives_all_that_may_be_read_once() {
        let inside = [("buyer", 1, None)];
        assert_eq!(
            part(&inside, 5, "before", [&[("open", 3), ("secret", 2)], &[("open", 5), ("secret", 2)]]),
            ["open", "open secret"]
        );
    }
}
