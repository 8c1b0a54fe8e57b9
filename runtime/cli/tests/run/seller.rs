//! Signs intents as fast as a test needs them: houses that alice lists.

use lockstep_core::crypto::{Digest, LocalSigner, Salt};
use lockstep_core::intent::{Call, Draft, Target};
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::names::{ActorId, ContractName, MethodName, NodeName, RecordId};

use crate::support::Place;

pub(crate) struct Seller {
    key: LocalSigner,
    network: Digest,
}

impl Seller {
    pub(crate) fn of(place: &Place) -> Self {
        let json = std::fs::read(place.dir().join("keys/alice@acme.key")).unwrap();
        let json = Json::parse(&json, &Limits::default()).unwrap();
        let secret = Digest::parse(json.get("secret_key").and_then(Json::as_str).unwrap()).unwrap();
        let rows = place.well(&["sql", "SELECT value FROM lockstep_meta WHERE key = 'network_id'", "--json"]).json();
        let network = rows.as_array().unwrap()[0].get("value").and_then(Json::as_str).unwrap().to_owned();
        Seller { key: LocalSigner::from_secret(*secret.as_bytes()), network: Digest::parse(&network).unwrap() }
    }

    /// A signed listing of a house, and the intent's id.
    pub(crate) fn lists(&self, house: &str) -> (String, String) {
        let now = lockstep_core::clock::Clock::now(&lockstep_node::SystemClock);
        let draft = Draft {
            network: self.network,
            sequencer: NodeName::parse("acme").unwrap(),
            actor: ActorId::parse("alice@acme").unwrap(),
            nonce: Digest::from_bytes(lockstep_node::random_bytes().unwrap()),
            expires: now.plus(std::time::Duration::from_secs(600)),
            not_before: None,
            call: Call::Method {
                contract: ContractName::parse("house_sale").unwrap(),
                method: MethodName::parse("list").unwrap(),
                arguments: json!({"buyer": "bob@buyer", "inspector": "ivy@inspector", "address": house, "asking_price": "350000.00", "rooms": 4}),
            },
            targets: vec![Target { record: RecordId::parse(&format!("acme:{house}")).unwrap(), expect: None }],
        };
        let salt = || Salt::from(lockstep_node::random_bytes().unwrap());
        let signed = draft.sign(&self.key, salt).unwrap();
        let id = Digest::of(&signed.envelope.payload).to_string();
        (signed.to_json().canonical(), id)
    }
}
