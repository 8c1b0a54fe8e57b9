//! Every Ed25519 case of Wycheproof: our verdict is theirs.

#![allow(clippy::unwrap_used, missing_docs)]

use data_encoding::HEXLOWER;
use lockstep_core::crypto::{PublicKey, Signature};
use lockstep_core::json::{Json, Limits};

const VECTORS: &[u8] = include_bytes!("../../../conformance/vectors/third-party/wycheproof/ed25519_test.json");

fn text<'a>(value: &'a Json, name: &str) -> &'a str {
    value.get(name).unwrap().as_str().unwrap()
}

fn verdict(key: &PublicKey, case: &Json) -> bool {
    let message = HEXLOWER.decode(text(case, "msg").as_bytes()).unwrap();
    Signature::parse(text(case, "sig")).is_ok_and(|signature| key.verify(&message, &signature))
}

#[test]
fn every_case_of_wycheproof_has_the_published_verdict() {
    let vectors = Json::parse(VECTORS, &Limits::default()).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in vectors.get("testGroups").unwrap().as_array().unwrap() {
        let key = PublicKey::parse(text(group.get("publicKey").unwrap(), "pk")).unwrap();
        for case in group.get("tests").unwrap().as_array().unwrap() {
            let expected = text(case, "result") == "valid";
            assert_eq!(verdict(&key, case), expected, "{case}");
            *if expected { &mut valid } else { &mut invalid } += 1;
        }
    }
    assert_eq!(vectors.get("numberOfTests").unwrap().as_u64(), Some(valid + invalid));
    assert_eq!((valid, invalid), (88, 63));
}
