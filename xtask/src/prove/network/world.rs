//! Five organisations that agree on people and a contract, each typing what people type.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use lockstep_core::json::{Json, json};

use super::organisation::Organisation;
use super::proxy::Proxy;
use crate::prove::Dice;
use crate::tree;

/// How long the nodes may take to have all of each other.
const PATIENCE: &str = "60s";
/// Below the ports that the kernel gives to whoever dials: a node that is down must find its port free.
const PORTS: (u64, u64) = (12_000, 30_000);
/// Who is there, and whether without a vote.
const NAMES: [(&str, bool); 5] =
    [("seller", false), ("buyer", false), ("inspector", false), ("agency", false), ("regulator", true)];
/// The people and the roles that they may take on.
pub(super) const PEOPLE: [(&str, &str, &[&str]); 4] = [
    ("alice@seller", "seller", &["seller"]),
    ("bob@buyer", "buyer", &["buyer", "purchaser"]),
    ("ivy@inspector", "inspector", &["inspector"]),
    ("ann@agency", "agency", &["seller"]),
];
const PACKAGE: &str = "examples/house-sale/package/house_sale-1.0.0.lockstep";

/// The network with the proxy between its nodes.
pub(super) struct World {
    pub(super) organisations: Vec<Organisation>,
    pub(super) proxy: Proxy,
    pub(super) network: String,
}

/// A port that nobody listens on now.
fn free_port(dice: &mut Dice) -> Result<u16, String> {
    for _ in 0..1000 {
        let port = u16::try_from(PORTS.0 + dice.below(PORTS.1 - PORTS.0)).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port is free".to_owned())
}

impl World {
    /// Makes the network; every node runs when it is back.
    pub(super) fn make(dice: &mut Dice, folder: &Path) -> Result<World, String> {
        let proxy = Proxy::new(Dice::of(dice.next(), 0));
        let mut world = World { organisations: Vec::new(), proxy, network: String::new() };
        for (name, observer) in NAMES {
            let (announced, listens) = (free_port(dice)?, free_port(dice)?);
            world.join(Organisation::new(name, folder, listens), observer, announced)?;
        }
        world.agree()?;
        Ok(world)
    }

    pub(super) fn named(&self, name: &str) -> Result<&Organisation, String> {
        let found = self.organisations.iter().find(|organisation| organisation.name == name);
        found.ok_or_else(|| format!("there is no {name}"))
    }

    /// Starts a node, whose connections the proxy then knows.
    pub(super) fn start(&self, organisation: &Organisation) -> Result<(), String> {
        organisation.start()?;
        if let Some(process) = organisation.process() {
            self.proxy.origins.note(organisation.name, process);
        }
        Ok(())
    }

    fn join(&mut self, new: Organisation, observer: bool, announced: u16) -> Result<(), String> {
        self.proxy.stand_before(new.name, announced, new.listens)?;
        let address = format!("127.0.0.1:{announced}");
        match self.organisations.first() {
            None => {
                let made =
                    new.does(&["network", "create", "house-sales", "--participant", new.name, "--address", &address])?;
                self.network = made.get("network_id").and_then(Json::as_str).unwrap_or_default().to_owned();
            }
            Some(host) => {
                let mut arguments = vec!["network", "invite", new.name];
                arguments.extend(observer.then_some("--observer"));
                let invited = host.does(&arguments)?;
                let line = invited.get("invitation").and_then(Json::as_str).unwrap_or_default();
                new.does(&["network", "join", line, "--address", &address])?;
            }
        }
        new.listen_behind(announced)?;
        self.start(&new)?;
        let name = new.name;
        self.organisations.push(new);
        self.take_in(name)
    }

    /// Those who have a vote agree, one after the other, until the new one is in.
    fn take_in(&self, name: &str) -> Result<(), String> {
        for voter in self.organisations.iter().filter(|voter| voter.name != name && voter.name != "regulator") {
            // Whoever is not in yet is let in by nobody.
            wait(self.organisations.iter().filter(|one| one.name != name))?;
            let known = voter.does(&["network", "peers"])?;
            let mut known = known.as_array().unwrap_or_default().iter();
            let text = |one: &Json, field: &str| one.get(field).and_then(Json::as_str).map(str::to_owned);
            let new = known.find(|one| text(one, "participant").as_deref() == Some(name));
            if new.is_some_and(|one| text(one, "status").as_deref() == Some("active")) {
                break;
            }
            // The one that invited has agreed by that.
            if voter.name != "seller" {
                voter.does(&["network", "approve", name])?;
            }
        }
        self.wait()
    }

    /// Everybody waits until it has what the others have for it; who does not get there is an error.
    pub(super) fn wait(&self) -> Result<(), String> {
        wait(self.organisations.iter())
    }

    /// People and the contract, and a sale at each node that orders some.
    fn agree(&self) -> Result<(), String> {
        for (actor, organisation, roles) in PEOPLE {
            let mut arguments = vec!["actor", "add", actor.split('@').next().unwrap_or_default()];
            for role in roles {
                arguments.extend(["--role", role]);
            }
            self.named(organisation)?.does(&arguments)?;
        }
        let package = tree::root().join(PACKAGE).display().to_string();
        self.named("seller")?.does(&["contract", "deploy", &package])?;
        for name in ["buyer", "inspector"] {
            self.wait()?;
            self.named(name)?.does(&["contract", "approve", "house_sale@1.0.0", "--yes"])?;
        }
        self.wait()?;
        for (at, person) in [("seller", "alice"), ("agency", "ann")] {
            let record = format!("{at}:sale-0");
            let arguments = listing("350000.00").canonical();
            let made =
                self.named(at)?.does(&["submit", "house_sale.list", &record, "--as", person, "--args", &arguments])?;
            if made.get("status").and_then(Json::as_str) != Some("applied") {
                return Err(format!("{record} was not listed: {}", made.canonical()));
            }
        }
        self.wait()
    }
}

fn wait<'a>(organisations: impl Iterator<Item = &'a Organisation>) -> Result<(), String> {
    for organisation in organisations {
        let status = organisation.does(&["network", "status", "--wait", PATIENCE])?;
        if status.get("caught_up").and_then(Json::as_bool) != Some(true) {
            return Err(format!("{} has not caught up: {}", organisation.name, status.canonical()));
        }
    }
    Ok(())
}

/// What a house is listed with.
pub(super) fn listing(asking: &str) -> Json {
    json!({"buyer": "bob@buyer", "inspector": "ivy@inspector", "address": "Straße 1, Łódź", "asking_price": asking, "rooms": 4})
}
