//! The door: everything that is turned away, with its code.

use std::time::Duration;

use data_encoding::BASE64;
use lockstep_core::codes::{Code, CodeClass};
use lockstep_core::crypto::{Digest, Envelope, LocalSigner};
use lockstep_core::directory::Body;
use lockstep_core::intent::{Door, INTENT_TYPE, StoredError, Whole, read_stored, verify};
use lockstep_core::json;
use lockstep_core::json::Json;
use lockstep_core::names::NodeName;

use crate::world::{World, actor, key, record, step, with};

fn code(world: &World, bytes: &[u8]) -> Code {
    let refusal = world.knock(bytes).unwrap_err();
    assert_eq!(refusal.code.class(), CodeClass::Refused, "{refusal:?}");
    refusal.code
}

/// A good submission, to be spoiled.
fn good(world: &mut World) -> Json {
    world.make("one").json()
}

fn edit(json: &Json, path: &[&str], change: impl FnOnce(&mut Json)) -> Json {
    fn at<'a>(json: &'a mut Json, path: &[&str]) -> &'a mut Json {
        match (path, json) {
            ([], json) => json,
            ([name, rest @ ..], Json::Object(object)) => at(object.get_mut(name).unwrap(), rest),
            ([index, rest @ ..], Json::Array(items)) => at(&mut items[index.parse::<usize>().unwrap()], rest),
            (path, json) => panic!("no {path:?} in {json}"),
        }
    }
    let mut changed = json.clone();
    change(at(&mut changed, path));
    changed
}

fn without(json: &Json, path: &[&str], name: &str) -> Json {
    edit(json, path, |found| {
        if let Json::Object(object) = found {
            object.remove(name);
        }
    })
}

fn payload(json: &Json) -> Json {
    let bytes = BASE64.decode(json.get("payload").unwrap().as_str().unwrap().as_bytes()).unwrap();
    Json::parse(&bytes, &json::Limits::default()).unwrap()
}

/// The submission with these payload bytes, signed anew.
fn resigned(good: &Json, payload: &[u8], signer: &LocalSigner) -> Vec<u8> {
    let envelope = Envelope::sign(INTENT_TYPE, payload.to_vec(), signer).unwrap();
    with(envelope.to_json(), "openings", good.get("openings").unwrap().clone()).canonical().into_bytes()
}

#[test]
fn a_good_submission_comes_in_and_reads_back_as_stored() {
    let mut world = World::dealing();
    let bytes = world.make("one").bytes();
    let intent = world.knock(&bytes).unwrap();
    let again = read_stored(intent.envelope(), intent.openings(), Whole::All, |_| {
        Some(world.directory.actors()[&actor("ann@acme")].key)
    });
    assert_eq!(again.unwrap(), intent);
    let spaced = String::from_utf8(bytes).unwrap().replace("\":", "\" : ");
    assert_eq!(world.knock(spaced.as_bytes()).unwrap(), intent, "only what is signed has one spelling");
}

#[test]
fn what_is_not_a_submission_is_malformed() {
    let mut world = World::dealing();
    let good = good(&mut world);
    let text = |json: &Json| json.canonical().into_bytes();
    let not_utf8 = [b"{\"a\":\"".as_slice(), &[0xff], b"\"}"].concat();
    let twice = edit(&good, &["signatures"], |all| {
        if let Json::Array(list) = all {
            list.push(list[0].clone());
        }
    });
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("no JSON", b"{".to_vec()),
        ("no object", b"[]".to_vec()),
        ("not UTF-8", not_utf8),
        ("a NUL", br#"{"a":"\u0000"}"#.to_vec()),
        ("a lone surrogate", br#"{"a":"\ud800"}"#.to_vec()),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), &text(&good)].concat()),
        ("no openings", text(&without(&good, &[], "openings"))),
        ("no signatures", text(&without(&good, &[], "signatures"))),
        ("an unknown member", text(&with(good.clone(), "extra", 1_u64))),
        ("an unknown opening", text(&edit(&good, &["openings"], |json| *json = with(json.clone(), "extra", 1_u64)))),
        ("a call without arguments", text(&without(&good, &["openings", "call"], "arguments"))),
        ("a record without expect", text(&without(&good, &["openings", "records", "0"], "expect"))),
        (
            "base64 without padding",
            text(&edit(&good, &["signatures", "0", "sig"], |sig| {
                *sig = sig.as_str().unwrap().trim_end_matches('=').into()
            })),
        ),
        ("a signature twice", text(&twice)),
        ("another payload type", text(&edit(&good, &["payloadType"], |kind| *kind = "application/json".into()))),
        (
            "a hostile record",
            text(&edit(&good, &["openings", "records", "0", "record"], |id| *id = "acme:../etc".into())),
        ),
    ] {
        assert_eq!(code(&world, &bytes), Code::Malformed, "{what}");
    }
}

#[test]
fn json_that_readers_could_take_differently_has_codes_of_its_own() {
    let mut world = World::dealing();
    let good = good(&mut world).canonical();
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    for (bytes, expected) in [
        (good.replacen('{', r#"{"payload":"","#, 1), Code::DuplicateKey),
        (good.replacen(r#""steps":["#, r#""n":9007199254740993,"steps":["#, 1), Code::NumberLosesDigits),
        (good.replacen(r#""steps":["#, r#""n":1e400,"steps":["#, 1), Code::NumberLosesDigits),
        (good.replacen(r#""steps":["#, &format!(r#""n":{deep},"steps":["#), 1), Code::TooDeep),
        (format!("{good}{}", " ".repeat(12 << 20)), Code::TooLarge),
    ] {
        assert_eq!(code(&world, bytes.as_bytes()), expected);
    }
}

#[test]
fn the_payload_is_canonical_of_a_known_format_and_whole() {
    let mut world = World::dealing();
    let good = good(&mut world);
    let payload = payload(&good);
    let signed = |payload: &Json| resigned(&good, payload.canonical().as_bytes(), &key("ann@acme"));
    assert!(world.knock(&signed(&payload)).is_ok());
    let spaced = payload.canonical().replacen(':', ": ", 1);
    assert_eq!(code(&world, &resigned(&good, spaced.as_bytes(), &key("ann@acme"))), Code::NotCanonical);
    let doubled = payload.canonical().replacen('{', r#"{"actor":"bob@bolt","#, 1);
    assert_eq!(code(&world, &resigned(&good, doubled.as_bytes(), &key("ann@acme"))), Code::DuplicateKey);
    for (name, value, expected) in [
        ("format", Json::from(2_u64), Code::UnknownFormat),
        ("algorithms", "md5+rsa".into(), Code::UnknownFormat),
        ("nonce", "ab".into(), Code::Malformed),
        ("expires", "2026-11-21T10:05:00Z".into(), Code::Malformed),
        ("records", json!([]), Code::Malformed),
        ("records", Json::from(vec![Json::from(Digest::of(b"x").to_string()); 17]), Code::Malformed),
        ("extra", Json::Null, Code::Malformed),
        ("actor", "ann".into(), Code::Malformed),
    ] {
        assert_eq!(code(&world, &signed(&with(payload.clone(), name, value))), expected, "{name}");
    }
}

#[test]
fn a_salt_has_32_bytes() {
    let mut world = World::dealing();
    let good = good(&mut world);
    let ab = "ab";
    for salt in [String::new(), ab.repeat(31), ab.repeat(33), "AB".repeat(32), "zz".repeat(32)] {
        for path in [["openings", "call", "salt"].as_slice(), &["openings", "records", "0", "salt"]] {
            let spoiled = edit(&good, path, |found| *found = salt.as_str().into());
            assert_eq!(code(&world, spoiled.canonical().as_bytes()), Code::BadSalt);
        }
    }
    let salty = edit(&good, &["openings", "call", "method"], |method| *method = "salt!".into());
    assert_eq!(code(&world, salty.canonical().as_bytes()), Code::Malformed, "not every salt is a salt");
}

#[test]
fn openings_are_what_was_signed() {
    let mut world = World::dealing();
    let good = good(&mut world);
    let other_salt = Digest::of(b"other").to_string();
    for (path, value) in [
        (["openings", "call", "method"].as_slice(), Json::from("edit")),
        (&["openings", "call", "contract"], "other".into()),
        (&["openings", "call", "arguments"], json!({})),
        (&["openings", "call", "salt"], other_salt.as_str().into()),
        (&["openings", "records", "0", "record"], "acme:two".into()),
        (&["openings", "records", "0", "expect"], Json::from(3_u64)),
        (&["openings", "records", "0", "salt"], other_salt.as_str().into()),
        (&["openings", "records"], json!([])),
    ] {
        let spoiled = edit(&good, path, |found| *found = value);
        assert_eq!(code(&world, spoiled.canonical().as_bytes()), Code::BadOpening, "{path:?}");
    }
    let twice = world.make("one").also("one").bytes();
    assert_eq!(code(&world, &twice), Code::Malformed, "a record named twice");
}

#[test]
fn an_intent_is_for_this_network_and_this_node() {
    let mut world = World::dealing();
    let elsewhere = world.make("one").edit(|draft| draft.network = Digest::of(b"other")).bytes();
    assert_eq!(code(&world, &elsewhere), Code::WrongNetwork);
    let other_node = world.make("one").edit(|draft| draft.sequencer = NodeName::parse("bolt").unwrap()).bytes();
    assert_eq!(code(&world, &other_node), Code::WrongSequencer);
    let mut wish = world.make("one");
    wish.draft.targets[0].record = lockstep_core::names::RecordId::parse("bolt:one").unwrap();
    assert_eq!(code(&world, &wish.bytes()), Code::WrongSequencer);
}

#[test]
fn only_a_known_actors_current_key_opens_the_door() {
    let mut world = World::dealing();
    let unknown = world.call("joe@acme", "make", "one", vec![]).bytes();
    assert_eq!(code(&world, &unknown), Code::UnknownActor);
    let forged = world.make("one").signed_by("eve@bolt").bytes();
    assert_eq!(code(&world, &forged), Code::BadSignature);
    let mut more = Json::parse(&world.make("one").bytes(), &json::Limits::default()).unwrap();
    more = edit(&more, &["signatures"], |all| {
        if let Json::Array(list) = all {
            let other = with(list[0].clone(), "keyid", "somebody");
            list.push(other);
        }
    });
    assert_eq!(code(&world, more.canonical().as_bytes()), Code::BadSignature, "a signature too many");
    let good = world.make("one");
    let (new, ann) = (key("ann two"), actor("ann@acme"));
    use lockstep_core::crypto::Signer;
    world.change("root@acme", Body::ActorRotate { actor: ann.clone(), key: new.public_key() }).unwrap();
    assert_eq!(code(&world, &good.bytes()), Code::BadSignature, "the old key");
    world.change("root@acme", Body::ActorRevoke { actor: ann }).unwrap();
    assert_eq!(code(&world, &good.signed_by("ann two").bytes()), Code::RevokedActor);
}

#[test]
fn an_intent_expires_within_bounds() {
    let mut world = World::dealing();
    let at = |world: &mut World, offset: i64| {
        let time = world.time.plus_micros(offset);
        world.make("one").edit(|draft| draft.expires = time).bytes()
    };
    let hour = 3_600_000_000;
    for (offset, expected) in [
        (-1, Some(Code::Expired)),
        (0, Some(Code::Expired)),
        (1, None),
        (hour, None),
        (hour + 1, Some(Code::ExpiryTooFar)),
    ] {
        let bytes = at(&mut world, offset);
        assert_eq!(world.knock(&bytes).err().map(|refusal| refusal.code), expected, "{offset}");
    }
    let good = world.make("one").bytes();
    let later = Door { now: world.time.plus(Duration::from_secs(600)), ..world.door() };
    assert_eq!(verify(&good, &later).unwrap_err().code, Code::Expired);
}

#[test]
fn an_intent_has_up_to_sixteen_records() {
    let mut world = World::dealing();
    let mut wish = world.call("ann@acme", "make", "r0", vec![step("reject")]);
    for number in 1..16 {
        wish = wish.also(&format!("r{number}"));
    }
    assert_eq!(world.knock(&wish.bytes()).unwrap().targets().len(), 16);
    assert_eq!(code(&world, &wish.also("r16").bytes()), Code::Malformed);
    assert_eq!(record("r16").name(), "r16");
}

#[test]
fn no_byte_of_a_stored_intent_can_change() {
    let mut world = World::dealing();
    let wish = world.call("ann@acme", "look", "one", vec![]);
    let intent = world.enter(&wish);
    let known = world.directory.actors()[&actor("ann@acme")].key;
    let flips = |bytes: &[u8], at: usize| {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1;
        flipped
    };
    for at in 0..intent.envelope().len() {
        let read = read_stored(&flips(intent.envelope(), at), intent.openings(), Whole::All, |_| Some(known));
        assert!(matches!(read, Err(StoredError::Envelope(_))), "envelope byte {at}: {read:?}");
    }
    for at in 0..intent.openings().len() {
        let read = read_stored(intent.envelope(), &flips(intent.openings(), at), Whole::All, |_| Some(known));
        assert!(matches!(read, Err(StoredError::Openings(_))), "openings byte {at}: {read:?}");
    }
    let nobody = read_stored(intent.envelope(), intent.openings(), Whole::All, |_| None);
    assert!(matches!(nobody, Err(StoredError::Envelope(_))));
}
