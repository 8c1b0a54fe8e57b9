//! A token opens what its actor may read, at one node, for a short time, and nothing else.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use lockstep_core::crypto::{Digest, Signer, pae};
use lockstep_core::directory::Body;
use lockstep_core::intent::INTENT_TYPE;
use lockstep_core::json;
use lockstep_core::json::{Json, Limits};
use lockstep_core::names::NodeName;
use lockstep_core::time::Timestamp;
use lockstep_core::token::{LONGEST_TOKEN, TOKEN_TYPE, Token, TokenError};

use crate::world::{World, actor, key, now};

const HOUR: Duration = Duration::from_secs(3600);

fn token(world: &World) -> Token {
    Token {
        network: world.directory.network(),
        node: world.node.clone(),
        actor: actor("bob@bolt"),
        issued: now(),
        expires: now().plus(HOUR),
    }
}

fn verify(world: &World, line: &str, at: Timestamp) -> Result<Token, TokenError> {
    Token::verify(line, &world.directory, &world.node, at).map(|(_, token)| token)
}

/// The token that a change makes of a good one, signed by bob.
fn changed(world: &World, change: impl FnOnce(&mut Token)) -> Result<Token, TokenError> {
    let mut token = token(world);
    change(&mut token);
    verify(world, &token.sign(&key("bob@bolt")).unwrap(), now())
}

#[test]
fn a_token_says_who_reads_until_it_expires() {
    let world = World::dealing();
    let token = token(&world);
    let line = token.sign(&key("bob@bolt")).unwrap();
    let (reader, read) = Token::verify(&line, &world.directory, &world.node, now()).unwrap();
    assert_eq!((reader.actor, read), (actor("bob@bolt"), token.clone()));
    assert!(reader.roles.contains("partner"));
    assert!(verify(&world, &line, now().plus(HOUR - Duration::from_micros(1))).is_ok());
    assert_eq!(verify(&world, &line, now().plus(HOUR)), Err(TokenError::Expired(token.expires)));
    let early = now().plus_micros(-61_000_000);
    assert_eq!(verify(&world, &line, early), Err(TokenError::Early(token.issued)), "from a minute ahead");
}

#[test]
fn a_token_is_for_one_node_one_network_and_a_bounded_time() {
    let world = World::dealing();
    let elsewhere = |result| matches!(result, Err(TokenError::Elsewhere { .. }));
    assert!(elsewhere(changed(&world, |token| token.node = NodeName::parse("bolt").unwrap())));
    assert!(elsewhere(changed(&world, |token| token.network = Digest::of(b"another"))));
    assert!(changed(&world, |token| token.expires = now().plus(LONGEST_TOKEN)).is_ok());
    let longer = now().plus(LONGEST_TOKEN).plus_micros(1);
    assert_eq!(changed(&world, |token| token.expires = longer), Err(TokenError::TooLong));
}

#[test]
fn only_the_current_key_of_an_active_actor_signs_tokens() {
    let mut world = World::dealing();
    let line = token(&world).sign(&key("bob@bolt")).unwrap();
    let other = token(&world).sign(&key("gus@bolt")).unwrap();
    assert_eq!(verify(&world, &other, now()), Err(TokenError::Signature(actor("bob@bolt"))));
    let nobody = changed(&world, |token| token.actor = actor("nobody@bolt"));
    assert_eq!(nobody, Err(TokenError::Actor(actor("nobody@bolt"))));
    world.change("root@acme", Body::ActorRevoke { actor: actor("bob@bolt") }).unwrap();
    assert_eq!(verify(&world, &line, now()), Err(TokenError::Actor(actor("bob@bolt"))));
}

#[test]
fn a_token_has_one_spelling_and_a_signature_of_its_own() {
    let world = World::dealing();
    let line = token(&world).sign(&key("bob@bolt")).unwrap();
    let form = |line: &str| matches!(verify(&world, line, now()), Err(TokenError::Form(_)));
    let (head, signature) = line.rsplit_once('.').unwrap();
    let payload = BASE64URL_NOPAD.decode(head.split_once('.').unwrap().1.as_bytes()).unwrap();
    for bad in ["", "lockstep1", "lockstep1..", "lockstep2.a.b", &format!("{line}."), &format!("{line}="), head] {
        assert!(form(bad), "{bad}");
    }
    assert!(form(&format!("lockstep1.{}.{signature}", "A".repeat(3000))));
    let spaced = String::from_utf8(payload.clone()).unwrap().replace(":", ": ");
    assert!(form(&format!("lockstep1.{}.{signature}", BASE64URL_NOPAD.encode(spaced.as_bytes()))));
    // What was signed as something else is no token, and a token's signature is one of nothing else.
    for kind in [INTENT_TYPE, "application/json"] {
        let signed = key("bob@bolt").sign(&pae(kind, &payload)).unwrap();
        let made = format!("{head}.{}", BASE64URL_NOPAD.encode(signed.as_bytes()));
        assert_eq!(verify(&world, &made, now()), Err(TokenError::Signature(actor("bob@bolt"))), "{kind}");
    }
    let signed = key("bob@bolt").sign(&pae(TOKEN_TYPE, &payload)).unwrap();
    assert_eq!(format!("{head}.{}", BASE64URL_NOPAD.encode(signed.as_bytes())), line);
}

/// Name, line, and the moment at which it is shown.
fn cases(world: &World) -> Vec<(&'static str, String, Timestamp)> {
    let good = token(world);
    let line = good.sign(&key("bob@bolt")).unwrap();
    let other = |change: fn(&mut Token)| {
        let mut token = good.clone();
        change(&mut token);
        token.sign(&key("bob@bolt")).unwrap()
    };
    vec![
        ("bob reads for an hour", line.clone(), now()),
        ("its last moment is over", line.clone(), good.expires),
        ("from more than a minute ahead", line.clone(), now().plus_micros(-60_000_001)),
        ("good for too long", other(|token| token.expires = token.issued.plus_micros(86_400_000_001)), now()),
        ("for another node", other(|token| token.node = NodeName::parse("bolt").unwrap()), now()),
        ("for another network", other(|token| token.network = Digest::of(b"another")), now()),
        ("of somebody unknown", other(|token| token.actor = actor("nobody@bolt")), now()),
        ("signed with somebody else's key", good.sign(&key("gus@bolt")).unwrap(), now()),
        ("with a character more", format!("{line}A"), now()),
        ("padded", format!("{line}=="), now()),
        ("of another prefix", line.replacen("lockstep1", "lockstep2", 1), now()),
    ]
}

#[test]
fn the_vectors_are_what_this_version_says() {
    let world = World::dealing();
    let described = cases(&world).into_iter().map(|(name, line, at)| {
        let payload = line.split('.').nth(1).and_then(|part| BASE64URL_NOPAD.decode(part.as_bytes()).ok());
        let payload = Json::parse(&payload.unwrap(), &Limits::default()).unwrap();
        let error = verify(&world, &line, at).err().map(|error| error.to_string());
        json!({"name": name, "token": line, "payload": payload, "now": at.to_string(), "taken": error.is_none(), "why_not": error})
    });
    let document = json!({
        "network": world.directory.network().to_string(), "node": world.node.as_str(),
        "actors": {"bob@bolt": key("bob@bolt").public_key().to_string()}, "vectors": described.collect::<Vec<_>>()
    });
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors/tokens.json");
    if std::env::var_os("LOCKSTEP_BLESS").is_some() {
        std::fs::write(&path, document.canonical() + "\n").unwrap();
    }
    let stored = Json::parse(std::fs::read(path).unwrap().trim_ascii(), &Limits::default()).unwrap();
    assert_eq!(stored, document);
}
