//! Refused: no row.

use lockstep_core::crypto::{Digest, Envelope};
use lockstep_core::intent::INTENT_TYPE;
use lockstep_core::json::Json;
use lockstep_core::names::{ActorId, NodeName};

use crate::stage::{Met, Stage, far};

/// A good submission with one text in it replaced by another.
fn replaced(stage: &Stage, from: &str, to: &str) -> Met {
    let good = stage.good().canonical();
    assert!(good.contains(from), "{good}");
    stage.submit(good.replacen(from, to, 1).as_bytes())
}

/// A good submission whose payload somebody changed before signing it.
fn resigned(stage: &Stage, from: &str, to: &str) -> Met {
    let good = stage.good();
    let payload = data_encoding::BASE64.decode(good.get("payload").and_then(Json::as_str).unwrap().as_bytes()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    assert!(payload.contains(from), "{payload}");
    let payload = payload.replacen(from, to, 1).into_bytes();
    let mut signed = Envelope::sign(INTENT_TYPE, payload, &stage.key("keys/alice@acme.key")).unwrap().to_json();
    if let Json::Object(object) = &mut signed {
        object.insert("openings".to_owned(), good.get("openings").unwrap().clone());
    }
    stage.submit(signed.canonical().as_bytes())
}

pub(crate) fn malformed(stage: &Stage) -> Met {
    stage.submit(b"{\"signed\":\"not really\"}")
}

pub(crate) fn not_canonical(stage: &Stage) -> Met {
    resigned(stage, "\":", "\" :")
}

pub(crate) fn duplicate_key(stage: &Stage) -> Met {
    replaced(stage, "{", "{\"payload\":\"\",")
}

pub(crate) fn number_loses_digits(stage: &Stage) -> Met {
    replaced(stage, "\"price\":\"1.00\"", "\"price\":9007199254740993")
}

pub(crate) fn too_deep(stage: &Stage) -> Met {
    replaced(stage, "\"1.00\"", &format!("{}{}", "[".repeat(65), "]".repeat(65)))
}

pub(crate) fn too_large(stage: &Stage) -> Met {
    replaced(stage, "\"1.00\"", &format!("\"{}\"", "1".repeat(12 << 20)))
}

pub(crate) fn bad_salt(stage: &Stage) -> Met {
    replaced(stage, "\"salt\":\"", "\"salt\":\"ab")
}

pub(crate) fn bad_opening(stage: &Stage) -> Met {
    replaced(stage, "\"1.00\"", "\"2.00\"")
}

pub(crate) fn unknown_format(stage: &Stage) -> Met {
    resigned(stage, "\"format\":1", "\"format\":2")
}

pub(crate) fn wrong_network(stage: &Stage) -> Met {
    let draft = lockstep_core::intent::Draft { network: Digest::of(b"another"), ..stage.draft() };
    stage.submit(stage.sign(&draft).canonical().as_bytes())
}

pub(crate) fn wrong_sequencer(stage: &Stage) -> Met {
    let draft = lockstep_core::intent::Draft { sequencer: NodeName::parse("bolt").unwrap(), ..stage.draft() };
    stage.submit(stage.sign(&draft).canonical().as_bytes())
}

pub(crate) fn unknown_actor(stage: &Stage) -> Met {
    let draft = lockstep_core::intent::Draft { actor: ActorId::parse("nobody@acme").unwrap(), ..stage.draft() };
    stage.submit(stage.sign(&draft).canonical().as_bytes())
}

pub(crate) fn revoked_actor(stage: &Stage) -> Met {
    assert_eq!(stage.run(&["actor", "revoke", "eve"]).status, 0);
    stage.call("house_sale.offer", "eve", "{}", &[]).into()
}

pub(crate) fn weak_key(stage: &Stage) -> Met {
    let key = format!("01{}", "00".repeat(31));
    stage.run(&["actor", "add", "mallory", "--participant", "acme", "--public-key", &key]).into()
}

pub(crate) fn bad_signature(stage: &Stage) -> Met {
    let draft = lockstep_core::intent::Draft { actor: ActorId::parse("bob@buyer").unwrap(), ..stage.draft() };
    stage.submit(stage.sign(&draft).canonical().as_bytes())
}

pub(crate) fn nonce_reused(stage: &Stage) -> Met {
    let nonce = ["--nonce", "once"];
    let first = stage.call("house_sale.offer", "bob", r#"{"price":"1.00"}"#, &nonce);
    assert_eq!(first.status, 4);
    Met { rows: 1, ..stage.call("house_sale.offer", "bob", r#"{"price":"2.00"}"#, &nonce).into() }
}

pub(crate) fn expired(stage: &Stage) -> Met {
    let mut draft = stage.draft();
    draft.expires = draft.expires.plus_micros(-3_600_000_000);
    stage.submit(stage.sign(&draft).canonical().as_bytes())
}

pub(crate) fn expiry_too_far(stage: &Stage) -> Met {
    let draft = lockstep_core::intent::Draft { expires: far(), ..stage.draft() };
    stage.submit(stage.sign(&draft).canonical().as_bytes())
}
