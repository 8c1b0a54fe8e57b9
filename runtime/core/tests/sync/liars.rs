//! A sequencer that is built to lie: whatever it tells, somebody honest finds it, and nothing of it is applied.

use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, Salt, Signer};
use lockstep_core::directory::Body;
use lockstep_core::event::{EventOpenings, Header, seal_section};
use lockstep_core::execute::Rejected;
use lockstep_core::intent::{Whole, read_stored};
use lockstep_core::json::{Json, Operation, json};
use lockstep_core::log::leaf_hash;
use lockstep_core::outcome::{Ending, Outcome, Reasons, Said};
use lockstep_core::seal::replay;
use lockstep_core::sync::{Again, Comparison, Complaint, Had, Level, Share, Wait, again};

use crate::network::{RECEIVERS, contract_with, spec_with, viewer};
use crate::receiver::Receiver;
use crate::replicas::make;
use crate::sequencer::{Decision, Sequencer};
use crate::world::{Wish, actor, key, op, record, with};

/// A deal that all receivers have.
pub fn dealt() -> (Sequencer, Vec<Receiver>) {
    let mut sequencer = Sequencer::new();
    let wish = make(&mut sequencer, "one");
    sequencer.apply(&wish);
    let receivers = RECEIVERS.map(|name| {
        let mut receiver = Receiver::new(&sequencer.world, name);
        receiver.follow(&sequencer);
        receiver
    });
    (sequencer, receivers.into())
}

pub fn title(sequencer: &mut Sequencer, title: &str) -> Wish {
    sequencer.world.call("ann@acme", "edit", "one", vec![op("listing", "add", "/title", title)])
}

/// The receiver objects like this, and nothing of it changed.
fn objects(receiver: &mut Receiver, sequencer: &Sequencer, share: &Share, complaint: Complaint) {
    receiver.agree(&sequencer.world);
    let (states, rows) = (receiver.states.clone(), receiver.database.contents());
    match receiver.take(&sequencer.world, share) {
        Comparison::Object(objection) => assert_eq!(objection.complaint, complaint, "{}", objection.message),
        other => panic!("{} does not object: {other:?}", receiver.name),
    }
    assert_eq!((states, rows), (receiver.states.clone(), receiver.database.contents()));
}

pub fn share_for(sequencer: &Sequencer, index: usize, receiver: &Receiver) -> Share {
    sequencer.share(index, &receiver.viewer).unwrap()
}

/// Logs an outcome with its reasons edited.
fn with_reasons(sequencer: &mut Sequencer, decision: Decision, edit: impl FnOnce(&mut Reasons)) -> usize {
    let Decision { intent, mut outcome, events } = decision;
    let Said::Openly(reasons) = &mut outcome.said else { panic!("the sequencer knows what it said") };
    edit(reasons);
    sequencer.publish(Decision { intent, outcome, events })
}

/// Logs a single event with header and openings edited, all its commitments made to fit again.
fn with_event(
    sequencer: &mut Sequencer,
    decision: Decision,
    edit: impl FnOnce(&mut Header, &mut EventOpenings),
) -> usize {
    let Decision { intent, mut outcome, mut events } = decision;
    let event = events.remove(0);
    let (mut header, mut openings) = (event.header, event.openings);
    edit(&mut header, &mut openings);
    for (name, body) in &openings.sections {
        let mut content = event.before.as_ref().map_or(Json::Null, |state| Json::clone(&state.content(name)));
        body.changes.iter().for_each(|operation| drop(operation.apply(&mut content)));
        let canonical = content.canonical();
        let (network, record, seq) = (header.network, header.record.clone(), header.seq);
        let sealed = seal_section(&network, &record, name, seq, canonical.as_bytes(), body);
        header.sections.insert(name.clone(), sealed);
    }
    let before = event.before.filter(|before| before.seq + 1 == header.seq && Some(before.head) == header.prev);
    let made = replay(header, openings, before, &sequencer.world.directory).unwrap();
    outcome.events = vec![made.id];
    sequencer.publish(Decision { intent, outcome, events: vec![made] })
}

#[test]
fn two_events_for_one_seq_to_two_parties_in_two_logs_are_a_fork_for_both() {
    let (mut honest, mut receivers) = dealt();
    let mut other = honest.clone();
    let (one, two) = (title(&mut honest, "left"), title(&mut other, "right").nonce("right"));
    let (left, right) = (honest.apply(&one), other.apply(&two));
    assert_eq!(honest.kept[left].place.position, other.kept[right].place.position);
    let (for_bolt, for_crane) = (share_for(&honest, left, &receivers[0]), share_for(&other, right, &receivers[1]));
    assert!(matches!(receivers[0].take(&honest.world, &for_bolt), Comparison::Apply(_)));
    assert!(matches!(receivers[1].take(&other.world, &for_crane), Comparison::Apply(_)));
    // Each hands on what it has; the one place of the log holds two outcomes.
    let (told_crane, told_bolt) = (share_for(&honest, left, &receivers[1]), share_for(&other, right, &receivers[0]));
    objects(&mut receivers[1], &honest, &told_crane, Complaint::Fork);
    objects(&mut receivers[0], &other, &told_bolt, Complaint::Fork);
}

#[test]
fn two_events_for_one_seq_in_one_log_are_a_fork() {
    let (mut sequencer, mut receivers) = dealt();
    let before = sequencer.world.states.clone();
    let wish = title(&mut sequencer, "left");
    let left = sequencer.apply(&wish);
    sequencer.world.states = before;
    let wish = title(&mut sequencer, "right");
    let right = sequencer.apply(&wish);
    assert_ne!(sequencer.kept[left].place.position, sequencer.kept[right].place.position);
    for receiver in &mut receivers {
        let [first, second] = [left, right].map(|index| share_for(&sequencer, index, receiver));
        assert!(matches!(receiver.take(&sequencer.world, &first), Comparison::Apply(_)));
        objects(receiver, &sequencer, &second, Complaint::Fork);
    }
}

#[test]
fn an_event_kept_from_one_party_is_missed_with_the_next_one() {
    let (mut sequencer, mut receivers) = dealt();
    let (first, second) = (title(&mut sequencer, "kept"), title(&mut sequencer, "told"));
    let (kept, told) = (sequencer.apply(&first), sequencer.apply(&second));
    for receiver in &mut receivers {
        let share = share_for(&sequencer, told, receiver);
        let Comparison::Wait(wait) = receiver.take(&sequencer.world, &share) else { panic!("the gap is not seen") };
        assert_eq!(wait, Wait::Events { record: record("one"), from: 2, to: 2 });
        // What closes the gap may come from anyone who has it, and is older than what was heard.
        let missing = share_for(&sequencer, kept, receiver);
        assert!(matches!(receiver.take(&sequencer.world, &missing), Comparison::Apply(_)));
        assert!(matches!(receiver.take(&sequencer.world, &share), Comparison::Apply(_)));
    }
}

#[test]
fn an_outcome_that_fills_a_gap_is_older_than_what_was_heard_and_accuses_nobody() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = title(&mut sequencer, "first");
    let early = sequencer.apply(&wish);
    let wish = make(&mut sequencer, "two");
    let late = sequencer.apply(&wish);
    for index in [late, early] {
        let share = share_for(&sequencer, index, &receivers[2]);
        let taken = receivers[2].take(&sequencer.world, &share);
        assert!(matches!(taken, Comparison::Apply(_)), "{taken:?}");
    }
}

#[test]
fn a_rejection_told_to_one_and_an_application_to_another_are_two_ends_of_one_intent() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = sequencer.world.call("bob@bolt", "whisper", "one", vec![op("secret", "add", "/price", 3)]);
    let decision = sequencer.decide(&wish);
    let intent = decision.intent.clone();
    let refused = Outcome {
        ending: Ending::Rejected,
        events: Vec::new(),
        said: Reasons {
            rejected: Some(Rejected::new(Code::Entitlement, "no")),
            ..decision.outcome.reasons().unwrap().clone()
        }
        .into(),
        ..decision.outcome.clone()
    };
    let applied = sequencer.publish(decision);
    let rejected = sequencer.publish(Decision { intent, outcome: refused, events: Vec::new() });
    let (yes, no) = (share_for(&sequencer, applied, &receivers[0]), share_for(&sequencer, rejected, &receivers[2]));
    assert!(matches!(receivers[0].take(&sequencer.world, &yes), Comparison::Apply(_)));
    assert!(matches!(receivers[2].take(&sequencer.world, &no), Comparison::Apply(_)));
    let directory = &sequencer.world.directory;
    for (had, told) in [(applied, &no), (rejected, &yes)] {
        let kept = &sequencer.kept[had];
        let leaf = leaf_hash(&kept.outcome.leaf());
        let had = Had { intent: kept.outcome.intent, leaf, position: Some(kept.place.position) };
        let Again::Other(objection) = again(told, &had, directory) else { panic!("two ends are not seen") };
        assert_eq!(objection.complaint, Complaint::Fork);
    }
    // Whoever may execute it again finds the rejection to be none.
    let mut bolt = Receiver::new(&sequencer.world, "bolt");
    let first = share_for(&sequencer, 0, &bolt);
    assert!(matches!(bolt.take(&sequencer.world, &first), Comparison::Apply(_)));
    let no = share_for(&sequencer, rejected, &bolt);
    objects(&mut bolt, &sequencer, &no, Complaint::Execution);
}

#[test]
fn a_repeat_is_the_same_and_a_forged_one_proves_nothing() {
    let (sequencer, receivers) = dealt();
    let (kept, share) = (&sequencer.kept[0], share_for(&sequencer, 0, &receivers[0]));
    let leaf = leaf_hash(&kept.outcome.leaf());
    let had = Had { intent: kept.outcome.intent, leaf, position: Some(kept.place.position) };
    let directory = &sequencer.world.directory;
    assert_eq!(again(&share, &had, directory), Again::Same);
    let mut forged = share.clone();
    forged.place.position += 1;
    assert!(matches!(again(&forged, &had, directory), Again::Refuse(_)));
    assert!(matches!(receivers[0].compare(&sequencer.world, &share), Comparison::Refuse(_) | Comparison::Object(_)));
}

#[test]
fn a_time_that_goes_back_along_the_log_is_backdated() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = title(&mut sequencer, "better");
    sequencer.world.time = sequencer.world.time.plus_micros(-5_000);
    let decision = sequencer.decide(&wish);
    let index = sequencer.publish(decision);
    for receiver in &mut receivers {
        let share = share_for(&sequencer, index, receiver);
        objects(receiver, &sequencer, &share, Complaint::Backdated);
    }
}

#[test]
fn a_time_far_ahead_is_held_and_not_disputed() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = title(&mut sequencer, "better");
    let now = sequencer.world.time;
    sequencer.world.time = now.plus_micros(301_000_000);
    let index = sequencer.apply(&wish);
    sequencer.world.time = now;
    let share = share_for(&sequencer, index, &receivers[2]);
    assert!(matches!(receivers[2].take(&sequencer.world, &share), Comparison::Wait(Wait::Until(_))));
    sequencer.world.time = now.plus_micros(2_000_000);
    assert!(matches!(receivers[2].take(&sequencer.world, &share), Comparison::Apply(_)));
}

#[test]
fn an_intent_that_nobody_signed_is_unsigned() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = title(&mut sequencer, "forged").signed_by("acme");
    let json = wish.json();
    let openings = json.get("openings").unwrap().canonical();
    let Json::Object(mut envelope) = json else { panic!("a submission is an object") };
    envelope.remove("openings");
    let envelope = Json::Object(envelope).canonical();
    let stolen = |_: &_| Some(key("acme").public_key());
    let intent = read_stored(envelope.as_bytes(), openings.as_bytes(), Whole::All, stolen).unwrap();
    let decision = sequencer.judge(intent);
    let index = sequencer.publish(decision);
    for receiver in &mut receivers {
        let share = share_for(&sequencer, index, receiver);
        objects(receiver, &sequencer, &share, Complaint::Unsigned);
    }
    assert!(!Complaint::Unsigned.proven() && Complaint::Fork.proven());
}

#[test]
fn an_intent_signed_by_a_revoked_key_is_unsigned() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = sequencer.world.call("bob@bolt", "whisper", "one", vec![op("secret", "add", "/price", 1)]);
    let intent = sequencer.world.enter(&wish);
    sequencer.world.change("root@bolt", Body::ActorRevoke { actor: actor("bob@bolt") }).unwrap();
    let decision = sequencer.judge(intent);
    let index = sequencer.publish(decision);
    for receiver in &mut receivers {
        let share = share_for(&sequencer, index, receiver);
        objects(receiver, &sequencer, &share, Complaint::Unsigned);
    }
}

#[test]
fn a_sealed_rejection_outlives_the_key_that_signed_it() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = sequencer.world.call("bob@bolt", "edit", "one", vec![op("listing", "add", "/title", "mine")]);
    let index = sequencer.run(&wish);
    assert_eq!(sequencer.kept[index].outcome.ending, Ending::Rejected);
    let rotated = Body::ActorRotate { actor: actor("bob@bolt"), key: key("another").public_key() };
    sequencer.world.change("root@bolt", rotated).unwrap();
    sequencer.world.change("root@bolt", Body::ActorRevoke { actor: actor("bob@bolt") }).unwrap();
    for receiver in &mut receivers {
        let share = share_for(&sequencer, index, receiver);
        let taken = receiver.take(&sequencer.world, &share);
        assert!(matches!(taken, Comparison::Apply(_)), "{}: {taken:?}", receiver.name);
        let report = receiver.audited(&sequencer.world);
        assert!(report.is_clean(), "{}: {:#?}", receiver.name, report.findings);
    }
}

/// An event that somebody without the right would make, if contract and rules let it.
fn changed(section: &str, operation: Json) -> impl FnOnce(&mut Header, &mut EventOpenings) {
    let section = section.to_owned();
    move |_, openings| {
        let body = openings.sections.get_mut(&section).unwrap();
        body.changes = vec![Operation::from_json(&operation).unwrap()];
    }
}

#[test]
fn a_change_without_the_right_is_refused_by_whoever_sees_it() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = sequencer.world.call("ivy@crane", "edit", "one", Vec::new());
    let decision = sequencer.decide(&wish);
    let op = json!({"op": "add", "path": "/title", "value": "mine"});
    let index = with_event(&mut sequencer, decision, changed("listing", op));
    for receiver in &mut receivers {
        let share = share_for(&sequencer, index, receiver);
        objects(receiver, &sequencer, &share, Complaint::Rights);
    }
}

#[test]
fn a_state_that_breaks_its_schema_is_refused_by_whoever_sees_it() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = title(&mut sequencer, "fits");
    let decision = sequencer.decide(&wish);
    let op = json!({"op": "add", "path": "/title", "value": "far longer than the schema allows"});
    let index = with_event(&mut sequencer, decision, changed("listing", op));
    for receiver in &mut receivers {
        let share = share_for(&sequencer, index, receiver);
        objects(receiver, &sequencer, &share, Complaint::Rights);
    }
}

#[test]
fn a_result_that_the_contract_does_not_give_is_found_by_executing_it() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = title(&mut sequencer, "wished");
    let decision = sequencer.decide(&wish);
    let op = json!({"op": "add", "path": "/title", "value": "other"});
    let index = with_event(&mut sequencer, decision, changed("listing", op));
    for receiver in &mut receivers {
        let share = share_for(&sequencer, index, receiver);
        objects(receiver, &sequencer, &share, Complaint::Execution);
    }
}

#[test]
fn a_rejection_for_another_reason_is_found_by_executing_it() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = sequencer.world.call("bob@bolt", "edit", "one", vec![op("listing", "add", "/title", "mine")]);
    let decision = sequencer.decide(&wish);
    let index = with_reasons(&mut sequencer, decision, |reasons| {
        reasons.rejected = Some(Rejected::new(Code::Schema, "it does not fit"));
    });
    let share = share_for(&sequencer, index, &receivers[0]);
    objects(&mut receivers[0], &sequencer, &share, Complaint::Execution);
}

#[test]
fn an_outcome_judged_on_another_version_than_its_event_continues_is_no_way_around_execution() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = title(&mut sequencer, "wished");
    let mut lying = sequencer.clone();
    let decision = lying.decide(&wish);
    let another = Some(Digest::of(b"another"));
    let index = with_reasons(&mut lying, decision, |reasons| reasons.judged.reads[0].head = another);
    let share = share_for(&lying, index, &receivers[0]);
    objects(&mut receivers[0], &lying, &share, Complaint::Chain);
    let decision = sequencer.decide(&wish);
    let index = with_reasons(&mut sequencer, decision, |reasons| reasons.judged.package = another);
    let share =
        Share { outcome: sequencer.kept[index].outcome.stored(), ..share_for(&sequencer, index, &receivers[0]) };
    objects(&mut receivers[0], &sequencer, &share, Complaint::Chain);
}

#[test]
fn an_expired_or_early_or_unexpected_intent_is_not_applied() {
    let (mut sequencer, mut receivers) = dealt();
    let later = sequencer.world.time.plus_micros(60_000_000);
    let (plain, stale) = (title(&mut sequencer, "a"), title(&mut sequencer, "b").expect(7));
    let early = title(&mut sequencer, "c").edit(|draft| draft.not_before = Some(later));
    let soon = sequencer.world.time.plus_micros(10);
    let expired = title(&mut sequencer, "d").edit(|draft| draft.expires = soon);
    for wish in [stale, early, expired] {
        let mut lying = sequencer.clone();
        let template = lying.decide(&plain);
        let intent = lying.world.enter(&wish);
        lying.tick();
        let Decision { mut outcome, mut events, .. } = template;
        let event = events.remove(0);
        let mut header = event.header;
        (header.intent, header.time) = (intent.id(), lying.world.time);
        let made = replay(header, event.openings, event.before, &lying.world.directory).unwrap();
        (outcome.intent, outcome.time, outcome.events) = (intent.id(), lying.world.time, vec![made.id]);
        let index = lying.publish(Decision { intent, outcome, events: vec![made] });
        let share = share_for(&lying, index, &receivers[2]);
        objects(&mut receivers[2], &lying, &share, Complaint::Rights);
    }
}

#[test]
fn a_package_or_spec_that_nobody_agreed_to_judges_nothing() {
    let (mut sequencer, mut receivers) = dealt();
    let laxer = spec_with("listing", "modify", &["anyone"]);
    let proposed = sequencer.world.propose(&contract_with("1.1.0", laxer)).unwrap();
    let wish = title(&mut sequencer, "better");
    let decision = sequencer.decide(&wish);
    let index = {
        let Decision { intent, outcome, events } = decision;
        let mut said = outcome.reasons().unwrap().clone();
        said.judged.package = Some(proposed);
        let outcome = Outcome { said: said.into(), ..outcome };
        with_event(&mut sequencer, Decision { intent, outcome, events }, |header, _| header.package = proposed)
    };
    for receiver in &mut receivers {
        let share = share_for(&sequencer, index, receiver);
        objects(receiver, &sequencer, &share, Complaint::Chain);
    }
}

/// What a relay does to a share: edits the openings of its event.
fn reopened(share: &Share, edit: impl FnOnce(&mut EventOpenings)) -> Share {
    let mut share = share.clone();
    let mut openings = EventOpenings::read(&share.events[0].openings).unwrap();
    edit(&mut openings);
    share.events[0].openings = openings.stored();
    share
}

#[test]
fn a_section_withheld_from_who_is_entitled_to_it_is_waited_for() {
    let (mut sequencer, receivers) = dealt();
    let wish = sequencer.world.call("bob@bolt", "whisper", "one", vec![op("secret", "add", "/price", 3)]);
    let index = sequencer.apply(&wish);
    let share = share_for(&sequencer, index, &receivers[0]);
    let withheld = reopened(&share, |openings| drop(openings.sections.remove("secret")));
    let Comparison::Wait(wait) = receivers[0].compare(&sequencer.world, &withheld) else { panic!("it is not missed") };
    assert_eq!(wait, Wait::Section { record: record("one"), section: "secret".to_owned() });
    let cut = sequencer.share(index, &viewer("gaze")).unwrap();
    assert!(matches!(receivers[0].compare(&sequencer.world, &cut), Comparison::Wait(Wait::Section { .. })));
    assert!(matches!(receivers[0].compare(&sequencer.world, &share), Comparison::Apply(_)));
}

#[test]
fn call_and_reasons_withheld_from_who_reads_everything_are_waited_for() {
    let (mut sequencer, receivers) = dealt();
    let wish = title(&mut sequencer, "better");
    let index = sequencer.apply(&wish);
    let share = share_for(&sequencer, index, &receivers[0]);
    let sealed = Share { outcome: sequencer.kept[index].outcome.sealed().stored(), ..share.clone() };
    assert!(matches!(receivers[0].compare(&sequencer.world, &sealed), Comparison::Wait(Wait::Reasons)));
    let opened = String::from_utf8(share.openings.clone()).unwrap();
    let Ok(Json::Object(mut object)) = Json::parse(opened.as_bytes(), &lockstep_core::json::Limits::default()) else {
        panic!("openings are an object")
    };
    object.insert("call", Json::Null);
    let closed = Share { openings: Json::Object(object).canonical().into_bytes(), ..share };
    assert!(matches!(receivers[0].compare(&sequencer.world, &closed), Comparison::Wait(Wait::Reasons)));
}

#[test]
fn openings_that_do_not_fit_are_never_applied_and_prove_nothing_against_the_sequencer() {
    let (mut sequencer, mut receivers) = dealt();
    let wish = title(&mut sequencer, "better");
    let index = sequencer.apply(&wish);
    let share = share_for(&sequencer, index, &receivers[2]);
    let other = Salt::from(*Digest::of(b"other").as_bytes());
    type Edit = Box<dyn Fn(&mut EventOpenings)>;
    let edits: [Edit; 3] = [
        Box::new(move |openings| openings.sections.get_mut("listing").unwrap().content_salt = other),
        Box::new(|openings| openings.sections.get_mut("listing").unwrap().changes.clear()),
        Box::new(|openings| {
            let body = openings.sections["listing"].clone();
            openings.sections.insert("secret".to_owned(), body);
        }),
    ];
    for edit in edits {
        objects(&mut receivers[2], &sequencer, &reopened(&share, edit), Complaint::Opening);
    }
    assert!(!Complaint::Opening.proven());
}

#[test]
fn whoever_hands_a_share_on_cannot_make_its_sequencer_look_guilty() {
    let (mut sequencer, _) = dealt();
    let wish = make(&mut sequencer, "two");
    sequencer.apply(&wish);
    let mut bolt = Receiver::new(&sequencer.world, "bolt");
    bolt.follow(&sequencer);
    let steps = vec![op("listing", "add", "/a", 1), with(op("listing", "add", "/b", 2), "record", 1)];
    let both = sequencer.world.call("ann@acme", "both", "one", steps).also("two");
    let index = sequencer.apply(&both);
    let share = share_for(&sequencer, index, &bolt);
    let mut reordered = share.clone();
    reordered.events.reverse();
    let mut doubled = share.clone();
    doubled.events.push(share.events[0].clone());
    let mut shortened = share.clone();
    shortened.events.pop();
    let swapped = Share { envelope: sequencer.kept[0].intent.envelope().to_vec(), ..share.clone() };
    for bad in [reordered, doubled, shortened, swapped] {
        let comparison = bolt.compare(&sequencer.world, &bad);
        assert!(matches!(comparison, Comparison::Refuse(_)), "{comparison:?}");
    }
    let text = String::from_utf8(share.openings.clone()).unwrap();
    let Ok(Json::Object(mut object)) = Json::parse(text.as_bytes(), &lockstep_core::json::Limits::default()) else {
        panic!("openings are an object")
    };
    let Some(Json::Array(mut records)) = object.remove("records") else { panic!("records are an array") };
    records[1] = Json::Null;
    object.insert("records", records.into_iter().collect::<Json>());
    let closed = Share { openings: Json::Object(object).canonical().into_bytes(), ..share.clone() };
    let comparison = bolt.compare(&sequencer.world, &closed);
    assert!(!matches!(comparison, Comparison::Apply(_)), "{comparison:?}");
    let Comparison::Apply(arrived) = bolt.compare(&sequencer.world, &share) else { panic!("it is honest") };
    assert_eq!(arrived.level, Level::Full);
}
