//! Laws that hold for whatever an intent does.

use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, Salt};
use lockstep_core::event::{EventOpenings, Header, Read};
use lockstep_core::execute::{Judged, Rejected, Verdict};
use lockstep_core::json::{Json, json};
use lockstep_core::outcome::{Ending, Outcome, Reasons, Said};
use lockstep_core::record::RecordState;
use lockstep_core::seal::{SealedEvent, replay};
use lockstep_core::tables::{Cell, Row};

use crate::world::{World, deal_manifest, deal_spec, notify, now, op, record, set, step, with};

/// SplitMix64; a failing seed is printed by the assertion that fails.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % count
    }

    fn value(&mut self, depth: u64) -> Json {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => Json::Null,
            1 => Json::from(self.below(1000)),
            2 => Json::from(["", "a", "straße", "\u{7f}\n\"", "日本", "e\u{301}"][self.below(6) as usize]),
            3 => Json::from(self.below(2) == 0),
            4 => Json::from((0..self.below(4)).map(|_| self.value(depth - 1)).collect::<Vec<_>>()),
            _ => {
                let members = ["a", "b", "~", "/", ""].map(|name| (name, self.value(depth - 1)));
                Json::Object(members.into_iter().take(self.below(5) as usize).collect())
            }
        }
    }

    /// A step that may or may not work.
    fn step(&mut self, section: &str) -> Json {
        let path = ["", "/a", "/b", "/~0", "/~1", "/", "/-", "/0", "/a/b"];
        let (at, from) = (path[self.below(9) as usize], path[self.below(9) as usize]);
        let operation = match self.below(8) {
            0 => json!({"op": "remove", "path": at}),
            1 => json!({"op": "move", "path": at, "from": from}),
            2 => json!({"op": "copy", "path": at, "from": from}),
            3 => json!({"op": "replace", "path": at, "value": self.value(2)}),
            4 => return notify(section, "deal.told"),
            _ => json!({"op": "add", "path": at, "value": self.value(2)}),
        };
        json!({"do": "change", "section": section, "op": operation})
    }
}

/// A world in which `open` and `secret` hold anything, and one deal is made.
fn anything() -> World {
    let mut world = World::new();
    world.people();
    let free = |name: &str| with(deal_spec().get("sections").unwrap().get(name).unwrap().clone(), "schema", json!({}));
    let sections = json!({"open": free("open"), "secret": free("secret"), "notes": free("notes")});
    let spec = with(with(deal_spec(), "sections", sections), "projections", json!({}));
    world.deploy(&with(deal_manifest("1.0.0"), "specs", json!({"deal": spec}))).unwrap();
    let make = world.make("one");
    world.apply(&make);
    world
}

/// Random intents, applied; what each did.
fn history(seed: u64, length: usize) -> (World, Vec<SealedEvent>) {
    let (mut world, mut dice) = (anything(), Dice(seed));
    let mut events = Vec::new();
    while events.len() < length {
        let (method, section) = if dice.below(2) == 0 { ("edit", "open") } else { ("whisper", "secret") };
        let steps = (0..1 + dice.below(4)).map(|_| dice.step(section)).collect();
        let wish = world.call("ann@acme", method, "one", steps);
        let intent = world.enter(&wish);
        if matches!(world.execute(&intent).unwrap().verdict, Verdict::Applied(_)) {
            events.extend(world.apply(&wish));
        }
    }
    (world, events)
}

#[test]
fn the_same_job_has_the_same_verdict() {
    let (mut world, _) = history(1, 3);
    let mut dice = Dice(2);
    for _ in 0..300 {
        let steps: Vec<Json> = (0..1 + dice.below(5)).map(|_| dice.step("open")).collect();
        let wish = world.call("ann@acme", "edit", "one", steps);
        let intent = world.enter(&wish);
        let once = format!("{:?}", world.execute(&intent).unwrap());
        assert_eq!(once, format!("{:?}", world.execute(&intent).unwrap()));
        if once.contains("Applied") {
            let events = |seed| world.seal(&intent, seed).into_iter().map(|event| event.id).collect::<Vec<_>>();
            assert_eq!(events(7), events(7));
            assert_ne!(events(7), events(8), "other salts, other ids");
        }
    }
}

#[test]
fn what_was_sealed_replays_to_the_same_event_and_state() {
    for seed in 0..40 {
        let (world, events) = history(seed, 8);
        for event in events {
            let header = Header::read(&event.header_stored).unwrap();
            let openings = EventOpenings::read(&event.openings_stored).unwrap();
            openings.check(&header).unwrap();
            let again = replay(header, openings, event.before.clone(), &world.directory).unwrap();
            assert_eq!(
                (again.id, &again.header_stored, &again.openings_stored),
                (event.id, &event.header_stored, &event.openings_stored),
                "seed {seed}"
            );
            assert_eq!(
                (&again.after, &again.applied, &again.contents),
                (&event.after, &event.applied, &event.contents),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn a_record_reads_back_from_its_row_and_its_last_header() {
    for seed in 0..20 {
        let (_, events) = history(seed, 6);
        let event = events.last().unwrap();
        let row: Row = lockstep_core::project::record_row(&event.entry, "acme:one", &event.after, now());
        let state = RecordState::from_row(&event.entry.table, &row, &event.header).unwrap();
        assert_eq!(state, *event.after, "seed {seed}");
        let mut other = row;
        other[0] = Cell::Text("acme:two".to_owned());
        assert!(RecordState::from_row(&event.entry.table, &other, &event.header).is_err());
    }
}

#[test]
fn no_byte_of_a_header_or_its_openings_can_change() {
    let (world, events) = history(3, 2);
    let event = events.last().unwrap();
    for at in 0..event.header_stored.len() {
        let mut flipped = event.header_stored.clone();
        flipped[at] ^= 1;
        assert!(Header::read(&flipped).map_or(true, |header| header.id() != event.id), "header byte {at}");
    }
    for at in 0..event.openings_stored.len() {
        let mut flipped = event.openings_stored.clone();
        flipped[at] ^= 1;
        let found = EventOpenings::read(&flipped).and_then(|openings| {
            openings.check(&event.header)?;
            replay(event.header.clone(), openings, event.before.clone(), &world.directory)
                .map(drop)
                .map_err(|unfit| unfit.to_string())
        });
        assert!(found.is_err(), "openings byte {at}");
    }
}

#[test]
fn an_event_replays_only_on_the_state_that_it_was_made_on() {
    let (world, events) = history(5, 3);
    let [_, two, three] = events.as_slice() else { panic!() };
    let replayed = |before| replay(three.header.clone(), three.openings.clone(), before, &world.directory);
    assert!(replayed(three.before.clone()).is_ok());
    assert!(replayed(None).is_err());
    assert!(replayed(two.before.clone()).is_err());
    let mut forged = (**three.before.as_ref().unwrap()).clone();
    forged.sections.get_mut("parties").unwrap().commitment = Digest::of(b"forged");
    assert!(replayed(Some(std::sync::Arc::new(forged))).is_err());
}

fn outcome(rejected: Option<Rejected>, ending: Ending) -> Outcome {
    let salt = |name: &str| Salt::from(*Digest::of(name.as_bytes()).as_bytes());
    let read = |name: &str, seq: u64| Read { record: record(name), seq, head: (seq > 0).then(|| Digest::of(b"head")) };
    Outcome {
        network: Digest::of(b"network"),
        intent: Digest::of(b"intent"),
        ending,
        submitted: now(),
        time: now().plus_micros(1),
        events: if rejected.is_none() { vec![Digest::of(b"event")] } else { Vec::new() },
        said: Said::Openly(Reasons {
            rejected,
            judged: Judged { reads: vec![read("one", 3), read("two", 0)], package: Some(Digest::of(b"package")) },
            directory: (4, Digest::of(b"directory")),
            salts: ["code", "reason", "message", "judged"].map(salt),
        }),
    }
}

#[test]
fn an_outcome_reads_back_and_no_byte_of_it_can_change() {
    let no = Rejected { code: Code::Contract, reason: Some("too_low".to_owned()), message: "straße".to_owned() };
    for outcome in [
        outcome(None, Ending::Applied),
        outcome(Some(no), Ending::Rejected),
        outcome(Some(Rejected::new(Code::Expired, "late")), Ending::Expired),
    ] {
        let stored = outcome.stored();
        assert_eq!(Outcome::read(&stored).unwrap(), outcome);
        let hash = lockstep_core::log::leaf_hash(&outcome.leaf());
        assert_eq!(Outcome::stored_leaf_hash(&stored), Some(hash));
        for at in 0..stored.len() {
            let mut flipped = stored.clone();
            flipped[at] ^= 1;
            let found = Outcome::read(&flipped);
            assert!(found.map_or(true, |read| lockstep_core::log::leaf_hash(&read.leaf()) != hash), "byte {at}");
        }
    }
}

#[test]
fn a_leaf_tells_nothing_about_why() {
    let no =
        |message: &str| Rejected { code: Code::Contract, reason: Some("r".to_owned()), message: message.to_owned() };
    let leaf = String::from_utf8(outcome(Some(no("secret words")), Ending::Rejected).leaf()).unwrap();
    assert!(!leaf.contains("secret words") && !leaf.contains("contract") && !leaf.contains("acme:one"), "{leaf}");
}

#[test]
fn a_payload_tells_nothing_about_what_is_wished() {
    let mut world = anything();
    let wish = world.call(
        "ann@acme",
        "edit",
        "one",
        vec![op("open", "add", "", "hidden words"), step("reject"), set("open", 1)],
    );
    let envelope = String::from_utf8(world.enter(&wish).envelope().to_vec()).unwrap();
    let json = Json::parse(envelope.as_bytes(), &Default::default()).unwrap();
    let payload = data_encoding::BASE64.decode(json.get("payload").unwrap().as_str().unwrap().as_bytes()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    for hidden in ["hidden words", "edit", "acme:one", "deal"] {
        assert!(!payload.contains(hidden), "{hidden}: {payload}");
    }
}
