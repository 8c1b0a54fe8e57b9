//! What an engine is made with: plain values, read by whoever starts the node.

use std::path::PathBuf;

/// How to make a [`WasmEngine`](crate::WasmEngine).
#[derive(Clone, Debug)]
pub struct WasmConfig {
    /// Where compiled code is kept between runs. The folder belongs to the engine alone: what is in it is
    /// executed. `None` compiles anew in every process.
    pub cache_dir: Option<PathBuf>,
    /// How many packages' compiled code stays in memory.
    pub kept_packages: usize,
    /// Native stack of a guest at [`Limits::stack_bytes`](lockstep_core::engine::Limits) up to this value.
    pub stack_bytes: u64,
    /// Native stack where the call's limits ask for more than `stack_bytes`, as a node that executes only
    /// to compare does. The threads that call the engine need this much and 512 KiB more.
    pub comparing_stack_bytes: u64,
    /// What code may be before it is compiled.
    pub bounds: CodeBounds,
}

impl Default for WasmConfig {
    fn default() -> Self {
        WasmConfig {
            cache_dir: None,
            kept_packages: 64,
            stack_bytes: 512 << 10,
            comparing_stack_bytes: 1 << 20,
            bounds: CodeBounds::default(),
        }
    }
}

/// Bounds of code that is to be compiled: compilation is the one thing that fuel does not bound.
///
/// Whoever loosens them lets a contract take longer to deploy; whoever tightens them refuses contracts that
/// others run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeBounds {
    /// Bytes of the code half.
    pub bytes: usize,
    /// Bytes of one function's body. Compilers are worse than linear in it.
    pub function_bytes: usize,
    /// Functions of all core modules together.
    pub functions: u32,
    /// Locals of one function.
    pub locals: u32,
    /// Core modules in the component, and instances of them.
    pub modules: u32,
}

impl Default for CodeBounds {
    fn default() -> Self {
        CodeBounds { bytes: 16 << 20, function_bytes: 128 << 10, functions: 50_000, locals: 4_000, modules: 32 }
    }
}
