//! Entitlements over time: who comes, goes, comes back or comes late, and what it holds at each step.

use lockstep_core::event::EventOpenings;
use lockstep_core::json::{Json, json};
use lockstep_core::sync::{Comparison, Wait};
use lockstep_core::tables::Cell;

use crate::network::{closed_contract, contract_with, deploy, found_with, spec_with, viewer};
use crate::receiver::Receiver;
use crate::replicas::make;
use crate::sequencer::Sequencer;
use crate::world::{members, op, record, set, with};

/// Memberships as they stand in the parties: role, actor, from, to.
fn parties(list: &[(&str, &str, u64, Option<u64>)]) -> Json {
    let open: Vec<(&str, &str, u64)> = list.iter().map(|(role, who, from, _)| (*role, *who, *from)).collect();
    let Json::Object(mut object) = members(&open) else { panic!("members are an object") };
    let Some(Json::Array(all)) = object.remove("members") else { panic!("members are an array") };
    let closed = all.into_iter().zip(list).map(|(member, (_, _, _, to))| match to {
        Some(to) => with(member, "to", *to),
        None => member,
    });
    object.insert("members", closed.collect::<Json>());
    Json::Object(object)
}

const OWNER: (&str, &str, u64, Option<u64>) = ("owner", "ann@acme", 1, None);

/// In from seq 1 to 4, out from 4 to 8, back after.
fn in_out_and_back() -> Sequencer {
    let mut sequencer = Sequencer::new();
    let mut step = |by: &str, method: &str, steps: Vec<Json>| {
        let wish = sequencer.world.call(by, method, "one", steps);
        sequencer.apply(&wish);
    };
    let first = parties(&[OWNER, ("buyer", "bob@bolt", 1, None)]);
    let listing = set("listing", json!({"title": "t"}));
    step("ann@acme", "make", vec![set("parties", first), listing, set("secret", json!({"price": 1}))]);
    step("bob@bolt", "whisper", vec![op("secret", "add", "/price", 2)]);
    step("ann@acme", "edit", vec![op("listing", "add", "/colour", "red")]);
    step("ann@acme", "join", vec![set("parties", parties(&[OWNER, ("buyer", "bob@bolt", 1, Some(4))]))]);
    step("ann@acme", "whisper", vec![op("secret", "add", "/price", 5)]);
    step("ann@acme", "edit", vec![op("listing", "add", "/colour", "blue")]);
    step("ann@acme", "whisper", vec![op("secret", "add", "/price", 7)]);
    let back = parties(&[OWNER, ("buyer", "bob@bolt", 1, Some(4)), ("buyer", "bob@bolt", 8, None)]);
    step("ann@acme", "join", vec![set("parties", back)]);
    step("bob@bolt", "whisper", vec![op("secret", "add", "/price", 9)]);
    sequencer
}

/// Content of `secret`, the scope and what is hidden, as people see it after each event.
fn held(receiver: &Receiver, sequencer: &Sequencer) -> [Cell; 4] {
    let row = receiver.row(&sequencer.world, "one");
    ["secret", "price", "lockstep_scope", "lockstep_hidden"].map(|column| row[column].clone())
}

#[test]
fn who_leaves_keeps_what_it_had_and_who_returns_is_given_what_it_missed() {
    let sequencer = in_out_and_back();
    let mut receiver = Receiver::new(&sequencer.world, "bolt");
    let text = |text: &str| Cell::Text(text.to_owned());
    let sees = |price: i64| [text(&format!("{{\"price\":{price}}}")), Cell::Integer(price), text("full"), Cell::Null];
    let blind = || [Cell::Null, Cell::Null, text("partial"), text(r#"["secret"]"#)];
    let expected = [sees(1), sees(2), sees(2), sees(2), blind(), blind(), blind(), sees(7), sees(9)];
    for (index, expected) in expected.into_iter().enumerate() {
        let share = sequencer.share(index, &receiver.viewer).unwrap();
        let comparison = receiver.take(&sequencer.world, &share);
        assert!(matches!(comparison, Comparison::Apply(_)), "seq {}: {comparison:?}", index + 1);
        assert_eq!(held(&receiver, &sequencer), expected, "after seq {}", index + 1);
        let report = receiver.audited(&sequencer.world);
        assert!(report.is_clean(), "after seq {}: {:#?}", index + 1, report.findings);
    }
}

#[test]
fn who_could_see_a_section_when_is_in_the_parties_on_both_sides() {
    let sequencer = in_out_and_back();
    let mut receiver = Receiver::new(&sequencer.world, "bolt");
    receiver.follow(&sequencer);
    let (state, truth) = (receiver.state("one").unwrap(), sequencer.state(&record("one")));
    assert_eq!(state.parties(), truth.parties());
    let spec = &sequencer.world.directory.specs()[&truth.spec_digest].spec;
    let seen = lockstep_core::sync::Seen { spec, parties: &state.parties() };
    let could: Vec<bool> = (1..=9).map(|seq| viewer("bolt").reads(seen, "secret", seq)).collect();
    assert_eq!(could, [true, true, true, false, false, false, false, true, true]);
}

#[test]
fn who_is_out_is_sent_no_byte_of_the_section() {
    let sequencer = in_out_and_back();
    for index in [3, 4, 5, 6] {
        let share = sequencer.share(index, &viewer("bolt")).unwrap();
        let openings = EventOpenings::read(&share.events[0].openings).unwrap();
        assert!(!openings.sections.contains_key("secret") && openings.given.is_empty(), "seq {}", index + 1);
    }
    let share = sequencer.share(7, &viewer("bolt")).unwrap();
    let given = EventOpenings::read(&share.events[0].openings).unwrap().given;
    assert_eq!(given.keys().collect::<Vec<_>>(), ["secret"]);
}

#[test]
fn what_was_not_written_while_out_stays_and_is_not_given_again() {
    let mut sequencer = Sequencer::new();
    let first = parties(&[OWNER, ("buyer", "bob@bolt", 1, None)]);
    let listing = set("listing", json!({"title": "t"}));
    let lists = [
        parties(&[OWNER, ("buyer", "bob@bolt", 1, Some(2))]),
        parties(&[OWNER, ("buyer", "bob@bolt", 1, Some(2)), ("buyer", "bob@bolt", 3, None)]),
    ];
    let steps = vec![set("parties", first), listing, set("secret", json!({"price": 1}))];
    let wish = sequencer.world.call("ann@acme", "make", "one", steps);
    sequencer.apply(&wish);
    for list in lists {
        let wish = sequencer.world.call("ann@acme", "join", "one", vec![set("parties", list)]);
        sequencer.apply(&wish);
    }
    let share = sequencer.share(2, &viewer("bolt")).unwrap();
    assert!(EventOpenings::read(&share.events[0].openings).unwrap().given.is_empty());
    let mut receiver = Receiver::new(&sequencer.world, "bolt");
    receiver.follow(&sequencer);
    assert_eq!(receiver.state("one").unwrap().hidden().count(), 0);
    assert!(receiver.audited(&sequencer.world).is_clean());
}

/// A closed record that crane joins at seq 4; it has been in nothing before.
fn joined_late() -> Sequencer {
    let mut sequencer = Sequencer::of(found_with(&closed_contract()));
    let wish = make_without_inspector(&mut sequencer);
    sequencer.apply(&wish);
    let calls = [
        ("bob@bolt", "whisper", vec![op("secret", "add", "/price", 6)]),
        ("ann@acme", "edit", vec![op("listing", "add", "/colour", "red")]),
    ];
    for (by, method, steps) in calls {
        let wish = sequencer.world.call(by, method, "one", steps);
        sequencer.apply(&wish);
    }
    sequencer
}

fn make_without_inspector(sequencer: &mut Sequencer) -> crate::world::Wish {
    let first = parties(&[OWNER, ("buyer", "bob@bolt", 1, None)]);
    let listing = set("listing", json!({"title": "t"}));
    let steps = vec![set("parties", first), listing, set("secret", json!({"price": 1}))];
    sequencer.world.call("ann@acme", "make", "one", steps)
}

fn let_in(sequencer: &mut Sequencer, role: &str, who: &str) {
    let list = parties(&[OWNER, ("buyer", "bob@bolt", 1, None), (role, who, 4, None)]);
    let wish = sequencer.world.call("ann@acme", "join", "one", vec![set("parties", list)]);
    sequencer.apply(&wish);
}

#[test]
fn who_holds_no_role_is_sent_nothing_at_all() {
    let sequencer = joined_late();
    assert!(sequencer.shares(&viewer("crane")).is_empty());
    assert!(sequencer.shares(&viewer("gaze")).is_empty());
    assert_eq!(sequencer.shares(&viewer("bolt")).len(), 3);
}

#[test]
fn a_late_joiner_gets_the_headers_from_the_start_and_contents_from_its_own_seq() {
    let mut sequencer = joined_late();
    let_in(&mut sequencer, "inspector", "ivy@crane");
    let mut receiver = Receiver::new(&sequencer.world, "crane");
    let shares = sequencer.shares(&receiver.viewer);
    assert_eq!(shares.len(), 4);
    for (index, share) in shares.iter().enumerate() {
        let openings = EventOpenings::read(&share.events[0].openings).unwrap();
        assert_eq!(openings.sections.is_empty(), index < 3, "seq {}", index + 1);
        assert!(matches!(receiver.take(&sequencer.world, share), Comparison::Apply(_)), "seq {}", index + 1);
        assert!(receiver.audited(&sequencer.world).is_clean(), "seq {}", index + 1);
    }
    let state = receiver.state("one").unwrap();
    let truth = sequencer.state(&record("one"));
    assert_eq!((state.head, state.content("listing")), (truth.head, truth.content("listing")));
    assert_eq!(state.hidden().collect::<Vec<_>>(), ["secret"]);
    let wish = sequencer.world.call("ivy@crane", "inspect", "one", vec![set("report", json!({"roof": "leaks"}))]);
    sequencer.apply(&wish);
    let wish = sequencer.world.call("ann@acme", "edit", "one", vec![op("listing", "add", "/colour", "blue")]);
    sequencer.apply(&wish);
    receiver.follow(&sequencer);
    assert!(receiver.audited(&sequencer.world).is_clean());
}

#[test]
fn a_late_joiner_that_meets_a_later_event_first_asks_for_the_ones_before() {
    let mut sequencer = joined_late();
    let_in(&mut sequencer, "inspector", "ivy@crane");
    let mut receiver = Receiver::new(&sequencer.world, "crane");
    let share = sequencer.share(3, &receiver.viewer).unwrap();
    let Comparison::Wait(wait) = receiver.take(&sequencer.world, &share) else { panic!("it has nothing before") };
    assert_eq!(wait, Wait::Events { record: record("one"), from: 1, to: 3 });
    receiver.follow(&sequencer);
}

#[test]
fn of_an_intent_over_two_records_only_the_followed_one_is_sent_and_replayed() {
    let mut sequencer = joined_late();
    let wish = sequencer.world.call(
        "ann@acme",
        "make",
        "two",
        vec![
            set("parties", parties(&[OWNER, ("inspector", "ivy@crane", 1, None)])),
            set("listing", json!({"title": "t"})),
            set("secret", json!({})),
        ],
    );
    sequencer.apply(&wish);
    let steps = vec![op("listing", "add", "/a", 1), with(op("listing", "add", "/b", 2), "record", 1)];
    let both = sequencer.world.call("ann@acme", "both", "one", steps).also("two");
    let index = sequencer.apply(&both);
    for (name, record) in [("bolt", "acme:one"), ("crane", "acme:two")] {
        let mut receiver = Receiver::new(&sequencer.world, name);
        receiver.follow(&sequencer);
        let share = sequencer.share(index, &receiver.viewer).unwrap();
        let text = String::from_utf8([share.openings, share.events[0].header.clone()].concat()).unwrap();
        assert_eq!((share.events.len(), text.matches("acme:one").count() + text.matches("acme:two").count()), (1, 2));
        assert!(text.contains(record), "{name}");
        let report = receiver.audited(&sequencer.world);
        assert!(report.is_clean(), "{name}: {:#?}", report.findings);
    }
}

#[test]
fn what_a_replica_hands_on_opens_the_records_that_the_receiver_follows_and_no_other() {
    let mut sequencer = joined_late();
    let watched = parties(&[OWNER, ("inspector", "ivy@crane", 1, None), ("inspector", "gil@gaze", 1, None)]);
    let steps = vec![set("parties", watched), set("listing", json!({"title": "t"})), set("secret", json!({}))];
    let wish = sequencer.world.call("ann@acme", "make", "two", steps);
    sequencer.apply(&wish);
    let mut crane = Receiver::new(&sequencer.world, "crane");
    crane.follow(&sequencer);
    let steps = vec![op("listing", "add", "/a", 1), with(op("listing", "add", "/b", 2), "record", 1)];
    let both = sequencer.world.call("ann@acme", "both", "one", steps).also("two");
    let index = sequencer.apply(&both);
    let share = sequencer.share(index, &crane.viewer).unwrap();
    let Comparison::Apply(arrived) = crane.take(&sequencer.world, &share) else { panic!("it is in order") };
    // From here on it is crane that hands it on, which has the first record closed.
    (sequencer.kept[index].intent, sequencer.kept[index].events) = (arrived.intent, arrived.events);
    let handed_on = sequencer.share(index, &viewer("gaze")).unwrap();
    assert_eq!(handed_on.openings, share.openings);
    assert!(sequencer.share(index, &viewer("bolt")).is_none(), "bolt follows the closed one only");
    let mut gaze = Receiver::new(&sequencer.world, "gaze");
    gaze.take(&sequencer.world, &sequencer.share(index - 1, &viewer("gaze")).unwrap());
    assert!(matches!(gaze.take(&sequencer.world, &handed_on), Comparison::Apply(_)));
}

#[test]
fn a_spec_that_opens_a_section_gives_its_content_to_those_who_may_read_it_now() {
    let mut sequencer = Sequencer::new();
    let wish = make(&mut sequencer, "one");
    sequencer.apply(&wish);
    let mut receiver = Receiver::new(&sequencer.world, "crane");
    receiver.follow(&sequencer);
    assert_eq!(receiver.state("one").unwrap().hidden().collect::<Vec<_>>(), ["secret"]);
    let wider = spec_with("secret", "read", &["inspector"]);
    deploy(&mut sequencer.world, &contract_with("1.1.0", wider));
    for title in ["two", "three"] {
        let wish = sequencer.world.call("ann@acme", "edit", "one", vec![op("listing", "add", "/title", title)]);
        sequencer.apply(&wish);
    }
    receiver.follow(&sequencer);
    let (state, truth) = (receiver.state("one").unwrap(), sequencer.state(&record("one")));
    assert_eq!((state.hidden().count(), state.content("secret")), (0, truth.content("secret")));
    assert!(receiver.audited(&sequencer.world).is_clean());
}

#[test]
fn an_actor_that_may_not_read_all_that_its_own_method_may_write_accuses_nobody() {
    let mut sequencer = Sequencer::new();
    let list = parties(&[OWNER, ("inspector", "ivy@crane", 1, None)]);
    let steps = vec![set("parties", list), set("listing", json!({"title": "t"}))];
    let wish = sequencer.world.call("ann@acme", "start", "one", steps);
    sequencer.apply(&wish);
    let wish = sequencer.world.call("ivy@crane", "probe", "one", vec![set("report", json!({"roof": "dry"}))]);
    sequencer.apply(&wish);
    let mut receiver = Receiver::new(&sequencer.world, "crane");
    receiver.follow(&sequencer);
    assert_eq!(receiver.state("one").unwrap().hidden().collect::<Vec<_>>(), ["secret"]);
    let report = receiver.audited(&sequencer.world);
    assert!(report.is_clean(), "{:#?}", report.findings);
}
