//! A sequencer that takes an intent and sits on it: shown where the intent was handed in, with the proof.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_core::crypto::{PublicKey, Signer};
use lockstep_core::json::Json;
use lockstep_core::log::Checkpoint;
use lockstep_core::names::NodeName;
use lockstep_core::sync::{Forward, Hello, Message, Taken};
use lockstep_core::time::Timestamp;
use lockstep_core::transport::{Bounds, Connection, Transport};
use lockstep_tls::TlsTransport;
use tokio::runtime::Runtime;

use crate::organisation::{Organisation, agreed, listing, price, text};
use crate::strangers::{node_key, runtime};
use crate::support::schemas::check;

/// What a sitting sequencer needs of the real one, which is stopped.
#[derive(Clone)]
struct Sitting {
    hello: Hello,
    checkpoint: String,
    key: lockstep_core::crypto::LocalSigner,
    address: String,
}

impl Sitting {
    /// In the place of the seller's node, with its key and its address.
    fn of(seller: &Organisation) -> Self {
        let verified = seller.does("verify", &["verify"]);
        let network = lockstep_core::crypto::Digest::parse(&text(&verified, "network_id")).unwrap();
        let directory = seller.rows("SELECT max(seq) AS n FROM lockstep_directory")[0].get("n").and_then(Json::as_u64);
        let hello = Hello {
            network,
            node: NodeName::parse("seller").unwrap(),
            directory: directory.unwrap(),
            wants: std::collections::BTreeMap::new(),
        };
        let checkpoint = std::fs::read_to_string(seller.place.dir().join("checkpoint")).unwrap();
        Sitting { hello, checkpoint, key: node_key(seller), address: seller.address.clone() }
    }

    /// Acknowledges whatever is handed over, and decides nothing.
    async fn sit(self) {
        let transport =
            TlsTransport::new(Arc::new(self.key.clone()), Bounds::default(), Arc::new(|_: &PublicKey| true));
        let mut listener = transport.listen(&self.address).await.unwrap();
        while let Ok(connection) = listener.accept().await {
            self.talk(connection).await;
        }
    }

    async fn talk(&self, mut connection: Connection) {
        let mut say = vec![Message::Hello(self.hello.clone())];
        loop {
            for message in say.drain(..) {
                if connection.sender.send(&message.encode()).await.is_err() {
                    return;
                }
            }
            let Ok(Some(frame)) = connection.receiver.receive().await else { return };
            match Message::decode(&frame) {
                Ok(Message::Feed(feed)) => say.push(Message::Ack { log: feed.log, next: feed.next }),
                Ok(Message::Forward { number, wrapper, .. }) => {
                    let taken = Some(self.acknowledge(&wrapper));
                    say.push(Message::Forwarded { number, refused: None, taken });
                }
                _ => {}
            }
        }
    }

    fn acknowledge(&self, wrapper: &[u8]) -> Vec<u8> {
        let Forward { network, sequencer: node, time, .. } = Forward::read(wrapper).unwrap();
        let (forward, checkpoint) = (Forward::read(wrapper).unwrap().digest(), self.checkpoint.clone());
        Taken { network, node, forward, time, checkpoint, refused: None }.sign(&self.key).unwrap()
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "it never came that {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn overdue(organisation: &Organisation) -> Vec<Json> {
    let ran = organisation.run(&["network", "status"]);
    check("network-status", &ran.json());
    ran.json().get("overdue").and_then(Json::as_array).unwrap().to_vec()
}

fn pending(organisation: &Organisation) -> Vec<String> {
    let rows = organisation.rows("SELECT intent_id FROM lockstep_forward WHERE status = 'pending'");
    rows.iter().map(|row| text(row, "intent_id")).collect()
}

/// The moment that clocks may be apart has passed: the time by which it had to end is moved, not the machine's clock.
fn five_minutes_later(organisation: &Organisation, runtime: &Runtime) {
    let file = organisation.place.dir().join("lockstep.db");
    let past = "UPDATE lockstep_forward SET expires_at = '2026-01-01T00:00:00.000000Z' WHERE status = 'pending'";
    runtime.block_on(lockstep_sqlite::client::execute(&file, &[past])).unwrap();
}

fn verified(proof: &Json, seller: &PublicKey, buyer: &PublicKey) {
    let bytes = |name: &str| proof.get(name).unwrap().canonical().into_bytes();
    let forward = Forward::verify(&bytes("wrapper"), buyer).unwrap();
    let taken = Taken::verify(&bytes("taken"), seller, &forward).unwrap();
    assert_eq!(forward.intent.to_string(), text(proof, "intent_id"));
    assert!(taken.refused.is_none());
    assert!(taken.time < Timestamp::MAX);
    let origin = format!("lockstep/{}/seller/1", forward.network);
    Checkpoint::verify(&text(proof, "checkpoint"), &origin, seller).unwrap();
    Checkpoint::verify(&taken.checkpoint, &origin, seller).unwrap();
}

#[test]
fn a_sequencer_that_sits_on_an_intent_is_shown_overdue_with_the_proof_and_an_honest_one_never_is() {
    let (mut seller, mut buyer) = agreed("overdue");
    seller.submits("alice", "list", &listing());
    buyer.waits();
    assert_eq!(text(&buyer.submits("bob", "offer", &price("320000.00")), "status"), "applied");
    until("the first offer has ended", || pending(&buyer).is_empty());
    assert!(overdue(&buyer).is_empty());

    let (sitting, runtime) = (Sitting::of(&seller), runtime());
    seller.stop();
    let sits = runtime.spawn(sitting.sit());
    let offer = price("330000.00").canonical();
    let args = ["submit", "house_sale.offer", "seller:sale-1", "--as", "bob", "--args", &offer, "--timeout", "1s"];
    assert_eq!(buyer.fails(6, &args).0, "outcome_unknown");
    let intent = pending(&buyer)[0].clone();
    let taken = || buyer.does("intent-proof", &["intent", "proof", &intent]).get("taken") != Some(&Json::Null);
    until("the offer is acknowledged", taken);
    let shown = buyer.does("intent-show", &["intent", "show", &intent[..12]]);
    assert_eq!((text(&shown, "status"), shown.get("acknowledged")), ("pending".to_owned(), Some(&Json::from(true))));
    assert!(overdue(&buyer).is_empty(), "it has not expired");

    buyer.stop();
    five_minutes_later(&buyer, &runtime);
    let late = overdue(&buyer);
    assert_eq!(late.len(), 1);
    assert_eq!((text(&late[0], "intent_id"), text(&late[0], "sequencer")), (intent.clone(), "seller".to_owned()));
    let people = buyer.place.run(&["network", "status"]);
    assert!(people.stdout.contains("overdue") && people.stdout.contains(&intent), "{}", people.stdout);
    assert!(people.stderr.contains("next: lockstep intent proof"), "{}{}", people.stdout, people.stderr);
    let shown = buyer.run(&["intent", "show", &intent]);
    assert_eq!((shown.status, shown.json().get("overdue")), (5, Some(&Json::from(true))));
    let proof = buyer.run(&["intent", "proof", &intent]);
    check("intent-proof", &proof.json());
    assert_eq!((proof.status, proof.json().get("overdue")), (5, Some(&Json::from(true))));
    verified(&proof.json(), &node_key(&seller).public_key(), &node_key(&buyer).public_key());
    buyer.is_clean();

    sits.abort();
    buyer.start();
    until("the liar is gone", || std::net::TcpListener::bind(&seller.address).is_ok());
    seller.start();
    until("the honest node has decided it", || pending(&buyer).is_empty());
    assert!(overdue(&buyer).is_empty());
    assert_eq!(text(&buyer.does("intent-show", &["intent", "show", &intent]), "status"), "applied");
    [&seller, &buyer].into_iter().for_each(Organisation::is_clean);
}
