//! `lockstep demo --network`: a house is sold between four organisations, each with a node, a process and a database.
//!
//! Everything goes the way that people go: the verbs of this binary, processes that run, connections on loopback.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lockstep_core::codes::Code;
use lockstep_core::json::{Json, json};

use super::beats::{title, verdict};
use super::{MARKER, millis, replace_own, sales};
use crate::context::{Context, Home};
use crate::error::{CliError, Exit, file_error};
use crate::organisation::{Organisation, free_address};
use crate::output::{Output, Style};

/// How long the nodes may take to have all of each other.
const PATIENCE: &str = "20s";
/// The sections that the four are to see differently.
const SECTIONS: [&str; 3] = ["listing", "negotiation", "inspection"];
/// Who may not see the negotiation; a regulator supervises, and sees all.
const UNENTITLED: [&str; 1] = ["inspector"];

/// The four, in the order in which they come.
struct Network {
    output: Output,
    seller: Organisation,
    others: Vec<Organisation>,
}

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let started = Instant::now();
    let dir = context.dir.clone().unwrap_or_else(|| PathBuf::from("./lockstep-network"));
    replace_own(&dir)?;
    std::fs::create_dir_all(&dir).map_err(|error| file_error(&dir, &error))?;
    let marker = dir.join(MARKER);
    std::fs::write(&marker, "made by `lockstep demo --network`, which replaces this directory\n")
        .map_err(|error| file_error(&marker, &error))?;
    let mut network = Network::make(context.output, &dir)?;
    network.agree(&dir)?;
    network.sell()?;
    let (shown, hidden) = (network.negotiation_to(&["buyer"])?, network.negotiation_to(&UNENTITLED)?);
    let sides = network.side_by_side(context).await?;
    beat_sides(context.output, &sides, shown, hidden);
    let executed = network.executed_again("regulator")?;
    context
        .output
        .line(format!("  the regulator's node took {} outcomes in, and ran {} of them again", executed.0, executed.1));
    let back = network.cut_off(context).await?;
    let (shown, hidden) =
        (shown.max(network.negotiation_to(&["buyer"])?), hidden.max(network.negotiation_to(&UNENTITLED)?));
    let clean = back.iter().all(|side| side.clean);
    let same = same_heads(&back);
    next(context.output, &dir, same && clean, started.elapsed());
    for organisation in network.all_mut() {
        organisation.stop()?;
    }
    let nodes: Json = back.iter().map(Side::to_json).collect();
    let verify: Json = back.iter().map(|side| json!({"node": side.name, "clean": side.clean})).collect();
    context.output.document(&json!({
        "dir": dir.display().to_string(), "nodes": nodes, "same_heads": same, "verify": verify,
        "hidden_bytes_seen": hidden, "negotiation_bytes_to_buyer": shown, "seconds": millis(started)
    }));
    Ok(if same && clean && hidden == 0 { Exit::Done } else { Exit::Found })
}

impl Network {
    fn make(output: Output, dir: &Path) -> Result<Self, CliError> {
        title(output, 1, "Four organisations, each with a node and a database of its own.");
        let mut seller = Organisation::new("seller", dir);
        let address = free_address()?;
        seller.does(&["network", "create", "house-sales", "--participant", "seller", "--address", &address])?;
        seller.start()?;
        output.line("  seller     founds the network house-sales");
        let mut network = Network { output, seller, others: Vec::new() };
        for (name, observer) in [("buyer", false), ("inspector", false), ("regulator", true)] {
            network.invite(name, observer, dir)?;
        }
        Ok(network)
    }

    /// Invites, joins, and has those who have a vote agree.
    fn invite(&mut self, name: &'static str, observer: bool, dir: &Path) -> Result<(), CliError> {
        let mut arguments = vec!["network", "invite", name];
        arguments.extend(observer.then_some("--observer"));
        let invited = self.seller.does(&arguments)?;
        let line = invited.get("invitation").and_then(Json::as_str).unwrap_or_default();
        let mut new = Organisation::new(name, dir);
        new.does(&["network", "join", line, "--address", &free_address()?])?;
        new.start()?;
        for voter in self.others.iter().filter(|other| other.name != "regulator") {
            voter.does(&["network", "status", "--wait", PATIENCE])?;
            voter.does(&["network", "approve", name])?;
        }
        let what = if observer { "joins as an observer, without a vote" } else { "joins by invitation" };
        self.output.line(format!("  {name:10} {what}"));
        self.others.push(new);
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Organisation> {
        std::iter::once(&self.seller).chain(&self.others)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Organisation> {
        std::iter::once(&mut self.seller).chain(&mut self.others)
    }

    fn named(&self, name: &str) -> &Organisation {
        self.all().find(|organisation| organisation.name == name).unwrap_or(&self.seller)
    }

    /// Everybody waits until it has what the others have for it.
    fn wait(&self) -> Result<(), CliError> {
        for organisation in self.all() {
            let status = organisation.does(&["network", "status", "--wait", PATIENCE])?;
            if status.get("caught_up").and_then(Json::as_bool) != Some(true) {
                let message = format!("{} has not caught up: {}", organisation.name, status.canonical());
                return Err(CliError::new(Code::Internal, message));
            }
        }
        Ok(())
    }

    /// People and the contract: proposed by one, approved by all who have a vote.
    fn agree(&self, dir: &Path) -> Result<(), CliError> {
        self.wait()?;
        for (name, person, roles) in [
            ("seller", "alice", "seller"),
            ("buyer", "bob", "buyer purchaser"),
            ("inspector", "ivy", "inspector"),
            ("regulator", "rita", "supervisor"),
        ] {
            let mut arguments = vec!["actor", "add", person];
            for role in roles.split(' ') {
                arguments.extend(["--role", role]);
            }
            self.named(name).does(&arguments)?;
        }
        let package = dir.join("house_sale-1.0.0.lockstep");
        std::fs::write(&package, sales::HOUSE_SALE).map_err(|error| file_error(&package, &error))?;
        self.seller.does(&["contract", "deploy", &package.display().to_string()])?;
        for name in ["buyer", "inspector"] {
            self.wait()?;
            self.named(name).does(&["contract", "approve", "house_sale@1.0.0", "--yes"])?;
        }
        self.wait()?;
        self.output.line("  house_sale 1.0.0 is proposed by the seller and approved by buyer and inspector");
        Ok(())
    }

    /// One intent, submitted at the node of whoever signs it.
    fn step(&self, at: &str, who: &str, call: &str, arguments: &Json) -> Result<(), CliError> {
        let method = format!("house_sale.{call}");
        let text = arguments.canonical();
        let outcome = self.named(at).does(&["submit", &method, "seller:sale-1", "--as", who, "--args", &text])?;
        let (mark, why) = verdict(self.output, &outcome);
        let about = arguments.get("price").and_then(Json::as_str).map(|price| format!(" {price}")).unwrap_or_default();
        self.output.line(format!("  {mark} {who:5} at {at:10} {:24} {why}", format!("{call}{about}")));
        Ok(())
    }

    fn sell(&self) -> Result<(), CliError> {
        title(self.output, 2, "Each signs at its own node; the seller's orders the record, everybody else checks it.");
        let listing = json!({"buyer": "bob@buyer", "inspector": "ivy@inspector", "supervisor": "regulator", "address": "1 Elm Street", "asking_price": "350000.00", "rooms": 4});
        let price = |price: &str| json!({"price": price});
        self.step("seller", "alice", "list", &listing)?;
        self.wait()?;
        self.step("buyer", "bob", "offer", &price("150000.00"))?;
        self.step("buyer", "bob", "offer", &price("320000.00"))?;
        self.step("seller", "alice", "counter_offer", &price("345000.00"))?;
        self.step("inspector", "ivy", "offer", &price("1000000.00"))?;
        self.step("regulator", "rita", "inspect", &json!({"passed": false, "findings": ["By decree."]}))?;
        self.step("buyer", "bob", "offer", &price("345000.00"))?;
        self.wait()
    }

    /// Bytes of the negotiation that left any node for one of these, counted on what was sent.
    fn negotiation_to(&self, names: &[&str]) -> Result<u64, CliError> {
        let mut sum = 0;
        for organisation in self.all() {
            let status = organisation.does(&["network", "status"])?;
            for peer in status.get("peers").and_then(Json::as_array).unwrap_or_default() {
                let to = peer.get("node").and_then(Json::as_str).unwrap_or_default();
                let bytes = peer.get("sent_bytes").and_then(|sent| sent.get("negotiation")).and_then(Json::as_u64);
                if names.contains(&to) {
                    sum += bytes.unwrap_or_default();
                }
            }
        }
        Ok(sum)
    }

    /// How many outcomes a node has taken in since it started, and how many of them it executed again.
    fn executed_again(&self, name: &str) -> Result<(u64, u64), CliError> {
        let status = self.named(name).does(&["network", "status"])?;
        let peers = status.get("peers").and_then(Json::as_array).unwrap_or_default();
        let sum = |level: &str| {
            let of = |peer: &Json| peer.get("compared").and_then(|compared| compared.get(level)).and_then(Json::as_u64);
            peers.iter().filter_map(of).sum::<u64>()
        };
        Ok((sum("full") + sum("partial"), sum("full")))
    }

    async fn side_by_side(&self, context: &Context) -> Result<Vec<Side>, CliError> {
        let mut sides = Vec::new();
        for organisation in self.all() {
            sides.push(Side::of(context, organisation).await?);
        }
        Ok(sides)
    }

    /// The buyer's node dies, the others go on, it comes back.
    async fn cut_off(&mut self, context: &Context) -> Result<Vec<Side>, CliError> {
        let output = self.output;
        title(output, 4, "The buyer's node is killed; the others go on; it comes back and catches up.");
        if let Some(buyer) = self.others.iter_mut().find(|other| other.name == "buyer") {
            buyer.cut();
        }
        self.step("seller", "alice", "accept", &json!({"price": "345000.00"}))?;
        self.step("inspector", "ivy", "inspect", &json!({"passed": true, "findings": ["The gutter leaks."]}))?;
        let started = Instant::now();
        if let Some(buyer) = self.others.iter_mut().find(|other| other.name == "buyer") {
            buyer.start()?;
        }
        self.wait()?;
        let took = started.elapsed();
        self.step("buyer", "bob", "close", &json!({}))?;
        self.wait()?;
        let sides = self.side_by_side(context).await?;
        let heads = if same_heads(&sides) { "all heads equal" } else { "HEADS DIFFER" };
        output.line(format!("  the buyer's node was back and had all in {:.1} s; {heads}", took.as_secs_f64()));
        Ok(sides)
    }
}

/// What one database holds of the sale.
struct Side {
    name: &'static str,
    database: String,
    rows: u64,
    head: String,
    scope: String,
    shown: Vec<(&'static str, bool)>,
    clean: bool,
}

impl Side {
    async fn of(context: &Context, organisation: &Organisation) -> Result<Side, CliError> {
        let home = Context { dir: Some(organisation.dir.clone()), database: None, ..context.clone() }.home()?;
        let query =
            "SELECT lockstep_head, lockstep_scope, listing, negotiation, inspection FROM house_sale ORDER BY record_id";
        let answer = home.reader().await?.query(query, 100).await?;
        let text = |at: usize| answer.rows.first().and_then(|row| row.get(at)).and_then(|cell| cell.show());
        let shown = SECTIONS.iter().enumerate().map(|(index, section)| (*section, text(2 + index).is_some()));
        Ok(Side {
            name: organisation.name,
            database: home.database.clone(),
            rows: u64::try_from(answer.rows.len()).unwrap_or_default(),
            head: text(0).unwrap_or_default(),
            scope: text(1).unwrap_or_default(),
            shown: shown.collect(),
            clean: clean(&home).await?,
        })
    }

    fn to_json(&self) -> Json {
        let hidden = self.shown.iter().filter(|(_, shown)| !shown).map(|(section, _)| Json::from(*section));
        json!({
            "name": self.name, "participant": self.name, "database": self.database.as_str(), "rows": self.rows,
            "scopes": [self.scope.as_str()], "null_sections": hidden.collect::<Json>(), "head": self.head.as_str()
        })
    }
}

async fn clean(home: &Home) -> Result<bool, CliError> {
    Ok(crate::check::check(home, &home.database, None, true, &mut |_| {}).await?.is_clean())
}

fn same_heads(sides: &[Side]) -> bool {
    sides.iter().map(|side| &side.head).collect::<BTreeSet<_>>().len() == 1 && sides.iter().all(|side| side.rows > 0)
}

fn beat_sides(output: Output, sides: &[Side], shown: u64, hidden: u64) {
    title(output, 3, "The same row in four databases, each with what its owner may see.");
    let rows: Vec<Vec<String>> = sides
        .iter()
        .map(|side| {
            let mut row = vec![side.name.to_owned(), side.head.chars().take(12).collect()];
            row.extend(side.shown.iter().map(|(_, shown)| if *shown { "shown" } else { "NULL" }.to_owned()));
            row.extend([side.scope.clone(), if side.clean { "clean" } else { "NOT CLEAN" }.to_owned()]);
            row
        })
        .collect();
    output.table(&["database", "head", "listing", "negotiation", "inspection", "scope", "verify"], &rows);
    output.line(format!("  bytes of negotiation sent to the inspector: {hidden}; to the buyer: {shown} bytes"));
}

fn next(output: Output, dir: &Path, good: bool, took: Duration) {
    let program = std::env::args().next().unwrap_or_else(|| "lockstep".to_owned());
    let here = dir.display();
    output.line("");
    output.line(format!("  {program} --dir {here}/regulator sql \"SELECT * FROM house_sale\""));
    output.line(format!("  {program} --dir {here}/buyer record history house_sale seller:sale-1"));
    output.line(format!("  {program} --dir {here}/seller run"));
    output.line("");
    let verdict = if good {
        output.styled(Style::Good, "same heads, verify clean on all four")
    } else {
        output.styled(Style::Bad, "the four do NOT agree")
    };
    output.line(format!("{verdict}; all of this took {:.1} s and is in {here}", took.as_secs_f64()));
}
