//! The network of one node that is measured: made as `init`, `actor add` and `contract deploy` make one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, PublicKey, Salt};
use lockstep_core::database::Database;
use lockstep_core::intent::{Call, Draft, Target};
use lockstep_core::json::{Json, json};
use lockstep_core::names::{ActorId, NodeName, RecordId};
use lockstep_core::package::Package;
use lockstep_core::time::Timestamp;
use lockstep_node::{Node, NodeConfig, Parts, random_bytes, random_salt};

use super::store::Store;
use crate::error::CliError;
use crate::keys::{Key, actor_key_path};
use crate::verbs::{actor, contract, init};
use crate::way::Way;

/// The contract.
pub(super) const BULLETIN: &[u8] = include_bytes!("../../../../examples/bulletin/package/bulletin-1.0.0.lockstep");

/// How long the intents are good for: they are all signed before the first one is sent.
const EXPIRES: std::time::Duration = std::time::Duration::from_secs(12 * 3600);

/// Who signs.
pub(super) const AUTHOR: &str = "ed@acme";

/// A node with the one who signs.
pub(super) struct World {
    pub(super) dir: PathBuf,
    pub(super) node: Node,
    pub(super) author: Arc<Author>,
}

/// Who signs, and for which network.
pub(super) struct Author {
    network: Digest,
    node: NodeName,
    key: Key,
    id: ActorId,
    expires: Timestamp,
}

pub(super) fn internal(error: impl ToString) -> CliError {
    CliError::new(Code::Internal, error.to_string())
}

impl World {
    /// Founds the network in a new directory.
    pub(super) async fn make(dir: &Path) -> Result<World, CliError> {
        World::make_over(dir, |database| database).await
    }

    /// The same on a new database.
    pub(super) async fn make_on(dir: &Path, store: &Store) -> Result<World, CliError> {
        World::made(dir, store.of_server(), |database| database).await
    }

    /// The same, with something between the node and its database.
    pub(super) async fn make_over(
        dir: &Path,
        over: impl FnOnce(Arc<dyn Database>) -> Arc<dyn Database>,
    ) -> Result<World, CliError> {
        World::made(dir, None, over).await
    }

    async fn made(
        dir: &Path,
        url: Option<&str>,
        over: impl FnOnce(Arc<dyn Database>) -> Arc<dyn Database>,
    ) -> Result<World, CliError> {
        let made = init::make(dir, "bench", "acme", url, None).await?;
        let parts = made.home.parts().await?;
        let parts = Parts { notice: Arc::new(|_| {}), database: over(parts.database.clone()), ..parts };
        let node = Node::open(parts, NodeConfig::default()).await?;
        let admin = Key::read(&actor_key_path(dir, &made.home.config.actor))?;
        let id = ActorId::parse(AUTHOR).map_err(internal)?;
        let way = Way::of(&node);
        actor::add(&way, &admin, dir, &id, &["editor".to_owned()], None).await?;
        let package = Package::decode(BULLETIN).map_err(internal)?;
        contract::deploy(&way, &admin, &package).await?;
        let author = Author::read(dir, node.directory().network(), node.name().clone(), node.now())?;
        Ok(World { dir: dir.to_owned(), node, author: Arc::new(author) })
    }

    /// Leaves of the node's log.
    pub(super) async fn leaves(&self) -> Result<u64, CliError> {
        let answer = self.node.database().query("SELECT max(size) FROM lockstep_checkpoint", 1).await?;
        let size = answer.rows.first().and_then(|row| row.first()).and_then(lockstep_core::tables::Cell::as_count);
        size.ok_or_else(|| internal("the log has no checkpoint"))
    }

    /// The file of the database.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join("lockstep.db")
    }
}

impl Author {
    /// The author whose key is in a node's directory.
    pub(super) fn read(dir: &Path, network: Digest, node: NodeName, now: Timestamp) -> Result<Author, CliError> {
        let (key, id) = (Key::read(&actor_key_path(dir, AUTHOR))?, ActorId::parse(AUTHOR).map_err(internal)?);
        Ok(Author { network, node, key, id, expires: now.plus(EXPIRES) })
    }

    /// The key that its signatures are checked with.
    pub(super) fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// An intent as it travels, on the record with this number.
    pub(super) fn signed(&self, method: &str, record: usize, arguments: Json) -> Result<Vec<u8>, CliError> {
        let draft = Draft {
            network: self.network,
            sequencer: self.node.clone(),
            actor: self.id.clone(),
            nonce: Digest::from_bytes(random_bytes().map_err(internal)?),
            expires: self.expires,
            not_before: None,
            call: Call::Method {
                contract: lockstep_core::names::ContractName::parse("bulletin").map_err(internal)?,
                method: lockstep_core::names::MethodName::parse(method).map_err(internal)?,
                arguments,
            },
            targets: vec![Target {
                record: RecordId::parse(&format!("acme:b{record}")).map_err(internal)?,
                expect: None,
            }],
        };
        let salts = [random_salt().map_err(internal)?, random_salt().map_err(internal)?];
        let mut salts = salts.into_iter();
        let signed = draft.sign(&self.key.signer, || salts.next().unwrap_or_else(|| Salt::from([0; 32])));
        Ok(signed.map_err(internal)?.to_json().canonical().into_bytes())
    }

    /// The intent that opens a record.
    pub(super) fn open(&self, record: usize, payload: usize) -> Result<Vec<u8>, CliError> {
        let title = format!("Bulletin {record}");
        self.signed("open", record, json!({"title": title, "body": text(record as u64, payload)}))
    }

    /// The intent that is measured: its arguments have `payload` bytes.
    pub(super) fn revise(&self, record: usize, seed: u64, payload: usize) -> Result<Vec<u8>, CliError> {
        let overhead = json!({"body": ""}).canonical().len();
        self.signed("revise", record, json!({"body": text(seed, payload.saturating_sub(overhead).max(1))}))
    }
}

/// A stream of numbers that nobody can compress, the same for the same seed.
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 11).unwrap_or_default() % end.max(1)
    }
}

/// So many letters and digits.
pub(super) fn text(seed: u64, length: usize) -> String {
    let mut numbers = Numbers::new(seed.wrapping_add(1));
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..length).filter_map(|_| letters.get(numbers.below(letters.len()))).map(|byte| char::from(*byte)).collect()
}
