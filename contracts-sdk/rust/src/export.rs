//! What [`contract!`](crate::contract) expands to, and what it calls.

use crate::context::Context;
use crate::outcome::{Outcome, reject};
use serde::de::DeserializeOwned;

/// Exports a contract's methods: `lockstep_contract::contract!(list, offer, accept);`.
///
/// Each is a function `fn NAME(cx: &mut Context, args: ARGS) -> Outcome` whose `ARGS` can be deserialised.
/// A contract that takes over records of an incompatible version names its function, too:
/// `contract!(list, offer; migrate = take_over);` with `fn take_over(cx: &mut Context, from: &str) -> Outcome`.
#[macro_export]
macro_rules! contract {
    ($($method:ident),+ $(,)?) => {
        $crate::contract!($($method),+; migrate = $crate::export::no_migration);
    };
    ($($method:ident),+ ; migrate = $migrate:path) => {
        /// Runs the method that the intent names.
        #[doc(hidden)]
        pub fn lockstep_call(method: &str, arguments: &str) -> $crate::Outcome {
            match method {
                $(stringify!($method) => $crate::export::run($method, arguments),)+
                _ => $crate::export::no_method(method),
            }
        }

        #[doc(hidden)]
        pub fn lockstep_migrate(from_version: &str) -> $crate::Outcome {
            $migrate(&mut $crate::Context::new(), from_version)
        }

        #[cfg(target_arch = "wasm32")]
        #[unsafe(export_name = "call")]
        unsafe extern "C" fn lockstep_export_call(
            method: *mut u8, method_len: usize, arguments: *mut u8, arguments_len: usize,
        ) -> *const u32 {
            $crate::export::report_panics();
            // SAFETY: the host passes two strings of its own making.
            let (method, arguments) = unsafe {
                ($crate::abi::owned_string(method, method_len), $crate::abi::owned_string(arguments, arguments_len))
            };
            $crate::abi::lower(lockstep_call(&method, &arguments))
        }

        #[cfg(target_arch = "wasm32")]
        #[unsafe(export_name = "migrate")]
        unsafe extern "C" fn lockstep_export_migrate(from: *mut u8, from_len: usize) -> *const u32 {
            $crate::export::report_panics();
            // SAFETY: the host passes a string of its own making.
            let from = unsafe { $crate::abi::owned_string(from, from_len) };
            $crate::abi::lower(lockstep_migrate(&from))
        }

        #[cfg(target_arch = "wasm32")]
        #[unsafe(export_name = "cabi_realloc")]
        unsafe extern "C" fn lockstep_export_realloc(
            old: *mut u8, old_len: usize, align: usize, new_len: usize,
        ) -> *mut u8 {
            // SAFETY: the host keeps to the canonical ABI.
            unsafe { $crate::abi::cabi_realloc(old, old_len, align, new_len) }
        }
    };
}

/// Runs one method with its arguments' JSON.
pub fn run<A: DeserializeOwned>(method: fn(&mut Context, A) -> Outcome, arguments: &str) -> Outcome {
    match serde_json::from_str(arguments) {
        Ok(arguments) => method(&mut Context::new(), arguments),
        Err(error) => reject("arguments", format!("the arguments are not what the method expects: {error}")),
    }
}

/// The manifest names a method that the code does not have.
pub fn no_method(method: &str) -> Outcome {
    reject("no_method", format!("this contract has no method {method}"))
}

/// What `migrate` is for a contract that does not take over records.
pub fn no_migration(_: &mut Context, from_version: &str) -> Outcome {
    reject("no_migration", format!("this contract does not take over records of version {from_version}"))
}

/// Has a panic's message and place sent to the host before the trap, which knows only addresses.
#[cfg(target_arch = "wasm32")]
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("(a panic without a message)");
        let place = info.location().map_or_else(String::new, ToString::to_string);
        crate::door::log(&format!("panic at {place}: {message}"));
    }));
}
