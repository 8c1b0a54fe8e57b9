//! What the engine's tests share: a host that records, packages made of text.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "shared by several tests"
)]

use lockstep_core::crypto::Digest;
use lockstep_core::engine::{Engine, Host, HostError, Limits, Stop};
use lockstep_core::json::{Json, Operation, json};
use lockstep_core::package::{Manifest, Package};
use lockstep_vm::component::{componentize, split};
use lockstep_vm::{WasmConfig, WasmEngine};

/// Answers from a few fixed sections and keeps everything that it is asked.
#[derive(Default)]
pub struct Recorder {
    pub asked: Vec<String>,
    pub log: Vec<String>,
    pub stop_on: Option<&'static str>,
}

impl Recorder {
    fn ask(&mut self, what: String) -> Result<(), HostError> {
        let stops = self.stop_on.is_some_and(|word| what.starts_with(word));
        self.asked.push(what);
        if stops { Err(HostError::Stop) } else { Ok(()) }
    }
}

impl Host for Recorder {
    fn context(&mut self) -> String {
        let records = |id: &str| json!({"record": id, "spec": "guest", "seq": 5, "exists": true, "roles": ["buyer"]});
        json!({
            "intent": "00", "network": "11", "actor": "bob@buyer", "participant": "buyer", "method": "offer",
            "time": "2026-11-21T10:02:11.000412Z", "contract": {"name": "guest", "version": "1.0.0"},
            "records": [records("acme:1"), records("acme:2")],
        })
        .canonical()
    }

    fn read(&mut self, record: u32, section: &str, pointer: &str) -> Result<Option<String>, HostError> {
        self.ask(format!("read {record} {section} {pointer}"))?;
        match (section, pointer) {
            ("listing", "/asking_price") => Ok(Some("\"350000.00\"".to_owned())),
            ("secret", _) => {
                Err(HostError::Failure { code: "undeclared", message: "the method does not declare it".to_owned() })
            }
            _ => Ok(None),
        }
    }

    fn keys(&mut self, record: u32, section: &str, pointer: &str) -> Result<Vec<String>, HostError> {
        self.ask(format!("keys {record} {section} {pointer}"))?;
        Ok(vec!["asking_price".to_owned(), "é".to_owned()])
    }

    fn change(&mut self, record: u32, section: &str, operation: Operation) -> Result<(), HostError> {
        self.ask(format!("change {record} {section} {}", operation.to_json()))
    }

    fn notify(&mut self, record: u32, section: &str, kind: &str, data: Json) -> Result<(), HostError> {
        self.ask(format!("notify {record} {section} {kind} {data}"))
    }

    fn log(&mut self, message: &str) {
        self.log.push(message.to_owned());
    }
}

/// A package with this code and debug half.
pub fn package(code: Vec<u8>, debug: Vec<u8>) -> Package {
    let mut document = json!({
        "format": 1, "abi": 1, "name": "guest", "version": "1.0.0", "sync": "compare",
        "specs": {"guest": {"roles": {"buyer": {}}, "sections": {"listing": {"schema": {}, "read": ["buyer"]}}}},
        "methods": {"offer": {"records": [{"spec": "guest"}], "arguments": {}}},
        "build": {},
    });
    if let Json::Object(members) = &mut document {
        for (name, half) in [("code", &code), ("debug", &debug)] {
            members.insert(name, (!half.is_empty()).then(|| Digest::of(half).to_string()));
        }
    }
    Package::new(Manifest::parse(&document).unwrap(), code, debug).unwrap()
}

/// A core module in text whose `call` runs `body`; `extra` goes to the module's top level.
pub fn core_module(extra: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "lockstep:contract/host@0.1.0" "log" (func $log (param i32 i32)))
            (import "lockstep:contract/host@0.1.0" "notify"
                (func $notify (param i32 i32 i32 i32 i32 i32 i32 i32)))
            (memory (export "memory") 2)
            (data (i32.const 16) "\"aaaaaaaaaaaaaa\"")
            (global $next (mut i32) (i32.const 65536))
            {extra}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $next)
                (global.set $next (i32.and (i32.add (global.get $next) (i32.add (local.get 3) (i32.const 7))) (i32.const -8))))
            (func (export "call") (param i32 i32 i32 i32) (result i32) (local $i i32)
                {body}
                (i32.const 1024))
            (func (export "migrate") (param i32 i32) (result i32) (i32.const 1024)))"#
    );
    wat::parse_str(text).unwrap()
}

/// A package of the core module with that body.
pub fn contract(extra: &str, body: &str) -> Package {
    let halves = split(&componentize(&core_module(extra, body)).unwrap()).unwrap();
    package(halves.code, halves.debug)
}

/// Small bounds, so that reaching them takes no time.
pub fn small() -> Limits {
    Limits {
        fuel: 20_000_000,
        memory_bytes: 4 << 20,
        table_elements: 1_000,
        host_calls: 1_000,
        output_bytes: 64 << 10,
        input_bytes: 64 << 10,
        log_bytes: 1_000,
        ..Limits::default()
    }
}

pub fn engine() -> WasmEngine {
    WasmEngine::new(WasmConfig::default()).unwrap()
}

/// How a call of the module with this body ends.
pub fn end_of(extra: &str, body: &str) -> Result<(), Stop> {
    engine().call(&contract(extra, body), "offer", "{}", &mut Recorder::default(), &small())
}
