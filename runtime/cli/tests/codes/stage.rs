//! The node on which codes are met: a sale, a table of tasks, a contract that misbehaves, and copies of it all.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockstep_core::crypto::{Digest, LocalSigner, Salt};
use lockstep_core::database::DatabaseError;
use lockstep_core::intent::{Call, Draft, Target};
use lockstep_core::json;
use lockstep_core::json::{Json, Limits};
use lockstep_core::names::{ActorId, ContractName, MethodName, NodeName, RecordId};
use lockstep_core::time::Timestamp;

use crate::support::packages::{probe, recast};
use crate::support::{Place, Ran};

/// What came of trying to meet a code.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) codes: Vec<String>,
    /// The exit status, where a command ended with one.
    pub(crate) status: Option<i32>,
    /// Rows that were written on the way.
    pub(crate) rows: u64,
    /// What it printed.
    pub(crate) said: String,
}

impl From<Ran> for Met {
    fn from(ran: Ran) -> Self {
        let document = Json::parse(ran.stdout.trim().as_bytes(), &Limits { bytes: 64 << 20, ..Limits::default() });
        let document = document.unwrap_or_default();
        let text = |json: &Json| json.get("code").and_then(Json::as_str).map(str::to_owned);
        let mut codes: Vec<String> = document.get("error").and_then(text).into_iter().chain(text(&document)).collect();
        codes.extend(document.get("findings").and_then(Json::as_array).unwrap_or_default().iter().filter_map(text));
        let said: String = format!("{}{}", ran.stdout, ran.stderr).chars().take(600).collect();
        Met { codes, status: Some(ran.status), rows: 0, said }
    }
}

impl Met {
    /// Met through the library.
    pub(crate) fn code(code: lockstep_core::codes::Code) -> Self {
        Met { codes: vec![code.as_str().to_owned()], ..Met::default() }
    }
}

pub(crate) struct Stage {
    pub(crate) place: Place,
    copies: Cell<u32>,
}

/// Records that everybody may change without a contract, but for one section.
fn task() -> Json {
    json!({"task": {
        "roles": {"anyone": {"everyone": true}, "boss": {}},
        "parties": {"create": ["anyone"], "modify": ["anyone"]},
        "sections": {
            "body": {"schema": {"type": "object", "properties": {"note": {"type": "string", "maxLength": 10}}}, "create": ["anyone"], "modify": ["anyone"]},
            "verdict": {"schema": {}, "create": ["boss"], "modify": ["boss"], "read": ["anyone"]}
        },
        "raw_changes": true
    }})
}

impl Stage {
    pub(crate) fn set() -> Self {
        let place = Place::sale("codes");
        for (name, package) in [
            ("task", recast("examples/house-sale/package/house_sale-1.0.0.lockstep", "task", task(), json!({}))),
            ("probe", probe()),
        ] {
            let path = place.0.join(name);
            std::fs::write(&path, package).unwrap();
            place.well(&["contract", "deploy", path.to_str().unwrap()]);
        }
        let stage = Stage { place, copies: Cell::new(0) };
        stage.place.well(&["actor", "add", "eve", "--participant", "acme"]);
        stage.raw(r#"[{"section":"body","op":"add","path":"","value":{"note":"hello"}}]"#, &[]);
        stage
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.place.run(&[args, &["--json"]].concat())
    }

    pub(crate) fn run_in(&self, dir: &Path, args: &[&str]) -> Ran {
        self.run(&[args, &["--dir", dir.to_str().unwrap()]].concat())
    }

    /// Submits changes of the task that is there.
    pub(crate) fn raw(&self, changes: &str, more: &[&str]) -> Ran {
        let file = self.file("changes.json", changes.as_bytes());
        self.run(&[&["submit", "--changes", &file, "--spec", "task", "acme:task-1", "--as", "alice"], more].concat())
    }

    /// Calls a method of the sale that is there.
    pub(crate) fn call(&self, method: &str, by: &str, args: &str, more: &[&str]) -> Ran {
        self.run(&[&["submit", method, "acme:sale-1", "--as", by, "--args", args], more].concat())
    }

    pub(crate) fn submit(&self, bytes: &[u8]) -> Met {
        self.run(&["submit", "--envelope", &self.file("envelope.json", bytes)]).into()
    }

    /// A file's name as arguments have it.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.place.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        format!("@{}", path.display())
    }

    pub(crate) fn intents(&self) -> u64 {
        let counted = self.run(&["sql", "SELECT count(*) AS n FROM lockstep_intent"]).json();
        counted.as_array().unwrap()[0].get("n").and_then(Json::as_u64).unwrap()
    }

    /// The directory again, to be spoiled.
    pub(crate) fn copy(&self) -> PathBuf {
        self.copies.set(self.copies.get() + 1);
        let to = self.place.0.join(format!("copy-{}", self.copies.get()));
        copy_all(&self.place.dir(), &to);
        to
    }

    /// A copy whose database somebody has edited, and what `verify` says of it.
    pub(crate) fn edited(&self, statements: &[&str]) -> Met {
        let dir = self.copy();
        edit(&dir.join("lockstep.db"), statements).unwrap();
        self.run_in(&dir, &["verify"]).into()
    }

    pub(crate) fn key(&self, file: &str) -> LocalSigner {
        let json = Json::parse(&std::fs::read(self.place.dir().join(file)).unwrap(), &Limits::default()).unwrap();
        let secret = Digest::parse(json.get("secret_key").and_then(Json::as_str).unwrap()).unwrap();
        LocalSigner::from_secret(*secret.as_bytes())
    }

    pub(crate) fn network(&self) -> Digest {
        let row = self.run(&["sql", "SELECT value FROM lockstep_meta WHERE key = 'network_id'"]).json();
        Digest::parse(row.as_array().unwrap()[0].get("value").and_then(Json::as_str).unwrap()).unwrap()
    }

    /// An intent of alice's that would get through.
    pub(crate) fn draft(&self) -> Draft {
        let now = lockstep_core::clock::Clock::now(&lockstep_node::SystemClock);
        Draft {
            network: self.network(),
            sequencer: NodeName::parse("acme").unwrap(),
            actor: ActorId::parse("alice@acme").unwrap(),
            nonce: Digest::from_bytes(lockstep_node::random_bytes().unwrap()),
            expires: now.plus(Duration::from_secs(600)),
            not_before: None,
            call: Call::Method {
                contract: ContractName::parse("house_sale").unwrap(),
                method: MethodName::parse("offer").unwrap(),
                arguments: json!({"price": "1.00"}),
            },
            targets: vec![Target { record: RecordId::parse("acme:sale-1").unwrap(), expect: None }],
        }
    }

    pub(crate) fn sign(&self, draft: &Draft) -> Json {
        let salt = || Salt::from(lockstep_node::random_bytes().unwrap());
        draft.sign(&self.key("keys/alice@acme.key"), salt).unwrap().to_json()
    }

    /// A good submission.
    pub(crate) fn good(&self) -> Json {
        self.sign(&self.draft())
    }
}

/// When nobody lives any more.
pub(crate) fn far() -> Timestamp {
    Timestamp::parse("2999-01-01T00:00:00.000000Z").unwrap()
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// What any other client does to the file.
pub(crate) fn edit(file: &Path, statements: &[&str]) -> Result<(), DatabaseError> {
    wait(lockstep_sqlite::client::execute(file, statements))
}

pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}
