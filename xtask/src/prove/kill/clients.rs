//! Clients who sign ahead, submit as fast as they are answered, and write down what they were told.
//!
//! Whoever was not told how an intent ended submits the same envelope again in the next life of the node, before
//! anything else. What a client did not hear of and the node had decided all the same shows then: its time of decision
//! is before that life began.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockstep_core::crypto::{Digest, LocalSigner};
use lockstep_core::json::{Json, json};

use super::door::{Door, Head};
use super::world::World;
use crate::prove::sign::Wanted;
use crate::prove::{Dice, Totals};

/// Pairs of registers, cash and bonds, that clients share.
pub(in crate::prove) const PAIRS: u64 = 4;
/// Intents that a client has signed ahead when a node begins.
const AHEAD: usize = 60;
/// Lines of one request of those who submit many at once.
const MANY: usize = 12;
/// How long an intent is good: longer than any case takes.
const GOOD: Duration = Duration::from_secs(12 * 3600);
/// After an answer that says to come again.
const PAUSE: Duration = Duration::from_millis(20);

/// A signed intent.
struct Wish {
    intent: String,
    bytes: Vec<u8>,
    /// The life of the node in which it was submitted last.
    tried: Option<u64>,
}

/// Who signs.
pub(in crate::prove) struct Signers {
    network: Digest,
    alice: LocalSigner,
    bob: LocalSigner,
    numbers: AtomicU64,
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

impl Signers {
    pub(in crate::prove) fn of(world: &World) -> Result<Arc<Signers>, String> {
        let (alice, bob) = (world.key("keys/alice@acme.key")?, world.key("keys/bob@buyer.key")?);
        Ok(Arc::new(Signers { network: world.network, alice, bob, numbers: AtomicU64::new(0) }))
    }

    fn sign(&self, dice: &mut Dice, who: &str, call: &str, on: &[&str], arguments: Json) -> Result<Wish, String> {
        let signer = if who.starts_with("alice") { &self.alice } else { &self.bob };
        let wanted = Wanted { network: self.network, who, call, on, arguments, expires: GOOD };
        let (intent, bytes) = wanted.sign(signer, || dice.bytes())?;
        Ok(Wish { intent, bytes, tried: None })
    }

    /// A house that nobody has listed before.
    fn house(&self, dice: &mut Dice) -> Result<Wish, String> {
        let record = format!("acme:house-{}", self.numbers.fetch_add(1, Ordering::Relaxed));
        // One asking price in twenty is none, which is rejected.
        let price = if dice.percent(95) { "350000.00" } else { "much" };
        let house = json!({"buyer": "bob@buyer", "inspector": "bob@buyer", "address": "Straße 1, Łódź", "asking_price": price, "rooms": 4});
        self.sign(dice, "alice@acme", "house_sale.list", &[&record], house)
    }

    /// A bond offered and taken: the second intent changes two records, or none.
    fn trade(&self, dice: &mut Dice) -> Result<[Wish; 2], String> {
        let pair = dice.below(PAIRS);
        let (cash, bond) = (format!("acme:cash-{pair}"), format!("acme:bond-{pair}"));
        let offer = format!("o-{}", self.numbers.fetch_add(1, Ordering::Relaxed));
        let terms = |price: &str| json!({"offer": offer.as_str(), "buyer": "bob@buyer", "quantity": "1", "price": price, "paid_in": cash.as_str()});
        let offered = self.sign(dice, "alice@acme", "delivery_versus_payment.offer", &[&bond], terms("1.00"))?;
        // One buyer in ten names another price, and neither leg moves.
        let price = if dice.percent(90) { "1.00" } else { "0.99" };
        let on = [cash.as_str(), bond.as_str()];
        let taken = self.sign(dice, "bob@buyer", "delivery_versus_payment.settle", &on, terms(price))?;
        Ok([offered, taken])
    }

    /// The registers that trades need.
    fn registers(&self, dice: &mut Dice) -> Result<Vec<Wish>, String> {
        let mut wishes = Vec::new();
        for pair in 0..PAIRS {
            let (cash, bond) = (format!("acme:cash-{pair}"), format!("acme:bond-{pair}"));
            let balances = json!({"alice@acme": "0.00", "bob@buyer": "1000000.00"});
            let balances = json!({"currency": "EUR", "balances": balances});
            wishes.push(self.sign(dice, "alice@acme", "delivery_versus_payment.open_cash", &[&cash], balances)?);
            let holdings = json!({"alice@acme": "1000000", "bob@buyer": "0"});
            let holdings = json!({"isin": "DE0001102580", "matures_on": "2032-02-15", "holdings": holdings});
            wishes.push(self.sign(dice, "alice@acme", "delivery_versus_payment.open_bond", &[&bond], holdings)?);
        }
        Ok(wishes)
    }
}

/// One client.
pub(in crate::prove) struct Client {
    signers: Arc<Signers>,
    dice: Dice,
    /// Intents of one request.
    many: usize,
    queue: VecDeque<Wish>,
    /// Lines of the record that were not written yet.
    lines: Vec<String>,
    pub(in crate::prove) totals: Totals,
    /// Intents that were wholly sent and whose answer was cut off, in the life that is going on.
    pub(in crate::prove) cut_off: u64,
    /// Lives that ended after they had decided what they could not tell this client any more.
    pub(in crate::prove) decided_unheard: BTreeSet<u64>,
}

/// One life of the node, as its clients see it.
#[derive(Clone, Copy)]
pub(in crate::prove) struct Life<'a> {
    pub(in crate::prove) number: u64,
    pub(in crate::prove) address: &'a str,
    /// When it began, as outcomes say times.
    pub(in crate::prove) began: &'a str,
    /// Whether only what was tried before is tried.
    pub(in crate::prove) ends: bool,
}

impl Client {
    pub(in crate::prove) fn new(signers: &Arc<Signers>, dice: Dice, many: bool) -> Client {
        Client {
            signers: signers.clone(),
            dice,
            many: if many { MANY } else { 1 },
            queue: VecDeque::new(),
            lines: Vec::new(),
            totals: Totals::default(),
            cut_off: 0,
            decided_unheard: BTreeSet::new(),
        }
    }

    /// Signs so much ahead that a life has enough of it.
    pub(in crate::prove) fn sign_ahead(&mut self, most: usize) -> Result<(), String> {
        while self.queue.len() < most.min(AHEAD * self.many.min(2)) {
            if self.many > 1 || self.dice.percent(50) {
                let wish = self.signers.house(&mut self.dice)?;
                self.sign(wish);
            } else {
                self.signers.clone().trade(&mut self.dice)?.into_iter().for_each(|wish| self.sign(wish));
            }
        }
        Ok(())
    }

    /// Signs what opens the registers.
    pub(in crate::prove) fn sign_registers(&mut self) -> Result<(), String> {
        let wishes = self.signers.clone().registers(&mut self.dice)?;
        wishes.into_iter().for_each(|wish| self.sign(wish));
        Ok(())
    }

    fn sign(&mut self, wish: Wish) {
        self.totals.count("intents_signed", 1);
        self.lines.push(json!({"intent": wish.intent.as_str()}).canonical());
        self.queue.push_back(wish);
    }

    /// Whether everything that it submitted was answered.
    pub(in crate::prove) fn answered(&self) -> bool {
        self.queue.iter().all(|wish| wish.tried.is_none())
    }

    /// Submits until the node is gone or nothing is left.
    pub(in crate::prove) fn live(&mut self, life: Life<'_>) {
        self.cut_off = 0;
        let Ok(mut door) = Door::open(life.address) else { return };
        loop {
            let due = |wish: &&mut Wish| !life.ends || wish.tried.is_some();
            let mut wishes: Vec<&mut Wish> = self.queue.iter_mut().take(self.many).take_while(due).collect();
            if wishes.is_empty() {
                return;
            }
            let again = wishes.iter().filter(|wish| wish.tried.is_some()).count();
            let lasts: Vec<Option<u64>> = wishes.iter_mut().map(|wish| wish.tried.replace(life.number)).collect();
            let body = wishes.iter().map(|wish| wish.bytes.as_slice()).collect::<Vec<_>>().join(&b'\n');
            let kind = if self.many > 1 { "application/x-ndjson" } else { "application/json" };
            self.totals.count("intents_submitted_again", again as u64);
            if door.send("POST /v1/intents?wait=30s", kind, &body).is_err() {
                return;
            }
            if let Err(unanswered) = self.hear(&mut door, life, lasts) {
                self.cut_off = unanswered as u64;
                return;
            }
        }
    }

    /// Submits one intent by itself, and is told or turned away; `None` where nobody answers.
    pub(in crate::prove) fn once(&mut self, life: Life<'_>, wait: &str) -> Result<Option<(u16, String)>, String> {
        if self.queue.is_empty() {
            self.sign_ahead(1)?;
        }
        let (Ok(mut door), Some(mut wish)) = (Door::open(life.address), self.queue.pop_front()) else {
            return Ok(None);
        };
        let last = wish.tried.replace(life.number);
        let request = format!("POST /v1/intents?wait={wait}");
        let answer = door.send(&request, "application/json", &wish.bytes).and_then(|()| one(&mut door));
        let (status, said) = match answer {
            Ok((200, said)) => {
                self.note(&wish, &said, life, last);
                return Ok(Some((200, String::new())));
            }
            Ok(other) => other,
            Err(_) => {
                self.queue.push_front(wish);
                return Ok(None);
            }
        };
        self.queue.push_front(wish);
        let code = said.get("code").or_else(|| said.get("status")).and_then(Json::as_str).unwrap_or_default();
        Ok(Some((status, code.to_owned())))
    }

    /// Hears what became of the first intents of the queue; how many were not answered when the connection broke.
    fn hear(&mut self, door: &mut Door, life: Life<'_>, lasts: Vec<Option<u64>>) -> Result<(), usize> {
        let mut head: Option<Head> = None;
        let (mut left, mut kept) = (lasts.len(), VecDeque::new());
        let mut broke = false;
        for last in lasts {
            let answer = if self.many > 1 { door.next(&mut head) } else { one(door) };
            let Some(wish) = self.queue.pop_front() else { break };
            match answer {
                Ok((200, said)) => self.note(&wish, &said, life, last),
                Ok((202 | 429 | 503, _)) => kept.push_back(wish),
                Ok((status, said)) => {
                    let what = format!("{} was refused ({status}): {}", wish.intent, said.canonical());
                    self.totals.fail(what);
                }
                Err(_) => {
                    broke = true;
                    self.queue.push_front(wish);
                    break;
                }
            }
            left -= 1;
        }
        let waits = !kept.is_empty();
        kept.into_iter().rev().for_each(|wish| self.queue.push_front(wish));
        if broke {
            return Err(left);
        }
        if self.many > 1 && head.as_ref().is_some_and(|head| head.status == 200) {
            // The end of the answer; a node that dies between the last line and it has told everything.
            drop(head.map(|head| door.answer(&head)));
        }
        if waits {
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn note(&mut self, wish: &Wish, said: &Json, life: Life<'_>, last: Option<u64>) {
        let text = |name: &str| said.get(name).and_then(Json::as_str).unwrap_or_default();
        let part = |name: &str| said.get(name).cloned().unwrap_or_default();
        if text("intent_id") != wish.intent {
            self.totals.fail(format!("an answer for {} says {}", wish.intent, text("intent_id")));
        }
        if let Some(last) = last
            && text("decided_at") < life.began
        {
            self.totals.count("intents_decided_unheard", 1);
            self.decided_unheard.insert(last);
        }
        self.totals.count("intents_acknowledged", 1);
        self.totals.count(&format!("acknowledged_{}", text("status")), 1);
        let line = json!({
            "intent": wish.intent.as_str(), "status": part("status"), "code": part("code"), "events": part("events"), "receipt": part("receipt")
        });
        self.lines.push(line.canonical());
    }

    /// Writes down what it signed and what it was told since the last time.
    pub(in crate::prove) fn write(&mut self, record: &mut impl Write) -> Result<(), String> {
        self.lines.drain(..).try_for_each(|line| writeln!(record, "{line}")).map_err(words)
    }
}

/// The answer to one intent.
fn one(door: &mut Door) -> Result<(u16, Json), std::io::Error> {
    let head = door.head()?;
    let said = door.body(&head)?;
    Ok((head.status, said))
}
