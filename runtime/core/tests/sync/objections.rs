//! Objections: what proves itself to everybody, what is one node's word, and what both do to a database.

use lockstep_core::audit::{Known, rebuild};
use lockstep_core::crypto::{Digest, Salt, Signer};
use lockstep_core::database::Database;
use lockstep_core::memory::MemoryDatabase;
use lockstep_core::names::NodeName;
use lockstep_core::sync::{
    Comparison, Complaint, Evidence, Exhibit, Fork, Objecting, Objection, Share, SignedObjection, objected,
};
use lockstep_core::tables::{Cell, name};

use crate::liars::{dealt, share_for, title};
use crate::network::{Dice, block_on};
use crate::receiver::Receiver;
use crate::replicas::edited;
use crate::sequencer::Sequencer;
use crate::world::{World, key, record};

fn objecting(world: &World, node: &str, evidence: &Evidence) -> Objecting {
    let (network, node) = (world.directory.network(), NodeName::parse(node).unwrap());
    Objecting { network, node, time: world.time, evidence: Digest::of(&evidence.stored()) }
}

fn exhibit(share: &Share) -> Exhibit {
    let event = share.events.first().map(|event| Digest::of(&event.header));
    Exhibit::of_share(share, event.as_ref()).unwrap()
}

/// Two events for one seq, in two logs that acme signed: each as one of two readers was told.
fn stories() -> (Sequencer, Vec<Receiver>, Share, Share) {
    let (mut left, mut receivers) = dealt();
    let mut right = left.clone();
    let (one, two) = (title(&mut left, "left"), title(&mut right, "right").nonce("right"));
    let (at, other) = (left.apply(&one), right.apply(&two));
    let (first, second) = (share_for(&left, at, &receivers[0]), share_for(&right, other, &receivers[0]));
    assert!(matches!(receivers[0].take(&left.world, &first), Comparison::Apply(_)));
    (left, receivers, first, second)
}

/// The proof of a fork, as this node signs it.
pub fn forked(node: &str) -> (Sequencer, SignedObjection, Evidence) {
    let (sequencer, _, first, second) = stories();
    let fork = Fork { first: exhibit(&first), second: exhibit(&second) };
    let proven = fork.check(&sequencer.world.directory).unwrap();
    let evidence = Evidence::Fork(Box::new(fork));
    let signed = objecting(&sequencer.world, node, &evidence).to_fork(&proven).sign(&key(node)).unwrap();
    (sequencer, signed, evidence)
}

/// What this node says of a share, with the share as evidence.
fn against(world: &World, node: &str, share: &Share, complaint: Complaint) -> (SignedObjection, Evidence) {
    let message = "it is not what it must be".to_owned();
    let salt = Salt::from([7; 32]);
    let evidence = Evidence::Share { share: Box::new(share.clone()), message: message.clone(), salt };
    let objection = Objection { complaint, record: None, message };
    let mut said = objecting(world, node, &evidence).to_share(share, &objection);
    assert_eq!(said.len(), 1);
    (said.remove(0).sign(&key(node)).unwrap(), evidence)
}

#[test]
fn whoever_has_the_sequencer_s_key_can_check_a_fork() {
    let (sequencer, signed, evidence) = forked("bolt");
    let directory = &sequencer.world.directory;
    let taken = objected(&signed.stored(), Some(&evidence.stored()), directory, sequencer.world.time);
    assert_eq!(taken, Ok((signed.clone(), Some(evidence.clone()))));
    let Evidence::Fork(fork) = &evidence else { panic!("a fork is proved") };
    let proven = fork.check(directory).unwrap();
    let event = proven.event.unwrap();
    assert_eq!((event.record, event.seq, proven.log.as_str()), (record("one"), 2, "acme/1"));
    assert!(proven.message.contains("has events"), "{}", proven.message);
    let shown = String::from_utf8(evidence.stored()).unwrap();
    for hidden in ["left", "right", "arguments", "edit"] {
        assert!(!shown.contains(hidden), "{hidden} is content or method, and stands in the proof");
    }
}

#[test]
fn one_story_told_twice_proves_nothing() {
    let (sequencer, receivers, first, _) = stories();
    let directory = &sequencer.world.directory;
    let before = share_for(&sequencer, 0, &receivers[0]);
    for (one, other) in [(&first, &first), (&before, &first), (&first, &before)] {
        let fork = Fork { first: exhibit(one), second: exhibit(other) };
        assert!(fork.check(directory).is_err(), "{:?}", fork.check(directory));
    }
}

#[test]
fn a_gap_that_is_jumped_is_a_fork_and_so_are_two_ends_of_one_intent() {
    let (_, receivers, first, second) = stories();
    let (mut sequencer, _, _, _) = stories();
    let wish = title(&mut sequencer, "third").nonce("third");
    let third = sequencer.apply(&wish);
    let third = share_for(&sequencer, third, &receivers[0]);
    let directory = &sequencer.world.directory;
    let fork = Fork { first: exhibit(&second), second: exhibit(&third) };
    let proven = fork.check(directory).unwrap();
    assert!(proven.stops && proven.message.contains("does not continue"), "{}", proven.message);
    let bare = |share: &Share| Exhibit::of_share(share, None).unwrap();
    let position = Fork { first: bare(&first), second: bare(&second) }.check(directory).unwrap();
    assert!(position.message.contains("stand at position"), "{}", position.message);
    assert_eq!((position.event, position.stops), (None, false));
    let head = |share: &Share| Exhibit { note: share.place.note.clone(), leaf: None };
    let heads = Fork { first: head(&first), second: head(&second) }.check(directory).unwrap();
    assert!(heads.message.contains("two heads of size"), "{}", heads.message);
    assert_eq!((heads.position, heads.intent), (None, None));
}

#[test]
fn a_word_needs_its_node_s_signature_and_a_fork_its_proof() {
    let (sequencer, signed, evidence) = forked("bolt");
    let (directory, time) = (&sequencer.world.directory, sequencer.world.time);
    let take = |signed: &SignedObjection, evidence: Option<&Evidence>| {
        objected(&signed.stored(), evidence.map(Evidence::stored).as_deref(), directory, time)
    };
    assert!(take(&signed, None).is_err(), "a fork without proof");
    let forged = signed.statement.clone().sign(&key("crane")).unwrap();
    assert!(take(&forged, Some(&evidence)).is_err(), "crane signs for bolt");
    let mut elsewhere = signed.statement.clone();
    elsewhere.record = Some(record("two"));
    assert!(take(&elsewhere.sign(&key("bolt")).unwrap(), Some(&evidence)).is_err(), "it proves nothing of two");
    let mut later = signed.statement.clone();
    later.time = time.plus_micros(1);
    assert!(take(&later.sign(&key("bolt")).unwrap(), Some(&evidence)).is_err(), "it is to come");
    let share = share_for(&sequencer, 0, &Receiver::new(&sequencer.world, "bolt"));
    let (word, kept) = against(&sequencer.world, "bolt", &share, Complaint::Execution);
    assert_eq!(take(&word, None), Ok((word.clone(), None)));
    assert!(take(&word, Some(&kept)).is_err(), "shares stay where they are");
    let own = against(&sequencer.world, "acme", &share, Complaint::Execution).0;
    assert!(take(&own, None).is_err(), "nobody objects to its own log");
    let end = signed.statement.withdrawn(signed.id, time).sign(&key("bolt")).unwrap();
    assert!(take(&end, None).is_err(), "two histories are not withdrawn");
}

#[test]
fn a_statement_and_its_evidence_are_read_as_they_were_stored() {
    let (sequencer, signed, fork) = forked("bolt");
    let share = share_for(&sequencer, 0, &Receiver::new(&sequencer.world, "bolt"));
    let (word, kept) = against(&sequencer.world, "bolt", &share, Complaint::Rights);
    let end = word.statement.withdrawn(word.id, sequencer.world.time).sign(&key("bolt")).unwrap();
    for statement in [&signed, &word, &end] {
        assert_eq!(SignedObjection::read(&statement.stored()).as_ref(), Ok(statement));
        assert!(statement.verified_by(&key("bolt").public_key()) && !statement.verified_by(&key("acme").public_key()));
    }
    for evidence in [fork, kept] {
        assert_eq!(Evidence::read(&evidence.stored()), Ok(evidence));
    }
    let text = String::from_utf8(signed.stored()).unwrap();
    assert!(SignedObjection::read(text.replace("objection.v1", "heads.v1").as_bytes()).is_err(), "another domain");
}

fn scope(receiver: &Receiver, world: &World) -> Cell {
    receiver.row(world, "one")["lockstep_scope"].clone()
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// A reader with its own objection, one that it withdrew, a proof of its own and a word of another node.
fn disputing() -> (Sequencer, Receiver) {
    let (sequencer, mut receivers, first, second) = stories();
    let (world, mut bolt) = (&sequencer.world, receivers.remove(0));
    let (word, kept) = against(world, "bolt", &second, Complaint::Execution);
    bolt.objects(world, &word, Some(&kept));
    let end = word.statement.withdrawn(word.id, world.time).sign(&key("bolt")).unwrap();
    bolt.objects(world, &end, None);
    assert_eq!(scope(&bolt, world), text("full"));
    let (other, _) = against(world, "crane", &second, Complaint::Chain);
    bolt.objects(world, &other, None);
    assert_eq!(scope(&bolt, world), text("full"), "somebody's word stops nobody else");
    let fork = Fork { first: exhibit(&first), second: exhibit(&second) };
    let proven = fork.check(&world.directory).unwrap();
    let evidence = Evidence::Fork(Box::new(fork));
    let signed = objecting(world, "crane", &evidence).to_fork(&proven).sign(&key("crane")).unwrap();
    bolt.objects(world, &signed, Some(&evidence));
    assert_eq!(scope(&bolt, world), text("disputed"), "a proof stops it, whoever found it");
    (sequencer, bolt)
}

#[test]
fn a_disputed_record_says_so_until_the_objection_is_withdrawn() {
    let (sequencer, mut receivers, _, second) = stories();
    let (world, bolt) = (&sequencer.world, &mut receivers[0]);
    let (word, kept) = against(world, "bolt", &second, Complaint::Execution);
    bolt.objects(world, &word, Some(&kept));
    assert_eq!(scope(bolt, world), text("disputed"));
    assert!(bolt.ledger.disputes.holds(&record("one")) && !bolt.ledger.disputes.holds(&record("two")));
    assert!(bolt.ledger.disputes.has(&word.statement), "the same again is known");
    assert!(bolt.audited(world).is_clean(), "{:#?}", bolt.audited(world).findings);
    let end = word.statement.withdrawn(word.id, world.time).sign(&key("bolt")).unwrap();
    bolt.objects(world, &end, None);
    assert_eq!(scope(bolt, world), text("full"));
    assert!(!bolt.ledger.disputes.holds(&record("one")) && !bolt.ledger.disputes.has(&word.statement));
    assert!(bolt.audited(world).is_clean(), "{:#?}", bolt.audited(world).findings);
}

#[test]
fn a_database_with_objections_is_clean_and_replayed_byte_for_byte() {
    let (sequencer, bolt) = disputing();
    let report = bolt.audited(&sequencer.world);
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert_eq!(report.counts[name::OBJECTION], 4);
    let target = MemoryDatabase::new();
    let mut source = block_on(bolt.database.snapshot()).unwrap();
    block_on(rebuild(source.as_mut(), &target)).unwrap();
    assert_eq!(bolt.database.contents(), target.contents());
}

#[test]
fn one_edited_cell_of_an_objection_is_named_and_nobody_else_is_accused() {
    let (sequencer, bolt) = disputing();
    let copy = bolt.copy(&sequencer.world);
    let mut dice = Dice(11);
    let (mut tried, mut wrong) = (0, Vec::new());
    for table in [name::OBJECTION, name::META, "deal"] {
        let (some, not) = edited("bolt", &copy, &copy.tables[table], 8, &mut dice);
        tried += some;
        wrong.extend(not);
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 150, "{tried}");
}

#[test]
fn an_objection_that_was_deleted_is_missed_and_nobody_else_is_accused() {
    let (sequencer, bolt) = disputing();
    let copy = bolt.copy(&sequencer.world);
    for at in 0..copy.rows[name::OBJECTION].len() {
        let mut tampered = copy.clone();
        tampered.rows.get_mut(name::OBJECTION).unwrap().remove(at);
        let findings = tampered.audited(Known::default()).findings;
        assert!(!findings.is_empty() && findings.iter().all(|one| one.table == name::OBJECTION), "{at}: {findings:#?}");
    }
}

#[test]
fn an_objection_that_nobody_made_is_a_row_too_many() {
    let (sequencer, bolt) = disputing();
    let mut tampered = bolt.copy(&sequencer.world);
    let mut row = tampered.rows[name::OBJECTION][0].clone();
    row[0] = text(&Digest::of(b"made up").to_string());
    row[15] = Cell::Integer(1_000);
    tampered.rows.get_mut(name::OBJECTION).unwrap().push(row);
    let findings = tampered.audited(Known::default()).findings;
    assert!(!findings.is_empty() && findings.iter().all(|one| one.table == name::OBJECTION), "{findings:#?}");
}
