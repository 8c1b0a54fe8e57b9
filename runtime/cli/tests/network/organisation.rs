//! An organisation of a test: a place, its node's process, and what its people type.

use std::net::TcpListener;

use lockstep_core::json::{Json, json};

use crate::support::daemon::Daemon;
use crate::support::schemas::check;
use crate::support::{Place, Ran, package};

/// How long nodes may take to have all of each other.
const PATIENCE: &str = "60s";

pub(crate) struct Organisation {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) address: String,
    running: Option<Daemon>,
}

/// An address that nobody listens on now.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Organisation {
    /// One that has nothing yet.
    pub(crate) fn new(test: &str, name: &'static str) -> Self {
        let place = Place::new(&format!("network-{test}-{name}"));
        Organisation { name, place, address: free_address(), running: None }
    }

    /// The seller, who founds a network; its node runs.
    pub(crate) fn founder(test: &str) -> Self {
        let mut seller = Organisation::new(test, "seller");
        let address = seller.address.clone();
        let made =
            seller.does("init", &["network", "create", "sales", "--participant", "seller", "--address", &address]);
        assert_eq!(made.get("network"), Some(&Json::from("sales")));
        seller.start();
        seller
    }

    pub(crate) fn start(&mut self) {
        self.running = Some(Daemon::start(&self.place, &[]));
    }

    pub(crate) fn stop(&mut self) {
        self.running.take().unwrap().stop();
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.place.run(&[args, &["--json"]].concat())
    }

    /// What a verb prints that must end well, held against its schema.
    pub(crate) fn does(&self, schema: &str, args: &[&str]) -> Json {
        let ran = self.run(args);
        assert_eq!(ran.status, 0, "{}: {args:?}: {}{}", self.name, ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.lines().count(), 1, "{args:?} prints one document");
        check(schema, &ran.json());
        ran.json()
    }

    /// The code of a verb that must end with this exit status; people get a hint.
    pub(crate) fn fails(&self, status: i32, args: &[&str]) -> (String, String) {
        let ran = self.run(args);
        assert_eq!(ran.status, status, "{}: {args:?}: {}{}", self.name, ran.stdout, ran.stderr);
        check("error", &ran.json());
        let error = ran.json();
        let error = error.get("error").unwrap();
        let part = |name: &str| error.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        assert!(!part("hint").is_empty(), "{args:?} gives no hint: {error}");
        (part("code"), part("message"))
    }

    pub(crate) fn invites(&self, name: &str, more: &[&str]) -> String {
        let invited = self.does("network-invite", &[&["network", "invite", name][..], more].concat());
        assert_eq!(invited.get("participant"), Some(&Json::from(name)));
        text(&invited, "invitation")
    }

    /// Joins with an invitation and starts.
    pub(crate) fn joins(&mut self, invitation: &str) {
        let joined = self.does("init", &["network", "join", invitation, "--address", &self.address]);
        assert_eq!(joined.get("participant"), Some(&Json::from(self.name)));
        self.start();
    }

    /// Waits until this node and the others have all of each other.
    pub(crate) fn waits(&self) -> Json {
        let status = self.does("network-status", &["network", "status", "--wait", PATIENCE]);
        assert_eq!(status.get("caught_up"), Some(&Json::from(true)), "{status}");
        status
    }

    /// The status of a participant, as this node knows it.
    pub(crate) fn knows(&self, participant: &str) -> Option<String> {
        let peers = self.does("network-peers", &["network", "peers"]);
        let found = peers.as_array().unwrap().iter().find(|one| text(one, "participant") == participant);
        found.map(|found| text(found, "status"))
    }

    /// Submits as one of its people: the outcome.
    pub(crate) fn submits(&self, who: &str, method: &str, arguments: &Json) -> Json {
        let method = format!("house_sale.{method}");
        let arguments = arguments.canonical();
        let ran =
            self.run(&["submit", &method, "seller:sale-1", "--as", who, "--args", &arguments, "--timeout", "60s"]);
        assert!([0, 4].contains(&ran.status), "{method}: {}{}", ran.stdout, ran.stderr);
        check("submit", &ran.json());
        ran.json()
    }

    /// The rows of a query.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Json> {
        self.does("sql", &["sql", sql]).as_array().unwrap().to_vec()
    }

    pub(crate) fn is_clean(&self) {
        let verified = self.does("verify", &["verify", "--execute"]);
        assert_eq!(verified.get("clean"), Some(&Json::from(true)), "{}: {verified}", self.name);
    }
}

pub(crate) fn text(json: &Json, name: &str) -> String {
    json.get(name).and_then(Json::as_str).unwrap_or_else(|| panic!("no text {name} in {json}")).to_owned()
}

/// Seller and buyer, connected.
pub(crate) fn two(test: &str) -> (Organisation, Organisation) {
    let seller = Organisation::founder(test);
    let mut buyer = Organisation::new(test, "buyer");
    buyer.joins(&seller.invites("buyer", &[]));
    seller.waits();
    buyer.waits();
    (seller, buyer)
}

/// The actors of a house sale, each added at home, and the contract agreed to by both.
pub(crate) fn agreed(test: &str) -> (Organisation, Organisation) {
    let (seller, buyer) = two(test);
    for (home, person, role) in [
        (&seller, "alice", "seller"),
        (&seller, "ivy", "inspector"),
        (&buyer, "bob", "buyer"),
        (&buyer, "eve", "buyer"),
    ] {
        home.does("actor-add", &["actor", "add", person, "--role", role]);
    }
    seller.does("contract-deploy", &["contract", "deploy", package().to_str().unwrap()]);
    buyer.waits();
    buyer.does("contract-approve", &["contract", "approve", "house_sale@1.0.0", "--yes"]);
    seller.waits();
    buyer.waits();
    (seller, buyer)
}

/// The house that is sold, and inspected by the seller's own ivy.
pub(crate) fn listing() -> Json {
    json!({"buyer": "bob@buyer", "inspector": "ivy@seller", "address": "1 Elm St", "asking_price": "350000.00", "rooms": 4})
}

pub(crate) fn price(price: &str) -> Json {
    json!({"price": price})
}
