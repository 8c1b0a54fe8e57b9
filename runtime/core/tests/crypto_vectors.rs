//! `conformance/vectors/{commitments,envelopes,log}.json`, which other languages read, too.
//!
//! Each file is an array of named cases, refused ones among them. One test makes the cases again and compares
//! the files byte for byte (`LOCKSTEP_VECTORS=write` writes them); the others read the files as anyone
//! would and hold the code to what they say. What is valid is stated by hand, not computed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use lockstep_core::crypto::{
    Context, Digest, Envelope, LocalSigner, PublicKey, Salt, Signer, commit, commit_canonical,
};
use lockstep_core::json;
use lockstep_core::json::{Json, Limits};
use lockstep_core::log::{
    Appender, Checkpoint, consistency_path, inclusion_path, leaf_hash, root, verify_consistency, verify_inclusion,
};

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors").join(file)
}

/// One case a line, each in canonical form: easy to read, to diff and to parse.
fn print(cases: &[Json]) -> String {
    let lines: Vec<String> = cases.iter().map(Json::canonical).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn cases(file: &str) -> Vec<Json> {
    let bytes = std::fs::read(path(file)).unwrap();
    Json::parse(&bytes, &Limits::default()).unwrap().as_array().unwrap().to_vec()
}

fn text<'a>(case: &'a Json, name: &str) -> &'a str {
    case.get(name).and_then(Json::as_str).unwrap_or_else(|| panic!("{name} in {case}"))
}

fn flag(case: &Json, name: &str) -> bool {
    case.get(name).and_then(Json::as_bool).unwrap_or_else(|| panic!("{name} in {case}"))
}

fn count(case: &Json, name: &str) -> u64 {
    case.get(name).and_then(Json::as_u64).unwrap_or_else(|| panic!("{name} in {case}"))
}

fn digest(case: &Json, name: &str) -> Digest {
    Digest::parse(text(case, name)).unwrap()
}

fn hex_list(digests: &[Digest]) -> Json {
    digests.iter().map(|digest| Json::from(digest.to_string())).collect()
}

/// The case with some members replaced.
fn with(case: &Json, name: &str, changes: &[(&str, Json)]) -> Json {
    let mut members = case.as_object().unwrap().clone();
    members.insert("name", name);
    for (key, value) in changes {
        members.insert(*key, value.clone());
    }
    Json::Object(members)
}

// --- commitments ---

/// Commits to what the case says, or refuses its salt.
fn commitment_of(case: &Json) -> Option<Digest> {
    let context = case.get("context").unwrap();
    let network = context.get("network").map(|_| digest(context, "network"));
    let context = Context {
        domain: text(context, "domain"),
        network: network.as_ref(),
        record: context.get("record").and_then(Json::as_str),
        section: context.get("section").and_then(Json::as_str),
        seq: context.get("seq").and_then(Json::as_u64),
    };
    let (salt, content) = (Salt::parse(text(case, "salt")).ok()?, case.get("content").unwrap());
    let made = commit(&salt, &context, content);
    assert_eq!(made, commit_canonical(&salt, &context, content.canonical().as_bytes()));
    Some(made)
}

fn make_commitments() -> Vec<Json> {
    let network = Digest::of(b"network").to_string();
    let salt = HEXLOWER.encode(&std::array::from_fn::<u8, 32, _>(|n| n as u8));
    let full = json!({
        "domain": "lockstep/section", "network": network, "record": "acme:order-17", "section": "price", "seq": 3
    });
    let make = |name: &str, context: Json, content: Json| {
        let case = json!({"name": name, "salt": salt.clone(), "context": context, "content": content, "valid": true});
        let made = commitment_of(&case).unwrap().to_string();
        with(&case, name, &[("commitment", made.into())])
    };
    let plain = make("every part of the context", full.clone(), json!({"amount": 340000, "currency": "EUR"}));
    let mut cases = vec![
        plain.clone(),
        make("a domain alone", json!({"domain": "lockstep/arguments"}), json!([])),
        make("an absent section is null", full.clone(), Json::Null),
        make("seq zero is not an absent seq", json!({"domain": "d", "seq": 0}), json!("")),
        make("the largest seq", json!({"domain": "d", "seq": 9007199254740991_u64}), json!(true)),
        make("text that needs escapes", json!({"domain": "a\"b\\c\n\u{1}é\u{1f600}"}), json!("\u{7f}\t\u{fb33}")),
        make("keys in UTF-16 order", full.clone(), json!({"\u{fb33}": 1, "\u{1f600}": 2, "a": {"b": [1, "2", null]}})),
    ];
    for (name, member, value) in [
        ("another network does not open", "network", Json::from(Digest::of(b"other").to_string())),
        ("another record does not open", "record", "acme:order-18".into()),
        ("another section does not open", "section", "terms".into()),
        ("another seq does not open", "seq", 4.into()),
        ("another domain does not open", "domain", "lockstep/changes".into()),
    ] {
        let mut context = full.as_object().unwrap().clone();
        context.insert(member, value);
        cases.push(with(&plain, name, &[("context", Json::Object(context)), ("valid", false.into())]));
    }
    let other = Json::from(salt.replace("1f", "2f"));
    cases.push(with(&plain, "another salt does not open", &[("salt", other), ("valid", false.into())]));
    let content = json!({"amount": 340001, "currency": "EUR"});
    cases.push(with(&plain, "other content does not open", &[("content", content), ("valid", false.into())]));
    for (name, wrong) in [
        ("a salt of 31 bytes is refused", salt[..62].to_owned()),
        ("a salt of 33 bytes is refused, a zero that HMAC would not notice included", format!("{salt}00")),
        ("an empty salt is refused", String::new()),
        ("a salt in upper case is refused", salt.to_uppercase()),
    ] {
        cases.push(with(&plain, name, &[("salt", wrong.into()), ("valid", false.into())]));
    }
    cases
}

#[test]
fn commitments_open_to_what_the_vectors_say_and_to_nothing_else() {
    let cases = cases("commitments.json");
    for case in &cases {
        let opens = commitment_of(case) == Some(digest(case, "commitment"));
        assert_eq!(opens, flag(case, "valid"), "{case}");
    }
    assert_eq!(cases.len(), 18);
}

// --- envelopes ---

fn make_envelopes() -> Vec<Json> {
    let signer = LocalSigner::from_secret([1; 32]);
    let second = LocalSigner::from_secret([2; 32]);
    let key = signer.public_key().to_string();
    let make = |name: &str, payload_type: &str, payload: &[u8]| {
        let envelope = Envelope::sign(payload_type, payload.to_vec(), &signer).unwrap();
        json!({
            "name": name, "key": key.clone(), "envelope": envelope.to_json(), "well_formed": true, "verified": true,
            "payload_hex": HEXLOWER.encode(payload), "pae_hex": HEXLOWER.encode(&envelope.pae())
        })
    };
    let hello = make("the example of the DSSE specification", "http://example.com/HelloWorld", b"hello world");
    let mut both = Envelope::sign("t", b"p".to_vec(), &second).unwrap();
    both.add_signature(&signer).unwrap();
    let both = with(&make("", "t", b"p"), "two keys signed", &[("envelope", both.to_json())]);
    let mut cases = vec![
        hello.clone(),
        make("an empty payload", "application/vnd.lockstep.test+json", b""),
        make("a payload that is not text", "application/octet-stream", &[0, 0xff, 0x0a, 0x20]),
        make("a type whose length in bytes is not that in characters", "tÿpe", b"{}"),
        both,
    ];
    let envelope = hello.get("envelope").unwrap();
    let change = |members: &[(&str, Json)]| {
        let mut changed = envelope.as_object().unwrap().clone();
        for (name, value) in members {
            changed.insert(*name, value.clone());
        }
        Json::Object(changed)
    };
    let signature = |keyid: &str, sig: &[u8]| json!([{"keyid": keyid, "sig": BASE64.encode(sig)}]);
    let sig = Envelope::from_json(envelope).unwrap().signatures[0].sig.clone();
    let (mut bent, mut short) = (sig.clone(), sig.clone());
    bent[0] ^= 1;
    short.pop();
    let unsigned = second.public_key().to_string();
    for (name, changed) in [
        ("another type was signed", change(&[("payloadType", "http://example.com/Hello".into())])),
        ("another payload was signed", change(&[("payload", BASE64.encode(b"hello World").into())])),
        (
            "a boundary between type and payload cannot be moved",
            change(&[("payloadType", "http://example.com/HelloWorld 11".into()), ("payload", "".into())]),
        ),
        ("a bent signature", change(&[("signatures", signature(&key, &bent))])),
        ("a short signature", change(&[("signatures", signature(&key, &short))])),
        ("a signature under another key's id", change(&[("signatures", signature(&unsigned, &sig))])),
    ] {
        cases.push(with(&hello, name, &[("envelope", changed), ("verified", false.into())]));
    }
    cases.push(with(&hello, "a key that did not sign", &[("key", unsigned.into()), ("verified", false.into())]));
    let one = envelope.get("signatures").unwrap().as_array().unwrap()[0].clone();
    let mut keyless = one.as_object().unwrap().clone();
    keyless.remove("keyid");
    let mut named = one.as_object().unwrap().clone();
    named.insert("alg", "ed25519");
    let mut bare = envelope.as_object().unwrap().clone();
    bare.remove("payloadType");
    for (name, changed) in [
        ("no signature", change(&[("signatures", Json::Array(Vec::new()))])),
        ("one key twice", change(&[("signatures", Json::Array(vec![one.clone(), one]))])),
        ("a signature without keyid", change(&[("signatures", Json::Array(vec![Json::Object(keyless)]))])),
        ("a signature with a member more", change(&[("signatures", Json::Array(vec![Json::Object(named)]))])),
        ("an empty keyid", change(&[("signatures", signature("", &sig))])),
        ("an empty signature", change(&[("signatures", signature(&key, b""))])),
        ("no type", Json::Object(bare)),
        ("an empty type", change(&[("payloadType", "".into())])),
        ("a member more", change(&[("comment", "hello".into())])),
        ("base64 without padding", change(&[("payload", "aGVsbG8gd29ybGQ".into())])),
        ("base64 with spare bits set", change(&[("payload", "aGVsbG8gd29ybGR=".into())])),
        ("base64 with a line feed", change(&[("payload", "aGVsbG8g\nd29ybGQ=".into())])),
        ("base64 of the URL alphabet", change(&[("payload", "_-8=".into())])),
        ("a payload that is no text", change(&[("payload", 7.into())])),
        ("an array", json!([])),
    ] {
        let refused = [("envelope", changed), ("well_formed", false.into()), ("verified", false.into())];
        cases.push(with(&hello, name, &refused));
    }
    cases
}

#[test]
fn envelopes_are_read_and_believed_as_the_vectors_say() {
    let cases = cases("envelopes.json");
    for case in &cases {
        let key = PublicKey::parse(text(case, "key")).unwrap();
        let read = Envelope::from_json(case.get("envelope").unwrap());
        assert_eq!(read.is_ok(), flag(case, "well_formed"), "{case}");
        let Ok(envelope) = read else { continue };
        assert_eq!(&envelope.to_json(), case.get("envelope").unwrap());
        assert_eq!(envelope.verified_by(&key), flag(case, "verified"), "{case}");
        if flag(case, "verified") {
            assert_eq!(HEXLOWER.encode(&envelope.payload), text(case, "payload_hex"));
            assert_eq!(HEXLOWER.encode(&envelope.pae()), text(case, "pae_hex"));
        }
    }
    assert_eq!(text(&cases[0], "pae_hex"), HEXLOWER.encode(b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"));
    assert_eq!(cases.len(), 27);
}

// --- log ---

fn make_log() -> Vec<Json> {
    let data: Vec<Vec<u8>> = (0..70_u8).map(|n| vec![n; usize::from(n % 5)]).collect();
    let leaves: Vec<Digest> = data.iter().map(|data| leaf_hash(data)).collect();
    let root_of = |size: usize| root(&leaves[..size]);
    let mut appender = Appender::empty();
    leaves.iter().for_each(|leaf| appender.append(*leaf));
    let tiles = appender.take_changed();
    let mut read = |level, index| tiles.iter().find(|tile| (tile.level, tile.index) == (level, index)).cloned();
    let mut cases = Vec::new();
    for size in [0, 1, 2, 3, 7, 8, 63, 64, 65, 70] {
        let leaves: Json = data[..size].iter().map(|data| Json::from(HEXLOWER.encode(data))).collect();
        let name = format!("root of {size}");
        cases.push(json!({"name": name, "kind": "root", "leaves": leaves, "root": root_of(size).to_string()}));
    }
    for (index, size) in [(0, 1), (0, 2), (1, 2), (2, 3), (5, 8), (63, 64), (64, 65), (12, 70), (69, 70)] {
        let path = inclusion_path(index as u64, size as u64, &mut read).unwrap();
        let name = format!("leaf {index} of {size}");
        let case = json!({
            "name": name, "kind": "inclusion", "leaf_hash": leaves[index].to_string(), "index": index, "size": size,
            "path": hex_list(&path), "root": root_of(size).to_string(), "valid": true
        });
        cases.push(case.clone());
        let longer = [&path[..], &[leaves[0]]].concat();
        let spoil = |what: &str, member, value| {
            with(&case, &format!("leaf {index} of {size}, {what}"), &[(member, value), ("valid", false.into())])
        };
        cases.push(spoil("a hash too many", "path", hex_list(&longer)));
        cases.push(spoil("beyond the end", "index", size.into()));
        cases.push(spoil("another leaf", "leaf_hash", leaf_hash(b"other").to_string().into()));
        if let Some((_, shorter)) = path.split_first() {
            cases.push(spoil("a hash too few", "path", hex_list(shorter)));
            cases.push(spoil("as its neighbour", "index", (index ^ 1).into()));
        }
    }
    for (old, new) in [(0, 5), (5, 5), (1, 2), (3, 7), (4, 7), (6, 8), (64, 65), (63, 70), (65, 70)] {
        let path = consistency_path(old as u64, new as u64, &mut read).unwrap();
        let name = format!("{old} to {new}");
        let case = json!({
            "name": name, "kind": "consistency", "old": old, "new": new, "path": hex_list(&path),
            "old_root": root_of(old).to_string(), "new_root": root_of(new).to_string(), "valid": true
        });
        cases.push(case.clone());
        let longer = [&path[..], &[leaves[0]]].concat();
        let spoil = |what: &str, member, value| {
            with(&case, &format!("{old} to {new}, {what}"), &[(member, value), ("valid", false.into())])
        };
        cases.push(spoil("a hash too many", "path", hex_list(&longer)));
        cases.push(spoil("another old root", "old_root", leaf_hash(b"other").to_string().into()));
        cases.push(spoil("from more than there is", "old", (new + 1).into()));
        if let Some((_, shorter)) = path.split_first() {
            cases.push(spoil("a hash too few", "path", hex_list(shorter)));
        }
    }
    cases.extend(make_checkpoints(root_of(70)));
    cases
}

fn make_checkpoints(root: Digest) -> Vec<Json> {
    let signer = LocalSigner::from_secret([1; 32]);
    let origin = format!("lockstep/{}/acme/1", Digest::of(b"network"));
    let note = Checkpoint { origin: origin.clone(), size: 70, root }.sign(&signer).unwrap();
    let witness = format!("\u{2014} witness.example/w {}\n", BASE64.encode(&[9; 76]));
    let case = json!({
        "name": "a checkpoint", "kind": "checkpoint", "note": note.clone(), "origin": origin.clone(),
        "key": signer.public_key().to_string(), "size": 70, "root": root.to_string(), "valid": true
    });
    let mut cases = vec![
        case.clone(),
        with(&case, "a checkpoint that a witness cosigned", &[("note", format!("{note}{witness}").into())]),
    ];
    for (name, note) in [
        ("another size", note.replace("\n70\n", "\n71\n")),
        ("a size with a leading zero", note.replace("\n70\n", "\n070\n")),
        ("an extension line", note.replacen("\n\n", "\nextension\n\n", 1)),
        ("no final line feed", note.trim_end().to_owned()),
        ("carriage returns", note.replace('\n', "\r\n")),
        ("a witness alone", format!("{}\n\n{witness}", note.split_once("\n\n").unwrap().0)),
        ("no signature", format!("{}\n\n", note.split_once("\n\n").unwrap().0)),
        ("a hyphen for the dash", note.replace('\u{2014}', "-")),
        ("base64 without padding", note.replace("=\n", "\n")),
    ] {
        cases.push(with(
            &case,
            &format!("a checkpoint with {name}"),
            &[("note", note.into()), ("valid", false.into())],
        ));
    }
    let other = LocalSigner::from_secret([2; 32]).public_key().to_string();
    cases.push(with(&case, "a checkpoint by another key", &[("key", other.into()), ("valid", false.into())]));
    let elsewhere = origin.replace("acme/1", "acme/2");
    cases.push(with(&case, "a checkpoint of another log", &[("origin", elsewhere.into()), ("valid", false.into())]));
    cases
}

#[test]
fn the_log_agrees_with_the_vectors() {
    let cases = cases("log.json");
    for case in &cases {
        let list = |name: &str| -> Vec<String> {
            case.get(name).unwrap().as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
        };
        let hashes =
            |name: &str| -> Vec<Digest> { list(name).iter().map(|hash| Digest::parse(hash).unwrap()).collect() };
        let (holds, expected) = match text(case, "kind") {
            "root" => {
                let leaf = |data: &String| leaf_hash(&HEXLOWER.decode(data.as_bytes()).unwrap());
                let leaves: Vec<Digest> = list("leaves").iter().map(leaf).collect();
                (root(&leaves) == digest(case, "root"), true)
            }
            "inclusion" => {
                let (leaf, root) = (digest(case, "leaf_hash"), digest(case, "root"));
                let holds = verify_inclusion(&leaf, count(case, "index"), count(case, "size"), &hashes("path"), &root);
                (holds, flag(case, "valid"))
            }
            "consistency" => {
                let (old, new) = (digest(case, "old_root"), digest(case, "new_root"));
                let holds = verify_consistency(count(case, "old"), count(case, "new"), &hashes("path"), &old, &new);
                (holds, flag(case, "valid"))
            }
            _ => {
                let key = PublicKey::parse(text(case, "key")).unwrap();
                let origin = text(case, "origin").to_owned();
                let expected = Checkpoint { origin, size: count(case, "size"), root: digest(case, "root") };
                let verified = Checkpoint::verify(text(case, "note"), &expected.origin, &key);
                (verified == Ok(expected), flag(case, "valid"))
            }
        };
        assert_eq!(holds, expected, "{case}");
    }
    assert!(cases.len() > 80, "{}", cases.len());
}

#[test]
fn the_vector_files_are_what_the_generator_makes() {
    for (file, made) in
        [("commitments.json", make_commitments()), ("envelopes.json", make_envelopes()), ("log.json", make_log())]
    {
        let names: std::collections::BTreeSet<&str> = made.iter().map(|case| text(case, "name")).collect();
        assert_eq!(names.len(), made.len(), "two cases of {file} have one name");
        let printed = print(&made);
        if std::env::var("LOCKSTEP_VECTORS").is_ok_and(|value| value == "write") {
            std::fs::write(path(file), &printed).unwrap();
        }
        let stored = std::fs::read_to_string(path(file)).unwrap_or_default();
        assert!(stored == printed, "{file} is not what the generator makes; LOCKSTEP_VECTORS=write writes it");
    }
}
