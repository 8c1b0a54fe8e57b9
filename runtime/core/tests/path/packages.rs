//! What a package is, and what it may not be.

use lockstep_core::crypto::Digest;
use lockstep_core::json::{Json, json};
use lockstep_core::package::{MAX_PACKAGE_BYTES, Manifest, Package};

use crate::world::{deal_manifest, deal_spec, manifest, method, one, package, uses, with};

fn refused(cases: Vec<(Json, &str)>) {
    for (document, said) in cases {
        let error = Manifest::parse(&document).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}

fn methods(methods: Json) -> Json {
    manifest("deal", "1.0.0", json!({"deal": deal_spec()}), methods)
}

fn go(records: Json) -> Json {
    methods(json!({"go": method(records)}))
}

#[test]
fn a_package_reads_back_and_no_byte_of_it_can_change() {
    let packed = package(&deal_manifest("1.0.0")).unwrap();
    let bytes = packed.encode();
    let again = Package::decode(&bytes).unwrap();
    assert_eq!((again.digest(), again.encode()), (packed.digest(), bytes.clone()));
    for at in (0..bytes.len()).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let read = Package::decode(&flipped);
        assert!(read.is_err() || read.unwrap().digest() != packed.digest(), "byte {at}");
    }
}

#[test]
fn a_truncated_lengthened_or_oversized_package_is_refused() {
    let bytes = package(&deal_manifest("1.0.0")).unwrap().encode();
    for length in (0..bytes.len()).step_by(7) {
        assert!(Package::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(Package::decode(&longer).unwrap_err().to_string().contains("1 bytes after its end"));
    let oversized = vec![0; MAX_PACKAGE_BYTES + 1];
    assert!(Package::decode(&oversized).unwrap_err().to_string().contains("a package may have"));
    assert!(Package::decode(b"lockstep-package/2\n").unwrap_err().to_string().contains("first line"));
}

#[test]
fn the_halves_are_those_that_the_manifest_names() {
    let parsed = || Manifest::parse(&deal_manifest("1.0.0")).unwrap();
    let code = b"deal@1.0.0".to_vec();
    assert!(Package::new(parsed(), code.clone(), Vec::new()).is_ok());
    for (code, debug) in [(b"other".to_vec(), vec![]), (vec![], vec![]), (code, b"names".to_vec())] {
        assert!(
            Package::new(parsed(), code, debug)
                .unwrap_err()
                .to_string()
                .contains("is not the one that the manifest names")
        );
    }
}

#[test]
fn a_manifest_of_another_format_world_or_protocol_is_refused() {
    let good = || deal_manifest("1.0.0");
    refused(vec![
        (with(good(), "format", 2_u64), "format 2 is not known to this version"),
        (with(good(), "abi", 9_u64), "abi 9 is not known"),
        (with(good(), "sync", "raft"), "sync protocol raft"),
        (with(good(), "version", "1.0"), "version"),
        (with(good(), "colour", "red"), "colour"),
        (with(good(), "code", Json::Null), "code if and only if it has methods"),
        (manifest("x", "1.0.0", json!({}), json!({})), "needs a spec or a method"),
        (with(good(), "debug", Digest::of(b"x").to_string().to_uppercase()), "debug"),
    ]);
}

#[test]
fn a_method_names_what_there_is() {
    refused(vec![
        (go(one(uses(&["elsewhere"], &[]))), "names section elsewhere, which spec deal does not have"),
        (go(one(uses(&[], &["Hostile\"; --"]))), "section"),
        (go(Json::from(Vec::<Json>::new())), "names 0 records; an intent has 1 to 16"),
        (go(Json::from(vec![uses(&[], &["open"]); 17])), "names 17 records"),
        (go(one(with(uses(&[], &["open"]), "spec", "lockstep_intent"))), "reserved"),
        (go(one(with(uses(&[], &["open"]), "notifies", one(Json::from("a\nb"))))), "the type of a notification"),
        (go(one(with(uses(&[], &["open"]), "notifies", one(Json::from(""))))), "the type of a notification"),
        (go(one(with(uses(&[], &["open"]), "deletes", true))), "deletes"),
        (
            methods(json!({"go": with(method(one(uses(&[], &["open"]))), "arguments", json!({"format": "date"}))})),
            "arguments of method go",
        ),
        (methods(json!({"Go!": method(one(uses(&[], &["open"])))})), "Go!"),
    ]);
}

#[test]
fn a_spec_that_is_refused_refuses_its_package() {
    refused(vec![(manifest("deal", "1.0.0", json!({"deal": {"roles": {}, "sections": {}}}), json!({})), "spec deal:")]);
}
