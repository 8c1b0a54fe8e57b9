//! How a call that did not return ended, in core's words.

use crate::host::Call;
use lockstep_core::engine::{Frame, Stop};
use wasmtime::{FrameInfo, Trap, WasmBacktrace};

/// Why a host function or the limiter ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// This limit is reached.
    Limit(&'static str),
    /// The host asked for it.
    Host,
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Halt::Limit(what) => write!(f, "the limit of {what} is reached"),
            Halt::Host => f.write_str("the host ended the call"),
        }
    }
}

impl std::error::Error for Halt {}

/// What wasmtime says where one host call's arguments are more than all calls' may be; the error has no
/// public type. Guarded by the test `a_single_enormous_argument_reaches_the_output_limit`.
const COPIES_TOO_MUCH: &str = "fuel allocated for hostcalls has been exhausted";

/// Most frames that are kept; a recursion's are all alike.
const MAX_FRAMES: usize = 32;

/// Says how the call ended.
pub(crate) fn stop(error: &wasmtime::Error, call: &Call) -> Stop {
    if let Some(halt) = error.downcast_ref::<Halt>() {
        return match halt {
            Halt::Limit(what) => Stop::Limits { what },
            Halt::Host => Stop::Host,
        };
    }
    let trap = error.downcast_ref::<Trap>();
    match trap {
        Some(Trap::OutOfFuel) => return Stop::Limits { what: "fuel" },
        Some(Trap::StackOverflow) => return Stop::Limits { what: "stack" },
        Some(Trap::AllocationTooLarge) => return Stop::Limits { what: "memory" },
        _ => {}
    }
    if trap.is_none() && error.root_cause().to_string().contains(COPIES_TOO_MUCH) {
        return Stop::Limits { what: "output" };
    }
    let frames = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    let message = match (&call.panic, trap) {
        (Some(panic), _) => panic.clone(),
        (None, Some(trap)) => trap.to_string(),
        // What the guest passed is not what the component model allows: text that is not UTF-8, pointers
        // outside of its memory, strings without end.
        (None, None) => error.root_cause().to_string(),
    };
    Stop::Trap { message, frames }
}

/// The frames of a backtrace, innermost first, without those of the panic's own machinery.
fn frames(backtrace: &WasmBacktrace) -> Vec<Frame> {
    let all: Vec<Frame> = backtrace.frames().iter().flat_map(resolve).collect();
    let authored = |frame: &Frame| frame.file.as_deref().is_some_and(|file| !file.starts_with("rust/"));
    let first = all.iter().position(authored).unwrap_or(0);
    all.into_iter().skip(first).take(MAX_FRAMES).collect()
}

/// One function of the machine, which may be several of the author's that were inlined.
fn resolve(info: &FrameInfo) -> Vec<Frame> {
    let function = info.func_name().map_or_else(|| format!("function {}", info.func_index()), str::to_owned);
    if info.symbols().is_empty() {
        return vec![Frame { function, file: None, line: None, column: None }];
    }
    let symbol = |symbol: &wasmtime::FrameSymbol| Frame {
        function: symbol.name().unwrap_or(&function).to_owned(),
        file: symbol.file().map(|file| file.trim_start_matches("./").to_owned()),
        line: symbol.line(),
        column: symbol.column(),
    };
    info.symbols().iter().map(symbol).collect()
}
