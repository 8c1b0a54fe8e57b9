//! Tokens: an actor's signed word that whoever shows it may read what the actor may, at one node, for a short time.
//!
//! A token is an envelope in one line: payload and signature of DSSE, with a payload type of their own, so that a
//! signature of anything else never passes for one. It gives no rights: those are looked up for the actor it names.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use crate::crypto::{ALGORITHMS, Digest, Signature, Signer, SignerError, pae};
use crate::directory::Directory;
use crate::json::{Fields, Json, Limits, ShapeError, json};
use crate::names::{ActorId, NodeName};
use crate::package::FORMAT;
use crate::sync::Reader;
use crate::time::Timestamp;

/// DSSE payload type of a token.
pub const TOKEN_TYPE: &str = "application/vnd.lockstep.token.v1+json";

/// What every token begins with.
const PREFIX: &str = "lockstep1";

/// The longest that a token may be good for.
pub const LONGEST_TOKEN: Duration = Duration::from_secs(24 * 3600);

/// How far ahead of a node's clock the one who signed may be.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// More characters than any token has.
const MOST_CHARACTERS: usize = 2048;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The network.
    pub network: Digest,
    /// The node that it is for.
    pub node: NodeName,
    /// Who reads.
    pub actor: ActorId,
    /// When it was made.
    pub issued: Timestamp,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has not the form of a token.
    #[error("it is no token: {0}")]
    Form(String),
    /// It is of another format.
    #[error("its format is not known to this version")]
    Format,
    /// It was made for somewhere else.
    #[error("it is for node {node} of network {network}")]
    Elsewhere {
        /// The node that it is for.
        node: NodeName,
        /// Its network.
        network: Digest,
    },
    /// It is good for longer than any may be.
    #[error("it is good for longer than {} hours", LONGEST_TOKEN.as_secs() / 3600)]
    TooLong,
    /// It was made after now.
    #[error("it is from the future: {0}")]
    Early(Timestamp),
    /// It is too old.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// The directory does not know the actor, or its key was revoked.
    #[error("{0} is no active actor")]
    Actor(ActorId),
    /// The signature is not the one of the actor's current key.
    #[error("the signature is not that of {0}'s current key")]
    Signature(ActorId),
}

impl From<ShapeError> for TokenError {
    fn from(error: ShapeError) -> Self {
        TokenError::Form(error.to_string())
    }
}

fn form(what: &str) -> TokenError {
    TokenError::Form(what.to_owned())
}

impl Token {
    /// The token in a line, signed with the actor's key.
    ///
    /// # Errors
    /// The signer's.
    pub fn sign(&self, signer: &dyn Signer) -> Result<String, SignerError> {
        let payload = json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "network": self.network.to_string(), "node": self.node.as_str(),
            "actor": self.actor.as_str(), "issued": self.issued.to_string(), "expires": self.expires.to_string()
        });
        let payload = payload.canonical().into_bytes();
        let signature = signer.sign(&pae(TOKEN_TYPE, &payload))?;
        let [payload, signature] = [payload.as_slice(), signature.as_bytes()].map(|part| BASE64URL_NOPAD.encode(part));
        Ok(format!("{PREFIX}.{payload}.{signature}"))
    }

    /// Who reads by this line at a node now, and what the line says.
    ///
    /// # Errors
    /// [`TokenError`] says why nobody does.
    pub fn verify(
        line: &str,
        directory: &Directory,
        node: &NodeName,
        now: Timestamp,
    ) -> Result<(Reader, Token), TokenError> {
        let (payload, signature) = split(line)?;
        let token = read(&payload)?;
        token.check_place_and_time(directory, node, now)?;
        let reader = Reader::of(directory, &token.actor).ok_or_else(|| TokenError::Actor(token.actor.clone()))?;
        let key = directory.actors().get(&token.actor).map(|actor| actor.key);
        let signed = |signature| key.is_some_and(|key| key.verify(&pae(TOKEN_TYPE, &payload), &signature));
        match Signature::from_bytes(&signature).is_ok_and(signed) {
            true => Ok((reader, token)),
            false => Err(TokenError::Signature(token.actor)),
        }
    }

    fn check_place_and_time(&self, directory: &Directory, node: &NodeName, now: Timestamp) -> Result<(), TokenError> {
        if self.network != directory.network() || self.node != *node {
            return Err(TokenError::Elsewhere { node: self.node.clone(), network: self.network });
        }
        if self.expires.since(self.issued) > LONGEST_TOKEN {
            return Err(TokenError::TooLong);
        }
        if self.issued > now.plus(CLOCK_TOLERANCE) {
            return Err(TokenError::Early(self.issued));
        }
        if self.expires <= now {
            return Err(TokenError::Expired(self.expires));
        }
        Ok(())
    }
}

/// Payload and signature; each has one spelling.
fn split(line: &str) -> Result<(Vec<u8>, Vec<u8>), TokenError> {
    if line.len() > MOST_CHARACTERS {
        return Err(form("it is too long"));
    }
    let mut parts = line.split('.');
    let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
    let [Some(PREFIX), Some(payload), Some(signature), None] = parts else {
        return Err(form("it is not lockstep1.PAYLOAD.SIGNATURE"));
    };
    let decoded = |part: &str| {
        BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| form("a part is not base64url without padding"))
    };
    Ok((decoded(payload)?, decoded(signature)?))
}

fn read(payload: &[u8]) -> Result<Token, TokenError> {
    let payload = Json::parse_canonical(payload, &Limits::default()).map_err(|error| form(&error.to_string()))?;
    let mut fields = Fields::of(&payload, "token")?;
    if fields.count("format")? != FORMAT || fields.text("algorithms")? != ALGORITHMS {
        return Err(TokenError::Format);
    }
    let token = Token {
        network: fields.parsed("network", Digest::parse)?,
        node: fields.parsed("node", NodeName::parse)?,
        actor: fields.parsed("actor", ActorId::parse)?,
        issued: fields.parsed("issued", Timestamp::parse)?,
        expires: fields.parsed("expires", Timestamp::parse)?,
    };
    fields.finish()?;
    Ok(token)
}
