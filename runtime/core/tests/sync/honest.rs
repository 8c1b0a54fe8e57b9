//! Honest runs: whatever happens on the way, nobody is accused, and in the end all hold the same.

use std::collections::BTreeMap;
use std::ops::Range;

use lockstep_core::crypto::{Digest, Signer};
use lockstep_core::directory::Body;
use lockstep_core::json::{Json, json};
use lockstep_core::log::leaf_hash;
use lockstep_core::names::RecordId;
use lockstep_core::outcome::Ending;
use lockstep_core::sync::{Again, Comparison, Had, Level, Share, Wait, again};

use crate::network::{Dice, closed_contract, contract, found_with};
use crate::receiver::Receiver;
use crate::sequencer::Sequencer;
use crate::world::{Wish, World, actor, key, members, notify, op, read, record, set, step, with};

const ACTORS: [&str; 4] = ["ann@acme", "bob@bolt", "ivy@crane", "gus@gaze"];

/// The seeds, one for each run: a thousand from 0 on, unless `SYNC_RUNS` and `SYNC_FROM` say otherwise, as the proof
/// `honest` does.
fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let from = number("SYNC_FROM").unwrap_or(0);
    from..from + number("SYNC_RUNS").unwrap_or(1_000)
}

/// Parties that go on from those before as they must: one membership closed or opened, or both.
fn next_parties(before: &Json, seq: u64, dice: &mut Dice) -> Json {
    let Some(list) = before.get("members").and_then(Json::as_array) else {
        let mut list = vec![("owner", "ann@acme", 1)];
        for (role, who) in [("buyer", "bob@bolt"), ("inspector", "ivy@crane"), ("buyer", "gus@gaze")] {
            if dice.below(2) == 0 {
                list.push((role, who, 1));
            }
        }
        return members(&list);
    };
    let mut list = list.to_vec();
    let open: Vec<usize> = (1..list.len()).filter(|at| list[*at].get("to").is_none()).collect();
    if !open.is_empty() && dice.below(2) == 0 {
        let at = *dice.pick(&open);
        list[at] = with(list[at].clone(), "to", seq);
    } else {
        let who = *dice.pick(&["bob@bolt", "ivy@crane", "gus@gaze"]);
        let role = *dice.pick(&["buyer", "inspector", "owner"]);
        let participant = actor(who).participant().as_str().to_owned();
        list.push(json!({"role": role, "participant": participant, "actor": who, "from": seq}));
    }
    json!({"members": list})
}

fn value(dice: &mut Dice) -> Json {
    match dice.below(4) {
        0 => Json::from(dice.below(1000)),
        1 => Json::from("x".repeat(dice.below(40))),
        2 => json!({"deep": [dice.below(9)]}),
        _ => Json::Null,
    }
}

fn change(section: &str, dice: &mut Dice) -> Json {
    let value = value(dice);
    match dice.below(5) {
        0 => set(section, json!({"title": "whole", "price": 3})),
        1 => json!({"do": "change", "section": section, "op": {"op": "remove", "path": "/more"}}),
        2 if section == "listing" => op(section, "add", "/title", "x".repeat(1 + dice.below(24))),
        _ => {
            let path = ["/more", "/price", "/colour"][dice.below(3)];
            op(section, "add", path, value)
        }
    }
}

fn wish(sequencer: &mut Sequencer, dice: &mut Dice) -> Wish {
    let on = *dice.pick(&["one", "two", "three"]);
    let state = sequencer.world.states.get(&record(on)).cloned().flatten();
    let by = if dice.below(3) == 0 { *dice.pick(&ACTORS) } else { "ann@acme" };
    let Some(state) = state else {
        let parties = next_parties(&Json::Null, 1, dice);
        let mut steps = vec![set("parties", parties), set("listing", json!({"title": "t"}))];
        let method = *dice.pick(&["make", "start"]);
        if method == "make" && dice.below(4) != 0 {
            steps.push(set("secret", json!({"price": dice.below(9)})));
        }
        return sequencer.world.call("ann@acme", method, on, steps);
    };
    let method =
        *dice.pick(&["edit", "whisper", "join", "bargain", "inspect", "probe", "mixed", "look", "both", "peek"]);
    let mut steps = match method {
        "edit" | "both" => vec![change("listing", dice)],
        "whisper" | "bargain" => vec![change("secret", dice)],
        "join" => vec![set("parties", next_parties(&state.parties(), state.seq + 1, dice))],
        "inspect" | "probe" => vec![change("report", dice)],
        "mixed" => vec![change("listing", dice), change("secret", dice)],
        "peek" => vec![read("secret"), change("listing", dice)],
        _ => vec![read("listing")],
    };
    let noted = match method {
        "edit" | "both" | "mixed" | "peek" => Some("listing"),
        "whisper" | "bargain" => Some("secret"),
        _ => None,
    };
    if let (Some(section), 0) = (noted, dice.below(3)) {
        steps.push(notify(section, "deal.told"));
    }
    if dice.below(12) == 0 {
        steps.push(with(with(step("reject"), "reason", "no"), "message", "not like this"));
    }
    let mut by = if method == "inspect" || method == "probe" { "ivy@crane" } else { by };
    if dice.below(10) == 0 {
        by = ACTORS[dice.below(4)];
    }
    let mut wish = sequencer.world.call(by, method, on, steps);
    if method == "both" {
        wish = wish.also(if on == "one" { "two" } else { "one" });
    }
    if dice.below(6) == 0 { wish.expect(state.seq + u64::from(dice.below(4) == 0)) } else { wish }
}

/// One receiver with what is on its way to it, in any order, some of it twice.
struct Way {
    receiver: Receiver,
    coming: Vec<Share>,
    done: BTreeMap<Digest, Had>,
}

impl Way {
    /// Takes one of those that are on their way; what waits stays.
    fn one(&mut self, world: &World, dice: &mut Dice) {
        let at = dice.below(self.coming.len().min(4));
        let share = self.coming[at].clone();
        let intent = share.intent().unwrap();
        if let Some(had) = self.done.get(&intent) {
            assert_eq!(again(&share, had, &world.directory), Again::Same);
            self.coming.remove(at);
            return;
        }
        match self.receiver.take(world, &share) {
            Comparison::Apply(arrived) => {
                let leaf = leaf_hash(&arrived.outcome.leaf());
                self.done.insert(intent, Had { intent, leaf, position: Some(arrived.place.position) });
                if dice.below(4) != 0 {
                    self.coming.remove(at);
                }
            }
            Comparison::Wait(Wait::Events { .. }) => {}
            other => panic!("{} accuses an honest sequencer: {other:?}", self.receiver.name),
        }
    }
}

fn run(seed: u64, base: &[Sequencer; 2]) -> [usize; 4] {
    let mut dice = Dice(seed);
    let mut sequencer = base[dice.below(2)].clone();
    let mut ways: Vec<Way> = Vec::new();
    for name in ["bolt", "crane", "gaze"] {
        let receiver = Receiver::new(&sequencer.world, name).without_database();
        ways.push(Way { receiver, coming: Vec::new(), done: BTreeMap::new() });
    }
    let (mut applied, mut rejected) = (0, 0);
    for _ in 0..4 + dice.below(10) {
        let wish = wish(&mut sequencer, &mut dice);
        let index = sequencer.run(&wish);
        match sequencer.kept[index].outcome.ending {
            Ending::Applied => applied += 1,
            _ => rejected += 1,
        }
    }
    // What was refused is judged by keys that its actor does not have any more.
    if dice.below(4) == 0 {
        let rotated = Body::ActorRotate { actor: actor("gus@gaze"), key: key(&format!("gus {seed}")).public_key() };
        sequencer.world.change("root@gaze", rotated).unwrap();
    }
    for way in &mut ways {
        way.coming = sequencer.shares(&way.receiver.viewer);
        let mut steps = 0;
        while !way.coming.is_empty() {
            way.one(&sequencer.world, &mut dice);
            steps += 1;
            assert!(steps < 20_000, "seed {seed}: {} never has all", way.receiver.name);
        }
        equal(seed, &sequencer, &way.receiver);
    }
    let full = ways.iter().flat_map(|way| &way.receiver.levels).filter(|level| **level == Level::Full).count();
    let partial = ways.iter().flat_map(|way| &way.receiver.levels).count() - full;
    [applied, rejected, full, partial]
}

/// The same heads, and every section that the receiver may read is there, byte for byte.
fn equal(seed: u64, sequencer: &Sequencer, receiver: &Receiver) {
    let followed: Vec<&RecordId> = receiver.states.keys().collect();
    for id in followed {
        let (held, truth) = (receiver.states[id].as_ref().unwrap(), sequencer.state(id));
        let parties = truth.parties();
        let spec = &sequencer.world.directory.specs()[&truth.spec_digest].spec;
        let seen = lockstep_core::sync::Seen { spec, parties: &parties };
        if !receiver.viewer.follows(seen, truth.seq) {
            continue;
        }
        assert_eq!((held.seq, held.head), (truth.seq, truth.head), "seed {seed}: {} of {id}", receiver.name);
        for (name, section) in &truth.sections {
            if receiver.viewer.reads(seen, name, truth.seq) {
                let bytes = held.content(name).canonical();
                assert_eq!(bytes, section.content.canonical(), "seed {seed}: {name} of {id} at {}", receiver.name);
            }
        }
    }
}

/// A quarter of the runs; the four quarters run beside each other.
fn quarter(which: u64) {
    let base = [contract("1.0.0"), closed_contract()].map(|contract| {
        let mut sequencer = Sequencer::of(found_with(&contract));
        sequencer.agree();
        sequencer
    });
    let (mut total, mut done) = ([0; 4], 0);
    for seed in seeds().filter(|seed| seed % 4 == which) {
        let counts = run(seed, &base);
        total.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        done += 1;
    }
    let [applied, rejected, full, partial] = total;
    // The proof `honest` adds these up.
    println!(
        "{}",
        json!({"runs": done, "applied": applied, "rejected": rejected, "compared_full": full, "compared_partial": partial})
    );
    assert!(applied > 2 * done && rejected > done && full > done && partial > done);
}

#[test]
fn honest_runs_in_any_order_accuse_nobody_and_end_equal() {
    quarter(0);
}

#[test]
fn honest_runs_in_any_order_accuse_nobody_and_end_equal_second_quarter() {
    quarter(1);
}

#[test]
fn honest_runs_in_any_order_accuse_nobody_and_end_equal_third_quarter() {
    quarter(2);
}

#[test]
fn honest_runs_in_any_order_accuse_nobody_and_end_equal_fourth_quarter() {
    quarter(3);
}
