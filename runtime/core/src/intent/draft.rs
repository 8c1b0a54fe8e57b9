//! Making an intent: what a client does before it sends one.

use crate::crypto::{ALGORITHMS, Context, Digest, Envelope, Salt, Signer, SignerError, commit};
use crate::json::{Json, Object};
use crate::names::{ActorId, NodeName};
use crate::package::FORMAT;
use crate::time::Timestamp;

use super::{CALL_DOMAIN, Call, INTENT_TYPE, RECORD_DOMAIN, Target};
use crate::json::json;

/// An intent before it is signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The network it is for.
    pub network: Digest,
    /// The node that orders its records.
    pub sequencer: NodeName,
    /// Who signs.
    pub actor: ActorId,
    /// 32 bytes that the actor never uses twice.
    pub nonce: Digest,
    /// When it is worth nothing any more.
    pub expires: Timestamp,
    /// Before when it must not be applied.
    pub not_before: Option<Timestamp>,
    /// What is wished.
    pub call: Call,
    /// The records, in order.
    pub targets: Vec<Target>,
}

/// A signed intent with its openings, as it travels.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// What was signed, and the signature.
    pub envelope: Envelope,
    /// What the signed commitments stand for.
    pub openings: Json,
}

impl Draft {
    /// Signs it. Each commitment takes one salt; salts must never be used twice.
    ///
    /// # Errors
    /// The signer's.
    pub fn sign(&self, signer: &dyn Signer, mut salt: impl FnMut() -> Salt) -> Result<Submission, SignerError> {
        let context = |domain| Context { domain, network: Some(&self.network), record: None, section: None, seq: None };
        let call_salt = salt();
        let call = self.call.to_json();
        let call_commitment = commit(&call_salt, &context(CALL_DOMAIN), &call);
        let (mut records, mut record_openings) = (Vec::new(), Vec::new());
        for target in &self.targets {
            let (record_salt, content) = (salt(), target.to_json());
            records.push(Json::from(commit(&record_salt, &context(RECORD_DOMAIN), &content).to_string()));
            record_openings.push(with_salt(&record_salt, content));
        }
        let mut payload = json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "network": self.network.to_string(),
            "sequencer": self.sequencer.as_str(), "actor": self.actor.as_str(), "nonce": self.nonce.to_string(),
            "expires": self.expires.to_string(), "call": call_commitment.to_string(), "records": records
        });
        if let (Some(time), Json::Object(object)) = (self.not_before, &mut payload) {
            object.insert("not_before".to_owned(), Json::from(time.to_string()));
        }
        let envelope = Envelope::sign(INTENT_TYPE, payload.canonical().into_bytes(), signer)?;
        let openings = json!({"call": with_salt(&call_salt, call), "records": record_openings});
        Ok(Submission { envelope, openings })
    }
}

fn with_salt(salt: &Salt, content: Json) -> Json {
    let mut object = match content {
        Json::Object(object) => object,
        other => Object::from_iter([("content".to_owned(), other)]),
    };
    object.insert("salt".to_owned(), Json::from(salt.to_string()));
    Json::Object(object)
}

impl Submission {
    /// The DSSE envelope with one more member, `openings`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut json = self.envelope.to_json();
        if let Json::Object(object) = &mut json {
            object.insert("openings".to_owned(), self.openings.clone());
        }
        json
    }
}
