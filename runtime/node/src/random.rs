//! Randomness for salts, nonces and keys, from the operating system.

use lockstep_core::crypto::{Context, Salt, commit};
use lockstep_core::json;

/// 32 random bytes.
///
/// # Errors
/// The operating system gives none.
pub fn random_bytes() -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("the operating system gives no randomness: {error}"))?;
    Ok(bytes)
}

/// A fresh salt.
///
/// # Errors
/// As for [`random_bytes`].
pub fn random_salt() -> Result<Salt, String> {
    random_bytes().map(Salt::from)
}

/// A stream of salts from one fresh secret: salt n is HMAC-SHA256 of n under it. One secret for each intent,
/// forgotten with the stream, so that salts are as good as fresh bytes and cost one hash each.
pub(crate) struct Salts {
    secret: Salt,
    next: u64,
}

impl Salts {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Salts { secret: Salt::from(secret), next: 0 }
    }

    pub(crate) fn take(&mut self) -> Salt {
        let context =
            Context { domain: "lockstep.salt.v1", network: None, record: None, section: None, seq: Some(self.next) };
        self.next += 1;
        Salt::from(*commit(&self.secret, &context, &json!(null)).as_bytes())
    }
}

/// Where the secrets of salts come from; replaced in tests that want the same events twice.
pub(crate) type Secrets = std::sync::Arc<dyn Fn() -> Result<[u8; 32], String> + Send + Sync>;
