//! Those who submit: one intent at a time each, at a pace, whatever the answers take.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use lockstep_core::crypto::{Digest, LocalSigner};
use lockstep_core::json::{Json, json};

use crate::prove::kill::door::Door;
use crate::prove::kill::world::World;
use crate::prove::sign::Wanted;
use crate::prove::{Dice, Totals};

/// Intents of one house: it is listed, and then offered for.
const EACH_HOUSE: u64 = 4;
/// How long an intent is good.
const GOOD: Duration = Duration::from_secs(600);
/// Sentences about what went wrong, of one sender: the first ones tell.
const MOST_FAILURES: usize = 5;

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// Who signs.
pub(super) struct People {
    network: Digest,
    alice: LocalSigner,
    bob: LocalSigner,
    /// Held while her key is another one.
    carol: RwLock<LocalSigner>,
}

impl People {
    pub(super) fn of(world: &World) -> Result<People, String> {
        let key = |name: &str| world.key(&format!("keys/{name}.key"));
        let carol = RwLock::new(key("carol@acme")?);
        Ok(People { network: world.network, alice: key("alice@acme")?, bob: key("bob@buyer")?, carol })
    }

    /// Gives carol another key while she sells: from then on the old one is refused.
    pub(super) fn rotate_carol(&self, world: &World, address: &str, totals: &mut Totals) -> Result<(), String> {
        let mut key = self.carol.write().unwrap_or_else(PoisonError::into_inner);
        world.does(&["actor", "rotate", "carol"])?;
        let old = self.list("carol@acme", &key, "acme:with-the-old-key", &mut Dice::of(1, 1))?;
        *key = world.key("keys/carol@acme.key")?;
        drop(key);
        let mut door = Door::open(address).map_err(words)?;
        let (status, said) = ask(&mut door, &old)?;
        totals.must("old_keys_refused", status == 403, || format!("the old key: {status} {}", said.canonical()));
        Ok(())
    }

    fn list(&self, who: &str, key: &LocalSigner, house: &str, dice: &mut Dice) -> Result<Vec<u8>, String> {
        let listing = json!({"buyer": "bob@buyer", "inspector": "bob@buyer", "address": house, "asking_price": "350000.00", "rooms": 4});
        self.sign(who, key, ("house_sale.list", house), listing, dice)
    }

    fn sign(
        &self,
        who: &str,
        key: &LocalSigner,
        (call, house): (&str, &str),
        arguments: Json,
        dice: &mut Dice,
    ) -> Result<Vec<u8>, String> {
        let wanted = Wanted { network: self.network, who, call, on: &[house], arguments, expires: GOOD };
        wanted.sign(key, || dice.bytes()).map(|(_, signed)| signed)
    }
}

/// How long answers took, for whoever looks meanwhile.
#[derive(Clone, Default)]
pub(super) struct Latencies(Arc<Mutex<Vec<Duration>>>);

impl Latencies {
    pub(super) fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }
}

/// How fast, and until when.
pub(super) struct Pace {
    /// From one intent to the next; none is as fast as they are answered.
    pub(super) every: Option<Duration>,
    pub(super) until: Instant,
}

/// One who submits.
pub(super) struct Sender<'a> {
    number: u64,
    people: &'a People,
    dice: Dice,
    /// Intents that it has submitted.
    sent: u64,
    latencies: Latencies,
    pub(super) totals: Totals,
    pub(super) under_first: u64,
    pub(super) under_second: u64,
}

impl<'a> Sender<'a> {
    pub(super) fn new(number: u64, people: &'a People, dice: Dice) -> Self {
        let (latencies, totals) = (Latencies::default(), Totals::default());
        Sender { number, people, dice, sent: 0, latencies, totals, under_first: 0, under_second: 0 }
    }

    pub(super) fn latencies(&self) -> Latencies {
        self.latencies.clone()
    }

    pub(super) fn take_latencies(&self) -> Vec<Duration> {
        self.latencies.take()
    }

    /// Submits at a pace. How long an answer takes counts from the moment at which its intent was due: who waits for
    /// an earlier answer waits for this one, too.
    pub(super) fn drive(&mut self, address: &str, pace: &Pace) -> Result<(), String> {
        let mut door = Door::open(address).map_err(words)?;
        // Not all at the same moment.
        let mut due = Instant::now() + pace.every.unwrap_or_default().mul_f64(self.dice.below(1000) as f64 / 1000.0);
        while due < pace.until {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let (signed, waited) = self.next()?;
            // Who changes her key signs nothing meanwhile: that is not the node's doing.
            due = if waited { Instant::now() } else { due };
            let (status, said) = ask(&mut door, &signed)?;
            self.latencies.note(due.elapsed());
            self.hear(status, &said);
            due = pace.every.map_or_else(Instant::now, |every| due + every);
        }
        Ok(())
    }

    /// The next intent, and whether it had to wait for a key. Every other sender sells for carol.
    fn next(&mut self) -> Result<(Vec<u8>, bool), String> {
        let (people, begun) = (self.people, Instant::now());
        let (house, step) = (self.sent / EACH_HOUSE, self.sent % EACH_HOUSE);
        let house = format!("acme:house-{}-{house}", self.number);
        self.sent += 1;
        let signed = if step > 0 {
            let price = format!("{}.00", 300_000 + step);
            people.sign(
                "bob@buyer",
                &people.bob,
                ("house_sale.offer", &house),
                json!({ "price": price }),
                &mut self.dice,
            )
        } else if self.number.is_multiple_of(2) {
            people.list("alice@acme", &people.alice, &house, &mut self.dice)
        } else {
            let key = people.carol.read().unwrap_or_else(PoisonError::into_inner);
            people.list("carol@acme", &key, &house, &mut self.dice)
        };
        Ok((signed?, begun.elapsed() > Duration::from_millis(50)))
    }

    fn hear(&mut self, status: u16, said: &Json) {
        let text = |name: &str| said.get(name).and_then(Json::as_str).unwrap_or_default();
        let applied = status == 200 && text("status") == "applied";
        match text("contract_version") {
            "1.0.0" => self.under_first += 1,
            "1.1.0" => self.under_second += 1,
            _ => {}
        }
        if applied {
            self.totals.count("applied", 1);
        } else if self.totals.failures.len() < MOST_FAILURES {
            self.totals.fail(format!("an intent was not applied ({status}): {}", said.canonical()));
        }
    }
}

fn ask(door: &mut Door, signed: &[u8]) -> Result<(u16, Json), String> {
    door.send("POST /v1/intents?wait=30s", "application/json", signed).map_err(words)?;
    let head = door.head().map_err(words)?;
    Ok((head.status, door.body(&head).map_err(words)?))
}
