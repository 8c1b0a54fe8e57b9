//! People who sign and submit while everything around them breaks.
//!
//! Whoever does not know how an intent ended submits the same envelope again; what was answered is written down.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lockstep_core::clock::Clock;
use lockstep_core::crypto::{Digest, LocalSigner, Salt};
use lockstep_core::intent::{Call, Draft, Target};
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::names::{ActorId, ContractName, MethodName, RecordId};
use lockstep_node::SystemClock;

use super::world::{PEOPLE, World, listing};
use crate::prove::Dice;

/// Intents without an answer that one node's people may have at a time.
const MOST_OPEN: usize = 24;
/// How long an intent is good: longer than any case takes.
const GOOD: Duration = Duration::from_secs(900);
/// How long an answer may take; the node is asked to be faster.
const ANSWER: Duration = Duration::from_secs(8);
/// How long what is still open may take once nothing is in the way any more.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// A signed intent on its way.
pub(super) struct Wish {
    pub(super) record: String,
    pub(super) method: &'static str,
    /// The price that no other intent names.
    pub(super) price: Option<String>,
    /// The node that it is submitted at.
    pub(super) at: &'static str,
    bytes: Vec<u8>,
    tries: u64,
}

/// What a submitter was told.
pub(super) struct Acknowledged {
    pub(super) wish: Wish,
    pub(super) intent: String,
    pub(super) status: String,
    pub(super) events: Vec<String>,
}

/// What one submitter submitted at one node.
pub(super) struct Book {
    pub(super) at: &'static str,
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) open: Vec<Wish>,
    pub(super) refused: Vec<String>,
    pub(super) submitted: u64,
    pub(super) repeated: u64,
}

/// What all submitters share.
pub(super) struct Crowd {
    keys: BTreeMap<&'static str, LocalSigner>,
    network: Digest,
    records: Mutex<Vec<String>>,
    prices: AtomicU64,
    houses: AtomicU64,
    pub(super) stop: AtomicBool,
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

impl Crowd {
    pub(super) fn of(world: &World) -> Result<Crowd, String> {
        let mut keys = BTreeMap::new();
        for (actor, organisation, _) in PEOPLE {
            keys.insert(actor, world.named(organisation)?.key(actor)?);
        }
        let records = Mutex::new(vec!["seller:sale-0".to_owned(), "agency:sale-0".to_owned()]);
        let network = Digest::parse(&world.network).map_err(words)?;
        let (prices, houses) = (AtomicU64::new(0), AtomicU64::new(1));
        Ok(Crowd { keys, network, records, prices, houses, stop: AtomicBool::new(false) })
    }

    /// A price that nobody else names, higher than those before.
    fn price(&self, whole: u64) -> String {
        let number = self.prices.fetch_add(1, Ordering::Relaxed);
        format!("{}.{:02}", whole + number / 100, number % 100)
    }

    fn record(&self, dice: &mut Dice) -> String {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        dice.pick(&records).cloned().unwrap_or_default()
    }

    /// A name that no house has yet; others hear of it when it is listed.
    fn new_record(&self, origin: &str) -> String {
        format!("{origin}:sale-{}", self.houses.fetch_add(1, Ordering::Relaxed))
    }

    /// Tells everybody of the houses that were listed since.
    fn hear_of(&self, news: &[Acknowledged]) {
        let listed = news.iter().filter(|one| one.wish.method == "list" && one.status == "applied");
        let listed = listed.map(|one| one.wish.record.clone());
        self.records.lock().unwrap_or_else(PoisonError::into_inner).extend(listed);
    }

    /// Something that somebody wishes, mostly one of those whose node it is.
    fn wish(&self, at: &'static str, dice: &mut Dice) -> Result<Wish, String> {
        let own = PEOPLE.iter().find(|(_, organisation, _)| *organisation == at);
        let person = own.filter(|_| dice.percent(80)).or_else(|| dice.pick(&PEOPLE)).ok_or("nobody is there")?;
        let (actor, organisation, _) = *person;
        let (method, record, arguments, price) = match organisation {
            "buyer" => self.offers(dice),
            "inspector" => {
                let findings = json!({"passed": dice.percent(70), "findings": [format!("No. {}", dice.below(1000))]});
                ("inspect", self.record(dice), findings, None)
            }
            _ => self.sells(organisation, dice),
        };
        let bytes = self.signed(actor, method, &record, arguments, dice)?;
        Ok(Wish { record, method, price, at, bytes, tries: 0 })
    }

    fn offers(&self, dice: &mut Dice) -> (&'static str, String, Json, Option<String>) {
        // One in ten is too low, and rejected.
        let price = self.price(if dice.percent(90) { 300_000 } else { 1_000 });
        ("offer", self.record(dice), json!({"price": price.as_str()}), Some(price))
    }

    fn sells(&self, origin: &str, dice: &mut Dice) -> (&'static str, String, Json, Option<String>) {
        if dice.percent(8) {
            return ("list", self.new_record(origin), listing("350000.00"), None);
        }
        let price = self.price(300_000);
        let method = if dice.percent(96) { "counter_offer" } else { "accept" };
        (method, self.record(dice), json!({"price": price.as_str()}), Some(price))
    }

    fn signed(
        &self,
        actor: &'static str,
        method: &str,
        record: &str,
        arguments: Json,
        dice: &mut Dice,
    ) -> Result<Vec<u8>, String> {
        let record = RecordId::parse(record).map_err(words)?;
        let draft = Draft {
            network: self.network,
            sequencer: record.node(),
            actor: ActorId::parse(actor).map_err(words)?,
            nonce: Digest::from_bytes(dice.bytes()),
            expires: SystemClock.now().plus(GOOD),
            not_before: None,
            call: Call::Method {
                contract: ContractName::parse("house_sale").map_err(words)?,
                method: MethodName::parse(method).map_err(words)?,
                arguments,
            },
            targets: vec![Target { record, expect: None }],
        };
        let signer = self.keys.get(actor).ok_or("a key is missing")?;
        let signed = draft.sign(signer, || Salt::from(dice.bytes())).map_err(words)?;
        Ok(signed.to_json().canonical().into_bytes())
    }

    /// Submits at one node until told to stop, then until everything has an answer.
    pub(super) fn submit(&self, world: &World, at: &'static str, mut dice: Dice) -> Result<Book, String> {
        let mut book = Book::at(at);
        while !self.stop.load(Ordering::Relaxed) {
            let again = book.open.len() >= MOST_OPEN || (!book.open.is_empty() && dice.percent(40));
            let wish = if again { book.open.remove(0) } else { self.wish(at, &mut dice)? };
            let known = book.acknowledged.len();
            let at = wish.at;
            book.hand_in(world, wish, at, 1)?;
            self.hear_of(book.acknowledged.get(known..).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(dice.below(40)));
        }
        Ok(book)
    }
}

impl Book {
    pub(super) fn at(at: &'static str) -> Self {
        Book { at, acknowledged: Vec::new(), open: Vec::new(), refused: Vec::new(), submitted: 0, repeated: 0 }
    }

    /// Asks again about what is open, now that nothing is in the way: the node where it was handed in has to tell.
    pub(super) fn end(&mut self, world: &World) -> Result<(), String> {
        let until = Instant::now() + AFTERWARDS;
        while !self.open.is_empty() && Instant::now() < until {
            for wish in std::mem::take(&mut self.open) {
                let at = wish.at;
                self.hand_in(world, wish, at, 3)?;
            }
        }
        Ok(())
    }

    /// Hands an intent in at a node.
    fn hand_in(&mut self, world: &World, mut wish: Wish, at: &str, wait_s: u64) -> Result<(), String> {
        match wish.tries {
            0 => self.submitted += 1,
            _ => self.repeated += 1,
        }
        wish.tries += 1;
        let Some(address) = world.named(at)?.http() else {
            self.open.push(wish);
            std::thread::sleep(Duration::from_millis(50));
            return Ok(());
        };
        match post(&address, wait_s, &wish.bytes) {
            Ok((200, outcome)) => self.note(wish, &outcome),
            // Not decided yet, no room, no database, the node has died: nobody knows.
            Ok((202 | 429 | 500..=599, _)) | Err(_) => self.open.push(wish),
            Ok((status, said)) => {
                let what = format!("{} on {} at {at}", wish.method, wish.record);
                self.refused.push(format!("{what} was refused ({status}): {}", said.canonical()));
            }
        }
        Ok(())
    }

    fn note(&mut self, wish: Wish, outcome: &Json) {
        let text = |name: &str| outcome.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let events = outcome.get("events").and_then(Json::as_array).unwrap_or_default().iter();
        let events = events.filter_map(|event| event.get("event_id").and_then(Json::as_str)).map(str::to_owned);
        let (intent, status, events) = (text("intent_id"), text("status"), events.collect());
        self.acknowledged.push(Acknowledged { wish, intent, status, events });
    }
}

/// Hands an intent in over HTTP; the status and what was said.
fn post(address: &str, wait_s: u64, body: &[u8]) -> Result<(u16, Json), std::io::Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let head = format!(
        "POST /v1/intents?wait={}s HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        wait_s,
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let broken = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(broken)?;
    let head = String::from_utf8_lossy(answer.get(..split).unwrap_or_default()).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let limits = Limits { bytes: 64 << 20, ..Limits::default() };
    let said = Json::parse(answer.get(split + 4..).unwrap_or_default(), &limits).map_err(|_| broken())?;
    Ok((status, said))
}
