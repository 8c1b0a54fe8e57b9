//! A real contract, written in Rust with the SDK, in the real engine.
//!
//! `guest/guest-1.0.0.lockstep` is what `contract build` makes of `guest/`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod support;

use lockstep_core::engine::{Engine, Limits, Stop};
use lockstep_core::package::Package;
use lockstep_vm::{WasmConfig, WasmEngine};
use std::path::{Path, PathBuf};
use support::{Recorder, engine};

fn guest() -> Package {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/guest-1.0.0.lockstep");
    Package::decode(&std::fs::read(path).unwrap()).unwrap()
}

fn call(method: &str, arguments: &str, host: &mut Recorder) -> Result<(), Stop> {
    engine().call(&guest(), method, arguments, host, &Limits::default())
}

fn rejection(method: &str, arguments: &str) -> (String, String) {
    match call(method, arguments, &mut Recorder::default()) {
        Err(Stop::Rejected(no)) => (no.reason, no.message),
        other => panic!("{method} ended with {other:?}"),
    }
}

#[test]
fn a_method_reads_changes_and_notifies_once_each() {
    let mut host = Recorder::default();
    assert_eq!(call("offer", r#"{"price":"340000.00"}"#, &mut host), Ok(()));
    assert_eq!(
        host.asked,
        [
            "read 0 listing /asking_price",
            r#"change 0 negotiation {"op":"add","path":"/offers/-","value":{"at":"2026-11-21T10:02:11.000412Z","by":"bob@buyer","price":"340000.00"}}"#,
            r#"notify 0 negotiation offer.made {"price":"340000.00"}"#,
        ]
    );
}

#[test]
fn every_kind_of_request_arrives_as_it_was_made() {
    let mut host = Recorder::default();
    assert_eq!(call("everything", "{}", &mut host), Ok(()));
    assert_eq!(host.log, ["everything begins"]);
    assert_eq!(
        host.asked,
        [
            "keys 0 listing ",
            "read 0 listing /nothing",
            r#"change 0 negotiation {"op":"add","path":"","value":{"a":1,"list":[]}}"#,
            r#"change 0 negotiation {"op":"add","path":"/b","value":2}"#,
            r#"change 0 negotiation {"op":"replace","path":"/a","value":"two"}"#,
            r#"change 0 negotiation {"op":"test","path":"/b","value":2}"#,
            r#"change 0 negotiation {"from":"/b","op":"copy","path":"/list/0"}"#,
            r#"change 0 negotiation {"from":"/b","op":"move","path":"/list/-"}"#,
            r#"change 0 negotiation {"op":"remove","path":"/list/0"}"#,
            r#"change 1 negotiation {"op":"add","path":"/offers/-","value":"second record"}"#,
            r#"change 0 parties {"op":"add","path":"/members/-","value":{"actor":"carol@buyer","from":5,"participant":"buyer","role":"buyer","to":null}}"#,
        ]
    );
}

#[test]
fn the_contract_s_no_and_the_sdk_s_have_reasons() {
    assert_eq!(rejection("offer", r#"{"price":"1.00"}"#).0, "offer_too_low");
    assert_eq!(rejection("offer", r#"{"price":1}"#).0, "arguments");
    assert_eq!(rejection("nothing", "{}").0, "no_method");
    let (reason, message) = rejection("recovers", "{}");
    assert_eq!((reason.as_str(), message.as_str()), ("recovered", "undeclared: the method does not declare it"));
}

#[test]
fn an_incompatible_version_does_not_take_over_by_itself() {
    match engine().migrate(&guest(), "0.9.0", &mut Recorder::default(), &Limits::default()) {
        Err(Stop::Rejected(no)) => assert_eq!(no.reason, "no_migration"),
        other => panic!("{other:?}"),
    }
}

/// What the line says in the guest's source, so that the test does not count lines.
fn source_line(number: u32) -> String {
    let source = include_str!("guest/src/lib.rs");
    source.lines().nth(number as usize - 1).unwrap().trim().to_owned()
}

#[test]
fn a_panic_two_calls_deep_shows_the_author_s_file_and_line() {
    let mut host = Recorder::default();
    let Err(Stop::Trap { message, frames }) = call("panics", "{}", &mut host) else { panic!("no trap") };
    assert!(message.starts_with("panic at src/lib.rs:"), "{message}");
    assert!(message.contains("index out of bounds: the len is 1 but the index is 3"), "{message}");
    assert_eq!(host.log, [message]);
    let authored: Vec<_> = frames.iter().filter(|frame| frame.file.as_deref() == Some("src/lib.rs")).collect();
    let lines: Vec<String> = authored.iter().map(|frame| source_line(frame.line.unwrap())).collect();
    assert_eq!(lines[..3], ["let number = numbers[wanted];", "second_step(&[cx.seq()])", "first_step(cx)"]);
    assert_eq!(frames[0].file.as_deref(), Some("src/lib.rs"), "{frames:?}");
    assert!(frames[0].function.contains("second_step") && frames[0].column.is_some(), "{frames:?}");
}

#[test]
fn a_panic_in_the_sdk_names_the_place_that_asked_for_it() {
    let Err(Stop::Trap { message, .. }) = call("divides", r#"{"price":"1"}"#, &mut Recorder::default()) else {
        panic!("no trap")
    };
    assert!(message.starts_with("panic at src/lib.rs:") && message.ends_with("divided by zero"), "{message}");
}

#[test]
fn without_its_debug_half_the_same_code_traps_the_same() {
    let bare = support::package(guest().code, Vec::new());
    let ended = engine().call(&bare, "panics", "{}", &mut Recorder::default(), &Limits::default());
    let Err(Stop::Trap { message, frames }) = ended else { panic!("no trap") };
    assert!(message.contains("index out of bounds"), "{message}");
    assert!(frames.iter().all(|frame| frame.file.is_none()));
}

#[test]
fn a_host_that_stops_ends_the_call_at_once() {
    for word in ["read", "change", "notify"] {
        let mut host = Recorder { stop_on: Some(word), ..Recorder::default() };
        assert_eq!(call("offer", r#"{"price":"340000.00"}"#, &mut host), Err(Stop::Host));
        assert!(host.asked.last().unwrap().starts_with(word));
    }
}

#[test]
fn calls_from_many_threads_do_not_see_each_other() {
    let (engine, guest) = (engine(), guest());
    std::thread::scope(|scope| {
        for price in 0..8 {
            let (engine, guest) = (&engine, &guest);
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut host = Recorder::default();
                    let arguments = format!(r#"{{"price":"34{price}000.00"}}"#);
                    engine.call(guest, "offer", &arguments, &mut host, &Limits::default()).unwrap();
                    assert!(host.asked[1].contains(&format!("34{price}000.00")));
                }
            });
        }
    });
}

fn cached(dir: &Path) -> (WasmEngine, Vec<PathBuf>) {
    let engine = WasmEngine::new(WasmConfig { cache_dir: Some(dir.to_owned()), ..WasmConfig::default() }).unwrap();
    engine.call(&guest(), "offer", r#"{"price":"340000.00"}"#, &mut Recorder::default(), &Limits::default()).unwrap();
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    (engine, files)
}

#[test]
fn compiled_code_is_kept_and_a_damaged_file_is_compiled_anew() {
    let dir = std::env::temp_dir().join(format!("lockstep-vm-cache-{}", std::process::id()));
    let (_, files) = cached(&dir);
    assert_eq!(files.len(), 1, "{files:?}");
    let whole = std::fs::read(&files[0]).unwrap();
    for damage in [&whole[..whole.len() / 2], &[0; 100], b""] {
        std::fs::write(&files[0], damage).unwrap();
        cached(&dir);
        assert_eq!(std::fs::read(&files[0]).unwrap(), whole);
    }
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&files[0], flipped).unwrap();
    cached(&dir);
    assert_eq!(std::fs::read(&files[0]).unwrap(), whole);
    std::fs::remove_dir_all(dir).unwrap();
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = std::env::temp_dir().join(format!("lockstep-vm-open-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = WasmEngine::new(WasmConfig { cache_dir: Some(dir.clone()), ..WasmConfig::default() });
    assert!(refused.unwrap_err().to_string().contains("others may write"));
    std::fs::remove_dir_all(dir).unwrap();
}
