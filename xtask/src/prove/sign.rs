//! Intents as their actors sign them.

use std::time::Duration;

use lockstep_core::clock::Clock;
use lockstep_core::crypto::{Digest, LocalSigner, Salt};
use lockstep_core::intent::{Call, Draft, Target};
use lockstep_core::json::Json;
use lockstep_core::names::{ActorId, ContractName, MethodName, RecordId};
use lockstep_node::SystemClock;

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// What an actor wants.
pub(super) struct Wanted<'a> {
    pub(super) network: Digest,
    pub(super) who: &'a str,
    /// `CONTRACT.METHOD`.
    pub(super) call: &'a str,
    /// Records of one node.
    pub(super) on: &'a [&'a str],
    pub(super) arguments: Json,
    /// From now on.
    pub(super) expires: Duration,
}

impl Wanted<'_> {
    /// Signs it; the intent's id and what is submitted.
    pub(super) fn sign(
        self,
        signer: &LocalSigner,
        mut random: impl FnMut() -> [u8; 32],
    ) -> Result<(String, Vec<u8>), String> {
        let (contract, method) = self.call.split_once('.').ok_or("no method")?;
        let record = |name: &&str| RecordId::parse(name).map(|record| Target { record, expect: None }).map_err(words);
        let targets = self.on.iter().map(record).collect::<Result<Vec<_>, _>>()?;
        let draft = Draft {
            network: self.network,
            sequencer: targets.first().ok_or("no record")?.record.node(),
            actor: ActorId::parse(self.who).map_err(words)?,
            nonce: Digest::from_bytes(random()),
            expires: SystemClock.now().plus(self.expires),
            not_before: None,
            call: Call::Method {
                contract: ContractName::parse(contract).map_err(words)?,
                method: MethodName::parse(method).map_err(words)?,
                arguments: self.arguments,
            },
            targets,
        };
        let signed = draft.sign(signer, || Salt::from(random())).map_err(words)?;
        Ok((Digest::of(&signed.envelope.payload).to_string(), signed.to_json().canonical().into_bytes()))
    }
}
