//! Packages that no contract of ours is: code that is there under a manifest of the test's.

use lockstep_core::json;
use lockstep_core::json::Json;
use lockstep_core::package::{Manifest, Package};

use super::root;

/// The code of one package under another manifest.
pub(crate) fn recast(package: &str, name: &str, specs: Json, methods: Json) -> Vec<u8> {
    let packed = Package::decode(&std::fs::read(root().join(package)).unwrap()).unwrap();
    let halves =
        [packed.manifest.code, packed.manifest.debug].map(|half| Json::from(half.map(|half| half.to_string())));
    let [code, debug] =
        if methods.as_object().is_some_and(|methods| methods.is_empty()) { [Json::Null, Json::Null] } else { halves };
    let (with_code, with_debug) = (!code.is_null(), !debug.is_null());
    let manifest = json!({
        "format": 1, "abi": 1, "name": name, "version": "1.0.0", "sync": "compare", "specs": specs, "methods": methods,
        "code": code, "debug": debug, "build": {}
    });
    let half = |there: bool, bytes: Vec<u8>| if there { bytes } else { Vec::new() };
    let manifest = Manifest::parse(&manifest).unwrap();
    Package::new(manifest, half(with_code, packed.code), half(with_debug, packed.debug)).unwrap().encode()
}

/// A contract that misbehaves: `panics` does so two calls deep.
pub(crate) fn probe() -> Vec<u8> {
    let specs = json!({"probe": {
        "roles": {"anyone": {"everyone": true}},
        "sections": {"body": {"schema": {}, "create": ["anyone"], "modify": ["anyone"]}}
    }});
    let method = json!({"records": [{"spec": "probe", "creates": true, "writes": ["body"]}], "arguments": {}});
    let methods = json!({"panics": method.clone(), "recovers": method});
    recast("runtime/vm/tests/guest/guest-1.0.0.lockstep", "probe", specs, methods)
}
