//! Seam: what executes a contract's code.
//!
//! Promise of an [`Engine`]: a call is a pure function of (package, method, arguments, what the [`Host`]
//! answers). It keeps nothing between calls, gives every call a fresh instance, and never lets a guest see a
//! limit: reaching one ends the call with [`Stop::Limits`]. It is called from many threads at once. It does no
//! I/O that a guest could notice and never panics for anything that a guest does.
//!
//! The host side is core's own `execute` module; the WebAssembly side is the crate `lockstep-vm`.

use crate::crypto::Digest;
use crate::json::{Json, Operation};
use crate::package::Package;

/// Bounds of one execution. All are deterministic for one engine version except the native stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Units of the engine's own instruction counting; never a price.
    pub fuel: u64,
    /// Bytes of linear memory.
    pub memory_bytes: u64,
    /// Elements of all tables together.
    pub table_elements: u64,
    /// Bytes of native stack that the guest may use.
    pub stack_bytes: u64,
    /// Calls from the guest to the host.
    pub host_calls: u64,
    /// Bytes that the host hands to the guest in answers, all together.
    pub input_bytes: u64,
    /// Bytes of changes and notifications, all together.
    pub output_bytes: u64,
    /// Bytes of log messages; what is beyond is dropped, not refused.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            fuel: 1_000_000_000,
            memory_bytes: 128 << 20,
            table_elements: 100_000,
            stack_bytes: 512 << 10,
            host_calls: 100_000,
            input_bytes: 256 << 20,
            output_bytes: 32 << 20,
            log_bytes: 64 << 10,
        }
    }
}

impl Limits {
    /// The same bounds times `factor`, for a node that executes only to compare.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        Limits {
            fuel: self.fuel.saturating_mul(factor),
            memory_bytes: self.memory_bytes.saturating_mul(factor),
            table_elements: self.table_elements.saturating_mul(factor),
            stack_bytes: self.stack_bytes.saturating_mul(factor),
            host_calls: self.host_calls.saturating_mul(factor),
            input_bytes: self.input_bytes.saturating_mul(factor),
            output_bytes: self.output_bytes.saturating_mul(factor),
            log_bytes: self.log_bytes.saturating_mul(factor),
        }
    }
}

/// What a contract asks of the runtime during a call; implemented by core, handed to the engine.
///
/// `record` is the position among the intent's records, from 0. JSON travels as canonical text.
pub trait Host {
    /// The intent, actor and roles, records, time and versions, as canonical JSON.
    fn context(&mut self) -> String;
    /// The value at `pointer` of a section as the call has left it so far; `None` where nothing is.
    ///
    /// # Errors
    /// [`HostError::Failure`] goes to the guest; [`HostError::Stop`] ends the call.
    fn read(&mut self, record: u32, section: &str, pointer: &str) -> Result<Option<String>, HostError>;
    /// The member names of the object at `pointer`, in canonical order.
    ///
    /// # Errors
    /// As for [`Host::read`].
    fn keys(&mut self, record: u32, section: &str, pointer: &str) -> Result<Vec<String>, HostError>;
    /// Applies one RFC 6902 operation to a section; later reads of the same call see it.
    ///
    /// # Errors
    /// As for [`Host::read`].
    fn change(&mut self, record: u32, section: &str, operation: Operation) -> Result<(), HostError>;
    /// Emits a business event tied to a section.
    ///
    /// # Errors
    /// As for [`Host::read`].
    fn notify(&mut self, record: u32, section: &str, kind: &str, data: Json) -> Result<(), HostError>;
    /// A line for whoever replays the intent; no part of any outcome.
    fn log(&mut self, message: &str);
}

/// Why a host call did not do what was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum HostError {
    /// Handed to the guest as the WIT type `failure`; a contract may go on.
    Failure {
        /// A short stable word, such as `patch`.
        code: &'static str,
        /// What happened, for people.
        message: String,
    },
    /// Ends the call at once; the host keeps the reason and the engine returns [`Stop::Host`].
    Stop,
}

/// The contract's own no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A short stable word of the contract's own, such as `offer_too_low`.
    pub reason: String,
    /// What to tell people.
    pub message: String,
}

/// Where a contract was when it trapped, innermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function's demangled name.
    pub function: String,
    /// The author's file, where the package kept line tables.
    pub file: Option<String>,
    /// Line in that file, from 1.
    pub line: Option<u32>,
    /// Column in that line, from 1.
    pub column: Option<u32>,
}

/// How a call ended when it did not simply return.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// The contract said no.
    Rejected(Rejection),
    /// The contract broke: a panic, an unreachable instruction, memory out of bounds.
    Trap {
        /// The panic's message where there was one, else the engine's word for it.
        message: String,
        /// Innermost first; the author's own frames have a file.
        frames: Vec<Frame>,
    },
    /// A limit was reached; `what` names it: `fuel`, `memory`, `table`, `stack`, `host_calls`, `input`, `output`.
    Limits {
        /// Which limit.
        what: &'static str,
    },
    /// The host ended the call; the host knows why.
    Host,
    /// The engine itself failed; never an outcome.
    Broken(String),
}

/// Why a package's code cannot be executed at all, found before anything is deployed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the code of package {package} is not usable: {message}")]
pub struct CodeError {
    /// Digest of the package.
    pub package: Digest,
    /// What is wrong, for people.
    pub message: String,
}

/// Executes contracts.
pub trait Engine: Send + Sync {
    /// Calls `method` of the package's code.
    ///
    /// # Errors
    /// Every way of not returning is a [`Stop`].
    fn call(
        &self,
        package: &Package,
        method: &str,
        arguments: &str,
        host: &mut dyn Host,
        limits: &Limits,
    ) -> Result<(), Stop>;
    /// Whether this code could be called: a component of the contract world, without imports of its own,
    /// without a start function, within the bounds of compilation.
    ///
    /// # Errors
    /// [`CodeError`] with what is wrong.
    fn check(&self, package: &Package) -> Result<(), CodeError>;
}
