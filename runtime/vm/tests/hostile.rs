//! Code that means harm, or that its author never ran: every way ends the call, none the process.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod support;

use lockstep_core::engine::{Engine, Limits, Stop};
use lockstep_vm::component::{componentize, split};
use lockstep_vm::{CodeBounds, WasmConfig, WasmEngine};
use support::{Recorder, contract, core_module, end_of, engine, package, small};

/// What `check` says about this code.
fn refused(code: &[u8]) -> String {
    match engine().check(&package(code.to_vec(), Vec::new())) {
        Ok(()) => panic!("the code was accepted"),
        Err(error) => error.message,
    }
}

fn component_of(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[track_caller]
fn reaches(what: &str, ended: Result<(), Stop>) {
    match ended {
        Err(Stop::Limits { what: found }) => assert_eq!(found, what),
        other => panic!("expected the limit {what}, not {other:?}"),
    }
}

#[test]
fn a_harmless_module_is_accepted_and_returns() {
    let harmless = contract("", "");
    assert_eq!(engine().check(&harmless), Ok(()));
    assert_eq!(engine().call(&harmless, "offer", "{}", &mut Recorder::default(), &small()), Ok(()));
}

#[test]
fn truncated_code_is_refused_wherever_it_ends() {
    let code = contract("", "").code;
    for len in [1, 4, 7, 8, 9, 40, code.len() / 2, code.len() - 1] {
        let message = refused(&code[..len]);
        assert!(!message.is_empty(), "{len} bytes");
    }
    for text in ["hello", "\0asm", "#!/bin/sh\n"] {
        assert!(refused(text.as_bytes()).contains("malformed"), "{text}");
    }
}

#[test]
fn a_core_module_is_refused() {
    assert!(refused(&core_module("", "")).contains("no component"));
}

#[test]
fn an_import_of_anything_else_is_refused() {
    let text = r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))"#;
    assert!(refused(&component_of(text)).contains("imports wasi:clocks/wall-clock@0.2.0"));
    let core = wat::parse_str(r#"(module (import "env" "random" (func)))"#).unwrap();
    assert!(componentize(&core).unwrap_err().to_string().contains("imports env.random"));
}

#[test]
fn a_function_that_the_host_does_not_have_is_refused() {
    let text = r#"(component (import "lockstep:contract/host@0.1.0" (instance (export "clock" (func (result u64))))))"#;
    assert!(refused(&component_of(text)).contains("no contract"));
}

#[test]
fn a_start_function_is_refused() {
    let core = core_module("(func $begin) (start $begin)", "");
    assert!(componentize(&core).unwrap_err().to_string().contains("start function"));
    let text = "(component (core module (func $begin) (start $begin)))";
    assert!(refused(&component_of(text)).contains("start function"));
}

#[test]
fn code_without_the_world_s_exports_is_refused() {
    assert!(refused(&component_of("(component)")).contains("no contract"));
    let core = wat::parse_str(r#"(module (memory (export "memory") 1))"#).unwrap();
    assert!(componentize(&core).unwrap_err().to_string().contains("does not export"));
}

#[test]
fn code_beyond_the_bounds_of_compilation_is_refused() {
    let bounds = CodeBounds { bytes: 2_000, function_bytes: 60, functions: 10, locals: 3, modules: 4 };
    let strict = WasmEngine::new(WasmConfig { bounds, ..WasmConfig::default() }).unwrap();
    let check = |code: Vec<u8>| strict.check(&package(code, Vec::new())).unwrap_err().message;
    let module = |body: &str| component_of(&format!("(component (core module {body}))"));
    assert!(check(vec![0; 2_001]).contains("2001 bytes"));
    assert!(check(module(&"(func)".repeat(11))).contains("11 functions"));
    assert!(check(module("(func (local i32 i32 i64 i64))")).contains("4 locals"));
    assert!(check(module(&format!("(func {})", "nop ".repeat(70)))).contains("the function at byte"));
    assert!(check(component_of(&format!("(component {})", "(core module)".repeat(5)))).contains("5 modules"));
}

#[test]
fn features_that_are_off_are_refused() {
    let modules = [
        "(module (memory i64 1))",
        "(module (memory 1) (memory 1))",
        "(module (memory 1 1 shared))",
        "(module (tag))",
        "(module (type (struct)))",
        "(module (func $f return_call $f))",
    ];
    for module in modules {
        let text = format!("(component (core {}", module.trim_start_matches('(')) + ")";
        assert!(refused(&component_of(&text)).contains("malformed"), "{module}");
    }
}

#[test]
fn an_endless_loop_ends_at_the_limit_of_fuel() {
    reaches("fuel", end_of("", "(loop (br 0))"));
}

#[test]
fn growing_memory_or_tables_without_end_stops_the_call_and_is_never_seen() {
    reaches(
        "memory",
        end_of("", "(loop (br_if 0 (i32.ge_s (memory.grow (i32.const 8)) (i32.const 0)))) (unreachable)"),
    );
    reaches("memory", end_of("", "(drop (memory.grow (i32.const 65535))) (unreachable)"));
    let table = "(table $t 1 funcref)";
    reaches("table", end_of(table, "(drop (table.grow $t (ref.null func) (i32.const 100000))) (unreachable)"));
    reaches(
        "table",
        end_of(table, "(loop (br_if 0 (i32.ge_s (table.grow $t (ref.null func) (i32.const 9)) (i32.const 0))))"),
    );
}

#[test]
fn memory_that_is_too_big_from_the_start_stops_the_call() {
    reaches("table", end_of("(table 2000 funcref)", ""));
    let limits = Limits { memory_bytes: 64 << 10, ..small() };
    reaches("memory", engine().call(&contract("", ""), "offer", "{}", &mut Recorder::default(), &limits));
}

#[test]
fn endless_recursion_ends_at_the_limit_of_the_stack() {
    let recurse = "(func $down (param i64) (result i64) (i64.add (i64.const 1) (call $down (local.get 0))))";
    let limits = Limits { fuel: 1_000_000_000, ..small() };
    let package = contract(recurse, "(drop (call $down (i64.const 1)))");
    reaches("stack", engine().call(&package, "offer", "{}", &mut Recorder::default(), &limits));
    // And with the stack of a node that compares, on a thread of the standard size.
    reaches("stack", engine().call(&package, "offer", "{}", &mut Recorder::default(), &limits.times(4)));
}

#[test]
fn an_unreachable_instruction_and_a_wild_pointer_are_traps() {
    for (body, word) in [
        ("(unreachable)", "unreachable"),
        ("(drop (i32.load (i32.const -4)))", "out of bounds"),
        ("(drop (i32.div_s (i32.const 1) (local.get $i)))", "divide by zero"),
        // What is handed to the host is checked, too.
        ("(call $log (i32.const -16) (i32.const 16))", ""),
        ("(i32.store8 (i32.const 0) (i32.const 255)) (call $log (i32.const 0) (i32.const 1))", "utf-8"),
    ] {
        match end_of("", body) {
            Err(Stop::Trap { message, .. }) => assert!(message.contains(word), "{body}: {message}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn a_flood_of_log_lines_is_cut_and_harms_nobody() {
    let flood = "(loop (call $log (i32.const 0) (i32.const 50))
        (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 500))))";
    let mut host = Recorder::default();
    assert_eq!(engine().call(&contract("", flood), "offer", "{}", &mut host, &small()), Ok(()));
    assert_eq!(host.log.iter().map(String::len).sum::<usize>(), 1_000);
}

#[test]
fn a_flood_of_calls_or_of_output_stops_the_call() {
    reaches("host_calls", end_of("", "(loop (call $log (i32.const 0) (i32.const 1)) (br 0))"));
    let notify = "(call $notify (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
        (i32.const 16) (i32.const 16) (i32.const 2048))";
    let limits = Limits { host_calls: u64::MAX, ..small() };
    let package = contract("", &format!("(loop {notify} (br 0))"));
    let mut host = Recorder::default();
    reaches("output", engine().call(&package, "offer", "{}", &mut host, &limits));
    assert_eq!(host.asked.len(), (64 << 10) / 18);
}

#[test]
fn a_single_enormous_argument_reaches_the_output_limit() {
    reaches("output", end_of("", "(call $log (i32.const 0) (i32.const 100000))"));
}

#[test]
fn arguments_beyond_the_input_limit_stop_the_call() {
    let arguments = format!("\"{}\"", "a".repeat(64 << 10));
    reaches("input", engine().call(&contract("", ""), "offer", &arguments, &mut Recorder::default(), &small()));
}

#[test]
fn every_nan_has_the_same_bits() {
    // 0/0, inf-inf, sqrt(-1) and a NaN with a payload through an addition.
    let nan = |text: &str| {
        format!("(if (i64.ne (i64.reinterpret_f64 {text}) (i64.const 0x7ff8000000000000)) (then unreachable))")
    };
    let zero = "(f64.convert_i32_s (local.get $i))";
    let infinity = format!("(f64.div (f64.const 1) {zero})");
    let body = [
        nan(&format!("(f64.div {zero} {zero})")),
        nan(&format!("(f64.sub {infinity} {infinity})")),
        nan(&format!("(f64.sqrt (f64.sub {zero} (f64.const 1)))")),
        nan(&format!("(f64.add {zero} (f64.reinterpret_i64 (i64.or (i64.const 0x7ff80000deadbeef) (i64.extend_i32_s (local.get $i)))))")),
    ]
    .concat();
    assert_eq!(end_of("", &body), Ok(()));
}

#[test]
fn code_in_the_debug_half_is_never_joined() {
    let halves = split(&componentize(&core_module("", "")).unwrap()).unwrap();
    let other = componentize(&core_module("", "(unreachable)")).unwrap();
    let odd = package(halves.code, other);
    assert_eq!(engine().call(&odd, "offer", "{}", &mut Recorder::default(), &small()), Ok(()));
}

#[test]
fn a_call_leaves_nothing_for_the_next() {
    let counter = contract(
        "(global $calls (mut i32) (i32.const 0))",
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (if (i32.gt_s (global.get $calls) (i32.const 1)) (then unreachable))
         (if (i32.load (i32.const 4096)) (then unreachable)) (i32.store (i32.const 4096) (i32.const 1))",
    );
    let engine = engine();
    for _ in 0..3 {
        assert_eq!(engine.call(&counter, "offer", "{}", &mut Recorder::default(), &small()), Ok(()));
    }
}
