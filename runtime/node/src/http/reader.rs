//! Who reads: the actor of the token that a request shows.

use axum::http::{HeaderMap, header};
use lockstep_core::codes::Code;
use lockstep_core::crypto::PublicKey;
use lockstep_core::sync::Reader;
use lockstep_core::time::Timestamp;
use lockstep_core::token::Token;

use super::Http;
use super::problem::Problem;
use crate::open::Node;

/// Somebody who may read, and until when.
pub(super) struct Allowed {
    pub(super) reader: Reader,
    /// When the token ends.
    pub(super) until: Timestamp,
    /// The key that signed it.
    key: Option<PublicKey>,
    /// The directory that this was looked up in.
    seq: u64,
}

impl Http {
    /// The actor of a request's token.
    pub(super) fn reader(&self, headers: &HeaderMap) -> Result<Allowed, Problem> {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let missing = || Problem::new(Code::TokenMissing, "the request has no Authorization: Bearer TOKEN");
        let line = shown.next().ok_or_else(missing)?;
        let refused = |why: String| Problem::new(Code::TokenRefused, why);
        if shown.next().is_some() {
            return Err(refused("the request has several Authorization headers".to_owned()));
        }
        let (scheme, token) = line.to_str().ok().and_then(|line| line.split_once(' ')).ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let directory = self.node.directory();
        let verified = Token::verify(token.trim(), &directory, self.node.name(), self.node.now());
        let (reader, token) = verified.map_err(|error| refused(format!("the token is not taken: {error}")))?;
        let key = directory.actors().get(&reader.actor).map(|actor| actor.key);
        Ok(Allowed { reader, until: token.expires, key, seq: directory.seq() })
    }
}

impl Allowed {
    /// Looks the actor up again where the directory has moved on; false where the token is worth nothing any more.
    pub(super) fn still(&mut self, node: &Node) -> bool {
        if self.until <= node.now() {
            return false;
        }
        let directory = node.directory();
        if directory.seq() != self.seq {
            let key = directory.actors().get(&self.reader.actor).map(|actor| actor.key);
            match Reader::of(&directory, &self.reader.actor) {
                Some(reader) if key == self.key => self.reader = reader,
                _ => return false,
            }
            self.seq = directory.seq();
        }
        true
    }
}
